//! Which blocks a query must read: a list, from the catalog alone. Who reads them need not be who planned.

use std::sync::Arc;

use futures::{StreamExt, stream};
use siltstone_ask::{Filter, Probe, Window, probe};
use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::deleted::DeletedTraces;
use siltstone_catalog::groups::{Candidates, Wanted};
use siltstone_catalog::snapshot::{Missing, SnapshotError};
use siltstone_format::filter::split_block::FilterKey;
use siltstone_format::filter::transposed::GroupKind;
use siltstone_format::id::TraceId;

use crate::blocks::{Blocks, Purse};
use crate::hidden::Hidden;
use crate::view::View;

/// Keys that filters are asked for at once. With more, most blocks hold one of them.
const MOST_KEYS: usize = 1_000;
/// Clauses that are made of a filter's terms at most: fewer exclude less, and are right as well.
const MOST_CLAUSES: usize = 64;
/// Blocks whose own filters are asked at the same time.
const PARALLEL_FILTERS: usize = 32;

/// What is to be read.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) blocks: Vec<BlockEntry>,
    pub(crate) hidden: Hidden,
    pub(crate) missing: Vec<Missing>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PlanError(pub(crate) Box<SnapshotError>);

impl From<SnapshotError> for PlanError {
    fn from(error: SnapshotError) -> Self {
        Self(Box::new(error))
    }
}

/// Plans the queries of one view.
pub(crate) struct Planner<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) blocks: &'a Blocks,
    pub(crate) view: &'a View,
    pub(crate) purse: Purse<'a>,
}

impl Planner<'_> {
    /// Blocks that may hold spans of some traces, which are sorted.
    pub(crate) async fn of_traces(&self, traces: &[TraceId]) -> Result<Plan, PlanError> {
        let keys = traces.iter().map(FilterKey::of_trace).collect();
        let all_of_any = if traces.len() <= MOST_KEYS { vec![keys] } else { Vec::new() };
        let mut found = self.ask(GroupKind::TraceIds, &all_of_any, Window::ALL).await?;
        let within = |block: &BlockEntry| {
            let spans = &block.summary.spans;
            let from = traces.partition_point(|trace| *trace < spans.first_trace);
            traces.get(from).is_some_and(|trace| *trace <= spans.last_trace)
        };
        found.holding.retain(within);
        found.unasked.retain(within);
        let asks = found.unasked.into_iter().map(|block| async move {
            let may = traces.len() > MOST_KEYS
                || !self.blocks.held_traces(&block, traces, self.purse).await.is_empty();
            may.then_some(block)
        });
        let own = kept(asks).await;
        Ok(self.plan(found.holding, own, &found.deleted, found.missing))
    }

    /// Blocks that may hold a span which starts in the window and matches.
    pub(crate) async fn of_filter(&self, filter: &Filter, window: Window) -> Result<Plan, PlanError> {
        let needed = probe(filter);
        let clauses: Vec<Vec<FilterKey>> = clauses_of(&needed)
            .into_iter()
            .map(|terms| terms.into_iter().map(FilterKey::of_term).collect())
            .collect();
        if window.is_empty() || clauses.iter().any(Vec::is_empty) {
            return Ok(self.plan(Vec::new(), Vec::new(), &Arc::default(), Vec::new()));
        }
        let found = self.ask(GroupKind::Terms, &clauses, window).await?;
        let asks = found.unasked.into_iter().map(|block| {
            let needed = &needed;
            async move { self.blocks.may_match(&block, needed, self.purse).await.then_some(block) }
        });
        let own = kept(asks).await;
        Ok(self.plan(found.holding, own, &found.deleted, found.missing))
    }

    async fn ask(
        &self,
        kind: GroupKind,
        all_of_any: &[Vec<FilterKey>],
        window: Window,
    ) -> Result<Candidates, SnapshotError> {
        let wanted = Wanted { kind, all_of_any, from_unix_nano: window.start, to_unix_nano: window.end };
        let tenant = &self.view.question.tenant;
        let mut found = self.catalog.blocks_that_may_hold(&self.view.snapshot, tenant, wanted).await?;
        let starts_within = |block: &BlockEntry| {
            let spans = &block.summary.spans;
            window.overlaps(spans.min_start_unix_nano, spans.max_start_unix_nano)
        };
        found.holding.retain(starts_within);
        found.unasked.retain(starts_within);
        Ok(found)
    }

    fn plan(
        &self,
        mut blocks: Vec<BlockEntry>,
        more: Vec<BlockEntry>,
        deleted: &Arc<DeletedTraces>,
        missing: Vec<Missing>,
    ) -> Plan {
        blocks.extend(more);
        self.purse.cost.considered(blocks.len());
        Plan { blocks, hidden: Hidden::of(self.view, deleted), missing }
    }
}

async fn kept<Ask>(asks: impl Iterator<Item = Ask>) -> Vec<BlockEntry>
where
    Ask: Future<Output = Option<BlockEntry>>,
{
    let asks: Vec<Ask> = asks.collect();
    stream::iter(asks).buffered(PARALLEL_FILTERS).filter_map(std::future::ready).collect().await
}

/// Terms of which a block must hold one of each clause. Of no clause: nothing is known.
fn clauses_of(probe: &Probe) -> Vec<Vec<u64>> {
    match probe {
        Probe::Unknown => Vec::new(),
        Probe::AnyOf(terms) => vec![terms.clone()],
        Probe::And(parts) => parts.iter().flat_map(clauses_of).take(MOST_CLAUSES).collect(),
        Probe::Or(parts) => parts.iter().map(clauses_of).reduce(or).unwrap_or_default(),
    }
}

/// `(a and b) or (c and d)` is `(a or c) and (a or d) and (b or c) and (b or d)`; the first of these will do.
fn or(left: Vec<Vec<u64>>, right: Vec<Vec<u64>>) -> Vec<Vec<u64>> {
    let pairs = left.iter().flat_map(|left| right.iter().map(move |right| [&left[..], &right[..]].concat()));
    pairs.take(MOST_CLAUSES).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn probes() -> impl Strategy<Value = Probe> {
        let leaf = prop_oneof![
            1 => Just(Probe::Unknown),
            4 => proptest::collection::vec(0..8_u64, 0..3).prop_map(Probe::AnyOf),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 1..4).prop_map(Probe::And),
                proptest::collection::vec(inner, 1..4).prop_map(Probe::Or),
            ]
        })
    }

    proptest! {
        #[test]
        fn should_say_with_clauses_what_the_probe_says(probe in probes(), present in 0..256_u32) {
            let is_there = |term: u64| present >> term & 1 == 1;
            let clauses = clauses_of(&probe);
            let by_clauses = clauses.iter().all(|clause| clause.iter().any(|term| is_there(*term)));
            // No clause may exclude what the probe does not.
            prop_assert!(by_clauses || !probe.may_match(is_there));
            if clauses.len() < MOST_CLAUSES {
                prop_assert_eq!(by_clauses, probe.may_match(is_there));
            }
        }
    }
}
