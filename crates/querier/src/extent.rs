//! How long traces are: from the earliest start to the latest end, wherever their spans lie.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, stream};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::parts::Parts;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;
use siltstone_live::question::{Question, Wanted};

use crate::hidden::{Hidden, HiddenHere};
use crate::querier::{Query, QueryError};

/// Blocks that are read at the same time.
const PARALLEL_BLOCKS: usize = 4;

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
    /// How long traces are, which ascend; of those that have a span which is not hidden.
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
            let hidden = plan.hidden.at(segment.known_deletions);
            add_extents(&mut extents, extents_of(&segment.spans, &traces, &hidden));
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
        let mut extents = BTreeMap::new();
        let rows = block.spans.find_all(traces);
        if rows.is_empty() {
            return Ok(extents);
        }
        self.cost.read_block();
        let hidden = Arc::new(hidden.at(entry.clean_through));
        let parts = Parts { trace_ids: true, starts: true, durations: true, ..Parts::default() };
        for rows in rows.chunk_by(|one, next| one.group == next.group) {
            let (traces, hidden) = (Arc::clone(traces), Arc::clone(&hidden));
            let of_group = move |columns: SpanColumns| Ok(extents_of(&columns, &traces, &hidden));
            add_extents(&mut extents, self.read(&block, rows.to_vec(), parts.clone(), of_group).await?);
        }
        Ok(extents)
    }
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
