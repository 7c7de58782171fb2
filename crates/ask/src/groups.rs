//! Rows that say the same in some columns, whose texts and the like have numbers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;

/// A table of places for groups has so many at most, and not many more than there are rows; else places are looked up.
const LARGEST_TABLE: usize = 1 << 20;
const PLACES_OF_ROW: usize = 16;

/// Rows, which ascend, in groups.
#[derive(Clone, Debug)]
pub struct Groups<'a> {
    rows: &'a [u32],
    /// Of each row its group.
    of_rows: Vec<u32>,
    first_rows: Vec<u32>,
}

impl<'a> Groups<'a> {
    /// All in one.
    pub fn of(rows: &'a [u32]) -> Self {
        Self { rows, of_rows: vec![0; rows.len()], first_rows: rows.first().copied().into_iter().collect() }
    }

    /// Cuts each group by a number that every row has.
    pub fn cut(&mut self, number_of: impl Fn(usize) -> u64) {
        let numbers: Vec<u64> = self.rows.iter().map(|row| number_of(*row as usize)).collect();
        let (least, most) = numbers
            .iter()
            .fold((u64::MAX, 0), |(least, most), number| (least.min(*number), most.max(*number)));
        let mut places = Places::new(self.first_rows.len(), most.saturating_sub(least), self.rows.len());
        self.first_rows.clear();
        for ((group, row), number) in self.of_rows.iter_mut().zip(self.rows).zip(numbers) {
            let next = self.first_rows.len() as u32;
            *group = places.place(*group, number - least, next);
            if *group == next {
                self.first_rows.push(*row);
            }
        }
    }

    /// Of each row the number of its group.
    pub fn of_rows(&self) -> &[u32] {
        &self.of_rows
    }

    /// Of each group its first row; they ascend.
    pub fn first_rows(&self) -> &[u32] {
        &self.first_rows
    }
}

/// Which group is meant by one that is cut, and a number.
enum Places {
    Table { width: usize, places: Vec<u32> },
    LookedUp(HashMap<(u32, u64), u32, RandomState>),
}

impl Places {
    const NONE: u32 = u32::MAX;

    fn new(groups: usize, largest: u64, rows: usize) -> Self {
        let most = rows.saturating_mul(PLACES_OF_ROW).min(LARGEST_TABLE);
        let width = usize::try_from(largest).ok().and_then(|largest| largest.checked_add(1));
        let size = width.and_then(|width| Some((width, groups.checked_mul(width)?)));
        match size.filter(|(_, places)| *places <= most) {
            Some((width, places)) => Self::Table { width, places: vec![Self::NONE; places] },
            None => Self::LookedUp(HashMap::default()),
        }
    }

    /// The known one, else the next one.
    fn place(&mut self, group: u32, number: u64, next: u32) -> u32 {
        let place = match self {
            Self::Table { width, places } => &mut places[group as usize * *width + number as usize],
            Self::LookedUp(places) => match places.entry((group, number)) {
                Entry::Occupied(known) => return *known.get(),
                Entry::Vacant(new) => new.insert(Self::NONE),
            },
        };
        if *place == Self::NONE {
            *place = next;
        }
        *place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_group_rows_with_the_same_numbers_in_the_order_of_their_first() {
        let names = [7, 7, 3, 7, 3, 9];
        // In a table, and too far apart for one.
        for kinds in [[1, 2, 1, 1, 1, 1], [u64::MAX, 0, 5, u64::MAX, 5, 5]] {
            let mut all = Groups::of(&[0, 1, 2, 3, 4, 5]);
            all.cut(|row| names[row]);
            all.cut(|row| kinds[row]);
            assert_eq!((all.of_rows(), all.first_rows()), (&[0, 1, 2, 0, 2, 3][..], &[0, 1, 2, 5][..]));
            let mut some = Groups::of(&[1, 2, 4]);
            some.cut(|row| names[row]);
            assert_eq!((some.of_rows(), some.first_rows()), (&[0, 1, 1][..], &[1, 2][..]));
        }
        let mut none = Groups::of(&[]);
        none.cut(|row| names[row]);
        assert!(none.first_rows().is_empty() && none.of_rows().is_empty());
    }
}
