//! Azure Blob Storage, as Azurite emulates it.

use std::sync::Arc;

use object_store::{ObjectStore, integration};
use siltstone_store::{AzureKey, AzureSettings, Listing, Secret, Settings, open};
use siltstone_testkit::server::{Azurite, program};
use siltstone_testkit::{Promises, conformance};

/// The program of an Azurite server; `tools/test` sets it.
const AZURITE: &str = "SILTSTONE_AZURITE";

async fn azurite() -> Option<Azurite> {
    Some(Azurite::start(program(AZURITE)?).await.unwrap())
}

async fn store(azurite: &Azurite, prefix: &str) -> Arc<dyn ObjectStore> {
    let azure = AzureSettings {
        account: Some(Azurite::ACCOUNT.to_owned()),
        key: Some(AzureKey::Account(Secret::new(Azurite::KEY))),
        endpoint: Some(azurite.endpoint()),
    };
    let url = format!("az://{}/{prefix}", Azurite::CONTAINER).parse().unwrap();
    let opened = open(&url, &Settings { azure, ..Settings::default() }).await.unwrap();
    assert_eq!(opened.listing, Listing::Together);
    opened.objects
}

#[tokio::test]
async fn should_do_on_azurite_what_the_catalog_needs() {
    let Some(azurite) = azurite().await else { return };
    conformance::check_all(store(&azurite, "").await.as_ref(), Promises::ALL).await;
}

#[tokio::test]
async fn should_do_below_a_prefix_what_the_catalog_needs() {
    let Some(azurite) = azurite().await else { return };
    conformance::check_all(store(&azurite, "one/two").await.as_ref(), Promises::ALL).await;
}

#[tokio::test]
async fn should_pass_the_suite_of_object_store() {
    let Some(azurite) = azurite().await else { return };
    let store = store(&azurite, "suite").await;
    integration::put_get_delete_list(&store).await;
    integration::get_opts(&store).await;
    integration::put_opts(&store, true).await;
    integration::list_uses_directories_correctly(&store).await;
    integration::list_with_delimiter(&store).await;
    integration::list_with_offset_exclusivity(&store).await;
    integration::rename_and_copy(&store).await;
    integration::copy_if_not_exists(&store).await;
    integration::copy_rename_nonexistent_object(&store).await;
    integration::stream_get(&store).await;
    integration::multipart_race_condition(&store, false).await;
    integration::multipart_out_of_order(&store).await;
    assert!(integration::get_nonexistent_object(&store, None).await.is_err());
}
