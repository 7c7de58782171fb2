//! Bytes that the caller fetched, and which belong where.

use std::ops::Range;

use bytes::Bytes;

use super::error::Wrong;

/// Parts of one object, as fetched; they may hold more than was asked for.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// Ascending by offset.
    parts: Vec<(u64, Bytes)>,
}

impl Fetched {
    /// A whole object.
    pub fn whole(bytes: Bytes) -> Self {
        Self { parts: vec![(0, bytes)] }
    }

    /// Parts in any order, each with its offset.
    pub fn of(mut parts: Vec<(u64, Bytes)>) -> Self {
        parts.sort_by_key(|(offset, _)| *offset);
        Self { parts }
    }

    pub fn add(&mut self, offset: u64, bytes: Bytes) {
        let at = self.parts.partition_point(|part| part.0 <= offset);
        self.parts.insert(at, (offset, bytes));
    }

    /// The bytes of a range, if one part holds all of it.
    pub(crate) fn get(&self, range: &Range<u64>) -> Result<Bytes, Wrong> {
        let missing = || Wrong::MissingRange { start: range.start, end: range.end };
        if range.start > range.end {
            return Err(Wrong::Damaged("a page that ends before it begins"));
        }
        let before = self.parts.partition_point(|part| part.0 <= range.start);
        self.parts[..before]
            .iter()
            .rev()
            .find_map(|(offset, bytes)| {
                let (start, end) = (range.start - offset, range.end - offset);
                (end <= bytes.len() as u64).then(|| bytes.slice(start as usize..end as usize))
            })
            .ok_or_else(missing)
    }
}

/// Joins ranges whose gap costs less to read than another request.
pub fn coalesce(mut ranges: Vec<Range<u64>>, largest_gap: u64) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(largest_gap) => {
                last.end = last.end.max(range.end)
            }
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_join_ranges_over_small_gaps_only() {
        assert_eq!(coalesce(vec![30..40, 0..10, 12..20, 15..18], 2), [0..20, 30..40]);
        assert_eq!(coalesce(vec![], 2), []);
    }

    #[test]
    fn should_find_a_range_within_any_part_that_holds_it() {
        let mut fetched = Fetched::default();
        fetched.add(100, Bytes::from_static(b"0123456789"));
        fetched.add(105, Bytes::from_static(b"567"));
        assert_eq!(fetched.get(&(106..110)).unwrap(), "6789");
        assert!(fetched.get(&(99..101)).is_err());
        assert!(fetched.get(&(109..111)).is_err());
    }
}
