//! What is built from settings, without a request.

use super::*;
use crate::settings::Secret;
use crate::url::StoreUrl;

fn place(url: &str) -> Place {
    match url.parse().unwrap() {
        StoreUrl::S3(place) => place,
        other => panic!("{other:?}"),
    }
}

fn with_endpoint(endpoint: &str) -> S3Settings {
    let keys = S3Keys {
        access_key_id: "id".to_owned(),
        secret_access_key: Secret::new("secret"),
        session_token: Some(Secret::new("token")),
    };
    S3Settings { endpoint: Some(endpoint.to_owned()), keys: Some(keys), ..S3Settings::default() }
}

async fn refusal(url: &str, endpoint: &str) -> String {
    match open(&place(url), &with_endpoint(endpoint)).await {
        Ok(store) => panic!("opened {store}"),
        Err(why) => why.to_string(),
    }
}

/// The endpoint that the builder ends with, and whether it is by host.
fn addressed(bucket: &str, endpoint: Option<&str>, addressing: Option<Addressing>) -> (Option<String>, bool) {
    use object_store::aws::AmazonS3ConfigKey::{Endpoint as EndpointKey, VirtualHostedStyleRequest};
    let endpoint = endpoint.map(|endpoint| Endpoint::parse(endpoint).unwrap());
    let builder = address(AmazonS3Builder::new(), bucket, endpoint.as_ref(), addressing);
    let by_host = builder.get_config_value(&VirtualHostedStyleRequest).as_deref() == Some("true");
    (builder.get_config_value(&EndpointKey), by_host)
}

#[tokio::test]
async fn should_open_with_keys_at_an_endpoint() {
    let store = open(&place("s3://bucket/one/two"), &with_endpoint("http://127.0.0.1:9000")).await.unwrap();
    assert_eq!(store.to_string(), "AmazonS3(bucket)/one/two");
}

#[tokio::test]
async fn should_refuse_directory_buckets_by_name_and_by_endpoint() {
    for url in
        ["s3://traces--use1-az4--x-s3", "s3://traces--use1-az4--x-s3/prefix", "s3://alias--use1-az4--xa-s3"]
    {
        let said = refusal(url, "https://s3.example").await;
        assert!(said.contains("directory bucket") && said.contains("general purpose"), "{said}");
    }
    let said = refusal("s3://bucket", "https://s3express-use1-az4.us-east-1.amazonaws.com").await;
    assert!(said.contains("directory bucket"), "{said}");
    assert!(open(&place("s3://x-s3.example"), &with_endpoint("https://s3.example")).await.is_ok());
}

#[tokio::test]
async fn should_refuse_an_endpoint_without_a_scheme() {
    assert!(refusal("s3://bucket", "127.0.0.1:9000").await.contains("https://host"));
}

#[test]
fn should_name_the_bucket_in_path_or_host() {
    let http = Some("http://127.0.0.1:9000/");
    let (path, host) = (Some(Addressing::Path), Some(Addressing::VirtualHost));
    assert_eq!(addressed("bucket", None, None), (None, true));
    assert_eq!(addressed("my.bucket", None, None), (None, false), "no certificate covers the dot");
    assert_eq!(addressed("bucket", None, path), (None, false));
    assert_eq!(addressed("bucket", http, None), (Some("http://127.0.0.1:9000".to_owned()), false));
    assert_eq!(addressed("bucket", http, path), (Some("http://127.0.0.1:9000".to_owned()), false));
    assert_eq!(addressed("bucket", http, host), (Some("http://bucket.127.0.0.1:9000".to_owned()), true));
}
