//! How many values each attribute has in a file: what decides which get a column when blocks are merged.

use std::ops::Range;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::choose::AttributeCounts;
use super::error::ReadError;
use super::ranges::Fetched;
use super::read::{GroupRows, Pick, SpansFile};
use super::rows::text;
use super::schema::Fixed;
use crate::columns::dictionary::Dictionary;
use crate::value::ValueType;

impl SpansFile {
    /// Counts the attributes that have a column of their own: the metadata tells.
    pub fn count_columns(&self, counts: &mut AttributeCounts) {
        for (number, (kind, key)) in (Fixed::ALL.len()..).zip(self.attributes()) {
            for group in self.metadata().row_groups() {
                let chunk = group.column(number);
                let rows = chunk.num_values().unsigned_abs();
                let nulls = chunk.statistics().and_then(|statistics| statistics.null_count_opt());
                counts.add(key, *kind, rows.saturating_sub(nulls.unwrap_or(0)));
            }
        }
    }

    /// The ranges that counting the other attributes of a row group needs.
    pub fn overflow_key_ranges(&self, group: usize) -> Vec<Range<u64>> {
        let all = [GroupRows { group, rows: 0..self.group_rows(group) }];
        let leaves = self.overflow_key_leaves().filter(|leaf| !self.is_empty(group, *leaf));
        leaves.flat_map(|leaf| self.column_ranges(leaf, &all).collect::<Vec<_>>()).collect()
    }

    /// Counts the attributes of a row group that have no column.
    pub fn count_overflow(
        &self,
        group: usize,
        fetched: &Fetched,
        counts: &mut AttributeCounts,
    ) -> Result<(), ReadError> {
        let all = [GroupRows { group, rows: 0..self.group_rows(group) }];
        let pick = Pick { group, parts: &all, base: 0 };
        let mut texts = Dictionary::default();
        let mut numbers: [Vec<u32>; 2] = Default::default();
        for (leaf, numbers) in self.overflow_key_leaves().zip(&mut numbers) {
            self.read_list(pick, leaf, fetched, |entry| {
                if let Some(value) = entry.value {
                    let number = texts.intern(text(Some(value))?);
                    numbers.push(number.map_err(|_| "a key or type that is no text")?);
                }
                Ok(())
            })?;
        }
        let mut found: HashMap<(u32, u32), u64, foldhash::fast::RandomState> = HashMap::default();
        let [keys, types] = numbers;
        for pair in keys.into_iter().zip(types) {
            match found.entry(pair) {
                Entry::Occupied(mut count) => *count.get_mut() += 1,
                Entry::Vacant(new) => drop(new.insert(1)),
            }
        }
        for ((key, kind), values) in found {
            if let Ok(kind) = ValueType::from_name(texts.get(kind)) {
                counts.add(texts.get(key), kind, values);
            }
        }
        Ok(())
    }

    /// The leaves of keys and types.
    fn overflow_key_leaves(&self) -> Range<usize> {
        let first = self.lists.overflow.start;
        first..first + 2
    }
}
