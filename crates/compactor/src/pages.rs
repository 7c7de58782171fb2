//! Pages of an input that were read ahead. Windows are small, because columns take ten times what pages take as they
//! are stored; so pages are fetched for several of them at once, and one that is in several windows is opened once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;
use siltstone_format::block::opened::PageSlot;
use siltstone_format::block::ranges::{Fetched, FetchedPart};

/// What was fetched of a row group and is still needed.
#[derive(Default)]
pub(crate) struct Pages {
    /// By where they begin.
    held: BTreeMap<u64, Held>,
}

struct Held {
    /// Nothing once it is opened and another window needs it.
    stored: Bytes,
    opened: PageSlot,
}

impl Pages {
    /// Those of the ranges that are not here.
    pub(crate) fn missing(&self, mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
        ranges.retain(|range| !self.held.contains_key(&range.start));
        ranges
    }

    /// Takes pages out of what was fetched. They are copied: between them lies what nobody needs.
    pub(crate) fn add(&mut self, pages: Vec<Range<u64>>, fetched: &[(u64, Bytes)]) {
        for page in pages {
            let before = fetched.partition_point(|(start, _)| *start <= page.start);
            let Some((start, bytes)) = before.checked_sub(1).and_then(|at| fetched.get(at)) else { continue };
            let within = (page.start - start) as usize..(page.end - start) as usize;
            if let Some(stored) = bytes.get(within) {
                let stored = Bytes::copy_from_slice(stored);
                self.held.insert(page.start, Held { stored, opened: PageSlot::default() });
            }
        }
    }

    /// All of them, for a reader, who leaves in them what it opens.
    pub(crate) fn fetched(&self) -> Fetched {
        let part = |page: &Held| match page.opened.get() {
            Some(opened) => FetchedPart::Opened(opened.clone()),
            None => FetchedPart::Page(page.stored.clone(), PageSlot::clone(&page.opened)),
        };
        Fetched::of(self.held.iter().map(|(start, page)| (*start, part(page))).collect())
    }

    /// Forgets those that are not among the ranges.
    pub(crate) fn keep(&mut self, ranges: &[Range<u64>]) {
        let needed: BTreeSet<u64> = ranges.iter().map(|range| range.start).collect();
        self.held.retain(|start, _| needed.contains(start));
        self.held.values_mut().filter(|page| page.opened.get().is_some()).for_each(|page| {
            page.stored = Bytes::new();
        });
    }

    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_hold_what_was_fetched_until_it_is_not_needed() {
        let mut pages = Pages::default();
        let (first, second, other) = (10..14, 16..20, 30..31);
        let wanted = vec![first.clone(), second.clone(), other.clone()];
        assert_eq!(pages.missing(wanted.clone()), wanted);
        let fetched = [(10, Bytes::from_static(b"0123456789")), (30, Bytes::from_static(b"x"))];
        pages.add(vec![first.clone(), second.clone(), other.clone()], &fetched);
        assert!(pages.missing(wanted).is_empty());
        // A reader finds a slot for each.
        assert_eq!(pages.fetched().slots().len(), 3);
        pages.keep(&[second.clone(), 40..50]);
        assert_eq!(pages.missing(vec![first.clone(), second.clone()]), [first]);
        assert_eq!(pages.held[&16].stored, "6789");
        pages.clear();
        assert_eq!(pages.missing(vec![second.clone()]), [second]);
    }

    #[test]
    fn should_take_no_page_that_was_not_fetched_as_a_whole() {
        let mut pages = Pages::default();
        // Begins before, ends behind, lies elsewhere.
        let wanted = vec![0..2, 9..12, 12..16, 50..51];
        pages.add(wanted.clone(), &[(10, Bytes::from_static(b"01234"))]);
        assert_eq!(pages.missing(wanted.clone()), wanted);
    }
}
