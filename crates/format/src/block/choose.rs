//! Which attributes get a column of their own in a block: chosen from the data.
//!
//! A column costs metadata and a page for each row range; a value in the overflow
//! column costs its key's and type's number and its text. The common ones win, up to
//! a cap that keeps a block's metadata under its bound whatever keys are sent.

use std::cmp::Reverse;

use hashbrown::HashMap;

use super::order::ROW_GROUP_ROWS;
use crate::columns::SpanColumns;
use crate::columns::attributes::{COLUMN_TYPES, ColumnValues};
use crate::value::ValueType;

/// Columns that a block has at most.
pub const MAX_ATTRIBUTE_COLUMNS: usize = 112;

/// Bound on the metadata (page indexes and footer) of a block of any size.
pub const MAX_METADATA_BYTES: usize = 1 << 20;

// Measured, see docs/format.md: what a column adds to the metadata, for each row
// group and for each 8,192 rows, with a name of usual length.
const BYTES_PER_GROUP: u64 = 180;
const BYTES_PER_PAGE: u64 = 14;
/// The same for everything that is always there.
const FIXED_BYTES_PER_GROUP: u64 = 6_000;
const FIXED_BYTES_PER_PAGE: u64 = 1_000;

/// One value in this many rows is worth a column, and a few more for its metadata.
const ROWS_PER_VALUE: u64 = 700;
const LEAST_VALUES: u64 = 16;

/// The attributes that have a column in a block, ascending by key and type, so that equal sets of them give equal
/// schemas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    attributes: Vec<(String, ValueType)>,
}

/// Columns of [`SpanColumns::attributes`] by what becomes of them.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// For each attribute of the layout the column that has its values, if there is one.
    pub(crate) columns: Vec<Option<usize>>,
    pub(crate) spilled: Vec<usize>,
}

/// How many values the attributes of some rows have.
#[derive(Clone, Debug, Default)]
pub struct AttributeCounts {
    /// By the slot of the type.
    counts: [HashMap<String, u64, foldhash::fast::RandomState>; COLUMN_TYPES.len()],
}

/// Attributes that are counted at most: whatever keys are sent, they take little memory.
const MOST_COUNTED: usize = 16 * 1024;

impl Layout {
    /// The layout for a block of all these rows.
    pub(crate) fn of(columns: &SpanColumns) -> Self {
        let mut counts = AttributeCounts::default();
        for column in columns.attributes.iter().filter(|column| !column.rows.is_empty()) {
            let key = columns.keys.name(column.key);
            counts.add(key, column.values.value_type(), column.rows.len() as u64);
        }
        let rows = columns.len() as u64;
        counts.layout(rows, rows)
    }

    pub(crate) fn attributes(&self) -> impl Iterator<Item = (ValueType, &str)> {
        self.attributes.iter().map(|(key, kind)| (*kind, key.as_str()))
    }

    pub(crate) fn choose(&self, columns: &SpanColumns) -> Chosen {
        let mut chosen = Chosen { columns: vec![None; self.attributes.len()], spilled: Vec::new() };
        for (index, column) in columns.attributes.iter().enumerate() {
            let identity = (columns.keys.name(column.key), column.values.value_type());
            let place = self.attributes.binary_search_by(|(key, kind)| (key.as_str(), *kind).cmp(&identity));
            match place {
                _ if column.rows.is_empty() => {}
                Ok(place) => chosen.columns[place] = Some(index),
                Err(_) => chosen.spilled.push(index),
            }
        }
        chosen
    }
}

impl AttributeCounts {
    /// Counts more values; those of types that have no column do not matter.
    pub fn add(&mut self, key: &str, kind: ValueType, values: u64) {
        let Some(slot) = ColumnValues::slot_of(kind) else { return };
        let counts = &mut self.counts[slot];
        if let Some(count) = counts.get_mut(key) {
            *count += values;
        } else if counts.len() < MOST_COUNTED {
            counts.insert(key.to_owned(), values);
        }
    }

    /// The layout for blocks of at most so many rows, made of the rows that were counted.
    pub fn layout(&self, counted_rows: u64, block_rows: u64) -> Layout {
        let worth = LEAST_VALUES.min(counted_rows) + counted_rows / ROWS_PER_VALUE;
        let all = COLUMN_TYPES.into_iter().zip(&self.counts);
        let all = all.flat_map(|(kind, counts)| counts.iter().map(move |(key, count)| (*count, key, kind)));
        let mut common: Vec<_> = all.filter(|(count, ..)| *count >= worth.max(1)).collect();
        // The name breaks ties, so that the choice depends on the spans only.
        common.sort_unstable_by_key(|(count, key, kind)| (Reverse(*count), *key, *kind));
        common.truncate(cap(block_rows.min(counted_rows)));
        let mut attributes: Vec<_> = common.into_iter().map(|(_, key, kind)| (key.clone(), kind)).collect();
        attributes.sort_unstable();
        Layout { attributes }
    }
}

/// The most columns that keep the metadata of so many rows under its bound.
fn cap(rows: u64) -> usize {
    let groups = rows.div_ceil(ROW_GROUP_ROWS as u64).max(1);
    let pages = rows.div_ceil(8_192).max(1);
    let fixed = groups * FIXED_BYTES_PER_GROUP + pages * FIXED_BYTES_PER_PAGE;
    let each = groups * BYTES_PER_GROUP + pages * BYTES_PER_PAGE;
    let fitting = (MAX_METADATA_BYTES as u64).saturating_sub(fixed) / each;
    usize::try_from(fitting).map_or(MAX_ATTRIBUTE_COLUMNS, |fitting| fitting.min(MAX_ATTRIBUTE_COLUMNS))
}
