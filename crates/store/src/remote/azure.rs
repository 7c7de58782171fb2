//! Azure Blob Storage.
//!
//! An emulator is an endpoint like any other here: `object_store`'s own switch for emulators would read its
//! address from the environment.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::azure::MicrosoftAzureBuilder;

use super::{Below, SuffixByLength, client, retries};
use crate::open::Why;
use crate::settings::{AzureKey, AzureSettings, Endpoint, SettingsError};
use crate::url::Place;

pub(crate) fn open(place: &Place, settings: &AzureSettings) -> Result<Arc<dyn ObjectStore>, Why> {
    let endpoint = settings.endpoint.as_deref().map(Endpoint::parse).transpose()?;
    let account = settings.account.as_ref().ok_or_else(|| SettingsError::NoAccount(place.bucket.clone()))?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(&place.bucket)
        .with_retry(retries())
        .with_client_options(client(endpoint.as_ref().is_some_and(Endpoint::is_http)));
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.to_string());
    }
    builder = match &settings.key {
        Some(AzureKey::Account(key)) => builder.with_access_key(key.reveal()),
        Some(AzureKey::Application { tenant_id, client_id, client_secret }) => {
            builder.with_client_secret_authorization(client_id, client_secret.reveal(), tenant_id)
        }
        Some(AzureKey::Federated { tenant_id, client_id, token_file }) => builder
            .with_tenant_id(tenant_id)
            .with_client_id(client_id)
            .with_federated_token_file(token_file.to_string_lossy()),
        None => builder,
    };
    Ok(Arc::new(Below::new(SuffixByLength(builder.build()?), place.prefix.clone())))
}
