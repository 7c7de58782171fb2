//! What is kept in memory of blocks, bounded in bytes. Blocks never change, so nothing here is ever stale.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use moka::future::Cache;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::opened::OpenedPage;
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::read::SpansFile;
use siltstone_format::block::summary::FiltersSummary;
use siltstone_format::columns::OriginPool;
use siltstone_format::filter::split_block::SplitBlockFilter;
use siltstone_format::id::BlockId;

use crate::best_starts::KeptBestStarts;

/// Bytes of each kind that are kept.
#[derive(Clone, Copy, Debug)]
pub struct CacheSizes {
    /// Metadata and dictionaries of blocks, and origins that are not shared.
    pub opened: u64,
    /// Origins that blocks share.
    pub origins: u64,
    /// Their filters, of those that no group of filters holds.
    pub filters: u64,
    /// Pages as they lie in the store.
    pub pages: u64,
    /// Pages that were read more than once, without their compression.
    pub opened_pages: u64,
}

impl CacheSizes {
    /// So many bytes in all.
    pub fn of(bytes: u64) -> Self {
        // A block that is opened again costs two requests, and milliseconds to parse: fifty large ones should fit.
        let part = bytes / 16;
        Self { opened: part * 6, origins: part, filters: part, pages: part * 2, opened_pages: part * 6 }
    }
}

impl Default for CacheSizes {
    fn default() -> Self {
        Self::of(512 << 20)
    }
}

/// A block that can be read.
#[derive(Debug)]
pub struct OpenedBlock {
    pub id: BlockId,
    /// Where its filters lie.
    pub filters: FiltersSummary,
    pub spans: SpansFile,
    pub origins: OriginsFile,
    pub(crate) best_starts: KeptBestStarts,
    /// What both files take in memory, about, without dictionaries and shared origins.
    parsed_bytes: usize,
}

impl OpenedBlock {
    fn memory_bytes(&self) -> usize {
        self.parsed_bytes + self.spans.held_bytes() + self.best_starts.bytes()
    }
}

/// Both filters of a block.
pub(crate) struct BlockFilters {
    pub(crate) traces: SplitBlockFilter,
    pub(crate) terms: SplitBlockFilter,
}

impl BlockFilters {
    fn bytes(&self) -> usize {
        self.traces.as_bytes().len() + self.terms.as_bytes().len()
    }
}

pub(crate) struct BlockCache {
    pub(crate) opened: Cache<BlockId, Arc<OpenedBlock>>,
    pub(crate) filters: Cache<BlockId, Arc<BlockFilters>>,
    pages: Cache<(BlockId, u64), Bytes>,
    opened_pages: Cache<(BlockId, u64), OpenedPage>,
    origins: Mutex<OriginPool>,
}

/// How much there is of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CachedBytes {
    pub(crate) kind: &'static str,
    pub(crate) bytes: u64,
}

/// What a place in a cache takes beside its value.
const PLACE_BYTES: usize = 200;

impl BlockCache {
    pub(crate) fn new(sizes: CacheSizes) -> Self {
        let weight = |bytes: usize| u32::try_from(bytes + PLACE_BYTES).unwrap_or(u32::MAX);
        Self {
            opened: Cache::builder()
                .max_capacity(sizes.opened)
                .weigher(move |_, block: &Arc<OpenedBlock>| weight(block.memory_bytes()))
                .build(),
            filters: Cache::builder()
                .max_capacity(sizes.filters)
                .weigher(move |_, filters: &Arc<BlockFilters>| weight(filters.bytes()))
                .build(),
            pages: Cache::builder()
                .max_capacity(sizes.pages)
                .weigher(move |_, page: &Bytes| weight(page.len()))
                .build(),
            opened_pages: Cache::builder()
                .max_capacity(sizes.opened_pages)
                .weigher(move |_, page: &OpenedPage| weight(page.bytes()))
                .build(),
            origins: Mutex::new(OriginPool::of(sizes.origins.try_into().unwrap_or(usize::MAX))),
        }
    }

    /// Keeps a block that was opened. The origins of one tenant's blocks are mostly the same.
    pub(crate) async fn keep_opened(
        &self,
        entry: &BlockEntry,
        spans: SpansFile,
        mut origins: OriginsFile,
    ) -> Arc<OpenedBlock> {
        let (id, filters) = (entry.id(), entry.summary.filters.clone());
        origins.share(&mut self.origins.lock().unwrap_or_else(PoisonError::into_inner));
        let parsed_bytes = spans.parsed_bytes() + origins.own_bytes();
        let best_starts = KeptBestStarts::default();
        let opened = Arc::new(OpenedBlock { id, filters, spans, origins, best_starts, parsed_bytes });
        self.opened.insert(id, Arc::clone(&opened)).await;
        opened
    }

    /// Memory of each kind that is in use.
    pub(crate) fn bytes(&self) -> [CachedBytes; 5] {
        let origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner).bytes() as u64;
        [
            ("opened", self.opened.weighted_size()),
            ("origins", origins),
            ("filters", self.filters.weighted_size()),
            ("pages", self.pages.weighted_size()),
            ("opened_pages", self.opened_pages.weighted_size()),
        ]
        .map(|(kind, bytes)| CachedBytes { kind, bytes })
    }

    /// A range of a spans file, if all of it is here.
    pub(crate) async fn page(&self, block: BlockId, range: &Range<u64>) -> Option<Bytes> {
        let page = self.pages.get(&(block, range.start)).await?;
        (page.len() as u64 == range.end - range.start).then_some(page)
    }

    /// The page in a range of a spans file, if it was opened before.
    pub(crate) async fn opened_page(&self, block: BlockId, range: &Range<u64>) -> Option<OpenedPage> {
        let page = self.opened_pages.get(&(block, range.start)).await?;
        (page.stored_bytes() == range.end - range.start).then_some(page)
    }

    pub(crate) async fn keep_opened_page(&self, block: BlockId, start: u64, page: OpenedPage) {
        self.opened_pages.insert((block, start), page).await;
    }

    pub(crate) async fn keep_page(&self, block: BlockId, start: u64, page: Bytes) {
        self.pages.insert((block, start), page).await;
    }
}
