//! A set of rows, one bit for each.

use std::ops::Range;

/// Some of the rows of columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Bits behind the last row are zero.
    words: Vec<u64>,
    len: usize,
}

const BITS: usize = u64::BITS as usize;

impl Rows {
    /// None of so many rows.
    pub fn none(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(BITS)], len }
    }

    /// All of so many rows.
    pub fn all(len: usize) -> Self {
        let mut words = vec![u64::MAX; len.div_ceil(BITS)];
        if let (Some(last), rest @ 1..) = (words.last_mut(), len % BITS) {
            *last = (1 << rest) - 1;
        }
        Self { words, len }
    }

    /// Of how many rows these are some.
    pub fn of(&self) -> usize {
        self.len
    }

    /// How many rows these are.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    #[inline]
    pub fn contains(&self, row: usize) -> bool {
        self.words.get(row / BITS).is_some_and(|word| word >> (row % BITS) & 1 == 1)
    }

    /// Adds a row; one that is not there is left out.
    #[inline]
    pub fn insert(&mut self, row: usize) {
        if row < self.len {
            self.words[row / BITS] |= 1 << (row % BITS);
        }
    }

    /// Adds rows; those that are not there are left out.
    pub fn insert_all(&mut self, rows: Range<usize>) {
        let (mut start, end) = (rows.start, rows.end.min(self.len));
        while start < end {
            let (word, shift) = (start / BITS, start % BITS);
            let count = (BITS - shift).min(end - start);
            self.words[word] |= (u64::MAX >> (BITS - count)) << shift;
            start += count;
        }
    }

    /// Takes a row out.
    #[inline]
    pub fn remove(&mut self, row: usize) {
        if row < self.len {
            self.words[row / BITS] &= !(1 << (row % BITS));
        }
    }

    /// The rows that are here and there.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        self.zip(other, |one, other| one & other)
    }

    /// The rows that are here or there.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        self.zip(other, |one, other| one | other)
    }

    /// The rows that are here and not there.
    #[must_use]
    pub fn and_not(self, other: &Self) -> Self {
        self.zip(other, |one, other| one & !other)
    }

    /// The rows that are not here.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self::all(self.len).and_not(self)
    }

    /// The rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let words = self.words.iter().enumerate();
        words.flat_map(|(index, word)| bits(*word).map(move |bit| index * BITS + bit))
    }

    /// Those of some runs of rows, by their places when only these runs stand one behind the other.
    #[must_use]
    pub fn within(&self, runs: impl Iterator<Item = Range<usize>>) -> Self {
        let mut within = Self { words: Vec::new(), len: 0 };
        for run in runs {
            for start in run.clone().step_by(BITS) {
                within.push(self.word_from(start), BITS.min(run.end - start));
            }
        }
        within
    }

    /// As many rows as a word has bits, from one on.
    fn word_from(&self, row: usize) -> u64 {
        let word = |index: usize| self.words.get(index).copied().unwrap_or(0);
        match (row / BITS, row % BITS) {
            (index, 0) => word(index),
            (index, shift) => word(index) >> shift | word(index + 1) << (BITS - shift),
        }
    }

    /// Appends rows, of which a bit each says whether they are among these.
    fn push(&mut self, bits: u64, count: usize) {
        let bits = if count < BITS { bits & ((1 << count) - 1) } else { bits };
        match (self.words.last_mut(), self.len % BITS) {
            (Some(last), shift @ 1..) => {
                *last |= bits << shift;
                if shift + count > BITS {
                    self.words.push(bits >> (BITS - shift));
                }
            }
            _ => self.words.push(bits),
        }
        self.len += count;
    }

    /// Whether these are all rows.
    pub fn is_all(&self) -> bool {
        self.count() == self.len
    }

    /// Those of these rows for which the test holds.
    pub(crate) fn filter(&self, mut test: impl FnMut(usize) -> bool) -> Self {
        let words = self.words.iter().enumerate().map(|(index, word)| {
            let mut keep = |bit| u64::from(test(index * BITS + bit)) << bit;
            match *word {
                // A loop without searching for bits.
                u64::MAX => (0..BITS).fold(0, |kept, bit| kept | keep(bit)),
                some => bits(some).fold(0, |kept, bit| kept | keep(bit)),
            }
        });
        Self { words: words.collect(), len: self.len }
    }

    fn zip(mut self, other: &Self, join: impl Fn(u64, u64) -> u64) -> Self {
        debug_assert_eq!(self.len, other.len, "rows of other columns");
        self.words.iter_mut().zip(&other.words).for_each(|(one, other)| *one = join(*one, *other));
        self
    }
}

/// The places of ones, ascending.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (word != 0).then(|| word.trailing_zeros() as usize);
        word &= word.wrapping_sub(1);
        lowest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(step: usize, len: usize) -> Rows {
        let mut rows = Rows::none(len);
        (0..len).step_by(step).for_each(|row| rows.insert(row));
        rows
    }

    #[test]
    fn should_know_all_and_none_of_any_number_of_rows() {
        for len in [0, 1, 63, 64, 65, 128, 200] {
            assert_eq!((Rows::all(len).count(), Rows::none(len).count()), (len, 0));
            assert_eq!(Rows::all(len), every(1, len));
            assert_eq!(Rows::none(len).complement(), Rows::all(len));
            assert_eq!(Rows::all(len).is_empty(), len == 0);
            assert!(!Rows::all(len).contains(len));
        }
    }

    #[test]
    fn should_join_as_sets_do() {
        for len in [0, 63, 64, 130] {
            let (twos, threes) = (every(2, len), every(3, len));
            for (joined, naive) in [
                (twos.clone().and(&threes), (|row| row % 6 == 0) as fn(usize) -> bool),
                (twos.clone().or(&threes), |row| row % 2 == 0 || row % 3 == 0),
                (twos.clone().and_not(&threes), |row| row % 2 == 0 && row % 3 != 0),
                (twos.complement(), |row| row % 2 == 1),
                (twos.filter(|row| row > 2), |row| row % 2 == 0 && row > 2),
                (Rows::all(len).filter(|row| row % 5 == 1), |row| row % 5 == 1),
            ] {
                let expected: Vec<usize> = (0..len).filter(|row| naive(*row)).collect();
                assert_eq!(joined.iter().collect::<Vec<_>>(), expected);
                assert_eq!(joined.count(), expected.len());
                assert!((0..len).all(|row| joined.contains(row) == naive(row)));
            }
        }
    }

    #[test]
    fn should_know_its_rows_within_any_runs() {
        let threes = every(3, 500);
        for runs in [
            vec![],
            vec![0..0, 0..500],
            vec![64..128, 128..128],
            vec![7..8, 8..8],
            vec![3..67, 70..70, 100..101, 130..258, 499..500],
            vec![1..64, 65..129, 200..330],
        ] {
            let rows: Vec<usize> = runs.iter().cloned().flatten().collect();
            let mut expected = Rows::none(rows.len());
            let found = rows.iter().enumerate().filter(|(_, row)| threes.contains(**row));
            found.for_each(|(place, _)| expected.insert(place));
            assert_eq!(threes.within(runs.iter().cloned()), expected, "{runs:?}");
        }
    }

    #[test]
    fn should_add_all_of_any_run() {
        for run in [0..0, 0..64, 3..5, 63..65, 60..200, 64..128, 199..300, 250..260] {
            let mut rows = every(3, 200);
            rows.insert_all(run.clone());
            let expected: Vec<usize> = (0..200).filter(|row| row % 3 == 0 || run.contains(row)).collect();
            assert_eq!(rows.iter().collect::<Vec<_>>(), expected, "{run:?}");
        }
    }

    #[test]
    fn should_add_and_take_out_only_rows_that_are_there() {
        let mut rows = Rows::none(65);
        for row in [0, 64, 65, 127, 1000] {
            rows.insert(row);
        }
        assert_eq!(rows.iter().collect::<Vec<_>>(), [0, 64]);
        for row in [0, 1, 65, 1000] {
            rows.remove(row);
        }
        assert_eq!(rows.iter().collect::<Vec<_>>(), [64]);
    }
}
