//! Opening a store: its objects, how it lists, and what to call it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;

use crate::folder::{FolderStore, OpenFolderError};
use crate::remote;
use crate::settings::{Settings, SettingsError};
use crate::url::StoreUrl;

/// A store, and what must be known of it.
#[derive(Clone)]
pub struct Opened {
    pub objects: Arc<dyn ObjectStore>,
    pub listing: Listing,
    /// For logs and errors: the URL.
    pub name: String,
}

/// Not derived: `object_store`'s stores print the keys that they hold.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("name", &self.name)
            .field("listing", &self.listing)
            .finish_non_exhaustive()
    }
}

/// How what lies under several prefixes is best listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// In one request where possible: requests are paid for and take tens of milliseconds, and a page brings
    /// up to 1,000 keys in key order.
    Together,
    /// Each prefix for itself: a request costs nothing.
    Apart,
}

/// The store cannot be opened. That it can be reached, and that one may read and write in it, shows the first
/// request only.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the store {url}: {why}")]
pub struct OpenError {
    url: String,
    #[source]
    why: Why,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Why {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Folder(#[from] OpenFolderError),
    #[error(transparent)]
    Store(#[from] object_store::Error),
    #[error("no thread could do it: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// Opens the store that a URL names. Sends no request to it; without a region in the settings, AWS's chain
/// may ask the machine that this runs on.
pub async fn open(url: &StoreUrl, settings: &Settings) -> Result<Opened, OpenError> {
    let named = |why| OpenError { url: url.to_string(), why };
    let objects = objects_of(url, settings).await.map_err(named)?;
    let listing = match url {
        StoreUrl::S3(_) | StoreUrl::Gcs(_) | StoreUrl::Azure(_) => Listing::Together,
        StoreUrl::Memory | StoreUrl::Folder(_) => Listing::Apart,
    };
    Ok(Opened { objects, listing, name: url.to_string() })
}

async fn objects_of(url: &StoreUrl, settings: &Settings) -> Result<Arc<dyn ObjectStore>, Why> {
    match url {
        StoreUrl::Memory => Ok(Arc::new(InMemory::new())),
        StoreUrl::Folder(path) => open_folder(path.clone()).await,
        StoreUrl::S3(place) => remote::s3::open(place, &settings.s3).await,
        StoreUrl::Gcs(place) => remote::gcs::open(place, &settings.gcs),
        StoreUrl::Azure(place) => remote::azure::open(place, &settings.azure),
    }
}

/// Reads a directory tree, which blocks.
async fn open_folder(path: PathBuf) -> Result<Arc<dyn ObjectStore>, Why> {
    let opened = tokio::task::spawn_blocking(move || FolderStore::open(path)).await?;
    Ok(Arc::new(opened?))
}

#[cfg(test)]
mod tests;
