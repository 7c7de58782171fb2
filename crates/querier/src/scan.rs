//! Rows of blocks that match: first what the filter needs is read, then, of the rows that match, what is wanted.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use siltstone_ask::{Filter, Window};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::parts::Parts;
use siltstone_format::block::read::GroupRows;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;
use siltstone_live::question::{Question, Wanted};

use crate::cache::OpenedBlock;
use crate::hidden::{Hidden, HiddenHere, NEVER_CLEANED};
use crate::querier::{Query, QueryError};

/// Blocks that are read at the same time.
const PARALLEL_BLOCKS: usize = 4;
/// Row groups of one block that are under way at the same time.
const PARALLEL_GROUPS: usize = 4;
/// Matching rows that lie no further apart are read together: pages have more rows than that.
const LARGEST_GAP_ROWS: u32 = 4_096;

/// From the earliest start to the latest end of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    start: u64,
    end: u64,
}

impl Extent {
    pub(crate) fn nanos(self) -> i128 {
        i128::from(self.end) - i128::from(self.start)
    }

    fn and(self, more: Self) -> Self {
        Self { start: self.start.min(more.start), end: self.end.max(more.end) }
    }
}

impl Query<'_> {
    /// Traces and starts of a block's spans that match, start in the window and are not hidden.
    pub(crate) async fn matching_of_block(
        &self,
        entry: &BlockEntry,
        filter: &Arc<Filter>,
        window: Window,
        hidden: &Hidden,
    ) -> Result<Vec<(TraceId, u64)>, QueryError> {
        let block = self.querier.blocks.open(entry, self.purse()).await?;
        self.cost.read_block();
        let hidden = Arc::new(hidden.at(entry.clean_through));
        let scans: Vec<_> = block
            .spans
            .groups()
            .map(|group| self.matching_of_group(&block, group, filter, window, &hidden))
            .collect();
        let found: Vec<Vec<(TraceId, u64)>> =
            stream::iter(scans).buffered(PARALLEL_GROUPS).try_collect().await?;
        self.querier.blocks.used(&block).await;
        Ok(found.concat())
    }

    async fn matching_of_group(
        &self,
        block: &Arc<OpenedBlock>,
        group: GroupRows,
        filter: &Arc<Filter>,
        window: Window,
        hidden: &Arc<HiddenHere>,
    ) -> Result<Vec<(TraceId, u64)>, QueryError> {
        let parts = Parts { starts: true, ..filter.parts() };
        self.cost.scanned(group.rows.len());
        let filter = Arc::clone(filter);
        let starts = self.read(block, vec![group.clone()], parts, move |columns| {
            let rows = filter.rows_within(window, &columns)?;
            let starts = rows.iter().map(|row| (row as u32, columns.starts[row].cast_unsigned()));
            Ok(starts.collect::<Vec<_>>())
        });
        let starts = starts.await?;
        if starts.is_empty() {
            return Ok(Vec::new());
        }
        let runs = runs_of(starts.iter().map(|(row, _)| *row), group.group);
        let ids = Parts { trace_ids: true, ..Parts::default() };
        let hidden = Arc::clone(hidden);
        let of_runs = runs.clone();
        self.read(block, runs, ids, move |columns| {
            let places = places_of(starts.iter().map(|(row, _)| *row), &of_runs);
            let found = places.zip(&starts).map(|(place, (_, start))| (columns.trace_ids[place], *start));
            Ok(found.filter(|(trace, start)| !hidden.hides(trace, *start)).collect())
        })
        .await
    }

    /// How long traces are; of those that have a span which is not hidden.
    pub(crate) async fn extents(
        &mut self,
        tenant: &Tenant,
        traces: Vec<TraceId>,
    ) -> Result<BTreeMap<TraceId, Extent>, QueryError> {
        let question = Question { tenant: tenant.clone(), wanted: Wanted::Traces(traces.clone()) };
        let view = self.open(&question).await?;
        let plan = self.planner(&view).of_traces(&traces).await;
        let plan = plan.map_err(|error| self.late_or(&view, error.into()))?;
        let traces = Arc::new(traces);
        let mut extents = BTreeMap::new();
        for segment in &view.live {
            add_extents(&mut extents, extents_of(&segment.spans, &traces, &plan.hidden.at(NEVER_CLEANED)));
        }
        let reads: Vec<_> =
            plan.blocks.iter().map(|entry| self.extents_of_block(entry, &traces, &plan.hidden)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL_BLOCKS);
        while let Some(read) = reads.next().await {
            add_extents(&mut extents, read.map_err(|error| self.late_or(&view, error))?);
        }
        drop(reads);
        if self.is_expired(&view) {
            return Err(QueryError::Expired);
        }
        self.lacks(plan.missing);
        Ok(extents)
    }

    async fn extents_of_block(
        &self,
        entry: &BlockEntry,
        traces: &Arc<Vec<TraceId>>,
        hidden: &Hidden,
    ) -> Result<BTreeMap<TraceId, Extent>, QueryError> {
        let block = self.querier.blocks.open(entry, self.purse()).await?;
        self.cost.read_block();
        let hidden = Arc::new(hidden.at(entry.clean_through));
        let parts = Parts { trace_ids: true, starts: true, durations: true, ..Parts::default() };
        let mut extents = BTreeMap::new();
        for group in block.spans.groups() {
            let (traces, hidden) = (Arc::clone(traces), Arc::clone(&hidden));
            let of_group = move |columns: SpanColumns| Ok(extents_of(&columns, &traces, &hidden));
            add_extents(&mut extents, self.read(&block, vec![group], parts.clone(), of_group).await?);
        }
        Ok(extents)
    }

    /// Reads parts of some rows, and makes something of them on a worker.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        block: &Arc<OpenedBlock>,
        rows: Vec<GroupRows>,
        parts: Parts,
        make: impl FnOnce(SpanColumns) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let ranges = rows.iter().flat_map(|rows| block.spans.ranges_of(rows, &parts)).collect();
        let fetched = self.querier.blocks.fetch(block, ranges, self.purse()).await?;
        let block = Arc::clone(block);
        let read = move || make(block.spans.read_parts(&rows, &parts, &fetched, &block.origins)?);
        self.work(read).await?
    }
}

/// Rows that match, start in the window and are not hidden.
pub(crate) fn seen_rows(
    columns: &SpanColumns,
    filter: &Filter,
    window: Window,
    hidden: &HiddenHere,
) -> Result<Vec<u32>, QueryError> {
    let is_seen = |row: &usize| {
        hidden.is_nothing() || !hidden.hides(&columns.trace_ids[*row], columns.starts[*row].cast_unsigned())
    };
    let rows = filter.rows_within(window, columns)?;
    Ok(rows.iter().filter(is_seen).map(|row| row as u32).collect())
}

fn extents_of(columns: &SpanColumns, traces: &[TraceId], hidden: &HiddenHere) -> BTreeMap<TraceId, Extent> {
    let mut extents = BTreeMap::new();
    for (row, trace) in columns.trace_ids.iter().enumerate() {
        let start = columns.starts[row].cast_unsigned();
        if traces.binary_search(trace).is_ok() && !hidden.hides(trace, start) {
            let extent = Extent { start, end: start.wrapping_add(columns.durations[row].cast_unsigned()) };
            add_extents(&mut extents, BTreeMap::from([(*trace, extent)]));
        }
    }
    extents
}

fn add_extents(extents: &mut BTreeMap<TraceId, Extent>, more: BTreeMap<TraceId, Extent>) {
    for (trace, extent) in more {
        extents.entry(trace).and_modify(|known| *known = known.and(extent)).or_insert(extent);
    }
}

/// Ascending rows of a group as few runs.
pub(crate) fn runs_of(rows: impl Iterator<Item = u32>, group: usize) -> Vec<GroupRows> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for row in rows {
        match runs.last_mut() {
            Some(run) if row as usize <= run.end + LARGEST_GAP_ROWS as usize => run.end = row as usize + 1,
            _ => runs.push(row as usize..row as usize + 1),
        }
    }
    runs.into_iter().map(|rows| GroupRows { group, rows }).collect()
}

/// Where ascending rows of a group are when these runs were read.
pub(crate) fn places_of<'a>(
    rows: impl Iterator<Item = u32> + 'a,
    runs: &'a [GroupRows],
) -> impl Iterator<Item = usize> + 'a {
    let (mut run, mut before) = (0, 0);
    rows.map(move |row| {
        while let Some(current) = runs.get(run)
            && current.rows.end <= row as usize
        {
            before += current.rows.len();
            run += 1;
        }
        before + runs.get(run).map_or(0, |current| row as usize - current.rows.start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_find_rows_again_in_the_runs_that_hold_them() {
        let rows = [3, 4, 9, 5_000, 10_000, 10_001];
        let runs = runs_of(rows.into_iter(), 0);
        let ranges: Vec<_> = runs.iter().map(|run| run.rows.clone()).collect();
        assert_eq!(ranges, [3..10, 5_000..5_001, 10_000..10_002]);
        let read: Vec<usize> = ranges.into_iter().flatten().collect();
        let places = places_of(rows.into_iter(), &runs);
        assert!(places.zip(rows).all(|(place, row)| read[place] == row as usize));
        assert!(runs_of(std::iter::empty(), 0).is_empty());
    }
}
