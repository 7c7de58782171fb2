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
use siltstone_format::value::ValueError;
use tokio::sync::Semaphore;

use crate::key::Key;
use crate::pages::Pages;

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
    #[error("a span has a value that is none: {0}")]
    Value(#[from] ValueError),
}

impl InputError {
    /// Whether another attempt would fail as well.
    pub fn is_lasting(&self) -> bool {
        match &self.why {
            InputFault::Store { source, .. } => matches!(source, object_store::Error::NotFound { .. }),
            InputFault::Damaged(_) | InputFault::OtherBlock { .. } | InputFault::Value(_) => true,
        }
    }
}

/// How much of an input is held beside its dictionaries, and the pages in which a window ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Columns of one window.
    pub(crate) window_bytes: usize,
    /// Pages that are read ahead, as they are stored.
    pub(crate) ahead_bytes: usize,
}

/// How many requests all inputs of a job have under way: each takes memory, and in a folder a thread.
pub(crate) const PARALLEL_REQUESTS: usize = 8;

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
const LEAST_ROW_BYTES: usize = 400;
/// Bytes between two ranges that are read rather than asked for apart: a request costs as much as many megabytes.
const LARGEST_GAP: u64 = 256 * 1024;

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
    pages: Pages,
    /// The row of the group behind which no page was read ahead.
    ahead: usize,
    large: Option<LargeTrace>,
}

/// A trace that is read in parts.
struct LargeTrace {
    id: TraceId,
    siblings: Vec<SpanId>,
    rows_left: usize,
}

/// What the attributes of a row group are called that have no column.
pub(crate) struct OverflowKeys<'a> {
    input: &'a Input,
    group: usize,
    fetched: Fetched,
}

impl OverflowKeys<'_> {
    pub(crate) fn count(&self, counts: &mut AttributeCounts) -> Result<(), InputError> {
        let counted = self.input.spans.count_overflow(self.group, &self.fetched, counts);
        counted.map_err(|error| self.input.failed(error.into()))
    }
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
        let mut file = SpansFile::open(&spans_key.to_string(), spans, &metadata)?;
        file.pack_dictionaries();
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
            pages: Pages::default(),
            ahead: 0,
            large: None,
        })
    }

    /// Lets origins that other inputs have too lie in memory once.
    pub(crate) fn share_origins(&mut self, pool: &mut OriginPool) {
        self.origins.share(pool);
    }

    /// Counts its attributes that have a column.
    pub(crate) fn count_columns(&self, counts: &mut AttributeCounts) {
        self.spans.count_columns(counts);
    }

    /// Reads what the others are called, a row group at a time.
    pub(crate) fn overflow_keys(
        &self,
    ) -> impl Iterator<Item = impl Future<Output = Result<OverflowKeys<'_>, InputError>>> {
        self.spans.groups().map(async |rows| {
            let fetched = self.fetch_ranges(self.spans.overflow_key_ranges(rows.group)).await;
            let fetched = fetched.map_err(|why| self.failed(why))?;
            Ok(OverflowKeys { input: self, group: rows.group, fetched })
        })
    }

    /// Whether it has a span of one of some traces, which ascend.
    pub(crate) async fn holds_any(&self, traces: &[TraceId]) -> Result<bool, InputError> {
        self.try_find(traces).await.map_err(|why| self.failed(why))
    }

    async fn try_find(&self, traces: &[TraceId]) -> Result<bool, InputFault> {
        let parts = Parts { trace_ids: true, ..Parts::default() };
        for rows in self.spans.find_all(traces) {
            let ranges = self.spans.ranges_of(std::slice::from_ref(&rows), &parts);
            let fetched = self.fetch_ranges(ranges).await?;
            let ids = self.ids(&rows, parts.clone(), &fetched)?.trace_ids;
            if ids.iter().any(|id| traces.binary_search(id).is_ok()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Shows parts of all its rows, some rows at a time. A trace may be in several of them.
    pub(crate) async fn each(
        &mut self,
        parts: &Parts,
        mut see: impl FnMut(&SpanColumns) -> Result<(), ValueError>,
    ) -> Result<(), InputError> {
        let seen = match parts.parents {
            // A parent is named by its place in its trace.
            true => self.each_window(&mut see).await,
            false => self.each_group(parts, &mut see).await,
        };
        seen.map_err(|why| self.failed(why))
    }

    async fn each_window(
        &mut self,
        see: &mut impl FnMut(&SpanColumns) -> Result<(), ValueError>,
    ) -> Result<(), InputFault> {
        self.rewind();
        while let Some(window) = self.try_next().await? {
            see(&window.columns)?;
        }
        Ok(())
    }

    async fn each_group(
        &mut self,
        parts: &Parts,
        see: &mut impl FnMut(&SpanColumns) -> Result<(), ValueError>,
    ) -> Result<(), InputFault> {
        let groups: Vec<GroupRows> = self.spans.groups().collect();
        for group in groups {
            let fetched =
                self.fetch_ranges(self.spans.ranges_of(std::slice::from_ref(&group), parts)).await?;
            let mut start = group.rows.start;
            while start < group.rows.end {
                let end = group.rows.end.min(start + MOST_WINDOW_ROWS);
                let rows = GroupRows { group: group.group, rows: start..end };
                see(&self.ids(&rows, parts.clone(), &fetched)?)?;
                start = end;
            }
            self.spans.forget_dictionaries(group.group);
        }
        Ok(())
    }

    /// The next spans; none: these were all.
    pub(crate) async fn next(&mut self) -> Result<Option<Window>, InputError> {
        self.try_next().await.map_err(|why| self.failed(why))
    }

    fn failed(&self, why: InputFault) -> InputError {
        InputError { block: self.spans.identity().block, why }
    }

    /// Begins again at the first row.
    pub(crate) fn rewind(&mut self) {
        self.begin_group(0);
        self.large = None;
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
            self.begin_group(self.group + 1);
            return;
        }
        let rest = GroupRows { group: self.group, rows: self.row..self.ahead.max(self.row + 1) };
        self.pages.keep(&self.spans.ranges(&rest));
    }

    fn begin_group(&mut self, group: usize) {
        (self.group, self.row, self.ahead) = (group, 0, 0);
        self.pages.clear();
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

    /// What reading whole spans of these rows needs, and pages of rows behind them for later.
    async fn fetch(&mut self, rows: &GroupRows) -> Result<Fetched, InputFault> {
        if !self.pages.missing(self.spans.ranges(rows)).is_empty() {
            let end = rows.rows.end.max(rows.rows.start + self.rows_ahead(rows.group));
            self.ahead = end.min(self.spans.group_rows(rows.group));
            let ahead = GroupRows { group: rows.group, rows: rows.rows.start..self.ahead };
            let pages = self.pages.missing(self.spans.ranges(&ahead));
            let fetched = self.get_all(pages.clone()).await?;
            self.pages.add(pages, &fetched);
        }
        Ok(self.pages.fetched())
    }

    fn rows_ahead(&self, group: usize) -> usize {
        let stored = self.spans.group_range(group);
        let rows = self.spans.group_rows(group) as u64;
        (self.held.ahead_bytes as u64 * rows / (stored.end - stored.start).max(1)) as usize
    }

    async fn fetch_ranges(&self, ranges: Vec<Range<u64>>) -> Result<Fetched, InputFault> {
        let parts = self.get_all(ranges).await?.into_iter();
        Ok(Fetched::of(parts.map(|(start, bytes)| (start, FetchedPart::Stored(bytes))).collect()))
    }

    /// Gets ranges in as few requests as their gaps allow; each part with its offset.
    async fn get_all(&self, ranges: Vec<Range<u64>>) -> Result<Vec<(u64, Bytes)>, InputFault> {
        let gets = coalesce(ranges, LARGEST_GAP).into_iter().map(async |range| {
            let start = range.start;
            Ok((start, self.source.get(&self.path, range).await?))
        });
        try_join_all(gets).await
    }
}
