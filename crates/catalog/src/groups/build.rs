//! Making one group: from blocks' own filters, which are verified, and from other groups,
//! a few rows at a time.

use std::cell::RefCell;
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

/// The filters of blocks, until they are transposed.
#[derive(Default)]
pub(super) struct Filters {
    traces: BTreeMap<BlockId, SplitBlockFilter>,
    terms: BTreeMap<BlockId, SplitBlockFilter>,
    /// Their filters are lost, or not what they were written with.
    pub(super) damaged: Vec<BlockId>,
}

impl Filters {
    fn of_kind(&mut self, kind: GroupKind) -> &mut BTreeMap<BlockId, SplitBlockFilter> {
        match kind {
            GroupKind::TraceIds => &mut self.traces,
            GroupKind::Terms => &mut self.terms,
        }
    }

    /// What stands for filters that cannot be read: it says of every key that it may be
    /// there. Small, as it is the same spread over any class.
    fn add_damaged(&mut self, block: &BlockEntry) {
        let full = |class: SizeClass| {
            SplitBlockFilter::full(SizeClass::from_number(class.number() % 4).unwrap_or(SizeClass::SMALLEST))
        };
        let filters = &block.summary.filters;
        self.traces.insert(block.id(), full(filters.traces.class));
        self.terms.insert(block.id(), full(filters.terms.class));
        self.damaged.push(block.id());
    }
}

/// The filters of these blocks, each with its checksum verified.
pub(super) async fn read_filters(
    bucket: &Bucket,
    blocks: impl Iterator<Item = &BlockEntry>,
) -> Result<Filters, StoreError> {
    let mut read = stream::iter(blocks)
        .map(|block| async move { Ok::<_, StoreError>((block, filters_of(bucket, block).await?)) })
        .buffer_unordered(PARALLEL_BLOCKS);
    let mut filters = Filters::default();
    while let Some((block, read)) = read.try_next().await? {
        match read {
            Some((traces, terms)) => {
                filters.traces.insert(block.id(), traces);
                filters.terms.insert(block.id(), terms);
            }
            None => filters.add_damaged(block),
        }
    }
    Ok(filters)
}

/// None: they are damaged.
async fn filters_of(
    bucket: &Bucket,
    block: &BlockEntry,
) -> Result<Option<(SplitBlockFilter, SplitBlockFilter)>, StoreError> {
    let filters = &block.summary.filters;
    let (traces, terms) = (filters.traces.range(), filters.terms.range());
    if traces.end != terms.start || terms.end > block.summary.origins.bytes {
        return Ok(None);
    }
    let range = traces.start..terms.end;
    let bytes = get_range(bucket, &ObjectKey::Origins(block.id()), range).await?;
    let Some(bytes) = bytes.filter(|bytes| xxh3_64(bytes) == filters.hash) else { return Ok(None) };
    let (of_traces, of_terms) = bytes.split_at((traces.end - traces.start) as usize);
    let traces = SplitBlockFilter::from_bytes(filters.traces.class, of_traces);
    Ok(traces.zip(SplitBlockFilter::from_bytes(filters.terms.class, of_terms)))
}

/// All the bytes of a range. None: the object does not have them, or does not exist.
async fn get_range(bucket: &Bucket, key: &ObjectKey, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
    match bucket.objects().get_range(&path(key), range.clone()).await {
        Ok(bytes) => Ok((bytes.len() as u64 == range.end - range.start).then_some(bytes)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
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
            Self::Group(id) => {
                let rows = get_range(bucket, &ObjectKey::FilterGroup(*id), range).await;
                rows.map_err(BuildError::Store)?.ok_or(BuildError::Unreadable(*id))
            }
        }
    }
}

/// Transposes filters of one kind, and lets go of them. None: there are none.
pub(super) fn transposed(
    kind: GroupKind,
    blocks: &[BlockId],
    filters: &mut Filters,
) -> Result<Option<(GroupHeader, Source)>, BuildError> {
    let of_kind = filters.of_kind(kind);
    let filters: Vec<(BlockId, SplitBlockFilter)> =
        blocks.iter().filter_map(|id| Some((*id, of_kind.remove(id)?))).collect();
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
    // A block that came into two of the groups, however that happened, stays once.
    let kept = RefCell::new(BTreeSet::new());
    let goes = |block: &BlockId| dead.contains(block) || !kept.borrow_mut().insert(*block);
    let merger = Merger::new(headers, goes).map_err(BuildError::Group)?;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::executor::block_on;
    use object_store::memory::InMemory;
    use ulid::Ulid;

    use super::*;
    use crate::bucket::Listing;

    #[test]
    fn should_keep_a_block_once_that_came_into_two_groups() {
        let bucket = Bucket::new(Arc::new(InMemory::new()), Listing::Together);
        let (one, both, other) = (BlockId(Ulid(1)), BlockId(Ulid(2)), BlockId(Ulid(3)));
        let source = |blocks: [BlockId; 2]| {
            let filters = blocks.map(|block| (block, SplitBlockFilter::new(SizeClass::SMALLEST)));
            let bytes = Bytes::from(build(GroupKind::Terms, SizeClass::SMALLEST, &filters).unwrap());
            (GroupHeader::parse(&bytes).unwrap(), Source::Memory(bytes))
        };
        let sources = vec![source([one, both]), source([both, other])];
        let dead = BTreeSet::new();
        let written = block_on(write_group(&bucket, ObjectId(Ulid(4)), sources, &dead));
        assert_eq!(written.unwrap().unwrap().header.blocks(), [one, both, other]);
    }
}
