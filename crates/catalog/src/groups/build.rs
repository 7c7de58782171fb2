//! Making one group: from blocks' own filters, which are verified, and from other groups,
//! a few rows at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use siltstone_format::filter::size::SizeClass;
use siltstone_format::filter::split_block::SplitBlockFilter;
use siltstone_format::filter::transposed::{GroupError, GroupHeader, GroupKind, Merger, build};
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::path::ObjectKey;
use xxhash_rust::xxh3::xxh3_64;

use super::upload::Upload;
use crate::block_entry::BlockEntry;
use crate::bucket::{Bucket, StoreError, failed, path};

/// Blocks whose filters are fetched at the same time.
const PARALLEL_BLOCKS: usize = 16;
/// Bytes of rows that are merged at once. Twice as many are fetched ahead.
const WINDOW_BYTES: usize = 8 << 20;
const WINDOWS_AHEAD: usize = 2;

/// Why a group cannot be made.
#[derive(Debug)]
pub(super) enum BuildError {
    Store(StoreError),
    Group(GroupError),
    /// Another group that it was to be made of cannot be read, and never will be.
    Unreadable(ObjectId),
}

/// Both filters of a block.
pub(super) struct BlockFilters {
    traces: SplitBlockFilter,
    terms: SplitBlockFilter,
    /// They are not what the block was written with, so they exclude nothing.
    pub(super) damaged: bool,
}

impl BlockFilters {
    fn of_kind(&self, kind: GroupKind) -> &SplitBlockFilter {
        match kind {
            GroupKind::TraceIds => &self.traces,
            GroupKind::Terms => &self.terms,
        }
    }

    /// Filters that say of every key that it may be there.
    fn damaged(block: &BlockEntry) -> Self {
        // Spread over the class that the block's entry says it is the same.
        let full = |class: SizeClass| {
            SplitBlockFilter::full(SizeClass::from_number(class.number() % 4).unwrap_or(SizeClass::SMALLEST))
        };
        let filters = &block.summary.filters;
        Self { traces: full(filters.traces.class), terms: full(filters.terms.class), damaged: true }
    }
}

/// The filters of these blocks, but for those that have been deleted meanwhile.
pub(super) async fn read_filters(
    bucket: &Bucket,
    blocks: impl Iterator<Item = &BlockEntry>,
) -> Result<BTreeMap<BlockId, BlockFilters>, StoreError> {
    let read = stream::iter(blocks)
        .map(|block| async move { Ok((block.id(), filters_of(bucket, block).await?)) })
        .buffer_unordered(PARALLEL_BLOCKS)
        .try_filter_map(|(id, filters)| async move { Ok(filters.map(|filters| (id, filters))) });
    read.try_collect().await
}

async fn filters_of(bucket: &Bucket, block: &BlockEntry) -> Result<Option<BlockFilters>, StoreError> {
    let filters = &block.summary.filters;
    let (traces, terms) = (filters.traces.range(), filters.terms.range());
    if traces.end != terms.start || terms.end > block.summary.origins.bytes {
        return Ok(Some(BlockFilters::damaged(block)));
    }
    let key = ObjectKey::Origins(block.id());
    let bytes = match get_range(bucket, &key, traces.start..terms.end).await? {
        Fetched::Bytes(bytes) => bytes,
        Fetched::Gone => return Ok(None),
        Fetched::CutOff => return Ok(Some(BlockFilters::damaged(block))),
    };
    let (of_traces, of_terms) = bytes.split_at((traces.end - traces.start) as usize);
    let traces = SplitBlockFilter::from_bytes(filters.traces.class, of_traces);
    let terms = SplitBlockFilter::from_bytes(filters.terms.class, of_terms);
    Ok(Some(match (traces, terms) {
        (Some(traces), Some(terms)) if xxh3_64(&bytes) == filters.hash => {
            BlockFilters { traces, terms, damaged: false }
        }
        _ => BlockFilters::damaged(block),
    }))
}

enum Fetched {
    /// As many as were wanted.
    Bytes(Bytes),
    Gone,
    CutOff,
}

async fn get_range(bucket: &Bucket, key: &ObjectKey, range: Range<u64>) -> Result<Fetched, StoreError> {
    match bucket.objects().get_range(&path(key), range.clone()).await {
        Ok(bytes) if bytes.len() as u64 == range.end - range.start => Ok(Fetched::Bytes(bytes)),
        Ok(_) => Ok(Fetched::CutOff),
        Err(object_store::Error::NotFound { .. }) => Ok(Fetched::Gone),
        Err(source) => Err(failed("read a range of", key, source)),
    }
}

/// What a group is made of.
pub(super) enum Source {
    /// Filters that were transposed just now.
    Memory(Bytes),
    Group(ObjectId),
}

impl Source {
    async fn rows(&self, bucket: &Bucket, range: Range<u64>) -> Result<Bytes, BuildError> {
        match self {
            Self::Memory(bytes) => Ok(bytes.slice(range.start as usize..range.end as usize)),
            Self::Group(id) => match get_range(bucket, &ObjectKey::FilterGroup(*id), range).await {
                Ok(Fetched::Bytes(bytes)) => Ok(bytes),
                Ok(Fetched::Gone | Fetched::CutOff) => Err(BuildError::Unreadable(*id)),
                Err(error) => Err(BuildError::Store(error)),
            },
        }
    }
}

/// Transposes filters of one kind. None: there are none.
pub(super) fn transposed(
    kind: GroupKind,
    blocks: &[BlockId],
    filters: &BTreeMap<BlockId, BlockFilters>,
) -> Result<Option<(GroupHeader, Source)>, BuildError> {
    let filters: Vec<(BlockId, SplitBlockFilter)> =
        blocks.iter().filter_map(|id| Some((*id, filters.get(id)?.of_kind(kind).clone()))).collect();
    let Some(class) = filters.iter().map(|(_, filter)| filter.class()).max() else { return Ok(None) };
    let bytes = Bytes::from(build(kind, class, &filters).map_err(BuildError::Group)?);
    let header = GroupHeader::parse(&bytes).map_err(BuildError::Group)?;
    Ok(Some((header, Source::Memory(bytes))))
}

/// A group that stands in the store.
pub(super) struct Written {
    pub(super) id: ObjectId,
    pub(super) header: GroupHeader,
    /// Rows that exclude nothing, because an input was damaged there.
    pub(super) damaged_rows: usize,
}

/// Merges the sources into one object, without dead members. None: no other is left.
pub(super) async fn write_group(
    bucket: &Bucket,
    id: ObjectId,
    sources: Vec<(GroupHeader, Source)>,
    dead: &BTreeSet<BlockId>,
) -> Result<Option<Written>, BuildError> {
    let (headers, sources): (Vec<GroupHeader>, Vec<Source>) = sources.into_iter().unzip();
    if headers.iter().flat_map(GroupHeader::blocks).all(|block| dead.contains(block)) {
        return Ok(None);
    }
    let merger = Merger::new(headers, |block| dead.contains(block)).map_err(BuildError::Group)?;
    let mut upload = Upload::new(bucket, ObjectKey::FilterGroup(id));
    upload.waiting().extend(merger.header().to_bytes());
    match write_rows(bucket, &merger, &sources, &mut upload).await {
        Ok(damaged_rows) => {
            upload.finish().await.map_err(BuildError::Store)?;
            Ok(Some(Written { id, header: merger.header().clone(), damaged_rows }))
        }
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

async fn write_rows(
    bucket: &Bucket,
    merger: &Merger,
    sources: &[Source],
    upload: &mut Upload<'_>,
) -> Result<usize, BuildError> {
    let (all, step) = (merger.header().class().buckets(), merger.header().rows_within(WINDOW_BYTES));
    let windows = (0..all).step_by(step).map(|start| start..(start + step).min(all));
    let mut fetched = stream::iter(windows)
        .map(|rows| async move {
            let inputs = merger.inputs(rows.clone());
            let inputs = inputs.map(|(input, range)| sources[input].rows(bucket, range));
            Ok((rows, futures::future::try_join_all(inputs).await?))
        })
        .buffered(WINDOWS_AHEAD);
    let mut damaged = 0;
    while let Some((rows, inputs)) = fetched.try_next().await? {
        damaged += merger.write_rows(rows, &inputs, upload.waiting()).map_err(BuildError::Group)?;
        upload.send().await.map_err(BuildError::Store)?;
    }
    Ok(damaged)
}
