//! Rows that are added column by column are what they are when each is added by itself.

#![expect(clippy::unwrap_used, reason = "a test that fails says so by a panic")]

mod strategies;

use proptest::prelude::*;
use siltstone_format::columns::SpanColumns;
use siltstone_format::columns::attributes::AttributeColumn;
use siltstone_format::content::canonical_span;
use siltstone_format::span::Span;
use strategies::span;

/// Some spans, and which of them are wanted.
fn part() -> impl Strategy<Value = Vec<(Span, bool)>> {
    prop::collection::vec((span(), any::<bool>()), 0..40)
}

fn contents(columns: &SpanColumns) -> Vec<Vec<u8>> {
    columns.spans().unwrap().iter().map(canonical_span).collect()
}

/// Each attribute column: key, type, rows.
fn shape(columns: &SpanColumns) -> Vec<(&str, u8, &[u32])> {
    let of = |column: &AttributeColumn| columns.keys.name(column.key);
    let columns = columns.attributes.iter();
    let mut shape: Vec<_> = columns
        .map(|column| (of(column), column.values.value_type() as u8, column.rows.as_slice()))
        .collect();
    shape.sort_unstable();
    shape
}

proptest! {
    #[test]
    fn should_add_the_same_as_row_by_row(parts in prop::collection::vec(part(), 1..4), last in span()) {
        let (mut at_once, mut row_by_row) = (SpanColumns::default(), SpanColumns::default());
        for part in &parts {
            let mut from = SpanColumns::default();
            part.iter().for_each(|(span, _)| from.push(span).unwrap());
            let wanted = part.iter().enumerate().filter(|(_, (_, wanted))| *wanted);
            let rows: Vec<u32> = wanted.map(|(row, _)| row as u32).collect();
            at_once.append(&from, &rows).unwrap();
            rows.iter().for_each(|row| row_by_row.push(&from.get(*row as usize).unwrap()).unwrap());
        }
        prop_assert_eq!(contents(&at_once), contents(&row_by_row));
        prop_assert_eq!(shape(&at_once), shape(&row_by_row));
        prop_assert_eq!(&at_once.overflow.rows, &row_by_row.overflow.rows);
        prop_assert_eq!(&at_once.events.rows, &row_by_row.events.rows);
        prop_assert_eq!(&at_once.links.rows, &row_by_row.links.rows);
        prop_assert_eq!(at_once.names.len(), row_by_row.names.len());
        prop_assert_eq!(at_once.origins.len(), row_by_row.origins.len());
        // What comes after finds all texts again, and the columns in order.
        at_once.push(&last).unwrap();
        row_by_row.push(&last).unwrap();
        prop_assert_eq!(contents(&at_once), contents(&row_by_row));
        prop_assert_eq!(at_once.names.len(), row_by_row.names.len());
    }
}
