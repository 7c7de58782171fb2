//! Reading one block: its metadata and origins at once, then the pages that are wanted.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::error::ReadError;
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::ranges::{Fetched, coalesce};
use siltstone_format::block::read::{GroupRows, SpansFile};
use siltstone_format::id::TraceId;
use siltstone_format::path::ObjectKey;
use siltstone_format::span::Span;
use siltstone_format::value::ValueError;

/// A gap that costs less to read than another request.
const LARGEST_GAP: u64 = 64 * 1024;

/// Why a block cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    #[error("the store did not read `{key}`: {source}")]
    Store { key: ObjectKey, source: object_store::Error },
    #[error("`{key}` is not there")]
    Gone { key: ObjectKey },
    #[error(transparent)]
    Damaged(#[from] ReadError),
    #[error("`{key}` is of another block or tenant than the catalog says")]
    Other { key: ObjectKey },
    #[error("`{key}` holds what is no value: {source}")]
    Value { key: ObjectKey, source: ValueError },
}

/// Spans of these traces; of all if none are named.
pub(crate) async fn read_block(
    objects: &dyn ObjectStore,
    entry: &BlockEntry,
    traces: Option<&BTreeSet<TraceId>>,
) -> Result<Vec<Span>, BlockError> {
    let (spans_key, origins_key) = (ObjectKey::Spans(entry.id()), ObjectKey::Origins(entry.id()));
    let (spans, origins) = (&entry.summary.spans, &entry.summary.origins);
    if traces.is_some_and(|traces| traces.range(spans.first_trace..=spans.last_trace).next().is_none()) {
        return Ok(Vec::new());
    }
    let (metadata, origins_tail) = futures::try_join!(
        read(objects, &spans_key, spans.metadata_offset..spans.bytes),
        read(objects, &origins_key, origins.origins_offset..origins.bytes),
    )?;
    let file = SpansFile::open(&spans_key.to_string(), spans, &metadata)?;
    check(file.identity(), entry, &spans_key)?;
    let origins = OriginsFile::open(&origins_key.to_string(), origins, &origins_tail)?;
    check(origins.identity(), entry, &origins_key)?;

    let of_traces: Option<Vec<(TraceId, Vec<GroupRows>)>> =
        traces.map(|traces| traces.iter().map(|trace| (*trace, file.find(trace))).collect());
    let rows: Vec<GroupRows> = match &of_traces {
        Some(found) => found.iter().flat_map(|(_, rows)| rows.clone()).collect(),
        None => file.groups().collect(),
    };
    let fetched =
        fetch(objects, &spans_key, rows.iter().flat_map(|rows| file.ranges(rows)).collect()).await?;
    let values = |source| BlockError::Value { key: spans_key.clone(), source };
    match of_traces {
        None => file.read_rows(&rows, &fetched, &origins)?.spans().map_err(values),
        Some(found) => {
            let mut all = Vec::new();
            for (trace, rows) in &found {
                all.extend(file.read_trace(trace, rows, &fetched, &origins)?.spans().map_err(values)?);
            }
            Ok(all)
        }
    }
}

pub(crate) fn check(found: &BlockIdentity, entry: &BlockEntry, key: &ObjectKey) -> Result<(), BlockError> {
    let is_it = found.block == entry.id() && found.tenant == *entry.tenant();
    if is_it { Ok(()) } else { Err(BlockError::Other { key: key.clone() }) }
}

async fn read(objects: &dyn ObjectStore, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BlockError> {
    objects.get_range(&path(key), range).await.map_err(|source| failed(key, source))
}

async fn fetch(
    objects: &dyn ObjectStore,
    key: &ObjectKey,
    wanted: Vec<Range<u64>>,
) -> Result<Fetched, BlockError> {
    let mut fetched = Fetched::default();
    let ranges = coalesce(wanted, LARGEST_GAP);
    if ranges.is_empty() {
        return Ok(fetched);
    }
    let parts = objects.get_ranges(&path(key), &ranges).await.map_err(|source| failed(key, source))?;
    ranges.iter().zip(parts).for_each(|(range, bytes)| fetched.add(range.start, bytes));
    Ok(fetched)
}

pub(crate) fn path(key: &ObjectKey) -> Path {
    Path::from(key.to_string())
}

pub(crate) fn failed(key: &ObjectKey, source: object_store::Error) -> BlockError {
    match source {
        object_store::Error::NotFound { .. } => BlockError::Gone { key: key.clone() },
        source => BlockError::Store { key: key.clone(), source },
    }
}
