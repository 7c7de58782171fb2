//! A store that fails on command, by script or by seed, over a store that does not.
//!
//! What it can do to a request is listed at [`Fault`]; when, is said by a [`FaultPlan`]; what it did is in
//! its [log](FaultyStore::log). Requests that land late wait until they are released, in any order.
//!
//! Its clock is the injected one: delays pass on it, and it is the *store time*. `last_modified` of whatever
//! went through this store is the time at which it took effect, of a multipart upload the time at which it
//! began, as on S3. (Conditions on modification times are left to the store below and its own time.)
//!
//! Listings come in key order and page by page; what lands between two pages is seen or not, by its key.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, RenameTargetMode, Result, coalesce_ranges,
};

use crate::clock::VirtualClock;
use crate::operation::Operation;

// What can go wrong, and when it does.
mod plan;
// What was done.
mod log;
// One request on its way: decide, delay, do, hold back.
mod request;
// Uploads in parts.
mod upload;

pub use log::{Done, LogEntry};
pub use plan::{Fault, FaultPlan, RandomFaults, Rule};
pub use request::{Injected, Waiting};
use request::{Shared, Target};
use upload::FaultyUpload;

/// How many entries one page of a listing has unless told otherwise, as on S3.
pub const ENTRIES_PER_PAGE: usize = 1_000;

/// Does what its plan says. Clones are the same store.
pub struct FaultyStore<S> {
    shared: Arc<Shared<S>>,
    entries_per_page: usize,
}

impl<S: ObjectStore> FaultyStore<S> {
    pub fn new(inner: S, clock: VirtualClock, plan: FaultPlan) -> Self {
        FaultyStore { shared: Arc::new(Shared::new(inner, clock, plan)), entries_per_page: ENTRIES_PER_PAGE }
    }

    /// Shorter pages, so that a short listing has several.
    pub fn with_entries_per_page(self, entries_per_page: usize) -> Self {
        FaultyStore { entries_per_page: entries_per_page.max(1), ..self }
    }

    /// The store below: the truth, without faults.
    pub fn inner(&self) -> &S {
        self.shared.inner()
    }

    pub fn clock(&self) -> &VirtualClock {
        self.shared.clock()
    }

    /// From now on another plan. Rules count from the beginning; what waits goes on waiting.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.shared.set_plan(plan);
    }

    /// Everything that it did, in order.
    pub fn log(&self) -> Vec<LogEntry> {
        self.shared.log()
    }

    /// The requests that have not landed yet, oldest first.
    pub fn waiting(&self) -> Vec<Waiting> {
        self.shared.waiting()
    }

    /// Lets one of them take effect, by its number in the log. None when it does not wait.
    pub async fn release(&self, number: u64) -> Option<Result<()>> {
        self.shared.release(number).await
    }

    /// Lets all of them take effect, oldest first, and says what became of each.
    pub async fn release_all(&self) -> Vec<(Waiting, Result<()>)> {
        let mut released = Vec::new();
        for waiting in self.waiting() {
            if let Some(outcome) = self.release(waiting.number).await {
                released.push((waiting, outcome));
            }
        }
        released
    }

    /// None of them will ever take effect.
    pub fn forget_waiting(&self) {
        self.shared.forget_waiting();
    }
}

impl<S> Clone for FaultyStore<S> {
    fn clone(&self) -> Self {
        FaultyStore { shared: Arc::clone(&self.shared), entries_per_page: self.entries_per_page }
    }
}

impl<S: ObjectStore> fmt::Display for FaultyStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner())
    }
}

impl<S: ObjectStore> fmt::Debug for FaultyStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("inner", self.inner()).field("waiting", &self.waiting()).finish()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ObjectStore> ObjectStore for FaultyStore<S> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let target = Target::new(Operation::Put, location).creating(matches!(options.mode, PutMode::Create));
        let (shared, location) = (Arc::clone(&self.shared), location.clone());
        let effect = move || {
            let (shared, location) = (Arc::clone(&shared), location.clone());
            let (payload, options) = (payload.clone(), options.clone());
            async move {
                let put = shared.inner().put_opts(&location, payload, options).await?;
                shared.landed(&location, shared.clock().now());
                Ok(put)
            }
            .boxed()
        };
        self.shared.run(target, effect).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let target = Target::new(Operation::MultipartStart, location);
        let (shared, path) = (Arc::clone(&self.shared), location.clone());
        let effect = move || {
            let (shared, location, options) = (Arc::clone(&shared), path.clone(), options.clone());
            async move { shared.inner().put_multipart_opts(&location, options).await }.boxed()
        };
        let upload = self.shared.run(target, effect).await?;
        Ok(Box::new(FaultyUpload::new(upload, location, Arc::clone(&self.shared))))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let target = Target::new(Operation::of_get(&options), location);
        let (shared, location) = (Arc::clone(&self.shared), location.clone());
        let effect = move || {
            let (shared, location, options) = (Arc::clone(&shared), location.clone(), options.clone());
            async move {
                let mut got = shared.inner().get_opts(&location, options).await?;
                shared.in_store_time(&mut got.meta);
                Ok(got)
            }
            .boxed()
        };
        self.shared.run(target, effect).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        // Each GET may fail on its own.
        coalesce_ranges(ranges, |range| self.get_range(location, range), OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let shared = Arc::clone(&self.shared);
        let deletes = locations.then(move |location| {
            let shared = Arc::clone(&shared);
            async move {
                let location = location?;
                shared.delete(&location).await?;
                Ok(location)
            }
        });
        deletes.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_pages(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_pages(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned();
        let target = Target::new(Operation::List, &prefix.clone().unwrap_or_default());
        let shared = Arc::clone(&self.shared);
        let effect = move || {
            let (shared, prefix) = (Arc::clone(&shared), prefix.clone());
            async move {
                let mut listed = shared.inner().list_with_delimiter(prefix.as_ref()).await?;
                listed.objects.iter_mut().for_each(|meta| shared.in_store_time(meta));
                Ok(listed)
            }
            .boxed()
        };
        self.shared.run(target, effect).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let target = Target::new(Operation::Copy, to).creating(matches!(options.mode, CopyMode::Create));
        let (shared, from, to) = (Arc::clone(&self.shared), from.clone(), to.clone());
        let effect = move || {
            let (shared, from, to, options) =
                (Arc::clone(&shared), from.clone(), to.clone(), options.clone());
            async move {
                shared.inner().copy_opts(&from, &to, options).await?;
                shared.landed(&to, shared.clock().now());
                Ok(())
            }
            .boxed()
        };
        self.shared.run(target, effect).await
    }

    /// As object stores do it: a copy and then a delete, with all that can happen between them.
    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let mode = match options.target_mode {
            RenameTargetMode::Overwrite => CopyMode::Overwrite,
            RenameTargetMode::Create => CopyMode::Create,
        };
        self.copy_opts(from, to, CopyOptions::new().with_mode(mode)).await?;
        self.shared.delete(from).await
    }
}

impl<S: ObjectStore> FaultyStore<S> {
    /// Page after page, each a request of its own that starts where the last one ended.
    fn list_pages(
        &self,
        prefix: Option<&Path>,
        offset: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        /// None when the listing is at its end.
        type Continuation = Option<Option<Path>>;
        let (shared, prefix, entries_per_page) =
            (Arc::clone(&self.shared), prefix.cloned(), self.entries_per_page);
        let first: Continuation = Some(offset.cloned());
        let pages = stream::try_unfold(first, move |next| {
            let (shared, prefix) = (Arc::clone(&shared), prefix.clone());
            async move {
                let Some(offset) = next else { return Ok(None) };
                let mut page = shared.list_from(prefix, offset).await?;
                let more = page.len() > entries_per_page;
                page.truncate(entries_per_page);
                let next: Continuation = page.last().filter(|_| more).map(|last| Some(last.location.clone()));
                Ok::<_, object_store::Error>(Some((stream::iter(page.into_iter().map(Ok)), next)))
            }
        });
        pages.try_flatten().boxed()
    }
}

#[cfg(test)]
mod tests;
