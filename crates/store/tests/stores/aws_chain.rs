//! What AWS's chain finds in the environment. A process has only one, so each case runs in one of its own: the
//! ignored test here, started by the others with their variables.

use std::process::Command;

use futures::TryStreamExt;
use object_store::ObjectMeta;
use siltstone_store::{S3Settings, Settings, open};
use siltstone_testkit::server::Minio;

use crate::minio::minio;

const ENDPOINT: &str = "SILTSTONE_TEST_ENDPOINT";

#[tokio::test]
#[ignore = "the others start it"]
async fn child() {
    let s3 = S3Settings { endpoint: std::env::var(ENDPOINT).ok(), ..S3Settings::default() };
    let url = format!("s3://{}/chain", Minio::BUCKET).parse().unwrap();
    match open(&url, &Settings { s3, ..Settings::default() }).await {
        Err(error) => println!("said: {error}"),
        Ok(opened) => match opened.objects.list(None).try_collect::<Vec<ObjectMeta>>().await {
            Err(error) => println!("said: {error}"),
            Ok(listed) => println!("said: listed {}", listed.len()),
        },
    }
}

/// What the child says that has these variables and no others.
fn said(variables: &[(&str, &str)]) -> String {
    let home = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["aws_chain::child", "--exact", "--ignored", "--nocapture"])
        .env_clear()
        .env("HOME", home.path())
        // So that it does not matter where the test runs.
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout).into_owned();
    let said = output.lines().find_map(|line| line.split_once("said: "));
    said.unwrap_or_else(|| panic!("{output}")).1.to_owned()
}

#[tokio::test]
async fn should_list_on_minio_with_keys_from_the_environment() {
    let Some(minio) = minio().await else { return };
    let endpoint = minio.endpoint();
    let keys = [
        (ENDPOINT, endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", Minio::ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", Minio::SECRET_ACCESS_KEY),
    ];
    assert_eq!(said(&keys), "listed 0");
}

#[test]
fn should_say_that_there_are_no_credentials() {
    let said = said(&[("AWS_REGION", "eu-central-1")]);
    assert!(said.contains("no AWS credentials") && said.contains("AWS_PROFILE"), "{said}");
}

#[test]
fn should_say_that_there_is_no_region() {
    let said = said(&[("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")]);
    assert!(said.contains("region of the bucket") && said.contains("AWS_REGION"), "{said}");
}
