//! Traces by their ids: whole, wherever their spans lie. Neither a plan of a query engine nor a scan: filters
//! say which blocks, page indexes which pages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use siltstone_ask::{canonical_span, collapse};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::parts::Parts;
use siltstone_format::block::ranges::Fetched;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::TraceId;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_live::question::{Question, Wanted};

use crate::cache::OpenedBlock;
use crate::hidden::{Hidden, HiddenHere};
use crate::limits::LimitReached;
use crate::plan::Plan;
use crate::querier::{Answer, Querier, Query, QueryError};
use crate::scan::PARALLEL_GROUPS;
use crate::view::View;

/// Blocks that are read at the same time.
const PARALLEL_BLOCKS: usize = 8;

/// A whole trace: each span once, by start, id and content.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub id: TraceId,
    pub spans: Vec<Span>,
}

impl Querier {
    /// Those of some traces that there are, ascending by id.
    pub async fn traces(
        &self,
        tenant: &Tenant,
        traces: &[TraceId],
    ) -> Result<Answer<Vec<Trace>>, QueryError> {
        self.within(tenant, async |mut query| {
            let found = query.traces(tenant, traces).await?;
            Ok(query.answer(found.into_iter().map(|(id, spans)| Trace { id, spans }).collect()))
        })
        .await
    }
}

impl Query<'_> {
    pub(crate) async fn traces(
        &mut self,
        tenant: &Tenant,
        traces: &[TraceId],
    ) -> Result<BTreeMap<TraceId, Vec<Span>>, QueryError> {
        let traces: Vec<TraceId> = traces.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        if traces.is_empty() {
            return Ok(BTreeMap::new());
        }
        let question = Question { tenant: tenant.clone(), wanted: Wanted::Traces(traces.clone()) };
        let view = self.open(&question).await?;
        let plan = self.planner(&view).of_traces(&traces).await;
        let plan = plan.map_err(|error| self.late_or(&view, error.into()))?;
        let found = self.traces_of(&view, &plan, &traces, self.limits.spans).await;
        let found = found.map_err(|error| self.late_or(&view, error))?;
        if self.is_expired(&view) {
            return Err(QueryError::Expired);
        }
        self.lacks(plan.missing);
        Ok(found)
    }

    /// Those of some traces that there are in a view, if they have no more spans than that.
    pub(crate) async fn traces_of(
        &self,
        view: &View,
        plan: &Plan,
        traces: &[TraceId],
        most_spans: usize,
    ) -> Result<BTreeMap<TraceId, Vec<Span>>, QueryError> {
        let mut traces = traces.to_vec();
        traces.sort_unstable();
        let traces = Arc::new(traces);
        let mut spans = live_spans(view, &plan.hidden, &traces)?;
        let reads: Vec<_> =
            plan.blocks.iter().map(|entry| self.traces_of_block(entry, &traces, &plan.hidden)).collect();
        let mut reads = stream::iter(reads).buffered(PARALLEL_BLOCKS);
        while let Some(read) = reads.next().await {
            spans.extend(read?);
            if spans.len() > most_spans {
                return Err(LimitReached::Spans(most_spans).into());
            }
        }
        Ok(self.assemble(spans))
    }

    /// The same as columns, for what works on rows.
    pub(crate) async fn columns_of_traces(
        &mut self,
        tenant: &Tenant,
        traces: &[TraceId],
    ) -> Result<SpanColumns, QueryError> {
        let mut columns = SpanColumns::default();
        for span in self.traces(tenant, traces).await?.into_values().flatten() {
            // It was in columns before, so it is fit for columns.
            columns.push(&span).map_err(|rejected| QueryError::Refused(rejected.to_string()))?;
        }
        Ok(columns)
    }

    /// Spans into traces, each once.
    fn assemble(&self, spans: Vec<Span>) -> BTreeMap<TraceId, Vec<Span>> {
        let before = spans.len();
        let spans = once_in_order(spans);
        self.cost.collapsed(before - spans.len());
        let mut traces = BTreeMap::<TraceId, Vec<Span>>::new();
        spans.into_iter().for_each(|span| traces.entry(span.trace_id).or_default().push(span));
        traces
    }

    pub(crate) async fn traces_of_block(
        &self,
        entry: &BlockEntry,
        traces: &Arc<Vec<TraceId>>,
        hidden: &Hidden,
    ) -> Result<Vec<Span>, QueryError> {
        let blocks = &self.querier.blocks;
        let block = blocks.open(entry, self.purse()).await?;
        let first_group = |trace: &TraceId| Some((*trace, block.spans.find(trace).first()?.group));
        let found: Vec<(TraceId, usize)> = traces.iter().filter_map(first_group).collect();
        if found.is_empty() {
            return Ok(Vec::new());
        }
        self.cost.read_block();
        let hidden = Arc::new(hidden.at(entry.clean_through));
        // A trace may go on in the next group, so it is traces that are shared out, not groups.
        let reads: Vec<_> = found
            .chunk_by(|(_, one), (_, next)| one == next)
            .map(|of_group| of_group.iter().map(|(trace, _)| *trace).collect())
            .map(|traces| self.traces_of_group(&block, traces, &hidden))
            .collect();
        let spans: Vec<Vec<Span>> = stream::iter(reads).buffered(PARALLEL_GROUPS).try_collect().await?;
        blocks.used(&block).await;
        Ok(spans.into_iter().flatten().collect())
    }

    async fn traces_of_group(
        &self,
        block: &Arc<OpenedBlock>,
        traces: Vec<TraceId>,
        hidden: &Arc<HiddenHere>,
    ) -> Result<Vec<Span>, QueryError> {
        let rows = block.spans.find_all(&traces);
        let ranges = block.spans.ranges_of(&rows, &Parts::all());
        let hidden = Arc::clone(hidden);
        let decode = move |block: &OpenedBlock, pages: &Fetched| {
            let read = block.spans.read_traces(&traces, &rows, pages, &block.origins)?;
            let mut spans = read.spans()?;
            spans.retain(|span| !hidden.hides(&span.trace_id, span.start_unix_nano));
            Ok(spans)
        };
        self.with_pages(block, ranges, decode).await?
    }
}

/// Each span once, by trace, start, id and content.
pub(crate) fn once_in_order(mut spans: Vec<Span>) -> Vec<Span> {
    let key = |span: &Span| (span.trace_id, span.start_unix_nano, span.span_id);
    spans.sort_by_key(key);
    // Only neighbours may be the same, and there are few such.
    if spans.windows(2).all(|pair| key(&pair[0]) != key(&pair[1])) {
        return spans;
    }
    let mut spans = collapse(spans);
    spans.sort_by(|one, other| {
        key(one).cmp(&key(other)).then_with(|| canonical_span(one).cmp(&canonical_span(other)))
    });
    spans
}

fn live_spans(view: &View, hidden: &Hidden, traces: &[TraceId]) -> Result<Vec<Span>, QueryError> {
    let mut seen = Vec::new();
    for segment in &view.live {
        // The others may be of a trace that is too large to be spelled out.
        let few = only_traces(&segment.spans, traces)?;
        let spans = few.as_ref().unwrap_or(&segment.spans).spans()?.into_iter();
        let hidden = hidden.at(segment.known_deletions);
        seen.extend(spans.filter(|span| !hidden.hides(&span.trace_id, span.start_unix_nano)));
    }
    Ok(seen)
}

/// The spans that are of some traces, which ascend; none: all are.
pub(crate) fn only_traces(
    columns: &SpanColumns,
    traces: &[TraceId],
) -> Result<Option<SpanColumns>, QueryError> {
    let ids = columns.trace_ids.iter().enumerate();
    let rows: Vec<u32> =
        ids.filter(|(_, trace)| traces.binary_search(trace).is_ok()).map(|(row, _)| row as u32).collect();
    if rows.len() == columns.len() {
        return Ok(None);
    }
    let mut chosen = SpanColumns::default();
    chosen.append(columns, &rows).map_err(|rejected| QueryError::Refused(rejected.to_string()))?;
    Ok(Some(chosen))
}
