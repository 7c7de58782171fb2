//! Find traces: those that have a span which matches, in an order, so many of them, whole.
//!
//! ```text
//! plan ──▶ blocks, the most promising first ──▶ matching rows ──▶ ranks of traces ──▶ the first ones, by id
//!                     ▲                                                │
//!                     └──────── until no other block can hold better ──┘
//! ```
//!
//! Exact: the answer is that of looking at every span. By start it ends early, as blocks know when their spans
//! start; by duration every trace that matches must be measured.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, stream};
use siltstone_ask::{Filter, Window};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;

use crate::limits::LimitReached;
use crate::matching::Wanted;
use crate::querier::{Answer, Querier, Query, QueryError};
use crate::rank::{Order, Position, Ranks};
use crate::scan::seen_rows;
use crate::traces::Trace;

/// Blocks that are scanned at the same time.
const PARALLEL_BLOCKS: usize = 4;
/// So few traces may all be in the block that is scanned first. Then the others must not take its time.
const TRACES_OF_ONE_BLOCK: usize = 1_000;

/// Which traces are looked for.
#[derive(Clone, Debug)]
pub struct Search {
    pub tenant: Tenant,
    /// Holds on one span.
    pub filter: Filter,
    /// That span starts in it.
    pub window: Window,
    pub order: Order,
    pub limit: usize,
    /// Behind the last trace of an earlier answer.
    pub after: Option<Position>,
}

#[derive(Debug, Default)]
pub struct FoundTraces {
    /// In order.
    pub traces: Vec<FoundTrace>,
    /// Where to go on, if there are more.
    pub next: Option<Position>,
}

#[derive(Debug)]
pub struct FoundTrace {
    pub trace: Trace,
    /// How many of its spans match and start in the window.
    pub matching: usize,
}

impl Querier {
    pub async fn search(&self, search: &Search) -> Result<Answer<FoundTraces>, QueryError> {
        self.within(&search.tenant, async |mut query| {
            let found = query.search(search).await?;
            Ok(query.answer(found))
        })
        .await
    }
}

impl Querier {
    /// All traces with a span that matches and starts in the window, ascending. More than so many are an error.
    pub async fn matching_traces(
        &self,
        tenant: &Tenant,
        filter: &Filter,
        window: Window,
        most: usize,
    ) -> Result<Answer<Vec<TraceId>>, QueryError> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        let search = Search { tenant, filter, window, order: Order::Longest, limit: most, after: None };
        self.within(&search.tenant, async |mut query| {
            let mut traces = BTreeSet::new();
            query
                .matching(&search, |found, _| {
                    traces.extend(found.into_iter().map(|(trace, _)| trace));
                    if traces.len() > most { Err(LimitReached::Traces(most).into()) } else { Ok(false) }
                })
                .await?;
            Ok(query.answer(traces.into_iter().collect()))
        })
        .await
    }
}

impl Query<'_> {
    async fn search(&mut self, search: &Search) -> Result<FoundTraces, QueryError> {
        let (ids, next) = self.first_found(search).await?;
        let mut whole = self.traces(&search.tenant, &ids).await?;
        let traces = ids.into_iter().filter_map(|id| {
            // Deleted meanwhile, if it is not there.
            let spans = whole.remove(&id)?;
            let matches = |span: &&siltstone_format::span::Span| {
                search.window.contains(span.start_unix_nano) && search.filter.matches(span)
            };
            let matching = spans.iter().filter(matches).count();
            (matching > 0).then_some(FoundTrace { trace: Trace { id, spans }, matching })
        });
        Ok(FoundTraces { traces: traces.collect(), next })
    }

    /// The traces of an answer in their order, and where to go on.
    pub(crate) async fn first_found(
        &mut self,
        search: &Search,
    ) -> Result<(Vec<TraceId>, Option<Position>), QueryError> {
        if search.limit == 0 || search.window.is_empty() {
            return Ok((Vec::new(), None));
        }
        let ranks = match search.order {
            Order::Newest | Order::Oldest => self.by_start(search).await?,
            Order::Longest => self.by_duration(search).await?,
        };
        let (first, next) = ranks.first();
        Ok((first.iter().map(|position| position.trace).collect(), next))
    }

    async fn by_start(&mut self, search: &Search) -> Result<Ranks, QueryError> {
        let mut ranks = Ranks::new(search.order, search.limit, search.after);
        let most = self.limits.traces;
        self.matching(search, |found, best_left| {
            found.into_iter().for_each(|(trace, start)| ranks.add(trace, start));
            ranks.shrink();
            match () {
                () if ranks.passed_over() > most => Err(LimitReached::Traces(most).into()),
                () => Ok(!best_left.is_some_and(|bound| ranks.may_change(bound))),
            }
        })
        .await?;
        Ok(ranks)
    }

    async fn by_duration(&mut self, search: &Search) -> Result<Ranks, QueryError> {
        let mut traces = BTreeSet::new();
        let most = self.limits.traces;
        self.matching(search, |found, _| {
            traces.extend(found.into_iter().map(|(trace, _)| trace));
            if traces.len() > most { Err(LimitReached::Traces(most).into()) } else { Ok(false) }
        })
        .await?;
        let mut ranks = Ranks::new(search.order, search.limit, search.after);
        for (trace, extent) in self.extents(&search.tenant, traces.into_iter().collect()).await? {
            ranks.add_extent(trace, extent);
        }
        Ok(ranks)
    }

    /// Calls `each` with what matches in live spans, and then block by block, the most promising first: traces
    /// and starts of their spans, and the best start that what is left may hold. It is done when `each` says so.
    async fn matching(
        &mut self,
        search: &Search,
        mut each: impl FnMut(Vec<(TraceId, u64)>, Option<u64>) -> Result<bool, QueryError>,
    ) -> Result<(), QueryError> {
        let filter = Arc::new(search.filter.clone());
        let (view, mut plan) = self.open_matching(&search.tenant, &filter, search.window).await?;
        let bound = |entry: &BlockEntry| {
            let spans = &entry.summary.spans;
            match search.order {
                Order::Oldest => spans.min_start_unix_nano.max(search.window.start),
                Order::Newest | Order::Longest => spans.max_start_unix_nano.min(search.window.end - 1),
            }
        };
        plan.blocks.sort_by_key(|entry| (search.order.rank_of_start(bound(entry)), entry.id()));
        let bounds: Vec<u64> = plan.blocks.iter().map(bound).collect();

        let mut live = Vec::new();
        for segment in &view.live {
            let hidden = plan.hidden.at(segment.known_deletions);
            let (traces, starts) = (&segment.spans.trace_ids, &segment.spans.starts);
            let rows = seen_rows(&segment.spans, &filter, search.window, &hidden)?.into_iter();
            live.extend(rows.map(|row| (traces[row as usize], starts[row as usize].cast_unsigned())));
        }
        let mut is_done = each(live, bounds.first().copied())?;
        let first = match (search.order, search.after) {
            // What an earlier answer had must be known for sure: all of it is looked at.
            (Order::Newest | Order::Oldest, None) => Some((search.order, search.limit.saturating_add(1))),
            _ => None,
        };
        let wanted = Wanted { filter, window: search.window, first };
        let is_one_enough = first.is_some_and(|(_, traces)| traces <= TRACES_OF_ONE_BLOCK);
        let (alone, rest) = plan.blocks.split_at(plan.blocks.len().min(usize::from(is_one_enough)));
        let mut number = 0;
        for blocks in [alone, rest] {
            let scans: Vec<_> =
                blocks.iter().map(|entry| self.matching_of_block(entry, &wanted, &plan.hidden)).collect();
            let mut scans = stream::iter(scans).buffered(PARALLEL_BLOCKS);
            while !is_done && let Some(found) = scans.next().await {
                let found = found.map_err(|error| self.late_or(&view, error))?;
                number += 1;
                is_done = each(found, bounds.get(number).copied())?;
            }
        }
        if self.is_expired(&view) {
            return Err(QueryError::Expired);
        }
        self.lacks(plan.missing);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
