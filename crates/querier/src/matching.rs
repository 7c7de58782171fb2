//! Traces and starts of spans that match: all of them, or those that can come first.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use siltstone_ask::{Filter, Window};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::parts::Parts;
use siltstone_format::id::TraceId;

use crate::best_starts::is_often_matched;
use crate::cache::OpenedBlock;
use crate::hidden::{Hidden, HiddenHere};
use crate::querier::{Query, QueryError};
use crate::rank::Order;
use crate::scan::{PARALLEL_GROUPS, places_of, rows_at, rows_in, runs_of};

/// Rows that are looked at for each trace that is wanted, to begin with: traces have several that match.
const ROWS_FOR_A_TRACE: usize = 4;
/// If these were too few traces, so many times more.
const MORE_ROWS: usize = 8;
/// The traces of fewer rows are read with their starts: another round costs more than it saves.
const FEW_ROWS: usize = 256;

/// What is looked for in blocks.
pub(crate) struct Wanted {
    pub(crate) filter: Arc<Filter>,
    pub(crate) window: Window,
    /// Only the first traces in this order, so many of them, need be found.
    pub(crate) first: Option<(Order, usize)>,
}

/// Matching rows of one group.
enum OfGroup {
    /// With their traces, without those that are hidden.
    Traces(Vec<(TraceId, u64)>),
    /// Starts and numbers of rows, in no order.
    Rows { group: usize, starts: Vec<(u64, u32)> },
}

impl Query<'_> {
    /// Traces and starts of a block's spans that match, start in the window and are not hidden: all, or as many
    /// that no other can be of the first traces.
    pub(crate) async fn matching_of_block(
        &self,
        entry: &BlockEntry,
        wanted: &Wanted,
        hidden: &Hidden,
    ) -> Result<Vec<(TraceId, u64)>, QueryError> {
        let block = self.querier.blocks.open(entry, self.purse()).await?;
        self.cost.read_block();
        let hidden = Arc::new(hidden.at(entry.clean_through));
        let left = self.left_to_ask(&block, &wanted.filter).await;
        if let Some((order, traces)) = wanted.first
            && is_often_matched(&block, &left)
            && let Some(found) = self.among_best_starts(&block, wanted, order, traces, &hidden).await?
        {
            self.querier.blocks.used(&block).await;
            return Ok(found);
        }
        let groups = block.spans.groups().map(|group| group.group);
        let scans: Vec<_> =
            groups.map(|group| self.matching_of_group(&block, group, wanted, &hidden)).collect();
        let of_groups: Vec<OfGroup> = stream::iter(scans).buffered(PARALLEL_GROUPS).try_collect().await?;
        let (mut found, mut rows) = (Vec::new(), Vec::new());
        for of_group in of_groups {
            match of_group {
                OfGroup::Traces(traces) => found.extend(traces),
                OfGroup::Rows { group, starts } => rows.push((group, starts)),
            }
        }
        let (order, traces) = wanted.first.unwrap_or((Order::Newest, usize::MAX));
        found.extend(self.first_traces(&block, rows, order, traces, &hidden).await?);
        self.querier.blocks.used(&block).await;
        Ok(found)
    }

    async fn matching_of_group(
        &self,
        block: &Arc<OpenedBlock>,
        group: usize,
        wanted: &Wanted,
        hidden: &Arc<HiddenHere>,
    ) -> Result<OfGroup, QueryError> {
        let worth = self.worth_reading(block, group, &wanted.filter, wanted.window).await?;
        let runs = worth.runs();
        let count = rows_in(&runs);
        if count == 0 {
            return Ok(OfGroup::Traces(Vec::new()));
        }
        self.cost.scanned(count);
        let window = wanted.window;
        let with_traces = count <= FEW_ROWS || (worth.is_exact && wanted.first.is_none());
        let parts = worth.parts();
        let parts = Parts { starts: true, trace_ids: with_traces || parts.trace_ids, ..parts };
        let hidden = Arc::clone(hidden);
        let pieces = self.read_pieces(block, runs, parts, move |read, columns| {
            let rows = worth.matching(read, &columns, window)?;
            let start = |place: usize| columns.starts[place].cast_unsigned();
            if with_traces {
                let found = rows.iter().map(|place| (columns.trace_ids[place], start(place)));
                let found = found.filter(|(trace, at)| !hidden.hides(trace, *at)).collect();
                return Ok((found, Vec::new()));
            }
            let starts = rows.iter().zip(rows_at(rows.iter(), read));
            Ok((Vec::new(), starts.map(|(place, row)| (start(place), row as u32)).collect()))
        });
        let (traces, starts): (Vec<Vec<_>>, Vec<Vec<_>>) = pieces.await?.into_iter().unzip();
        Ok(match with_traces {
            true => OfGroup::Traces(traces.concat()),
            false => OfGroup::Rows { group, starts: starts.concat() },
        })
    }

    /// Of matching rows those that may be of the first traces. So many traces of this block alone have a span that
    /// is as good as the last of these rows, so no row behind it brings another trace in.
    async fn first_traces(
        &self,
        block: &Arc<OpenedBlock>,
        mut groups: Vec<(usize, Vec<(u64, u32)>)>,
        order: Order,
        traces: usize,
        hidden: &HiddenHere,
    ) -> Result<Vec<(TraceId, u64)>, QueryError> {
        let all: usize = groups.iter().map(|(_, starts)| starts.len()).sum();
        let mut count = traces.saturating_mul(ROWS_FOR_A_TRACE);
        loop {
            let last = last_of_first(&mut groups, order, count);
            let reads: Vec<_> = groups
                .iter()
                .map(|(group, starts)| {
                    let is_first = |(start, _): &&(u64, u32)| {
                        last.is_none_or(|last| order.rank_of_start(*start) <= order.rank_of_start(last))
                    };
                    self.traces_of_rows(block, *group, starts.iter().filter(is_first).copied().collect())
                })
                .collect();
            let found: Vec<Vec<(TraceId, u64)>> =
                stream::iter(reads).buffered(PARALLEL_GROUPS).try_collect().await?;
            let mut found = found.concat();
            found.retain(|(trace, start)| !hidden.hides(trace, *start));
            let distinct = found.iter().map(|(trace, _)| *trace).collect::<HashSet<_>>().len();
            if count >= all || distinct >= traces {
                return Ok(found);
            }
            count = count.saturating_mul(MORE_ROWS);
        }
    }

    async fn traces_of_rows(
        &self,
        block: &Arc<OpenedBlock>,
        group: usize,
        mut starts: Vec<(u64, u32)>,
    ) -> Result<Vec<(TraceId, u64)>, QueryError> {
        if starts.is_empty() {
            return Ok(Vec::new());
        }
        starts.sort_unstable_by_key(|(_, row)| *row);
        let runs = runs_of(starts.iter().map(|(_, row)| *row as usize), group);
        let of_runs = runs.clone();
        let ids = Parts { trace_ids: true, ..Parts::default() };
        self.read(block, runs, ids, move |columns| {
            let places = places_of(starts.iter().map(|(_, row)| *row as usize), &of_runs);
            Ok(places.zip(&starts).map(|(place, (start, _))| (columns.trace_ids[place], *start)).collect())
        })
        .await
    }
}

/// The start of the last of the first rows of all groups, so many of them; none if all are.
fn last_of_first(groups: &mut [(usize, Vec<(u64, u32)>)], order: Order, count: usize) -> Option<u64> {
    let rank = |start: &u64| order.rank_of_start(*start);
    let at = count.checked_sub(1)?;
    // No more rows of a group can be among them.
    let mut starts: Vec<u64> = Vec::new();
    for (_, rows) in groups.iter_mut() {
        if at < rows.len() {
            rows.select_nth_unstable_by_key(at, |(start, _)| rank(start));
        }
        starts.extend(rows.iter().take(count).map(|(start, _)| *start));
    }
    (at < starts.len()).then(|| *starts.select_nth_unstable_by_key(at, rank).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_find_the_start_behind_which_no_row_is_of_the_first() {
        let groups = vec![(0, vec![(5, 0), (1, 1), (9, 2)]), (1, vec![(3, 0), (3, 1), (7, 2), (8, 3)])];
        let last = |order, count| last_of_first(&mut groups.clone(), order, count);
        assert_eq!(
            (1..8).map(|count| last(Order::Oldest, count)).collect::<Vec<_>>(),
            [Some(1), Some(3), Some(3), Some(5), Some(7), Some(8), Some(9)]
        );
        assert_eq!([1, 2, 7].map(|count| last(Order::Newest, count)), [Some(9), Some(8), Some(1)]);
        assert_eq!([0, 8].map(|count| last(Order::Oldest, count)), [None, None]);
    }
}
