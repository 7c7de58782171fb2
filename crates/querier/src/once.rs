//! Spans that are stored more than once, and must be counted once.
//!
//! Two rows are one span only if they start at the same time, so what was merged is there twice only where something
//! else starts. Sets of blocks that were merged or checked against each other share no spans at all, and most data lies in one
//! such set, or in blocks that follow each other in time. What is left is little: its matching spans are looked at
//! by trace, id and start, and where two may be one span, their trace is *doubtful*. Doubtful traces are read whole
//! and collapsed; all other rows count as they are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use siltstone_ask::{Filter, Window};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::parts::Parts;
use siltstone_format::block::read::GroupRows;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::{SpanId, TraceId};
use ulid::Ulid;

use crate::plan::Plan;
use crate::querier::{Query, QueryError};
use crate::scan::{seen_rows, without_hidden};
use crate::view::View;

const PARALLEL_BLOCKS: usize = 4;

/// Two rows with different ones are different spans.
type Rough = (TraceId, SpanId, i64);

/// How often matching spans are there outside of the largest set.
#[derive(Default)]
struct Elsewhere {
    rough: HashMap<Rough, u32>,
}

impl Elsewhere {
    fn add(&mut self, rows: Vec<Rough>) {
        rows.into_iter().for_each(|rough| *self.rough.entry(rough).or_default() += 1);
    }

    fn traces(&self) -> Vec<TraceId> {
        let mut traces: Vec<TraceId> = self.rough.keys().map(|(trace, ..)| *trace).collect();
        traces.sort_unstable();
        traces.dedup();
        traces
    }
}

fn rough_of(columns: &SpanColumns, rows: impl Iterator<Item = usize>) -> Vec<Rough> {
    rows.map(|row| (columns.trace_ids[row], columns.span_ids[row], columns.starts[row])).collect()
}

/// Blocks of the largest set that shares no spans, and the others.
fn apart(blocks: &[BlockEntry]) -> (Vec<&BlockEntry>, Vec<&BlockEntry>) {
    let mut rows = BTreeMap::<Ulid, u64>::new();
    for block in blocks {
        if let Some(set) = block.disjoint_set {
            *rows.entry(set).or_default() += block.summary.spans.rows;
        }
    }
    let largest = rows.into_iter().max_by_key(|(_, rows)| *rows).map(|(set, _)| set);
    blocks.iter().partition(|block| largest.is_some() && block.disjoint_set == largest)
}

/// Spans that lie in one place, by when they start.
#[derive(Clone, Copy)]
struct Holder {
    /// Those with the same one share no spans.
    set: Option<Ulid>,
    first_start: u64,
    last_start: u64,
}

impl Holder {
    fn of_block(block: &BlockEntry) -> Self {
        let spans = &block.summary.spans;
        Self {
            set: block.disjoint_set,
            first_start: spans.min_start_unix_nano,
            last_start: spans.max_start_unix_nano,
        }
    }

    /// None: there are no spans.
    fn of_live(columns: &SpanColumns) -> Option<Self> {
        let starts = || columns.starts.iter().map(|start| start.cast_unsigned());
        Some(Self { set: None, first_start: starts().min()?, last_start: starts().max()? })
    }
}

/// Everything that may hold a span, to tell where one may be twice.
struct Holders(Vec<Holder>);

impl Holders {
    fn of(view: &View, plan: &Plan) -> Self {
        let live = view.live.iter().filter_map(|segment| Holder::of_live(&segment.spans));
        Self(plan.blocks.iter().map(Holder::of_block).chain(live).collect())
    }

    /// A window that holds every time at which one of these spans may be there twice.
    fn shared_window(&self, own: &Holder) -> Window {
        let window = |first: u64, last: u64| Window { start: first, end: last.saturating_add(1) };
        if own.set.is_none() {
            // What was not merged may hold a span twice by itself.
            return window(own.first_start, own.last_start);
        }
        let others = self.0.iter().filter(|other| other.set != own.set);
        let overlaps = others.filter_map(|other| {
            let (from, to) = (own.first_start.max(other.first_start), own.last_start.min(other.last_start));
            (from <= to).then_some((from, to))
        });
        let hull = overlaps.reduce(|hull, next| (hull.0.min(next.0), hull.1.max(next.1)));
        hull.map_or(Window { start: 0, end: 0 }, |(first, last)| window(first, last))
    }
}

impl Query<'_> {
    /// Traces of which a matching span may be there twice.
    pub(crate) async fn doubtful(
        &self,
        view: &View,
        plan: &Plan,
        filter: &Arc<Filter>,
        window: Window,
    ) -> Result<HashSet<TraceId>, QueryError> {
        let (largest, others) = apart(&plan.blocks);
        let mut elsewhere = Elsewhere::default();
        let holders = Holders::of(view, plan);
        for segment in &view.live {
            let Some(holder) = Holder::of_live(&segment.spans) else { continue };
            let hidden = plan.hidden.at(segment.known_deletions);
            let shared = holders.shared_window(&holder).intersect(window);
            let rows = seen_rows(&segment.spans, filter, shared, &hidden)?;
            elsewhere.add(rough_of(&segment.spans, rows.into_iter().map(|row| row as usize)));
        }
        let shared = |entry: &&BlockEntry| holders.shared_window(&Holder::of_block(entry)).intersect(window);
        let reads: Vec<_> = others
            .into_iter()
            .map(|entry| (entry, shared(&entry)))
            .filter(|(_, shared)| !shared.is_empty())
            .map(|(entry, shared)| self.rough_of_block(entry, plan, filter, shared))
            .collect();
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL_BLOCKS);
        while let Some(read) = reads.next().await {
            elsewhere.add(read?);
        }
        drop(reads);
        let twice = elsewhere.rough.iter().filter(|(_, times)| **times > 1).map(|((trace, ..), _)| *trace);
        let mut doubtful: HashSet<TraceId> = twice.collect();
        let traces = elsewhere.traces();
        let elsewhere = Arc::new(elsewhere);
        let reads: Vec<_> = largest
            .into_iter()
            .map(|entry| self.shared_with_block(entry, &traces, Arc::clone(&elsewhere)))
            .collect();
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL_BLOCKS);
        while let Some(read) = reads.next().await {
            doubtful.extend(read?);
        }
        Ok(doubtful)
    }

    /// Matching spans of a block.
    async fn rough_of_block(
        &self,
        entry: &BlockEntry,
        plan: &Plan,
        filter: &Arc<Filter>,
        window: Window,
    ) -> Result<Vec<Rough>, QueryError> {
        let block = self.querier.blocks.open(entry, self.purse()).await?;
        let hidden = Arc::new(plan.hidden.at(entry.clean_through));
        let parts = Parts { trace_ids: true, span_ids: true, starts: true, ..Parts::default() };
        let mut all = Vec::new();
        for group in block.spans.groups() {
            let worth = self.worth_reading(&block, group.group, filter, window).await?;
            let (runs, parts) = (worth.runs(), parts.clone().and(&worth.parts()));
            let hidden = Arc::clone(&hidden);
            let pieces = self.read_pieces(&block, runs, parts, move |read, columns| {
                let rows = worth.matching(read, &columns, window)?;
                let rows = without_hidden(&rows, &columns, &hidden).into_iter();
                Ok(rough_of(&columns, rows.map(|row| row as usize)))
            });
            all.extend(pieces.await?.into_iter().flatten());
        }
        Ok(all)
    }

    /// Traces of which a block has a span that is elsewhere too.
    async fn shared_with_block(
        &self,
        entry: &BlockEntry,
        traces: &[TraceId],
        elsewhere: Arc<Elsewhere>,
    ) -> Result<Vec<TraceId>, QueryError> {
        let spans = &entry.summary.spans;
        let from = traces.partition_point(|trace| *trace < spans.first_trace);
        let to = traces.partition_point(|trace| *trace <= spans.last_trace);
        let here = self.querier.blocks.held_traces(entry, &traces[from..to], self.purse()).await;
        if here.is_empty() {
            return Ok(Vec::new());
        }
        let block = self.querier.blocks.open(entry, self.purse()).await?;
        let rows = block.spans.find_all(&here);
        let parts = Parts { trace_ids: true, span_ids: true, starts: true, ..Parts::default() };
        self.read(&block, rows, parts, move |columns| {
            let all = rough_of(&columns, 0..columns.len()).into_iter();
            Ok(all.filter(|rough| elsewhere.rough.contains_key(rough)).map(|(trace, ..)| trace).collect())
        })
        .await
    }
}

/// Ascending runs of rows that overlap, or lie no further apart than a gap, as one.
pub(crate) fn joined(rows: Vec<GroupRows>, gap: usize) -> Vec<GroupRows> {
    let mut all: Vec<GroupRows> = Vec::new();
    for next in rows {
        match all.last_mut() {
            Some(last) if last.group == next.group && next.rows.start <= last.rows.end + gap => {
                last.rows.end = last.rows.end.max(next.rows.end);
            }
            _ => all.push(next),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(set: u128, first_start: u64, last_start: u64) -> Holder {
        Holder { set: (set > 0).then_some(Ulid(set)), first_start, last_start }
    }

    fn shared(holders: &[Holder]) -> Vec<(u64, u64)> {
        let holders = Holders(holders.to_vec());
        let windows = holders.0.iter().map(|holder| holders.shared_window(holder));
        windows.map(|window| (window.start, window.end)).collect()
    }

    #[test]
    fn should_look_only_where_spans_of_another_set_start() {
        assert_eq!(shared(&[holder(1, 0, 9), holder(2, 10, 19)]), [(0, 0); 2]);
        assert_eq!(shared(&[holder(1, 0, 9), holder(1, 5, 14)]), [(0, 0); 2]);
        let at_the_edges = [holder(1, 0, 10), holder(2, 10, 20), holder(3, 18, 30)];
        assert_eq!(shared(&at_the_edges), [(10, 11), (10, 21), (18, 21)]);
    }

    #[test]
    fn should_look_at_all_that_was_not_merged() {
        assert_eq!(shared(&[holder(0, 3, 7), holder(1, 8, 9)]), [(3, 8), (0, 0)]);
    }
}
