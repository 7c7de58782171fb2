//! Memory and a folder.

use siltstone_store::{Settings, open};
use siltstone_testkit::{Promises, conformance};

#[tokio::test]
async fn should_do_in_memory_what_the_catalog_needs() {
    let opened = open(&"memory:".parse().unwrap(), &Settings::default()).await.unwrap();
    conformance::check_all(opened.objects.as_ref(), Promises::ALL).await;
}

#[tokio::test]
async fn should_do_in_a_folder_what_the_catalog_needs() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display()).parse().unwrap();
    let opened = open(&url, &Settings::default()).await.unwrap();
    let promises = Promises { key_beside_its_directory: false, long_segments: false, ..Promises::ALL };
    conformance::check_all(opened.objects.as_ref(), promises).await;
}
