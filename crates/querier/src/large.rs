//! A trace that is too large to be held: merged from its blocks, a part at a time.
//!
//! The rows of a trace stand in each block by start, id and content, so that one walk over all of them gives its
//! spans in order, and same spans come together.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::parts::Parts;
use siltstone_format::block::read::GroupRows;
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::span::Span;

use crate::cache::OpenedBlock;
use crate::hidden::HiddenHere;
use crate::plan::Plan;
use crate::querier::{Query, QueryError};
use crate::stream::PIECE_SPANS;
use crate::traces::once_in_order;
use crate::view::View;

/// Rows that are held of all places together, and of one at least and at most.
const HELD_ROWS: usize = 16 * 1024;
const LEAST_ROWS: usize = 128;
const MOST_ROWS: usize = 4 * 1024;
/// Rows at the ends of a run that may be of other traces: no page has more.
const LONGEST_PAGE_ROWS: usize = 64 * 1024;
/// Places that are read at the same time.
const PARALLEL_READS: usize = 4;

/// A walk over the spans of a trace.
pub(crate) struct LargeTrace {
    trace: TraceId,
    places: Vec<Place>,
    /// Spans with one start and one id: some may be the same.
    twins: Vec<Span>,
    rows_at_once: usize,
}

/// Where some of its spans lie, in order.
struct Place {
    rows: Rows,
    hidden: Arc<HiddenHere>,
    /// Those that come next.
    read: VecDeque<Span>,
}

enum Rows {
    OfBlock {
        block: Arc<OpenedBlock>,
        /// What is left to be read.
        runs: VecDeque<GroupRows>,
        siblings: Arc<Vec<SpanId>>,
    },
    /// Of a segment of the view, what is left.
    Live { segment: usize, rows: VecDeque<u32> },
}

type Key = (u64, SpanId);

fn key(span: &Span) -> Key {
    (span.start_unix_nano, span.span_id)
}

impl LargeTrace {
    pub(crate) fn id(&self) -> TraceId {
        self.trace
    }

    /// The place whose next span comes first.
    fn first(&self) -> Option<usize> {
        let heads =
            self.places.iter().enumerate().filter_map(|(at, place)| Some((key(place.read.front()?), at)));
        heads.min().map(|(_, at)| at)
    }
}

impl Place {
    fn is_read(&self) -> bool {
        match &self.rows {
            Rows::OfBlock { runs, .. } => runs.is_empty(),
            Rows::Live { rows, .. } => rows.is_empty(),
        }
    }
}

impl Query<'_> {
    /// Begins a walk.
    pub(crate) async fn large_trace(
        &self,
        trace: TraceId,
        view: &View,
        plan: &Plan,
    ) -> Result<LargeTrace, QueryError> {
        let live = (0..view.live.len()).map(|segment| Place {
            rows: Rows::Live { segment, rows: live_rows(view, segment, &trace) },
            hidden: Arc::new(plan.hidden.at(view.live[segment].known_deletions)),
            read: VecDeque::new(),
        });
        let mut places: Vec<Place> = live.collect();
        let begins: Vec<_> = plan.blocks.iter().map(|entry| self.place_in(entry, trace, plan)).collect();
        let begun: Vec<Option<Place>> = stream::iter(begins).buffered(PARALLEL_READS).try_collect().await?;
        places.extend(begun.into_iter().flatten());
        let rows_at_once = (HELD_ROWS / places.len().max(1)).clamp(LEAST_ROWS, MOST_ROWS);
        Ok(LargeTrace { trace, places, twins: Vec::new(), rows_at_once })
    }

    /// The next spans, and whether no more follow.
    pub(crate) async fn next_part(
        &self,
        large: &mut LargeTrace,
        view: &View,
    ) -> Result<(Vec<Span>, bool), QueryError> {
        let mut spans = Vec::with_capacity(PIECE_SPANS);
        loop {
            self.read_next(large, view).await?;
            let next = large.first().and_then(|at| large.places[at].read.front().map(|span| (at, key(span))));
            let Some((at, next)) = next else {
                spans.append(&mut self.each_once(&mut large.twins));
                return Ok((spans, true));
            };
            if large.twins.first().is_some_and(|twin| key(twin) != next) {
                spans.append(&mut self.each_once(&mut large.twins));
                if spans.len() >= PIECE_SPANS {
                    return Ok((spans, false));
                }
            }
            large.twins.extend(large.places[at].read.pop_front());
        }
    }

    fn each_once(&self, twins: &mut Vec<Span>) -> Vec<Span> {
        let twins = std::mem::take(twins);
        if twins.len() < 2 {
            return twins;
        }
        let before = twins.len();
        let once = once_in_order(twins);
        self.cost.collapsed(before - once.len());
        once
    }

    /// Reads on wherever the next span is not known.
    async fn read_next(&self, large: &mut LargeTrace, view: &View) -> Result<(), QueryError> {
        while large.places.iter().any(|place| place.read.is_empty()) {
            large.places.retain(|place| !place.read.is_empty() || !place.is_read());
            let (trace, count) = (large.trace, large.rows_at_once);
            let empty = large.places.iter_mut().filter(|place| place.read.is_empty());
            let reads: Vec<_> = empty.map(|place| self.read_rows(place, trace, count, view)).collect();
            stream::iter(reads).buffer_unordered(PARALLEL_READS).try_collect::<()>().await?;
        }
        Ok(())
    }

    async fn read_rows(
        &self,
        place: &mut Place,
        trace: TraceId,
        count: usize,
        view: &View,
    ) -> Result<(), QueryError> {
        let spans = match &mut place.rows {
            Rows::Live { segment, rows } => {
                let columns = &view.live[*segment].spans;
                let rows = rows.drain(..count.min(rows.len()));
                rows.map(|row| columns.get(row as usize)).collect::<Result<Vec<Span>, _>>()?
            }
            Rows::OfBlock { block, runs, siblings } => {
                let rows = taken(runs, count);
                let ranges = block.spans.ranges_of(&rows, &Parts::all());
                let fetched = self.querier.blocks.fetch(block, ranges, self.purse()).await?;
                let (block, siblings) = (Arc::clone(block), Arc::clone(siblings));
                let read = move || {
                    let file = &block.spans;
                    let columns = file.read_trace_part(trace, &siblings, &rows, &fetched, &block.origins)?;
                    Ok::<_, QueryError>(columns.spans()?)
                };
                self.work(read).await??
            }
        };
        let seen = spans.into_iter().filter(|span| !place.hidden.hides(&trace, span.start_unix_nano));
        place.read = seen.collect();
        Ok(())
    }

    /// Where a block has rows of the trace, and the ids of all of these.
    async fn place_in(
        &self,
        entry: &BlockEntry,
        trace: TraceId,
        plan: &Plan,
    ) -> Result<Option<Place>, QueryError> {
        let block = self.querier.blocks.open(entry, self.purse()).await?;
        let (mut runs, mut siblings) = (VecDeque::new(), Vec::new());
        for found in block.spans.find(&trace) {
            let run = self.exact_rows(&block, found, trace).await?;
            if run.rows.is_empty() {
                continue;
            }
            let ids = Parts { span_ids: true, ..Parts::default() };
            let read = self.read_pieces(&block, vec![run.clone()], ids, |_, columns| Ok(columns.span_ids));
            read.await?.into_iter().for_each(|ids| siblings.extend(ids));
            runs.push_back(run);
        }
        if runs.is_empty() {
            return Ok(None);
        }
        self.cost.read_block();
        self.querier.blocks.used(&block).await;
        let rows = Rows::OfBlock { block, runs, siblings: Arc::new(siblings) };
        let hidden = Arc::new(plan.hidden.at(entry.clean_through));
        Ok(Some(Place { rows, hidden, read: VecDeque::new() }))
    }

    /// The rows of a trace among those of pages that may hold it: only the first and the last page hold others.
    async fn exact_rows(
        &self,
        block: &Arc<OpenedBlock>,
        found: GroupRows,
        trace: TraceId,
    ) -> Result<GroupRows, QueryError> {
        let GroupRows { group, rows } = found;
        let first = rows.start..rows.end.min(rows.start + LONGEST_PAGE_ROWS);
        let last = first.end.max(rows.end.saturating_sub(LONGEST_PAGE_ROWS))..rows.end;
        let ends = [&first, &last].map(|rows| GroupRows { group, rows: rows.clone() });
        let ends = ends.into_iter().filter(|end| !end.rows.is_empty()).collect();
        let ids = Parts { trace_ids: true, ..Parts::default() };
        self.read(block, ends, ids, move |columns| {
            let ids = &columns.trace_ids;
            let before = ids.partition_point(|id| *id < trace);
            let behind = ids.len() - ids.partition_point(|id| *id <= trace);
            let rows = rows.start + before..(rows.end - behind).max(rows.start + before);
            Ok(GroupRows { group, rows })
        })
        .await
    }
}

/// The next rows of runs, so many of them.
fn taken(runs: &mut VecDeque<GroupRows>, count: usize) -> Vec<GroupRows> {
    let (mut rows, mut left) = (Vec::new(), count);
    while left > 0
        && let Some(run) = runs.front_mut()
    {
        let end = run.rows.end.min(run.rows.start + left);
        left -= end - run.rows.start;
        rows.push(GroupRows { group: run.group, rows: run.rows.start..end });
        run.rows.start = end;
        if run.rows.is_empty() {
            runs.pop_front();
        }
    }
    rows
}

/// The rows of a live segment that are of the trace, in order.
fn live_rows(view: &View, segment: usize, trace: &TraceId) -> VecDeque<u32> {
    let columns = &view.live[segment].spans;
    let ids = columns.trace_ids.iter().enumerate();
    let mut rows: Vec<u32> = ids.filter(|(_, id)| *id == trace).map(|(row, _)| row as u32).collect();
    rows.sort_by_key(|row| (columns.starts[*row as usize], columns.span_ids[*row as usize]));
    rows.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_take_rows_of_runs_one_after_the_other() {
        let run = |group, rows| GroupRows { group, rows };
        let mut runs = VecDeque::from([run(0, 5..8), run(1, 0..2), run(1, 9..20)]);
        assert_eq!(taken(&mut runs, 2), [run(0, 5..7)]);
        assert_eq!(taken(&mut runs, 4), [run(0, 7..8), run(1, 0..2), run(1, 9..10)]);
        assert_eq!(taken(&mut runs, 100), [run(1, 10..20)]);
        assert!(taken(&mut runs, 100).is_empty());
    }
}
