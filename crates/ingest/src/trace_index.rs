//! Which rows of some columns belong to a trace: chains of rows, one for each bucket of a seeded hash.
//!
//! A row costs four bytes and one write to a table that fits a cache; a lookup walks one chain and compares
//! ids. Rows are only ever added.

use std::hash::BuildHasher;
use std::iter::successors;

use foldhash::fast::RandomState;
use siltstone_format::id::TraceId;

const NOBODY: u32 = u32::MAX;
const FIRST_BUCKETS: usize = 1 << 8;
/// Rows of one bucket on average before the table doubles.
const LONGEST_CHAIN: usize = 8;

#[derive(Default)]
pub(crate) struct TraceIndex {
    /// The newest row of each bucket.
    newest: Vec<u32>,
    /// For each row, the next older one of its bucket.
    older: Vec<u32>,
    seed: RandomState,
}

impl TraceIndex {
    /// Adds the rows that came since.
    pub(crate) fn extend(&mut self, traces: &[TraceId]) {
        let from = self.older.len();
        if traces.len() > self.newest.len() * LONGEST_CHAIN {
            let buckets = (traces.len() / LONGEST_CHAIN * 2).next_power_of_two().max(FIRST_BUCKETS);
            self.newest = vec![NOBODY; buckets];
            self.older.clear();
            self.chain(traces, 0);
        } else {
            self.chain(traces, from);
        }
    }

    fn chain(&mut self, traces: &[TraceId], from: usize) {
        self.older.reserve(traces.len() - from);
        for (row, trace) in traces.iter().enumerate().skip(from) {
            let bucket = self.bucket(trace);
            self.older.push(self.newest[bucket]);
            self.newest[bucket] = row as u32;
        }
    }

    /// Rows of a trace, newest first. `traces` are those that the index was made of.
    pub(crate) fn rows(&self, traces: &[TraceId], trace: &TraceId) -> impl Iterator<Item = u32> {
        let exists = |row: u32| (row != NOBODY).then_some(row);
        let newest = if self.newest.is_empty() { NOBODY } else { self.newest[self.bucket(trace)] };
        let chain = successors(exists(newest), move |row| exists(self.older[*row as usize]));
        chain.filter(move |row| traces[*row as usize] == *trace)
    }

    /// Room for so many times the rows that there are.
    pub(crate) fn make_room(&mut self, times: usize) {
        self.older.reserve_exact(self.older.len().saturating_mul(times.saturating_sub(1)));
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        (self.newest.len() + self.older.len()) * size_of::<u32>()
    }

    fn bucket(&self, trace: &TraceId) -> usize {
        self.seed.hash_one(trace.0) as usize & (self.newest.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_find_all_rows_of_a_trace_and_no_other_while_it_grows() {
        let mut index = TraceIndex::default();
        let mut traces: Vec<TraceId> = Vec::new();
        assert_eq!(index.rows(&traces, &TraceId([1; 16])).next(), None);
        for step in 0..300u32 {
            // Traces of different lengths, mixed; some steps add nothing.
            traces.extend((0..step % 40).map(|row| TraceId(u128::from(row * step % 97).to_be_bytes())));
            index.extend(&traces);
        }
        for number in 0..100u128 {
            let trace = TraceId(number.to_be_bytes());
            let expected: Vec<u32> =
                (0..traces.len() as u32).rev().filter(|row| traces[*row as usize] == trace).collect();
            assert_eq!(index.rows(&traces, &trace).collect::<Vec<_>>(), expected, "{number}");
        }
        assert!(index.memory_bytes() < traces.len() * 16);
    }
}
