//! The catalog on every kind of store: memory, a folder, S3 (MinIO) and Azure (Azurite).
#![expect(clippy::unwrap_used, reason = "what the tests share is a test too")]

use std::future::Future;
use std::sync::Arc;

use siltstone_catalog::bucket::Listing;
use siltstone_store::{AzureKey, AzureSettings, S3Keys, S3Settings, Secret, Settings, StoreUrl, open};
use siltstone_testkit::server::{Azurite, Minio, program};
use siltstone_tests::catalog::{self, Place};

/// Runs each promise of the catalog in a place of its own.
async fn check_all<F: Future<Output = Place>>(place: impl Fn(&'static str) -> F) {
    macro_rules! check {
        ($($promise:ident)+) => {$(
            println!("{}", stringify!($promise));
            catalog::$promise(place(stringify!($promise)).await).await;
        )+};
    }
    check! {
        many_begin_at_once
        a_committed_flush_is_found
        a_flush_that_is_committed_again_counts_once
        nobody_loses_a_race_for_good
        an_old_snapshot_reads_on
        a_long_log_is_seen_whole
        marks_and_cuts_are_in_force
        a_sweep_deletes_what_nobody_needs
        a_damaged_root_is_told_and_not_written_over
        a_damaged_entry_is_named
        the_clock_can_be_checked
    }
}

async fn opened(url: String, settings: &Settings) -> Place {
    let url: StoreUrl = url.parse().unwrap();
    let opened = open(&url, settings).await.unwrap();
    let listing = match opened.listing {
        siltstone_store::Listing::Together => Listing::Together,
        siltstone_store::Listing::Apart => Listing::LogThenRoots,
    };
    Place::new(opened.objects, listing)
}

#[tokio::test]
async fn should_keep_its_promises_in_memory() {
    let settings = Settings::default();
    check_all(|_| opened("memory:".to_owned(), &settings)).await;
}

/// Stores that list in key order allow one request for log and roots.
#[tokio::test]
async fn should_keep_its_promises_with_one_listing() {
    check_all(async |_| Place::new(Arc::new(object_store::memory::InMemory::new()), Listing::Together)).await;
}

#[tokio::test]
async fn should_keep_its_promises_in_a_folder() {
    let (folder, settings) = (tempfile::tempdir().unwrap(), Settings::default());
    check_all(|name| opened(format!("file://{}/{name}", folder.path().display()), &settings)).await;
}

#[tokio::test]
async fn should_keep_its_promises_on_minio() {
    let Some(path) = program("SILTSTONE_MINIO") else { return };
    let minio = Minio::start(path).await.unwrap();
    let keys = S3Keys {
        access_key_id: Minio::ACCESS_KEY_ID.to_owned(),
        secret_access_key: Secret::new(Minio::SECRET_ACCESS_KEY),
        session_token: None,
    };
    let s3 = S3Settings { endpoint: Some(minio.endpoint()), keys: Some(keys), ..S3Settings::default() };
    let settings = Settings { s3, ..Settings::default() };
    check_all(|name| opened(format!("s3://{}/{name}", Minio::BUCKET), &settings)).await;
}

#[tokio::test]
async fn should_keep_its_promises_on_azurite() {
    let Some(path) = program("SILTSTONE_AZURITE") else { return };
    let azurite = Azurite::start(path).await.unwrap();
    let azure = AzureSettings {
        account: Some(Azurite::ACCOUNT.to_owned()),
        key: Some(AzureKey::Account(Secret::new(Azurite::KEY))),
        endpoint: Some(azurite.endpoint()),
    };
    let settings = Settings { azure, ..Settings::default() };
    check_all(|name| opened(format!("az://{}/{name}", Azurite::CONTAINER), &settings)).await;
}
