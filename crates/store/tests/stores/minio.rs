//! S3, as MinIO speaks it.

use std::sync::Arc;

use object_store::{ObjectStore, integration};
use siltstone_store::{Addressing, Listing, S3Keys, S3Settings, Secret, Settings, open};
use siltstone_testkit::server::{Minio, program};
use siltstone_testkit::{Promises, conformance};

/// A MinIO server; `tools/test` sets it.
const MINIO: &str = "SILTSTONE_MINIO";

/// In MinIO's folders, as in all, no name is longer; and `a` and `a/b` cannot both be there.
const PROMISES: Promises =
    Promises { lists_in_key_order: true, key_beside_its_directory: false, long_segments: false };

pub(crate) async fn minio() -> Option<Minio> {
    Some(Minio::start(program(MINIO)?).await.unwrap())
}

fn settings(minio: &Minio) -> Settings {
    let keys = S3Keys {
        access_key_id: Minio::ACCESS_KEY_ID.to_owned(),
        secret_access_key: Secret::new(Minio::SECRET_ACCESS_KEY),
        session_token: None,
    };
    let s3 = S3Settings { endpoint: Some(minio.endpoint()), keys: Some(keys), ..S3Settings::default() };
    Settings { s3, ..Settings::default() }
}

async fn store(minio: &Minio, prefix: &str) -> Arc<dyn ObjectStore> {
    let url = format!("s3://{}/{prefix}", Minio::BUCKET).parse().unwrap();
    let opened = open(&url, &settings(minio)).await.unwrap();
    assert_eq!(opened.listing, Listing::Together);
    opened.objects
}

#[tokio::test]
async fn should_do_on_minio_what_the_catalog_needs() {
    let Some(minio) = minio().await else { return };
    conformance::check_all(store(&minio, "").await.as_ref(), PROMISES).await;
}

#[tokio::test]
async fn should_do_below_a_prefix_what_the_catalog_needs() {
    let Some(minio) = minio().await else { return };
    conformance::check_all(store(&minio, "one/two").await.as_ref(), PROMISES).await;
}

/// Without copying if nothing is there, and what tests that too: S3 has no such request.
#[tokio::test]
async fn should_pass_the_suite_of_object_store() {
    let Some(minio) = minio().await else { return };
    let store = store(&minio, "suite").await;
    integration::put_get_delete_list(&store).await;
    integration::put_get_attributes(&store).await;
    integration::get_opts(&store).await;
    integration::put_opts(&store, true).await;
    integration::list_uses_directories_correctly(&store).await;
    integration::list_with_delimiter(&store).await;
    integration::list_with_offset_exclusivity(&store).await;
    integration::rename_and_copy(&store).await;
    integration::stream_get(&store).await;
    integration::multipart_race_condition(&store, true).await;
    integration::multipart_out_of_order(&store).await;
    assert!(integration::get_nonexistent_object(&store, None).await.is_err());
}

#[tokio::test]
async fn should_say_when_keys_are_wrong() {
    let Some(minio) = minio().await else { return };
    let mut settings = settings(&minio);
    settings.s3.keys.as_mut().unwrap().secret_access_key = Secret::new("wrong-secret");
    settings.s3.addressing = Some(Addressing::Path);
    let url = format!("s3://{}", Minio::BUCKET).parse().unwrap();
    let objects = open(&url, &settings).await.unwrap().objects;
    let said = objects.list_with_delimiter(None).await.unwrap_err().to_string();
    assert!(said.contains("SignatureDoesNotMatch") && !said.contains("wrong-secret"), "{said}");
}
