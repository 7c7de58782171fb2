//! A block that is merged, read from its first row to its last, a window at a time.
//!
//! A window ends between traces, so that its spans find their parents. A trace that fills more than a window is
//! read in parts, which find them by the ids of all its spans: eight bytes each are held.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::AttributeCounts;
use siltstone_format::block::error::ReadError;
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::parts::Parts;
use siltstone_format::block::ranges::{Fetched, FetchedPart, coalesce};
use siltstone_format::block::read::{GroupRows, SpansFile};
use siltstone_format::columns::{OriginPool, SpanColumns};
use siltstone_format::id::{BlockId, SpanId, TraceId};
use siltstone_format::path::ObjectKey;
use tokio::sync::Semaphore;

use crate::key::Key;

/// Why an input cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("block {block} cannot be merged: {why}")]
pub struct InputError {
    pub block: BlockId,
    pub why: InputFault,
}

/// What is wrong with an input.
#[derive(Debug, thiserror::Error)]
pub enum InputFault {
    #[error("`{key}` cannot be read: {source}")]
    Store { key: String, source: object_store::Error },
    /// It stays as it is: no merge helps.
    #[error(transparent)]
    Damaged(#[from] ReadError),
    #[error("`{key}` says that it belongs to block {found}, or to another tenant")]
    OtherBlock { key: String, found: BlockId },
}

impl InputError {
    /// Whether another attempt would fail as well.
    pub fn is_lasting(&self) -> bool {
        match &self.why {
            InputFault::Store { source, .. } => matches!(source, object_store::Error::NotFound { .. }),
            InputFault::Damaged(_) | InputFault::OtherBlock { .. } => true,
        }
    }
}

/// How much of an input is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Columns of one window.
    pub(crate) window_bytes: usize,
    /// A row group as it is stored: fetched whole if it is no larger.
    pub(crate) group_bytes: u64,
}

/// How many requests all inputs of a job have under way: each takes memory, and in a folder a thread.
const PARALLEL_REQUESTS: usize = 8;

/// Where inputs lie, for all of a job.
#[derive(Clone)]
pub(crate) struct Source {
    objects: Arc<dyn ObjectStore>,
    requests: Arc<Semaphore>,
}

impl Source {
    pub(crate) fn new(objects: &Arc<dyn ObjectStore>) -> Self {
        Self { objects: Arc::clone(objects), requests: Arc::new(Semaphore::new(PARALLEL_REQUESTS)) }
    }

    async fn get(&self, path: &Path, range: Range<u64>) -> Result<Bytes, InputFault> {
        // It is never closed.
        let _turn = self.requests.acquire().await;
        let got = self.objects.get_range(path, range).await;
        got.map_err(|source| InputFault::Store { key: path.to_string(), source })
    }
}

/// Rows of one window at most: more gain nothing.
const MOST_WINDOW_ROWS: usize = 32 * 1024;
/// What columns take of a row at least.
const LEAST_ROW_BYTES: usize = 160;
/// Bytes between two ranges that are read rather than asked for apart.
const LARGEST_GAP: u64 = 32 * 1024;

/// An input and how far it was read.
pub(crate) struct Input {
    source: Source,
    path: Path,
    spans: SpansFile,
    origins: OriginsFile,
    held: Held,
    /// The next row.
    group: usize,
    row: usize,
    /// The row group that is being read, if it was fetched whole.
    fetched: Option<(usize, Fetched)>,
    large: Option<LargeTrace>,
}

/// A trace that is read in parts.
struct LargeTrace {
    id: TraceId,
    siblings: Vec<SpanId>,
    rows_left: usize,
}

/// Spans that were read, in their order.
pub(crate) struct Window {
    pub(crate) columns: SpanColumns,
    /// Whatever comes later does not come before this.
    pub(crate) complete_before: Key,
}

impl Input {
    /// Opens a block by what its catalog entry says.
    pub(crate) async fn open(source: &Source, entry: &BlockEntry, held: Held) -> Result<Self, InputError> {
        let opened = Self::try_open(source, entry, held).await;
        opened.map_err(|why| InputError { block: entry.id(), why })
    }

    async fn try_open(source: &Source, entry: &BlockEntry, held: Held) -> Result<Self, InputFault> {
        let (spans, origins) = (&entry.summary.spans, &entry.summary.origins);
        let (spans_key, origins_key) = (ObjectKey::Spans(entry.id()), ObjectKey::Origins(entry.id()));
        let (path, origins_path) = (Path::from(spans_key.to_string()), Path::from(origins_key.to_string()));
        let (metadata, tail) = futures::try_join!(
            source.get(&path, spans.metadata_offset..spans.bytes),
            source.get(&origins_path, origins.origins_offset..origins.bytes),
        )?;
        let file = SpansFile::open(&spans_key.to_string(), spans, &metadata)?;
        let read = OriginsFile::open(&origins_key.to_string(), origins, &tail)?;
        for (identity, key) in [(file.identity(), spans_key), (read.identity(), origins_key)] {
            if identity.block != entry.id() || &identity.tenant != entry.tenant() {
                return Err(InputFault::OtherBlock { key: key.to_string(), found: identity.block });
            }
        }
        Ok(Self {
            source: source.clone(),
            path,
            spans: file,
            origins: read,
            held,
            group: 0,
            row: 0,
            fetched: None,
            large: None,
        })
    }

    /// Lets origins that other inputs have too lie in memory once.
    pub(crate) fn share_origins(&mut self, pool: &mut OriginPool) {
        self.origins.share(pool);
    }

    /// Counts its attributes: those with a column, and the others.
    pub(crate) async fn count_attributes(&self, counts: &mut AttributeCounts) -> Result<(), InputError> {
        self.try_count(counts).await.map_err(|why| self.failed(why))
    }

    /// The next spans; none: these were all.
    pub(crate) async fn next(&mut self) -> Result<Option<Window>, InputError> {
        self.try_next().await.map_err(|why| self.failed(why))
    }

    fn failed(&self, why: InputFault) -> InputError {
        InputError { block: self.spans.identity().block, why }
    }

    async fn try_count(&self, counts: &mut AttributeCounts) -> Result<(), InputFault> {
        self.spans.count_columns(counts);
        for group in self.spans.groups() {
            let ranges = self.spans.overflow_key_ranges(group.group);
            let fetched = self.fetch_ranges(ranges).await?;
            self.spans.count_overflow(group.group, &fetched, counts)?;
        }
        Ok(())
    }

    /// Begins again at the first row.
    pub(crate) fn rewind(&mut self) {
        (self.group, self.row) = (0, 0);
        (self.fetched, self.large) = (None, None);
    }

    pub(crate) fn is_read(&self) -> bool {
        self.group == self.spans.groups().count()
    }

    async fn try_next(&mut self) -> Result<Option<Window>, InputFault> {
        let Some(rows) = self.next_rows() else { return Ok(None) };
        if let Some(large) = self.large.take() {
            return self.next_part(large, rows).await.map(Some);
        }
        let fetched = self.fetch(&rows).await?;
        let rows = match self.ends_between_traces(&rows) {
            true => rows,
            false => {
                let ids = self.ids(&rows, Parts { trace_ids: true, ..Parts::default() }, &fetched)?.trace_ids;
                let last = ids.last().copied().unwrap_or_default();
                let kept = ids.partition_point(|id| *id < last);
                if kept == 0 {
                    let large = self.find_large(last).await?;
                    return self.next_part(large, rows).await.map(Some);
                }
                GroupRows { group: rows.group, rows: rows.rows.start..rows.rows.start + kept }
            }
        };
        let columns = self.spans.read_rows(std::slice::from_ref(&rows), &fetched, &self.origins)?;
        let last = columns.trace_ids.last().copied().unwrap_or_default();
        self.advance(rows.rows.len());
        Ok(Some(Window { columns, complete_before: Key::after_trace(&last) }))
    }

    /// The rows of the next window, if the trace that they end in ends with them.
    fn next_rows(&self) -> Option<GroupRows> {
        let count = self.spans.groups().nth(self.group)?.rows.len();
        let bytes = self.spans.metadata().row_group(self.group).total_byte_size().unsigned_abs() as usize;
        let per_row = (bytes / count.max(1)).max(LEAST_ROW_BYTES);
        let most = (self.held.window_bytes / per_row).clamp(1, MOST_WINDOW_ROWS);
        let end = count.min(self.row + most);
        Some(GroupRows { group: self.group, rows: self.row..end })
    }

    /// Whether it is known without a look that the next row is of another trace.
    fn ends_between_traces(&self, rows: &GroupRows) -> bool {
        if rows.rows.end < self.spans.group_rows(rows.group) {
            return false;
        }
        let next = rows.group + 1;
        // A group that begins with the last trace of this one says so by its bounds.
        next == self.spans.groups().count()
            || match (self.spans.last_trace_of(rows.group), self.spans.first_trace_of(next)) {
                (Some(last), Some(first)) => last < first,
                _ => false,
            }
    }

    fn advance(&mut self, rows: usize) {
        self.row += rows;
        if self.row >= self.spans.group_rows(self.group) {
            self.spans.forget_dictionaries(self.group);
            self.fetched = None;
            self.group += 1;
            self.row = 0;
        }
    }

    /// Finds all rows of a trace, which begins at the next row.
    async fn find_large(&self, id: TraceId) -> Result<LargeTrace, InputFault> {
        let mut siblings = Vec::new();
        let parts = Parts { trace_ids: true, span_ids: true, ..Parts::default() };
        'groups: for GroupRows { group, rows } in self.spans.groups().skip(self.group) {
            let mut start = if group == self.group { self.row } else { 0 };
            while start < rows.end {
                let next = GroupRows { group, rows: start..rows.end.min(start + MOST_WINDOW_ROWS) };
                let ranges = self.spans.ranges_of(std::slice::from_ref(&next), &parts);
                let fetched = self.fetch_ranges(ranges).await?;
                let read = self.ids(&next, parts.clone(), &fetched)?;
                let mine = read.trace_ids.partition_point(|other| *other <= id);
                siblings.extend_from_slice(&read.span_ids[..mine]);
                if mine < read.trace_ids.len() {
                    break 'groups;
                }
                start = next.rows.end;
            }
        }
        Ok(LargeTrace { id, rows_left: siblings.len(), siblings })
    }

    async fn next_part(&mut self, mut large: LargeTrace, mut rows: GroupRows) -> Result<Window, InputFault> {
        let fetched = self.fetch(&rows).await?;
        rows.rows.end = rows.rows.end.min(rows.rows.start + large.rows_left);
        let count = rows.rows.len();
        let columns =
            self.spans.read_trace_part(large.id, &large.siblings, &[rows], &fetched, &self.origins)?;
        self.advance(count);
        large.rows_left -= count;
        let complete_before = match large.rows_left {
            0 => Key::after_trace(&large.id),
            _ => Key::of(&columns, columns.len() - 1),
        };
        self.large = (large.rows_left > 0).then_some(large);
        Ok(Window { columns, complete_before })
    }

    fn ids(&self, rows: &GroupRows, parts: Parts, fetched: &Fetched) -> Result<SpanColumns, InputFault> {
        Ok(self.spans.read_parts(std::slice::from_ref(rows), &parts, fetched, &self.origins)?)
    }

    /// What reading whole spans of these rows needs.
    async fn fetch(&mut self, rows: &GroupRows) -> Result<Fetched, InputFault> {
        if let Some((group, fetched)) = &self.fetched
            && *group == rows.group
        {
            return Ok(fetched.clone());
        }
        let group = self.spans.group_range(rows.group);
        if group.end - group.start > self.held.group_bytes {
            return self.fetch_ranges(self.spans.ranges(rows)).await;
        }
        let bytes = self.source.get(&self.path, group.clone()).await?;
        let fetched = Fetched::of(vec![(group.start, FetchedPart::Stored(bytes))]);
        self.fetched = Some((rows.group, fetched.clone()));
        Ok(fetched)
    }

    async fn fetch_ranges(&self, ranges: Vec<Range<u64>>) -> Result<Fetched, InputFault> {
        let ranges = coalesce(ranges, LARGEST_GAP);
        let gets: Vec<_> = ranges.iter().map(|range| self.source.get(&self.path, range.clone())).collect();
        let parts: Vec<Bytes> = try_join_all(gets).await?;
        let parts = ranges.iter().zip(parts);
        Ok(Fetched::of(parts.map(|(range, bytes)| (range.start, FetchedPart::Stored(bytes))).collect()))
    }
}
