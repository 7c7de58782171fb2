//! A range of time: from `start`, inclusive, to `end`, exclusive.

/// Nanoseconds since 1970. A window whose end is not after its start is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    pub start: u64,
    pub end: u64,
}

impl Window {
    /// Holds every time that a span may start at.
    pub const ALL: Self = Self { start: 0, end: u64::MAX };

    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    pub fn contains(self, unix_nano: u64) -> bool {
        self.start <= unix_nano && unix_nano < self.end
    }

    /// Whether some time from `first` to `last`, both inclusive, lies in the window.
    pub fn overlaps(self, first: u64, last: u64) -> bool {
        first <= last && first.max(self.start) <= last && first.max(self.start) < self.end
    }

    /// The times that lie in both.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self { start: self.start.max(other.start), end: self.end.min(other.end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_include_the_start_and_exclude_the_end() {
        let window = Window { start: 10, end: 20 };
        assert_eq!([9, 10, 19, 20].map(|time| window.contains(time)), [false, true, true, false]);
        assert!(Window::ALL.contains(0) && Window::ALL.contains(i64::MAX as u64));
    }

    #[test]
    fn should_overlap_exactly_the_ranges_that_hold_one_of_its_times() {
        for (start, end) in [(3, 6), (3, 3), (6, 3), (0, 1), (3, 4)] {
            let window = Window { start, end };
            for first in 0..8 {
                for last in 0..8 {
                    let naive = (first..=last).any(|time| window.contains(time));
                    assert_eq!(window.overlaps(first, last), naive, "{window:?} {first}..={last}");
                }
            }
        }
    }

    #[test]
    fn should_intersect_to_the_times_of_both() {
        let both = Window { start: 1, end: 5 }.intersect(Window { start: 3, end: 9 });
        assert_eq!(both, Window { start: 3, end: 5 });
        assert!(Window { start: 1, end: 2 }.intersect(Window { start: 2, end: 3 }).is_empty());
    }
}
