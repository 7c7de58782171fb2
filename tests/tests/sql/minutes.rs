//! The tables of minutes.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use siltstone_ask::Window;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_querier::dependencies::EdgeKind;
use siltstone_querier::querier::Querier;
use siltstone_tests::sql_rows::sql_rows as rows;

use crate::clause::{Column, duration};

const MINUTE: u64 = 60_000_000_000;
const OPERATION: [Column; 4] = [Column::Service, Column::Name, Column::Kind, Column::StatusCode];

/// All minutes, and those from one in the middle on.
pub(crate) async fn check(querier: &Arc<Querier>, spans: &[Span]) -> Result<(), TestCaseError> {
    let minute_of = |span: &Span| span.start_unix_nano / MINUTE * MINUTE;
    let mut minutes: Vec<u64> = spans.iter().map(minute_of).collect();
    minutes.sort_unstable();
    let middle = minutes[minutes.len() / 2];
    for (clause, from) in
        [(String::new(), 0), (format!("WHERE start_time >= to_timestamp_nanos({middle})"), middle)]
    {
        let mut right = BTreeMap::<Vec<Option<String>>, [i64; 3]>::new();
        for span in spans.iter().filter(|span| minute_of(span) >= from) {
            let mut row = vec![Some(minute_of(span).to_string())];
            row.extend(OPERATION.iter().map(|column| column.of(span)));
            let numbers = right.entry(row).or_default();
            numbers[0] += 1;
            numbers[1] += i64::from(span.status_code == 2);
            numbers[2] = numbers[2].saturating_add(duration(span).unwrap_or(i64::MAX).max(0));
        }
        let columns = "CAST(start_time AS BIGINT) AS minute, service_name, name, kind, status_code";
        let statement = format!("SELECT {columns}, calls, errors, duration_sum FROM red {clause}");
        prop_assert_eq!(rows(querier, &statement).await, with_numbers(right), "{}", statement);
    }
    check_edges(querier).await
}

/// Against the core, which the oracle has looked at.
async fn check_edges(querier: &Arc<Querier>) -> Result<(), TestCaseError> {
    let found = querier.dependencies(&Tenant::single(), Window::ALL).await.unwrap().content;
    let some = |text: String| (!text.is_empty()).then_some(text);
    let mut right = BTreeMap::new();
    for (edge, red) in found.edges {
        let (kind, system) = match edge.kind {
            EdgeKind::Service => ("service", None),
            EdgeKind::Messaging { system } => ("messaging", some(system)),
            EdgeKind::Database => ("database", some(edge.callee.clone())),
            EdgeKind::Peer => ("peer", None),
        };
        let row = vec![some(edge.caller), some(edge.callee), Some(kind.to_owned()), system];
        let sum = i64::try_from(red.sum_nanos).unwrap_or(i64::MAX);
        right.insert(row, [red.calls, red.errors].map(|number| number as i64).into_iter().chain([sum]));
    }
    let right = right.into_iter().map(|(row, numbers)| (row, numbers.collect::<Vec<_>>()));
    let statement = "SELECT caller, callee, kind, system, sum(calls), sum(errors), sum(duration_sum) FROM edges \
                     GROUP BY caller, callee, kind, system";
    let mut found = rows(querier, statement).await;
    let mut right = with_numbers(right);
    if right.iter().any(|row| row[6].as_deref().is_some_and(|sum| sum.len() > 17)) {
        // Sums of centuries are cut off in each minute.
        found.iter_mut().chain(&mut right).for_each(|row| row.truncate(6));
    }
    prop_assert_eq!(found, right);
    Ok(())
}

/// As rows of an answer.
fn with_numbers<Numbers: IntoIterator<Item = i64>>(
    rows: impl IntoIterator<Item = (Vec<Option<String>>, Numbers)>,
) -> Vec<Vec<Option<String>>> {
    let with = |(mut row, numbers): (Vec<Option<String>>, Numbers)| {
        row.extend(numbers.into_iter().map(|number| Some(number.to_string())));
        row
    };
    let mut rows: Vec<_> = rows.into_iter().map(with).collect();
    rows.sort();
    rows
}
