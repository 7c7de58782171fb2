//! Bytes that the caller fetched, and which belong where.

use std::ops::Range;

use bytes::Bytes;

use super::error::Wrong;
use super::opened::{OpenedPage, PageSlot};

/// Parts of one object, as fetched; they may hold more than was asked for.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// Ascending by offset.
    parts: Vec<(u64, FetchedPart)>,
}

/// A part of an object.
#[derive(Clone, Debug)]
pub enum FetchedPart {
    /// As it is stored.
    Stored(Bytes),
    /// One page as it is stored. Whoever opens it leaves it there.
    Page(Bytes, PageSlot),
    /// One page that was opened before.
    Opened(OpenedPage),
}

/// One page, however it was fetched.
#[derive(Debug)]
pub(crate) enum Page {
    Stored(Bytes, Option<PageSlot>),
    Opened(OpenedPage),
}

impl Fetched {
    /// A whole object.
    pub fn whole(bytes: Bytes) -> Self {
        Self::of(vec![(0, FetchedPart::Stored(bytes))])
    }

    /// Parts in any order, each with its offset.
    pub fn of(mut parts: Vec<(u64, FetchedPart)>) -> Self {
        parts.sort_by_key(|(offset, _)| *offset);
        Self { parts }
    }

    pub fn add(&mut self, offset: u64, bytes: Bytes) {
        let at = self.parts.partition_point(|part| part.0 <= offset);
        self.parts.insert(at, (offset, FetchedPart::Stored(bytes)));
    }

    /// Where pages are left that somebody opens, each with its offset.
    pub fn slots(&self) -> Vec<(u64, PageSlot)> {
        let slots = self.parts.iter().filter_map(|(offset, part)| match part {
            FetchedPart::Page(_, slot) => Some((*offset, PageSlot::clone(slot))),
            FetchedPart::Stored(_) | FetchedPart::Opened(_) => None,
        });
        slots.collect()
    }

    /// The stored bytes of a range, if one part holds all of it.
    pub(crate) fn get(&self, range: &Range<u64>) -> Result<Bytes, Wrong> {
        match self.page(range)? {
            Page::Stored(bytes, _) => Ok(bytes),
            Page::Opened(_) => Err(Wrong::MissingRange { start: range.start, end: range.end }),
        }
    }

    /// The page that is stored in a range, if one part holds all of it.
    pub(crate) fn page(&self, range: &Range<u64>) -> Result<Page, Wrong> {
        let missing = || Wrong::MissingRange { start: range.start, end: range.end };
        if range.start > range.end {
            return Err(Wrong::Damaged("a page that ends before it begins"));
        }
        let before = self.parts.partition_point(|part| part.0 <= range.start);
        let parts = self.parts[..before].iter().rev();
        parts
            .filter_map(|(offset, part)| part.page(range.start - offset..range.end - offset))
            .next()
            .ok_or_else(missing)
    }
}

impl FetchedPart {
    /// The page in a range of this part.
    fn page(&self, range: Range<u64>) -> Option<Page> {
        let holds = |bytes: &Bytes| range.end <= bytes.len() as u64;
        let slice = |bytes: &Bytes| bytes.slice(range.start as usize..range.end as usize);
        match self {
            Self::Stored(bytes) => holds(bytes).then(|| Page::Stored(slice(bytes), None)),
            Self::Page(bytes, slot) => {
                // A slot is for the whole part.
                let slot = (range == (0..bytes.len() as u64)).then(|| PageSlot::clone(slot));
                holds(bytes).then(|| Page::Stored(slice(bytes), slot))
            }
            Self::Opened(page) => (range == (0..page.stored_bytes())).then(|| Page::Opened(page.clone())),
        }
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

    #[test]
    fn should_give_a_page_that_was_opened_for_exactly_its_range() {
        let page = OpenedPage::new(3, 10, b"body");
        let slot = PageSlot::default();
        let stored = FetchedPart::Page(Bytes::from_static(b"01234"), PageSlot::clone(&slot));
        let fetched = Fetched::of(vec![(50, FetchedPart::Opened(page)), (20, stored)]);
        assert!(matches!(fetched.page(&(50..60)), Ok(Page::Opened(_))));
        assert!(fetched.page(&(50..59)).is_err());
        assert!(fetched.get(&(50..60)).is_err());
        assert!(matches!(fetched.page(&(20..25)), Ok(Page::Stored(_, Some(_)))));
        assert!(matches!(fetched.page(&(20..24)), Ok(Page::Stored(_, None))));
        assert_eq!(fetched.slots().len(), 1);
    }
}
