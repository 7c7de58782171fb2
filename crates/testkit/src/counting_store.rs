//! A store that counts: requests by kind, bytes, and how deep requests hang on each other.
//!
//! **Depth** is the longest chain of requests in which each began after the one before it was complete: the
//! number of round trips that an answer costs however much runs in parallel. A request has depth 1 + the
//! greatest depth of all requests that were complete when it began. It begins when it is first polled. A GET
//! is complete when its body was read to the end or dropped, a page of a listing when its first entry was
//! delivered.
//!
//! A store in memory answers at once, so that of two requests polled side by side the first would be
//! complete before the second begins. Therefore every request rests for [`TURNS`] turns of the executor
//! before it goes on to the store below: requests that are issued together are in flight together.
//!
//! What is counted is what an object store would be asked:
//! - ranges are coalesced as the cloud stores of `object_store` do it, each resulting GET counts;
//! - a listing costs one request for every 1,000 entries, each page after the other;
//! - deletes count by object, all of one stream are one round; a rename is a copy and then a delete;
//! - a request that fails counts as well. Bytes written are counted when they are sent, bytes read when they
//!   are delivered.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions, Result, UploadPart, coalesce_ranges,
};

use crate::locked::locked;
use crate::operation::Operation;

// Who counts.
mod ledger;
// Bodies, listings and deletions: requests that go on after their method has returned.
mod streams;

pub use ledger::{Counts, Request};
use ledger::{Ledger, Ticket};

/// For how many turns of the executor a request rests, so that others can begin beside it.
pub const TURNS: usize = 8;

/// How many entries one page of a listing has, as on S3.
pub const ENTRIES_PER_PAGE: usize = 1_000;

/// Counts what goes through it to the store below.
#[derive(Debug)]
pub struct CountingStore<S> {
    inner: S,
    ledger: Arc<Ledger>,
}

impl<S: ObjectStore> CountingStore<S> {
    pub fn new(inner: S) -> Self {
        CountingStore { inner, ledger: Arc::default() }
    }

    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// What was counted since the beginning or the last reset.
    pub fn snapshot(&self) -> Counts {
        self.ledger.counts()
    }

    /// Every request since then, in the order in which they began.
    pub fn requests(&self) -> Vec<Request> {
        self.ledger.requests()
    }

    /// Starts again from zero. Requests in flight have begun before, and add nothing but their bytes.
    pub fn reset(&self) {
        self.ledger.reset();
    }
}

impl<S: fmt::Display> fmt::Display for CountingStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CountingStore({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ObjectStore> ObjectStore for CountingStore<S> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let _ticket = self.ledger.begin(Operation::Put, location).await;
        self.ledger.wrote(payload.content_length());
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let _ticket = self.ledger.begin(Operation::MultipartStart, location).await;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(CountingUpload { inner, location: location.clone(), ledger: Arc::clone(&self.ledger) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let ticket = self.ledger.begin(Operation::of_get(&options), location).await;
        let head = options.head;
        let result = self.inner.get_opts(location, options).await?;
        if head {
            return Ok(result);
        }
        let (meta, range, attributes) =
            (result.meta.clone(), result.range.clone(), result.attributes.clone());
        let body = streams::counted_body(result.into_stream(), ticket, Arc::clone(&self.ledger));
        Ok(GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        coalesce_ranges(ranges, |range| self.get_range(location, range), OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let round = Arc::new(Mutex::new(None));
        let counted = streams::counted_deletes(locations, Arc::clone(&round), Arc::clone(&self.ledger));
        streams::holding(self.inner.delete_stream(counted), round)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        streams::counted_pages(self.inner.list(prefix), prefix, Arc::clone(&self.ledger))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let entries = self.inner.list_with_offset(prefix, offset);
        streams::counted_pages(entries, prefix, Arc::clone(&self.ledger))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let location = prefix.cloned().unwrap_or_default();
        let first_page = self.ledger.begin(Operation::List, &location).await;
        let listed = self.inner.list_with_delimiter(prefix).await;
        drop(first_page);
        let listed = listed?;
        let entries = listed.objects.len() + listed.common_prefixes.len();
        for _ in 1..entries.div_ceil(ENTRIES_PER_PAGE) {
            drop(self.ledger.begin(Operation::List, &location).await);
        }
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let _ticket = self.ledger.begin(Operation::Copy, from).await;
        self.inner.copy_opts(from, to, options).await
    }

    /// The store below renames in its own way, which may be atomic; what is counted is how object stores do it.
    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let copy = self.ledger.begin(Operation::Copy, from).await;
        let renamed = self.inner.rename_opts(from, to, options).await;
        drop(copy);
        if renamed.is_ok() {
            drop(self.ledger.begin(Operation::Delete, from).await);
        }
        renamed
    }
}

#[derive(Debug)]
struct CountingUpload {
    inner: Box<dyn MultipartUpload>,
    location: Path,
    ledger: Arc<Ledger>,
}

#[async_trait]
impl MultipartUpload for CountingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (ledger, location) = (Arc::clone(&self.ledger), self.location.clone());
        let length = data.content_length();
        let part = self.inner.put_part(data);
        Box::pin(async move {
            let _ticket = ledger.begin(Operation::MultipartPart, &location).await;
            ledger.wrote(length);
            part.await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let _ticket = self.ledger.begin(Operation::MultipartComplete, &self.location).await;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        let _ticket = self.ledger.begin(Operation::MultipartAbort, &self.location).await;
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests;
