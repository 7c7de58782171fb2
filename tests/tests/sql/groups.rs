//! Rows by texts that many have in common, counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use siltstone_format::span::Span;
use siltstone_querier::querier::Querier;
use siltstone_tests::sql_rows::sql_rows as rows;

use crate::clause::Column;

const GROUPS: [&[Column]; 5] = [
    &[Column::Service],
    &[Column::Kind],
    &[Column::Resource("b"), Column::StatusCode],
    &[Column::StatusCode, Column::Name, Column::Service, Column::Kind],
    // A span's own attribute has no number.
    &[Column::Service, Column::Span("a")],
];

/// Of all rows, and of those that start in the later half of all times.
pub(crate) async fn check(querier: &Arc<Querier>, spans: &[Span]) -> Result<(), TestCaseError> {
    let mut starts: Vec<u64> = spans.iter().map(|span| span.start_unix_nano).collect();
    starts.sort_unstable();
    let middle = starts[starts.len() / 2];
    let since = format!("WHERE start_time >= to_timestamp_nanos({middle})");
    for (clause, from) in [("", 0), (since.as_str(), middle)] {
        for columns in GROUPS {
            let mut groups = BTreeMap::<Vec<Option<String>>, usize>::new();
            for span in spans.iter().filter(|span| span.start_unix_nano >= from) {
                *groups.entry(columns.iter().map(|column| column.of(span)).collect()).or_default() += 1;
            }
            let names: Vec<String> = columns.iter().map(|column| column.sql()).collect();
            let names = names.join(", ");
            let statement = format!("SELECT DISTINCT {names} FROM spans {clause}");
            prop_assert_eq!(rows(querier, &statement).await, groups.keys().cloned().collect::<Vec<_>>());
            let right: Vec<_> = groups
                .into_iter()
                .map(|(mut row, count)| {
                    row.extend([Some(count.to_string()), Some(count.to_string())]);
                    row
                })
                .collect();
            let statement =
                format!("SELECT {names}, count(*), count(1) FROM spans {clause} GROUP BY {names}");
            prop_assert_eq!(rows(querier, &statement).await, right, "{}", statement);
        }
    }
    Ok(())
}
