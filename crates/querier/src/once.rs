//! Spans that are stored more than once, and must be counted once.
//!
//! Sets of blocks that were merged or checked against each other share no spans, and most data lies in one such
//! set. What lies elsewhere (live, flushed, merged apart) is little: its matching spans are looked at by trace,
//! id and start, and where two may be one span, their trace is *doubtful*. Doubtful traces are read whole and
//! collapsed; all other rows count as they are.

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

use crate::hidden::NEVER_CLEANED;
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
        let hidden = plan.hidden.at(NEVER_CLEANED);
        for segment in &view.live {
            let rows = seen_rows(&segment.spans, filter, window, &hidden)?;
            elsewhere.add(rough_of(&segment.spans, rows.into_iter().map(|row| row as usize)));
        }
        let reads: Vec<_> =
            others.into_iter().map(|entry| self.rough_of_block(entry, plan, filter, window)).collect();
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
            let (runs, parts) = (worth.runs(), parts.clone().and(&worth.parts(filter)));
            let (filter, hidden) = (Arc::clone(filter), Arc::clone(&hidden));
            let pieces = self.read_pieces(&block, runs, parts, move |read, columns| {
                let rows = worth.matching(read, &columns, &filter, window)?;
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
