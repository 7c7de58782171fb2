//! Blocks as a query reads them: opened once, pages by need, what was read before from memory, all of it counted.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt};
use siltstone_ask::{Filter, Probe};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::opened::PageSlot;
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::ranges::{Fetched, FetchedPart, coalesce};
use siltstone_format::block::read::SpansFile;
use siltstone_format::block::summary::{FilterPlace, FiltersSummary};
use siltstone_format::filter::split_block::{FilterKey, SplitBlockFilter};
use siltstone_format::id::{BlockId, TraceId};
use siltstone_format::path::ObjectKey;

use crate::block::{BlockError, check, failed, path};
use crate::cache::{BlockCache, BlockFilters, CacheSizes, CachedBytes, OpenedBlock};
use crate::cost::Cost;
use crate::limits::LimitReached;

/// A gap that costs less to read than another request.
const LARGEST_GAP: u64 = 64 << 10;
/// What is read at once, so that neither a request nor the memory for it grows without end.
const LARGEST_REQUEST: u64 = 8 << 20;
/// Requests for parts of one block at the same time.
const PARALLEL_REQUESTS: usize = 8;

/// Reads blocks of one store.
pub(crate) struct Blocks {
    objects: Arc<dyn ObjectStore>,
    cache: BlockCache,
}

/// Why a query could not read a block.
#[derive(Debug, thiserror::Error)]
pub enum ReadBlockError {
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error(transparent)]
    Limit(#[from] LimitReached),
}

/// What a query pays with: its cost so far, and how many bytes it may read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purse<'a> {
    pub(crate) cost: &'a Cost,
    pub(crate) most_bytes: u64,
}

impl Purse<'_> {
    fn pay(&self, bytes: u64) -> Result<(), LimitReached> {
        self.cost.request(bytes);
        if self.cost.bytes() > self.most_bytes { Err(LimitReached::Bytes(self.most_bytes)) } else { Ok(()) }
    }
}

impl Blocks {
    pub(crate) fn new(objects: Arc<dyn ObjectStore>, sizes: CacheSizes) -> Self {
        Self { objects, cache: BlockCache::new(sizes) }
    }

    pub(crate) fn cached_bytes(&self) -> [CachedBytes; 5] {
        self.cache.bytes()
    }

    /// Metadata and origins, in two requests at once.
    pub(crate) async fn open(
        &self,
        entry: &BlockEntry,
        purse: Purse<'_>,
    ) -> Result<Arc<OpenedBlock>, ReadBlockError> {
        if let Some(opened) = self.cache.opened.get(&entry.id()).await {
            return Ok(opened);
        }
        let (spans, origins) = (&entry.summary.spans, &entry.summary.origins);
        let (spans_key, origins_key) = (ObjectKey::Spans(entry.id()), ObjectKey::Origins(entry.id()));
        let (metadata, tail) = futures::try_join!(
            self.get(&spans_key, spans.metadata_offset..spans.bytes, purse),
            self.get(&origins_key, origins.origins_offset..origins.bytes, purse),
        )?;
        let file = SpansFile::open(&spans_key.to_string(), spans, &metadata).map_err(BlockError::from)?;
        check(file.identity(), entry, &spans_key)?;
        let read = OriginsFile::open(&origins_key.to_string(), origins, &tail).map_err(BlockError::from)?;
        check(read.identity(), entry, &origins_key)?;
        Ok(self.cache.keep_opened(entry, file, read).await)
    }

    /// Pages of a block's spans file. What is opened of those that were read before is left in their slots.
    pub(crate) async fn fetch(
        &self,
        block: &OpenedBlock,
        mut wanted: Vec<Range<u64>>,
        purse: Purse<'_>,
    ) -> Result<Fetched, ReadBlockError> {
        wanted.sort_unstable_by_key(|range| range.start);
        wanted.dedup();
        let mut pages: Vec<(u64, FetchedPart)> = Vec::with_capacity(wanted.len());
        let mut missing = Vec::new();
        for range in wanted {
            if let Some(page) = self.cache.opened_page(block.id, &range).await {
                pages.push((range.start, FetchedPart::Opened(page)));
            } else if let Some(page) = self.cache.page(block.id, &range).await {
                pages.push((range.start, FetchedPart::Page(page, PageSlot::default())));
            } else {
                missing.push(range);
            }
        }
        let parts = self.get_all(block.id, &missing, purse).await?;
        let mut missing = missing.into_iter().peekable();
        for (range, bytes) in parts {
            while let Some(page) = missing.next_if(|page| page.end <= range.end) {
                let (start, end) = ((page.start - range.start) as usize, (page.end - range.start) as usize);
                // A copy of its own: a slice would keep all that came with it.
                let bytes = Bytes::copy_from_slice(bytes.get(start..end).unwrap_or_default());
                pages.push((page.start, FetchedPart::Stored(bytes.clone())));
                self.cache.keep_page(block.id, page.start, bytes).await;
            }
        }
        Ok(Fetched::of(pages))
    }

    /// The metadata of a spans file, which is not kept: who looks at every block once would drive out all others.
    pub(crate) async fn metadata_once(
        &self,
        entry: &BlockEntry,
        purse: Purse<'_>,
    ) -> Result<Bytes, ReadBlockError> {
        let spans = &entry.summary.spans;
        self.get(&ObjectKey::Spans(entry.id()), spans.metadata_offset..spans.bytes, purse).await
    }

    /// The same of pages.
    pub(crate) async fn fetch_once(
        &self,
        block: BlockId,
        mut wanted: Vec<Range<u64>>,
        purse: Purse<'_>,
    ) -> Result<Fetched, ReadBlockError> {
        wanted.sort_unstable_by_key(|range| range.start);
        let parts = self.get_all(block, &wanted, purse).await?.into_iter();
        Ok(Fetched::of(parts.map(|(range, bytes)| (range.start, FetchedPart::Stored(bytes))).collect()))
    }

    /// Pages of a spans file, which ascend, in few requests.
    async fn get_all(
        &self,
        block: BlockId,
        pages: &[Range<u64>],
        purse: Purse<'_>,
    ) -> Result<Vec<(Range<u64>, Bytes)>, ReadBlockError> {
        let key = ObjectKey::Spans(block);
        let requests: Vec<Range<u64>> =
            coalesce(pages.to_vec(), LARGEST_GAP).into_iter().flat_map(|range| cut(range, pages)).collect();
        let gets: Vec<_> = requests.iter().map(|range| self.get(&key, range.clone(), purse)).collect();
        let parts: Vec<Bytes> = stream::iter(gets).buffered(PARALLEL_REQUESTS).try_collect().await?;
        Ok(requests.into_iter().zip(parts).collect())
    }

    /// Keeps what was opened of pages.
    pub(crate) async fn keep_opened(&self, block: BlockId, slots: Vec<(u64, PageSlot)>) {
        for (start, slot) in slots {
            if let Some(page) = slot.get() {
                self.cache.keep_opened_page(block, start, page.clone()).await;
            }
        }
    }

    /// To be told when dictionaries of a block may have been read: they count.
    pub(crate) async fn used(&self, block: &Arc<OpenedBlock>) {
        self.cache.opened.insert(block.id, Arc::clone(block)).await;
    }

    /// Those of some traces that a block may hold by its own filter; all if it cannot be read.
    pub(crate) async fn held_traces(
        &self,
        entry: &BlockEntry,
        traces: &[TraceId],
        purse: Purse<'_>,
    ) -> Vec<TraceId> {
        if traces.is_empty() {
            return Vec::new();
        }
        let filters = self.filters(entry.id(), &entry.summary.filters, purse).await;
        let may_hold = |trace: &&TraceId| {
            filters.as_ref().is_none_or(|filters| filters.traces.may_hold(FilterKey::of_trace(trace)))
        };
        traces.iter().filter(may_hold).copied().collect()
    }

    /// Whether a block may hold what a filter needs, by its own filter. One that cannot be read says yes.
    pub(crate) async fn may_match(&self, entry: &BlockEntry, probe: &Probe, purse: Purse<'_>) -> bool {
        if *probe == Probe::Unknown {
            return true;
        }
        let filters = self.filters(entry.id(), &entry.summary.filters, purse).await;
        filters.is_none_or(|filters| probe.may_match(|term| filters.terms.may_hold(FilterKey::of_term(term))))
    }

    /// What is left of a filter to be asked of a block's spans, by the block's own terms.
    pub(crate) async fn left_to_ask(
        &self,
        block: &OpenedBlock,
        filter: &Arc<Filter>,
        purse: Purse<'_>,
    ) -> Arc<Filter> {
        // A level that is named is one of those for which the block was chosen.
        if !filter.asks_everywhere() {
            return Arc::clone(filter);
        }
        match self.filters(block.id, &block.filters, purse).await {
            Some(filters) => Arc::new(filter.given(|term| filters.terms.may_hold(FilterKey::of_term(term)))),
            None => Arc::clone(filter),
        }
    }

    /// Many who ask at once share one request.
    async fn filters(
        &self,
        block: BlockId,
        places: &FiltersSummary,
        purse: Purse<'_>,
    ) -> Option<Arc<BlockFilters>> {
        self.cache.filters.optionally_get_with(block, self.read_filters(block, places, purse)).await
    }

    async fn read_filters(
        &self,
        block: BlockId,
        places: &FiltersSummary,
        purse: Purse<'_>,
    ) -> Option<Arc<BlockFilters>> {
        // Both lie side by side, and one hash vouches for them.
        let both = places.traces.offset..places.terms.range().end;
        let bytes = self.get(&ObjectKey::Origins(block), both.clone(), purse).await.ok()?;
        if xxhash_rust::xxh3::xxh3_64(&bytes) != places.hash {
            return None;
        }
        let filter_at = |place: &FilterPlace| {
            let start = (place.offset - both.start) as usize;
            SplitBlockFilter::from_bytes(place.class, bytes.get(start..start + place.class.bytes())?)
        };
        Some(Arc::new(BlockFilters { traces: filter_at(&places.traces)?, terms: filter_at(&places.terms)? }))
    }

    async fn get(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        purse: Purse<'_>,
    ) -> Result<Bytes, ReadBlockError> {
        purse.pay(range.end.saturating_sub(range.start))?;
        let got = self.objects.get_range(&path(key), range).await;
        Ok(got.map_err(|source| failed(key, source))?)
    }
}

/// Cuts a range that is too large for one request where a page ends.
fn cut(range: Range<u64>, pages: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut cut = Vec::new();
    let mut current: Option<Range<u64>> = None;
    for page in pages.iter().filter(|page| range.start <= page.start && page.end <= range.end) {
        match &mut current {
            Some(piece) if page.end.max(piece.end) - piece.start <= LARGEST_REQUEST => {
                piece.end = piece.end.max(page.end);
            }
            _ => cut.extend(current.replace(page.clone())),
        }
    }
    cut.extend(current);
    cut
}
