//! A store whose listings show a new object only after a moment, each its own, and
//! which may read the parts of one listing in any order.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use xxhash_rust::xxh3::xxh3_64;

use super::world::Store;

#[derive(Debug)]
pub(super) struct LateListing {
    store: Store,
    longest: Duration,
    /// One listing of log and roots reads the roots first.
    roots_first: bool,
}

impl LateListing {
    pub(super) fn new(store: Store, longest: Duration, roots_first: bool) -> Self {
        Self { store, longest, roots_first }
    }

    fn shown(
        &self,
        objects: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (clock, longest) = (self.store.clock().clone(), self.longest.as_millis() as u64);
        let is_shown = move |meta: &ObjectMeta| {
            let delay = xxh3_64(meta.location.as_ref().as_bytes()) % longest.max(1);
            let landed = meta.last_modified.timestamp_millis().cast_unsigned();
            landed + delay <= clock.now() / 1_000_000
        };
        objects.try_filter(move |meta| futures::future::ready(is_shown(meta))).boxed()
    }
}

impl fmt::Display for LateListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LateListing({})", self.store)
    }
}

#[async_trait]
impl ObjectStore for LateListing {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.store.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.roots_first && prefix.is_some_and(|prefix| prefix.as_ref() == "cat") {
            let (roots, log) = (Path::from("cat/root"), Path::from("cat/log"));
            return self.shown(self.store.list(Some(&roots)).chain(self.store.list(Some(&log))).boxed());
        }
        self.shown(self.store.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.shown(self.store.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}
