//! Which traces come first.

use std::collections::{BTreeSet, HashMap, HashSet};

use siltstone_format::id::TraceId;

use crate::extent::Extent;

/// Ties go by trace id, ascending, in every order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// By the start of the newest matching span in the window.
    Newest,
    /// By the start of the oldest matching span in the window.
    Oldest,
    /// By the time from the earliest start to the latest end of the whole trace.
    Longest,
}

/// A trace's place in an order: an answer goes on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Smaller comes first.
    pub rank: i128,
    pub trace: TraceId,
}

impl Order {
    pub(crate) fn rank_of_start(self, start: u64) -> i128 {
        match self {
            Self::Oldest => i128::from(start),
            Self::Newest | Self::Longest => -i128::from(start),
        }
    }
}

/// The first traces of an order, of those that were added.
#[derive(Debug)]
pub(crate) struct Ranks {
    order: Order,
    limit: usize,
    after: Option<Position>,
    best: HashMap<TraceId, i128>,
    /// Traces that an earlier answer had: their other spans do not bring them back.
    passed: HashSet<TraceId>,
}

impl Ranks {
    pub(crate) fn new(order: Order, limit: usize, after: Option<Position>) -> Self {
        Self { order, limit, after, best: HashMap::new(), passed: HashSet::new() }
    }

    /// A span of a trace matches.
    pub(crate) fn add(&mut self, trace: TraceId, start: u64) {
        self.add_rank(trace, self.order.rank_of_start(start));
    }

    /// A trace matches that is so long.
    pub(crate) fn add_extent(&mut self, trace: TraceId, extent: Extent) {
        self.add_rank(trace, -extent.nanos());
    }

    fn add_rank(&mut self, trace: TraceId, rank: i128) {
        if self.after.is_some_and(|after| Position { rank, trace } <= after) {
            self.best.remove(&trace);
            self.passed.insert(trace);
        } else if !self.passed.contains(&trace) {
            self.best.entry(trace).and_modify(|best| *best = rank.min(*best)).or_insert(rank);
        }
    }

    /// Forgets traces that are behind more than the limit: only a better span brings them back.
    pub(crate) fn shrink(&mut self) {
        if self.best.len() > self.limit.saturating_add(1).saturating_mul(4) {
            let (first, _) = self.sorted(self.limit.saturating_add(1));
            self.best = first.into_iter().map(|position| (position.trace, position.rank)).collect();
        }
    }

    /// How many traces are remembered because an earlier answer had them.
    pub(crate) fn passed_over(&self) -> usize {
        self.passed.len()
    }

    /// Whether spans that start at this time or behind it, in the order, could change the answer.
    pub(crate) fn may_change(&self, start: u64) -> bool {
        let rank = self.order.rank_of_start(start);
        // Traces that an earlier answer had are known for sure only behind the last one of it.
        if self.after.is_some_and(|after| rank <= after.rank) {
            return true;
        }
        let (first, _) = self.sorted(self.limit.saturating_add(1));
        first.len() <= self.limit || first.last().is_some_and(|last| rank <= last.rank)
    }

    /// The answer, and where to go on if there is more.
    pub(crate) fn first(&self) -> (Vec<Position>, Option<Position>) {
        let (first, is_all) = self.sorted(self.limit);
        let next = if is_all { None } else { first.last().copied() };
        (first, next)
    }

    fn sorted(&self, count: usize) -> (Vec<Position>, bool) {
        let mut first = BTreeSet::new();
        for (trace, rank) in &self.best {
            let position = Position { rank: *rank, trace: *trace };
            if first.len() < count {
                first.insert(position);
            } else if first.last().is_some_and(|last| position < *last) {
                first.pop_last();
                first.insert(position);
            }
        }
        (first.into_iter().collect(), self.best.len() <= count)
    }
}
