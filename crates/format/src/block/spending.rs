//! What the bytes of a spans file are spent on: its metadata tells, and the keys of attributes that have no column.

use std::collections::BTreeMap;
use std::ops::Range;

use parquet::file::metadata::ColumnChunkMetaData;

use super::error::{ReadError, Wrong};
use super::ranges::Fetched;
use super::read::{GroupRows, Pick, SpansFile};
use super::rows::text;
use super::schema::Fixed;
use crate::columns::dictionary::Dictionary;

/// A part of spans that has bytes of its own in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpansPart<'a> {
    /// A column that is always there, by its name.
    Column(&'a str),
    /// A column of the attribute with this key: it has one for each type of its values.
    Attribute(&'a str),
    /// Attributes that have no column, in one list.
    Overflow,
    Events,
    Links,
    /// Page indexes and footer.
    Metadata,
}

/// What one part takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Compressed, as they lie in the store.
    pub bytes: u64,
    /// How often it is there: of most parts once a span at most.
    pub values: u64,
}

impl SpansFile {
    /// Every byte of a file that has so many, by what it is spent on. A part may be there several times.
    pub fn spending(&self, file_bytes: u64) -> Result<Vec<(SpansPart<'_>, Spent)>, ReadError> {
        let mut parts = Vec::new();
        let fixed = Fixed::ALL.len();
        for column in 0..self.lists.links.end {
            let part = match column {
                column if column < fixed => SpansPart::Column(self.column_name(column)),
                column if column < self.lists.overflow.start => {
                    SpansPart::Attribute(&self.attributes[column - fixed].1)
                }
                column if self.lists.overflow.contains(&column) => SpansPart::Overflow,
                column if self.lists.events.contains(&column) => SpansPart::Events,
                _ => SpansPart::Links,
            };
            // All leaves of a list have as many values as its first one.
            let leads = [&self.lists.overflow, &self.lists.events, &self.lists.links]
                .iter()
                .all(|list| !list.contains(&column) || list.start == column);
            let mut spent = Spent::default();
            for group in self.metadata().row_groups() {
                let chunk = group.column(column);
                let bytes = u64::try_from(chunk.compressed_size()).map_err(|_| self.too_large())?;
                spent.bytes = spent.bytes.saturating_add(bytes);
                spent.values += if leads { values_of(chunk) } else { 0 };
            }
            parts.push((part, spent));
        }
        let columns = parts.iter().fold(0u64, |sum, (_, spent)| sum.saturating_add(spent.bytes));
        let bytes = file_bytes.checked_sub(columns).ok_or_else(|| self.too_large())?;
        parts.push((SpansPart::Metadata, Spent { bytes, values: 0 }));
        Ok(parts)
    }

    /// The ranges that [`Self::spilled_keys`] needs.
    pub fn spilled_keys_ranges(&self, group: usize) -> Vec<Range<u64>> {
        let (leaf, all) = (self.lists.overflow.start, self.all_rows(group));
        match self.is_empty(group, leaf) {
            true => Vec::new(),
            false => self.column_ranges(leaf, &all).collect(),
        }
    }

    /// How often each key is there among the attributes of a row group that have no column.
    pub fn spilled_keys(&self, group: usize, fetched: &Fetched) -> Result<BTreeMap<String, u64>, ReadError> {
        let all = self.all_rows(group);
        let pick = Pick { group, parts: &all, base: 0 };
        let mut keys = Dictionary::default();
        let mut counts: Vec<u64> = Vec::new();
        self.read_list(pick, self.lists.overflow.start, fetched, |entry| {
            let Some(value) = entry.value else { return Ok(()) };
            let number = keys.intern(text(Some(value))?).map_err(|_| "a key that is no text")? as usize;
            counts.resize(counts.len().max(number + 1), 0);
            counts[number] += 1;
            Ok(())
        })?;
        let numbered = (0..).zip(counts);
        Ok(numbered.map(|(number, count)| (keys.get(number).to_owned(), count)).collect())
    }

    fn all_rows(&self, group: usize) -> [GroupRows; 1] {
        [GroupRows { group, rows: 0..self.group_rows(group) }]
    }

    fn column_name(&self, column: usize) -> &str {
        self.metadata().file_metadata().schema_descr().columns()[column].name()
    }

    fn too_large(&self) -> ReadError {
        ReadError::new(&self.object, Wrong::Damaged("its columns have more bytes than the file"))
    }
}

fn values_of(chunk: &ColumnChunkMetaData) -> u64 {
    let nulls = chunk.statistics().and_then(|statistics| statistics.null_count_opt());
    chunk.num_values().unsigned_abs().saturating_sub(nulls.unwrap_or(0))
}
