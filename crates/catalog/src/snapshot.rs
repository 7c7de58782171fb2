//! A reader's side: the newest root and the entries that it has not folded.
//!
//! A reader asks the ingesters first and takes a snapshot that covers their answers
//! then; so a span that leaves an ingester's memory meanwhile is found in the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use siltstone_format::id::{ObjectId, WriterId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

use crate::accept::{DamagedEntry, is_fenced};
use crate::block_entry::BlockEntry;
use crate::block_page::BlockPage;
use crate::bucket::{Bucket, PARALLEL_GETS, StoreError};
use crate::catalog::Catalog;
use crate::deleted::{DeletedTraces, TracePage};
use crate::deletion::NOT_IN_FORCE;
use crate::draft::{DraftError, read_block_page, read_mark_page, read_tenant_page, read_trace_page};
use crate::load::{LoadError, Loaded};
use crate::log_entry::LogEntry;
use crate::mark::{Mark, MarkTarget};
use crate::message::Damage;
use crate::planted::{Bug, planted};
use crate::root::Root;
use crate::tenant_page::{PageRef, TenantPage};
use crate::time::{StoreTime, drawn_at};
use crate::windows::Windows;

/// What ingesters said of themselves: a snapshot must know at least as much.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    /// Of each writer, the number behind its last committed flush.
    pub committed: BTreeMap<WriterId, u64>,
    /// A root that fenced one of their writers.
    pub min_root: u64,
    /// Ask the store whatever is known: an ingester has vanished since.
    pub fresh: bool,
}

/// The catalog as a reader uses it. It is good until [`Snapshot::expires`].
#[derive(Debug)]
pub struct Snapshot {
    pub root: Arc<Root>,
    /// Flushes that no root has folded.
    pub entries: Vec<Arc<LogEntry>>,
    /// Of each writer, the number behind the last flush that is seen.
    seen: BTreeMap<WriterId, u64>,
    /// Log entries that cannot be read: every answer is partial, and says so.
    pub damaged: Vec<DamagedEntry>,
    /// The newest root cannot be read: this is an older one.
    pub damaged_root: Option<(u64, Damage)>,
    /// Before the store was asked.
    began: Duration,
    windows: Windows,
}

/// What a tenant has in some time range.
#[derive(Clone, Debug, Default)]
pub struct TenantBlocks {
    pub blocks: Vec<BlockEntry>,
    /// What was asked about single traces.
    pub marks: Arc<Vec<Mark>>,
    /// What may hide one of their rows.
    pub deleted: Arc<DeletedTraces>,
    /// Parts that cannot be read: an answer from the rest is partial.
    pub missing: Vec<Missing>,
    /// A merge that applies `marks` to these blocks has applied all up to this number:
    /// none where marks may be missing.
    pub clean_through: u64,
}

/// A part of the catalog that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub key: ObjectKey,
    pub why: Damage,
}

/// Why a snapshot, or what it refers to, is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the catalog does not know yet what an ingester has committed: {0}")]
    NotCovered(String),
    /// Before it expires that is a broken promise, and an error; after it, take a new one.
    #[error("`{key}` is gone although the snapshot refers to it")]
    Gone { key: ObjectKey },
    /// Without these marks an answer would show what was deleted; without a page its blocks cannot be merged.
    #[error("`{key}` says what was deleted or what there is, and is damaged: {damage}. Restore it")]
    Damaged { key: ObjectKey, damage: Damage },
}

/// Pages that were read: they never change.
#[derive(Default)]
pub(crate) struct PageCache {
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    tenants: HashMap<ObjectId, Arc<TenantPage>>,
    blocks: HashMap<ObjectId, Arc<BlockPage>>,
    marks: HashMap<ObjectId, Arc<Vec<Mark>>>,
    traces: HashMap<ObjectId, Arc<TracePage>>,
    /// Of each tenant the newest that were read, with what they were read from: its page changes more often.
    of_tenants: HashMap<Tenant, (ReadFrom, Marked)>,
}

/// Where marks and deleted traces of a tenant stand. All marks with one number are of one request, and never change.
#[derive(PartialEq, Eq)]
struct ReadFrom {
    pages: Vec<ObjectId>,
    marks: Vec<(u64, MarkTarget)>,
}

impl ReadFrom {
    fn of(page: &TenantPage) -> Self {
        let of_traces = page.trace_pages.iter().map(|page| page.id);
        Self {
            pages: page.mark_pages.iter().copied().chain(of_traces).collect(),
            marks: page.marks.iter().map(|mark| (mark.number, mark.target.clone())).collect(),
        }
    }
}

/// What was asked about a tenant's traces.
#[derive(Clone, Default)]
pub(crate) struct Marked {
    pub(crate) marks: Arc<Vec<Mark>>,
    pub(crate) deleted: Arc<DeletedTraces>,
}

/// Which of the deletions count that are known by their records alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// To hide is no loss.
    All,
    /// Those that are in force for sure: what is left out of a block is gone for good.
    InForce,
}

/// Most pages of tenants and of marks that are kept; beyond it all are dropped and read anew.
const MOST_CACHED_PAGES: usize = 1024;
/// The same of pages of blocks: at half a kilobyte a block, 128 MB when all are full.
const MOST_CACHED_BLOCK_PAGES: usize = 512;
/// The same of pages of deleted traces: a megabyte each.
const MOST_CACHED_TRACE_PAGES: usize = 64;
/// Between two looks for an entry that must be there.
const LISTING_PAUSE: Duration = Duration::from_millis(50);

impl Catalog {
    /// A snapshot that is not older than the bound and covers what ingesters said. Many
    /// who ask at once share one request; nobody who asks, no request.
    pub async fn snapshot(&self, cover: &Cover) -> Result<Arc<Snapshot>, SnapshotError> {
        let asked = self.clock.elapsed();
        if let Some(known) = self.known_snapshot()
            && self.is_good(&known, asked, cover)
        {
            return Ok(known);
        }
        let _refreshing = self.refreshing.lock().await;
        if let Some(known) = self.known_snapshot()
            && (self.is_good(&known, asked, cover) || (known.began >= asked && known.covers(cover)))
        {
            return Ok(known);
        }
        loop {
            let snapshot = Arc::new(Snapshot::new(self.load().await?, self.windows));
            *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&snapshot));
            if snapshot.covers(cover) || planted(Bug::NoCover) {
                return Ok(snapshot);
            }
            // What was committed just now may not be listed yet.
            if snapshot.began > asked + self.windows.visibility {
                return Err(SnapshotError::NotCovered(format!("{cover:?}")));
            }
            self.clock.sleep(LISTING_PAUSE).await;
        }
    }

    fn known_snapshot(&self) -> Option<Arc<Snapshot>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_good(&self, known: &Snapshot, asked: Duration, cover: &Cover) -> bool {
        let young = asked.saturating_sub(known.began) <= self.windows.snapshot_age;
        young && !cover.fresh && (known.covers(cover) || planted(Bug::NoCover))
    }

    /// The tenant's blocks that may have spans in a range of time.
    pub async fn blocks(
        &self,
        snapshot: &Snapshot,
        tenant: &Tenant,
        from_unix_nano: u64,
        to_unix_nano: u64,
    ) -> Result<TenantBlocks, SnapshotError> {
        let mut found = TenantBlocks::default();
        if let Some(page) = self.tenant_page(snapshot, tenant, &mut found).await? {
            self.add_pages(&page, from_unix_nano, to_unix_nano, |_| true, &mut found).await?;
        }
        self.add_marks(snapshot, tenant, Recorded::All, &mut found).await?;
        found.blocks.extend(snapshot.flushed(tenant, from_unix_nano, to_unix_nano));
        Ok(found)
    }

    /// The tenant's page, if it has one that can be read.
    pub(crate) async fn tenant_page(
        &self,
        snapshot: &Snapshot,
        tenant: &Tenant,
        found: &mut TenantBlocks,
    ) -> Result<Option<Arc<TenantPage>>, SnapshotError> {
        let all_marks = snapshot.root.mark_number;
        let Some(known) = snapshot.root.tenants.get(tenant) else {
            found.clean_through = all_marks;
            return Ok(None);
        };
        match self.pages.tenant(&self.bucket, known.page, tenant).await {
            Ok(page) => {
                // Pages that this one stands in for may know others.
                found.clean_through = if page.damaged.is_empty() { all_marks } else { 0 };
                Ok(Some(page))
            }
            Err(error) => {
                found.missing.push(missing(error)?);
                Ok(None)
            }
        }
    }

    /// Adds all that was asked about the tenant's traces.
    pub(crate) async fn add_marks(
        &self,
        snapshot: &Snapshot,
        tenant: &Tenant,
        counts: Recorded,
        found: &mut TenantBlocks,
    ) -> Result<(), SnapshotError> {
        // A root that is not the newest lacks what was deleted since.
        let mut recorded_since =
            snapshot.damaged_root.as_ref().map(|_| self.before_publish_of(&snapshot.root));
        if let Some(known) = snapshot.root.tenants.get(tenant) {
            match self.pages.tenant(&self.bucket, known.page, tenant).await {
                Ok(page) => {
                    // Without its marks, what is deleted would be shown: that is no partial answer.
                    let marked = self.pages.marked(&self.bucket, &page).await.map_err(hard)?;
                    (found.marks, found.deleted) = (marked.marks, marked.deleted);
                    if !page.damaged.is_empty() {
                        recorded_since = Some(StoreTime::default());
                    }
                }
                Err(error) => {
                    missing(error)?;
                    recorded_since = Some(StoreTime::default());
                }
            }
        }
        if let Some(since) = recorded_since.filter(|_| !planted(Bug::NoRecords)) {
            let mut recorded = self.recorded_deletions_since(tenant, since).await?;
            recorded.retain(|page| counts == Recorded::All || page.number != NOT_IN_FORCE);
            found.deleted = Arc::new(found.deleted.and(recorded));
        }
        Ok(())
    }

    /// Whoever asked for a deletion before that time has it in the root.
    fn before_publish_of(&self, root: &Root) -> StoreTime {
        drawn_at(root.nonce).minus(self.windows.clock_error * 2 + self.windows.commit)
    }

    /// Adds the blocks of the wanted pages in a range of time.
    pub(crate) async fn add_pages(
        &self,
        page: &TenantPage,
        from_unix_nano: u64,
        to_unix_nano: u64,
        wanted: impl Fn(&PageRef) -> bool + Send,
        found: &mut TenantBlocks,
    ) -> Result<(), SnapshotError> {
        found.missing.extend(stood_in_for(page));
        // Made before they are awaited: a task that keeps such a closure cannot move between threads.
        let in_time = page.pages.iter().filter(|page| page.overlaps(from_unix_nano, to_unix_nano));
        let wanted = in_time.filter(|page| wanted(page));
        let reads: Vec<_> =
            wanted.map(|wanted| self.pages.blocks(&self.bucket, wanted, &page.tenant)).collect();
        let mut read = stream::iter(reads).buffered(PARALLEL_GETS);
        while let Some(blocks) = read.next().await {
            match blocks {
                Ok(blocks) => {
                    let in_time = blocks.blocks.iter().filter(|block| {
                        let spans = &block.summary.spans;
                        let end = spans.max_end_unix_nano.max(spans.max_start_unix_nano);
                        spans.min_start_unix_nano <= to_unix_nano && from_unix_nano <= end
                    });
                    found.blocks.extend(in_time.cloned());
                }
                Err(error) => found.missing.push(missing(error)?),
            }
        }
        Ok(())
    }
}

impl Snapshot {
    fn new(loaded: Loaded, windows: Windows) -> Self {
        Self {
            root: loaded.root,
            entries: loaded.accepted.visible,
            seen: loaded.accepted.seen,
            damaged: loaded.accepted.damaged,
            damaged_root: loaded.damaged_root,
            began: loaded.listed.began,
            windows,
        }
    }

    /// Blocks of flushes that no root has folded, and that may have spans in a range of time.
    pub(crate) fn flushed(
        &self,
        tenant: &Tenant,
        from_unix_nano: u64,
        to_unix_nano: u64,
    ) -> impl Iterator<Item = BlockEntry> {
        let cut = self.root.tenants.get(tenant).and_then(|tenant| tenant.cut);
        let flushed = self.entries.iter().flat_map(|entry| &entry.blocks);
        let wanted = flushed.filter(move |block| {
            let spans = &block.summary.spans;
            let end = spans.max_end_unix_nano.max(spans.max_start_unix_nano);
            block.tenant() == tenant
                && spans.min_start_unix_nano <= to_unix_nano
                && from_unix_nano <= end
                && cut.is_none_or(|cut| block.last_day() >= cut || planted(Bug::NoCut))
        });
        wanted.cloned()
    }

    /// Until then ([`crate::time::Clock::elapsed`]) all that it refers to can be read.
    pub fn expires(&self) -> Duration {
        self.began + self.windows.query
    }

    /// How long ago the store was asked, as [`crate::time::Clock::elapsed`] says now.
    pub(crate) fn age(&self, elapsed: Duration) -> Duration {
        elapsed.saturating_sub(self.began)
    }

    /// Whether it knows all that ingesters have committed.
    pub fn covers(&self, cover: &Cover) -> bool {
        let seen = |writer: &WriterId| self.seen.get(writer).copied().unwrap_or(0);
        self.root.number >= cover.min_root
            && cover.committed.iter().all(|(writer, next)| seen(writer) >= *next || self.is_void(*writer))
    }

    /// The number behind the last flush of a writer that is seen.
    pub fn next_flush(&self, writer: WriterId) -> u64 {
        self.seen.get(&writer).copied().unwrap_or(0)
    }

    /// Whether a live segment (w, n) is in the snapshot, so that it must be dropped from
    /// the live answer.
    pub fn holds(&self, writer: WriterId, number: u64) -> bool {
        let damaged = |entry: &DamagedEntry| (entry.writer, entry.number) == (writer, number);
        self.seen.get(&writer).is_some_and(|next| number < *next)
            && !self.damaged.iter().any(damaged)
            && !self.root.has_passed_over(writer, number)
    }

    /// Whether a live segment bears the name of a fenced writer, or of an entry that was
    /// passed over: its ingester is about to commit it under another, and must be asked
    /// again.
    pub fn is_stale(&self, writer: WriterId, number: u64) -> bool {
        (self.is_void(writer) || self.root.has_passed_over(writer, number)) && !self.holds(writer, number)
    }

    fn is_void(&self, writer: WriterId) -> bool {
        is_fenced(&self.root, writer)
    }
}

impl PageCache {
    pub(crate) async fn tenant(
        &self,
        bucket: &Bucket,
        id: ObjectId,
        tenant: &Tenant,
    ) -> Result<Arc<TenantPage>, DraftError> {
        if let Some(known) = self.held().tenants.get(&id) {
            return Ok(Arc::clone(known));
        }
        let page = Arc::new(read_tenant_page(bucket, id, tenant).await?);
        keep(&mut self.held().tenants, MOST_CACHED_PAGES, id, &page);
        Ok(page)
    }

    pub(crate) async fn blocks(
        &self,
        bucket: &Bucket,
        page: &PageRef,
        tenant: &Tenant,
    ) -> Result<Arc<BlockPage>, DraftError> {
        if let Some(known) = self.held().blocks.get(&page.id) {
            return Ok(Arc::clone(known));
        }
        let read = Arc::new(read_block_page(bucket, page.id, tenant, page.section).await?);
        keep(&mut self.held().blocks, MOST_CACHED_BLOCK_PAGES, page.id, &read);
        Ok(read)
    }

    /// Of a tenant with this page.
    async fn marked(&self, bucket: &Bucket, page: &TenantPage) -> Result<Marked, DraftError> {
        let from = ReadFrom::of(page);
        if let Some((of, known)) = self.held().of_tenants.get(&page.tenant)
            && *of == from
        {
            return Ok(known.clone());
        }
        let reads: Vec<_> = page.mark_pages.iter().map(|id| self.marks(bucket, *id)).collect();
        let older: Vec<_> = stream::iter(reads).buffered(PARALLEL_GETS).try_collect().await?;
        let marks: Vec<Mark> =
            older.iter().flat_map(|marks| marks.iter()).chain(&page.marks).cloned().collect();
        let reads: Vec<_> = page.trace_pages.iter().map(|page| self.traces(bucket, page.id)).collect();
        let traces: Vec<_> = stream::iter(reads).buffered(PARALLEL_GETS).try_collect().await?;
        let deleted = Arc::new(DeletedTraces::new(marks.iter().filter_map(Mark::deletion), &traces));
        let marked = Marked { marks: Arc::new(marks), deleted };
        let mut held = self.held();
        if held.of_tenants.len() >= MOST_CACHED_PAGES {
            held.of_tenants.clear();
        }
        held.of_tenants.insert(page.tenant.clone(), (from, marked.clone()));
        Ok(marked)
    }

    pub(crate) async fn traces(&self, bucket: &Bucket, id: ObjectId) -> Result<Arc<TracePage>, DraftError> {
        if let Some(known) = self.held().traces.get(&id) {
            return Ok(Arc::clone(known));
        }
        let traces = read_trace_page(bucket, id).await?;
        keep(&mut self.held().traces, MOST_CACHED_TRACE_PAGES, id, &traces);
        Ok(traces)
    }

    pub(crate) async fn marks(&self, bucket: &Bucket, id: ObjectId) -> Result<Arc<Vec<Mark>>, DraftError> {
        if let Some(known) = self.held().marks.get(&id) {
            return Ok(Arc::clone(known));
        }
        let marks = read_mark_page(bucket, id).await?;
        keep(&mut self.held().marks, MOST_CACHED_PAGES, id, &marks);
        Ok(marks)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep<T>(pages: &mut HashMap<ObjectId, Arc<T>>, most: usize, id: ObjectId, page: &Arc<T>) {
    if pages.len() >= most {
        pages.clear();
    }
    pages.insert(id, Arc::clone(page));
}

/// Earlier pages of the tenant, which this one stands in for.
pub(crate) fn stood_in_for(page: &TenantPage) -> impl Iterator<Item = Missing> {
    page.damaged.iter().map(|id| Missing {
        key: ObjectKey::Page(*id),
        why: Damage::Content("it could not be read when it was to be changed"),
    })
}

/// A damaged page makes an answer partial; a page that is gone does not.
fn missing(error: DraftError) -> Result<Missing, SnapshotError> {
    match error {
        DraftError::Damaged { key, damage } => Ok(Missing { key, why: damage }),
        error => Err(hard(error)),
    }
}

pub(crate) fn hard(error: DraftError) -> SnapshotError {
    match error {
        DraftError::Store(error) => SnapshotError::Store(error),
        DraftError::Damaged { key, damage } => SnapshotError::Damaged { key, damage },
        DraftError::Gone { key } => SnapshotError::Gone { key },
    }
}
