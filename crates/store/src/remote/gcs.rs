//! Google Cloud Storage, through its XML protocol.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::gcp::GoogleCloudStorageBuilder;

use super::{Below, client, retries};
use crate::open::Why;
use crate::settings::{Endpoint, GcsSettings};
use crate::url::Place;

pub(crate) fn open(place: &Place, settings: &GcsSettings) -> Result<Arc<dyn ObjectStore>, Why> {
    let endpoint = settings.endpoint.as_deref().map(Endpoint::parse).transpose()?;
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&place.bucket)
        .with_retry(retries())
        .with_client_options(client(endpoint.as_ref().is_some_and(Endpoint::is_http)));
    if let Some(endpoint) = endpoint {
        builder = builder.with_base_url(&endpoint.to_string());
    }
    if let Some(path) = &settings.service_account {
        builder = builder.with_service_account_path(path.to_string_lossy());
    }
    Ok(Arc::new(Below::new(builder.build()?, place.prefix.clone())))
}
