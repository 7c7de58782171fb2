//! The store as the catalog sees it: objects under keys of ours, each written once.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use siltstone_format::path::ObjectKey;

/// Objects that are fetched at the same time.
pub(crate) const PARALLEL_GETS: usize = 32;

/// How log and roots are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// One request brings both; folded entries stay for a grace period.
    Together,
    /// The log first, then the roots: for stores whose listings have no order, and where a
    /// request costs nothing.
    LogThenRoots,
}

/// A request failed. What it was about, and why.
#[derive(Debug, thiserror::Error)]
#[error("the store did not {what} `{key}`: {source}")]
pub struct StoreError {
    what: &'static str,
    key: String,
    #[source]
    source: object_store::Error,
}

/// What a create came to, as far as its answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// It stands there now.
    Ours,
    /// Something stands there, or a conflict was reported as such.
    Exists,
}

/// An object store and how it lists.
#[derive(Clone)]
pub struct Bucket {
    objects: Arc<dyn ObjectStore>,
    pub listing: Listing,
}

impl Bucket {
    pub fn new(objects: Arc<dyn ObjectStore>, listing: Listing) -> Self {
        Self { objects, listing }
    }

    /// The store itself, for whoever reads and writes blocks.
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// The whole object; none if it is not there.
    pub(crate) async fn get(&self, key: &ObjectKey) -> Result<Option<Bytes>, StoreError> {
        let got = async { self.objects.get(&path(key)).await?.bytes().await };
        match got.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed("read", key, source)),
        }
    }

    /// Creates an object that must not be there.
    pub(crate) async fn create(&self, key: &ObjectKey, content: Bytes) -> Result<Created, StoreError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(&path(key), PutPayload::from_bytes(content), options).await {
            Ok(_) => Ok(Created::Ours),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Exists),
            Err(source) => Err(failed("create", key, source)),
        }
    }

    /// Writes an object under an id of its own: whatever stands there is the same.
    pub(crate) async fn put(&self, key: &ObjectKey, content: Bytes) -> Result<(), StoreError> {
        let put = self.objects.put(&path(key), PutPayload::from_bytes(content)).await;
        put.map(|_| ()).map_err(|source| failed("write", key, source))
    }

    /// Deletes an object; that it is not there is as well.
    pub(crate) async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        match self.objects.delete(&path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(failed("delete", key, source)),
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({}, {:?})", self.objects, self.listing)
    }
}

pub(crate) fn path(key: &ObjectKey) -> Path {
    Path::from(key.to_string())
}

pub(crate) fn failed(what: &'static str, key: &impl fmt::Display, source: object_store::Error) -> StoreError {
    StoreError { what, key: key.to_string(), source }
}
