//! The first traces of a block where many rows match: rows with the best starts of all come first, and only of these
//! it is asked whether they match.
//!
//! ```text
//! starts of all rows ──▶ the best ones (kept) ──▶ those that match ──▶ their traces; too few: all rows are asked instead
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use siltstone_ask::{Filter, Window};
use siltstone_format::block::parts::Parts;
use siltstone_format::block::read::GroupRows;
use siltstone_format::id::TraceId;

use crate::cache::OpenedBlock;
use crate::hidden::HiddenHere;
use crate::matching::Wanted;
use crate::querier::{Query, QueryError};
use crate::rank::Order;
use crate::scan::{PARALLEL_GROUPS, exact_runs_of};

/// Rows of a block that are looked at for each trace that is wanted: so few that it costs little if they do not match.
const BEST_ROWS_FOR_A_TRACE: usize = 128;
/// So many more of each piece: chance does not spread rows evenly.
const SPARE_ROWS: usize = 64;

/// No larger share of a block's rows is looked at that way: all rows take a step less.
const LARGEST_SHARE: f64 = 1.0 / 16.0;

impl Query<'_> {
    /// Matching rows among those with the best starts of all: where many rows match, these are enough, and nothing
    /// else is asked of the others. Nothing if they are too few traces.
    pub(crate) async fn among_best_starts(
        &self,
        block: &Arc<OpenedBlock>,
        wanted: &Wanted,
        order: Order,
        traces: usize,
        hidden: &HiddenHere,
    ) -> Result<Option<Vec<(TraceId, u64)>>, QueryError> {
        let share = traces.saturating_mul(BEST_ROWS_FOR_A_TRACE) as f64 / block.spans.rows() as f64;
        if share > LARGEST_SHARE {
            return Ok(None);
        }
        let groups = self.best_starts_of_block(block, wanted.window, order, traces, share).await?;
        // Of all rows before it none was left out.
        let end = groups.iter().flat_map(|(_, pieces)| pieces).map(|piece| piece.end).min();
        let is_before = |start: u64| end.is_none_or(|end| order.rank_of_start(start) < end);
        let reads: Vec<_> = groups
            .iter()
            .map(|(group, pieces)| {
                let rows = pieces.iter().flat_map(|piece| &piece.rows);
                let mut rows: Vec<usize> =
                    rows.filter(|(start, _)| is_before(*start)).map(|(_, row)| *row as usize).collect();
                rows.sort_unstable();
                self.matching_among(block, exact_runs_of(rows.into_iter(), *group), *group, wanted)
            })
            .collect();
        let found: Vec<Vec<_>> = stream::iter(reads).buffered(PARALLEL_GROUPS).try_collect().await?;
        let mut found = found.concat();
        // Rows between those that were asked for may have come along.
        found.retain(|(trace, start)| is_before(*start) && !hidden.hides(trace, *start));
        let distinct = found.iter().map(|(trace, _)| *trace).collect::<HashSet<_>>().len();
        let are_all = end.is_none_or(|end| end == i128::MAX);
        Ok((are_all || distinct >= traces).then_some(found))
    }

    /// Rows of a block that start in the window, a share of them, the first in this order. Those of all rows are kept.
    async fn best_starts_of_block(
        &self,
        block: &Arc<OpenedBlock>,
        window: Window,
        order: Order,
        traces: usize,
        share: f64,
    ) -> Result<Arc<OfGroups>, QueryError> {
        let mut starts = block.spans.groups().map(|group| block.spans.starts_of(group.group));
        let is_of_all = starts.all(|starts| {
            starts.is_some_and(|(first, last)| window.contains(first) && window.contains(last))
        });
        if let Some(kept) = block.best_starts.get((order, traces)).filter(|_| is_of_all) {
            return Ok(kept);
        }
        let groups = block.spans.groups();
        let reads: Vec<_> =
            groups.map(|group| self.best_starts(block, group, window, order, share)).collect();
        let found = stream::iter(reads).buffered(PARALLEL_GROUPS).try_collect().await.map(Arc::new)?;
        if is_of_all {
            block.best_starts.keep((order, traces), &found);
        }
        Ok(found)
    }

    /// Rows of a group that start in the window, a share of them, the first in this order, piece by piece. Rows lie
    /// in the order of their traces' ids, so that about as many of the first of all are in any piece.
    async fn best_starts(
        &self,
        block: &Arc<OpenedBlock>,
        group: GroupRows,
        window: Window,
        order: Order,
        share: f64,
    ) -> Result<(usize, Vec<BestStarts>), QueryError> {
        let number = group.group;
        let starts = block.spans.starts_of(number);
        if starts.is_some_and(|(first, last)| !window.overlaps(first, last)) {
            return Ok((number, Vec::new()));
        }
        self.cost.scanned(group.rows.len());
        let parts = Parts { starts: true, ..Parts::default() };
        let pieces = self.read_pieces(block, vec![group], parts, move |read, columns| {
            let first = read.first().map_or(0, |run| run.rows.start);
            let starts = columns.starts.iter().map(|start| start.cast_unsigned());
            let rows = starts.zip(first as u32..).filter(|(start, _)| window.contains(*start));
            let expected = share * columns.len() as f64;
            Ok(BestStarts::of(rows, order, (2.0 * expected) as usize + SPARE_ROWS))
        });
        Ok((number, pieces.await?))
    }

    /// Traces and starts of those of some rows that match.
    async fn matching_among(
        &self,
        block: &Arc<OpenedBlock>,
        among: Vec<GroupRows>,
        group: usize,
        wanted: &Wanted,
    ) -> Result<Vec<(TraceId, u64)>, QueryError> {
        let window = wanted.window;
        let worth = self.worth_reading_among(block, group, among, &wanted.filter, window).await?;
        let parts = Parts { starts: true, trace_ids: true, ..worth.parts() };
        let pieces = self.read_pieces(block, worth.runs(), parts, move |read, columns| {
            let rows = worth.matching(read, &columns, window)?;
            let found = rows.iter().map(|row| (columns.trace_ids[row], columns.starts[row].cast_unsigned()));
            Ok(found.collect::<Vec<_>>())
        });
        Ok(pieces.await?.concat())
    }
}

/// Many rows of a block are likely to match: what is asked is about columns of few values, if about any.
pub(crate) fn is_often_matched(block: &OpenedBlock, filter: &Filter) -> bool {
    let narrowing = filter.narrowing();
    // For these, traces are read whole.
    !filter.parts().parents
        && block.spans.groups().all(|group| narrowing.is_of_few_values(&block.spans, group.group))
}

/// By group and piece.
type OfGroups = Vec<(usize, Vec<BestStarts>)>;

/// The best starts of all rows of a block, by order and number of traces: whatever is asked of rows, they are the same.
#[derive(Debug, Default)]
pub(crate) struct KeptBestStarts(Mutex<HashMap<(Order, usize), Arc<OfGroups>>>);

impl KeptBestStarts {
    /// People ask for one number of traces or another, and mostly for the newest.
    const MOST: usize = 4;
    /// What is kept of one. More is so many traces that reading the starts again is the smaller part.
    const MOST_BYTES: usize = 512 << 10;

    fn get(&self, of: (Order, usize)) -> Option<Arc<OfGroups>> {
        self.kept().get(&of).cloned()
    }

    fn keep(&self, of: (Order, usize), found: &Arc<OfGroups>) {
        let mut kept = self.kept();
        if bytes_of(found) > Self::MOST_BYTES || kept.contains_key(&of) {
            return;
        }
        if kept.len() >= Self::MOST {
            kept.clear();
        }
        kept.insert(of, Arc::clone(found));
    }

    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.kept().values().map(|groups| bytes_of(groups)).sum()
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<(Order, usize), Arc<OfGroups>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes_of(groups: &OfGroups) -> usize {
    let pieces = groups.iter().flat_map(|(_, pieces)| pieces);
    pieces.map(|piece| size_of::<BestStarts>() + piece.rows.capacity() * size_of::<(u64, u32)>()).sum()
}

/// Rows of a piece that come first in an order.
#[derive(Debug)]
struct BestStarts {
    /// With their starts.
    rows: Vec<(u64, u32)>,
    /// The first rank of which rows may have been left out; the last of all if none were.
    end: i128,
}

impl BestStarts {
    /// About so many of these rows.
    fn of(rows: impl Iterator<Item = (u64, u32)>, order: Order, most: usize) -> Self {
        // As ranks, but shorter.
        let key = |start: u64| if order == Order::Oldest { start } else { !start };
        let mut first: Vec<(u64, u32)> = Vec::new();
        let mut last = None;
        for (start, row) in rows {
            if last.is_some_and(|last| key(start) >= key(last)) {
                continue;
            }
            first.push((start, row));
            if first.len() > most.saturating_mul(2) {
                last = Some(first.select_nth_unstable_by_key(most, |(start, _)| key(*start)).1.0);
                first.truncate(most);
            }
        }
        first.shrink_to_fit();
        Self { rows: first, end: last.map_or(i128::MAX, |last| order.rank_of_start(last)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_leave_out_no_row_before_the_end() {
        let rows: Vec<(u64, u32)> = (0..1_000u64).map(|row| row * 7_919 % 101).zip(0..).collect();
        for order in [Order::Oldest, Order::Newest] {
            for most in [0, 1, 10, 300, 499, 500, 5_000] {
                let best = BestStarts::of(rows.iter().copied(), order, most);
                let is_before = |(start, _): &&(u64, u32)| order.rank_of_start(*start) < best.end;
                let mut found: Vec<_> = best.rows.iter().filter(is_before).copied().collect();
                found.sort_unstable_by_key(|(_, row)| *row);
                let right: Vec<_> = rows.iter().filter(is_before).copied().collect();
                assert_eq!(found, right, "{order:?} {most}");
                // Ten rows have each start.
                let is_enough = found.len() + 10 >= most.min(rows.len());
                assert!(is_enough && (best.end == i128::MAX) == (2 * most >= rows.len()), "{order:?} {most}");
            }
        }
    }
}
