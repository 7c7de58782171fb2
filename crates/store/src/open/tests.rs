//! Which store a URL opens, and what is said when it does not.

use object_store::ObjectStoreExt;
use object_store::path::Path as Key;

use super::*;
use crate::settings::{AzureKey, AzureSettings, GcsSettings, S3Keys, S3Settings, Secret};

async fn opened(url: &str, settings: &Settings) -> Result<Opened, OpenError> {
    open(&url.parse().unwrap(), settings).await
}

#[tokio::test]
async fn should_open_memory_and_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}/store", folder.path().display());
    for url in ["memory:", &url] {
        let opened = opened(url, &Settings::default()).await.unwrap();
        assert_eq!((opened.listing, opened.name.as_str()), (Listing::Apart, url));
        opened.objects.put(&Key::from("a/b"), "1".into()).await.unwrap();
        assert_eq!(opened.objects.get(&Key::from("a/b")).await.unwrap().bytes().await.unwrap(), "1");
    }
    assert_eq!(std::fs::read(folder.path().join("store/a/b")).unwrap(), b"1");
}

#[tokio::test]
async fn should_open_azure_and_gcs_without_a_request() {
    let id = || "00000000-0000-0000-0000-000000000000".to_owned();
    let (secret, token_file) = (Secret::new("c2VjcmV0"), "/no/such/token".into());
    for key in [
        None,
        Some(AzureKey::Account(secret.clone())),
        Some(AzureKey::Application { tenant_id: id(), client_id: id(), client_secret: secret }),
        Some(AzureKey::Federated { tenant_id: id(), client_id: id(), token_file }),
    ] {
        let azure = AzureSettings { account: Some("account".to_owned()), key, endpoint: None };
        let settings = Settings { azure, ..Settings::default() };
        let store = opened("az://container/one", &settings).await.unwrap();
        assert_eq!((store.listing, store.name.as_str()), (Listing::Together, "az://container/one"));
        assert!(store.objects.to_string().ends_with("/one"));
    }

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.json");
    std::fs::write(
        &file,
        r#"{"private_key": "", "private_key_id": "", "client_email": "", "disable_oauth": true}"#,
    )
    .unwrap();
    let gcs = GcsSettings { service_account: Some(file), endpoint: None };
    let store = opened("gs://bucket/one/two", &Settings { gcs, ..Settings::default() }).await.unwrap();
    assert_eq!((store.listing, store.name.as_str()), (Listing::Together, "gs://bucket/one/two"));
}

/// The stores of `object_store` do. Account keys are decoded, and then printed as numbers.
#[tokio::test]
async fn should_not_print_secrets() {
    let secret = || Secret::new("Z2VoZWlt");
    let id = || "00000000-0000-0000-0000-000000000000".to_owned();
    let azure = |key| {
        let azure = AzureSettings { account: Some("account".to_owned()), key: Some(key), endpoint: None };
        Settings { azure, ..Settings::default() }
    };
    let (key, token) = (secret(), Some(secret()));
    let keys = S3Keys { access_key_id: "id".to_owned(), secret_access_key: key, session_token: token };
    let region = Some("eu-central-1".to_owned());
    let s3 = S3Settings { region, keys: Some(keys), ..S3Settings::default() };
    let application = AzureKey::Application { tenant_id: id(), client_id: id(), client_secret: secret() };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.json");
    let account =
        r#"{"private_key": "Z2VoZWlt", "private_key_id": "", "client_email": "", "disable_oauth": true}"#;
    std::fs::write(&file, account).unwrap();
    let gcs = GcsSettings { service_account: Some(file), endpoint: None };
    for (url, settings) in [
        ("s3://bucket/one", Settings { s3, ..Settings::default() }),
        ("gs://bucket/one", Settings { gcs, ..Settings::default() }),
        ("az://container/one", azure(AzureKey::Account(secret()))),
        ("az://container/one", azure(application)),
    ] {
        let opened = opened(url, &settings).await.unwrap();
        for shown in [format!("{opened:?}"), format!("{opened:#?}"), format!("{:?}", opened.objects)] {
            assert!(shown.contains("one"), "{shown}");
            for secret in ["Z2VoZWlt", "geheim", "103, 101, 104"] {
                assert!(!shown.contains(secret), "{url}: {shown}");
            }
        }
    }
}

#[tokio::test]
async fn should_say_which_store_cannot_be_opened_and_why() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let gcs = GcsSettings { service_account: Some("/no/such/file".into()), endpoint: None };
    for (url, settings, why) in [
        (format!("file://{}/below", file.path().display()), Settings::default(), "directory"),
        ("az://container".to_owned(), Settings::default(), "set the account"),
        ("gs://bucket".to_owned(), Settings { gcs, ..Settings::default() }, "/no/such/file"),
    ] {
        let said = opened(&url, &settings).await.unwrap_err().to_string();
        assert!(said.starts_with(&format!("cannot open the store {url}: ")) && said.contains(why), "{said}");
    }
}
