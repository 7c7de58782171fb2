//! What an SQL statement answers, as text.

use std::sync::Arc;

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use siltstone_format::tenant::Tenant;
use siltstone_querier::querier::Querier;

/// Rows as text of their columns, sorted.
pub async fn sql_rows(querier: &Arc<Querier>, statement: &str) -> Vec<Vec<Option<String>>> {
    let mut answer = querier
        .sql(&Tenant::single(), statement)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    let mut rows = Vec::new();
    let options = FormatOptions::default();
    while let Some(batch) = answer.next().await {
        let batch = batch.unwrap_or_else(|error| panic!("{statement}: {error}"));
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).expect("can be shown"))
            .collect();
        for row in 0..batch.num_rows() {
            let cells = columns.iter().zip(batch.columns());
            rows.push(
                cells
                    .map(|(text, column)| column.is_valid(row).then(|| text.value(row).to_string()))
                    .collect(),
            );
        }
    }
    assert!(answer.gaps().is_empty(), "{:?}", answer.gaps());
    rows.sort();
    rows
}
