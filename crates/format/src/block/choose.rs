//! Which attributes get a column of their own in a block: chosen from the data.
//!
//! A column costs metadata and a page for each row range; a value in the overflow
//! column costs its key's and type's number and its text. The common ones win, up to
//! a cap that keeps a block's metadata under its bound whatever keys are sent.

use crate::columns::SpanColumns;

/// Columns that a block has at most.
pub const MAX_ATTRIBUTE_COLUMNS: usize = 112;

/// Bound on the metadata (page indexes and footer) of a block of any size.
pub const MAX_METADATA_BYTES: usize = 1 << 20;

// Measured, see docs/format.md: what a column adds to the metadata, for each row
// group and for each 8,192 rows, with a name of usual length.
const BYTES_PER_GROUP: usize = 180;
const BYTES_PER_PAGE: usize = 14;
/// The same for everything that is always there.
const FIXED_BYTES_PER_GROUP: usize = 6_000;
const FIXED_BYTES_PER_PAGE: usize = 1_000;

/// One value in this many rows is worth a column, and a few more for its metadata.
const ROWS_PER_VALUE: usize = 700;
const LEAST_VALUES: usize = 16;

/// Columns of [`SpanColumns::attributes`] by whether they stay columns.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// Ascending by key and type, so that equal sets of columns give equal schemas.
    pub(crate) columns: Vec<usize>,
    pub(crate) spilled: Vec<usize>,
}

pub(crate) fn choose(columns: &SpanColumns) -> Chosen {
    let rows = columns.len();
    let worth = LEAST_VALUES.min(rows) + rows / ROWS_PER_VALUE;
    let mut used: Vec<usize> =
        (0..columns.attributes.len()).filter(|index| !columns.attributes[*index].rows.is_empty()).collect();
    let identity = |index: &usize| {
        let column = &columns.attributes[*index];
        (columns.keys.name(column.key), column.values.value_type())
    };
    // The name breaks ties, so that the choice depends on the spans only.
    used.sort_unstable_by_key(|index| {
        (std::cmp::Reverse(columns.attributes[*index].rows.len()), identity(index))
    });
    let common = used.iter().take_while(|index| columns.attributes[**index].rows.len() >= worth).count();
    let spilled = used.split_off(common.min(cap(rows)));
    used.sort_unstable_by_key(identity);
    Chosen { columns: used, spilled }
}

/// The most columns that keep the metadata of so many rows under its bound.
fn cap(rows: usize) -> usize {
    let groups = rows.div_ceil(super::order::ROW_GROUP_ROWS).max(1);
    let pages = rows.div_ceil(8_192).max(1);
    let fixed = groups * FIXED_BYTES_PER_GROUP + pages * FIXED_BYTES_PER_PAGE;
    let each = groups * BYTES_PER_GROUP + pages * BYTES_PER_PAGE;
    (MAX_METADATA_BYTES.saturating_sub(fixed) / each).min(MAX_ATTRIBUTE_COLUMNS)
}
