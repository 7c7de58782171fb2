//! Rate, errors and durations of each operation in time steps, computed from the spans themselves.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use siltstone_ask::Histogram;
use siltstone_format::block::parts::Parts;
use siltstone_format::columns::SpanColumns;

use crate::counts::Of;
use crate::names::Operation;
use crate::querier::{Answer, Querier, QueryError};
use crate::tally::{Counting, Sum};

/// OTLP's number of a status that is an error.
pub(crate) const ERROR: i32 = 2;

/// An operation in one time step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    pub operation: Operation,
    /// Where the step begins: a multiple of its length.
    pub start_unix_nano: u64,
}

/// What spans of an operation that start within a step say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Red {
    pub calls: u64,
    pub errors: u64,
    pub durations: Histogram,
}

impl Sum for Red {
    fn add(&mut self, more: Self) {
        self.calls += more.calls;
        self.errors += more.errors;
        self.durations.merge(&more.durations);
    }
}

impl Red {
    pub(crate) fn add_span(&mut self, columns: &SpanColumns, row: usize) {
        self.calls += 1;
        self.errors += u64::from(columns.status_codes[row] == ERROR);
        let start = columns.starts[row].cast_unsigned();
        let end = start.wrapping_add(columns.durations[row].cast_unsigned());
        self.durations.add(i128::from(end) - i128::from(start));
    }
}

impl Querier {
    /// Calls, errors and durations by operation and step. Steps without spans are not there.
    pub async fn red(&self, of: &Of, step_nanos: u64) -> Result<Answer<BTreeMap<Step, Red>>, QueryError> {
        let step_nanos = step_nanos.max(1);
        let parts = Parts {
            starts: true,
            durations: true,
            names: true,
            kinds: true,
            status_codes: true,
            origins: true,
            ..Parts::default()
        };
        let of_rows =
            Arc::new(move |columns: &SpanColumns, rows: &[u32]| Ok(of_rows(columns, rows, step_nanos)));
        let Of { tenant, filter, window } = of.clone();
        self.within(&of.tenant, async |mut query| {
            let steps = query.count(Counting { tenant, filter, window, once: true, parts, of_rows }).await?;
            Ok(query.answer(steps))
        })
        .await
    }
}

fn of_rows(columns: &SpanColumns, rows: &[u32], step_nanos: u64) -> BTreeMap<Step, Red> {
    // By numbers first: texts are spelled out once for each operation and step.
    let mut by_numbers = HashMap::<(u32, u32, i32, u64), Red>::new();
    for row in rows.iter().map(|row| *row as usize) {
        let start = columns.starts[row].cast_unsigned();
        let step = start - start % step_nanos;
        let key = (columns.origins_of_rows[row], columns.names_of_rows[row], columns.kinds[row], step);
        by_numbers.entry(key).or_default().add_span(columns, row);
    }
    let mut steps = BTreeMap::<Step, Red>::new();
    for ((origin, name, kind, start_unix_nano), red) in by_numbers {
        let service = columns.origins[origin as usize].service_name();
        let operation = Operation { service, name: columns.names.get(name).to_owned(), kind };
        steps.entry(Step { operation, start_unix_nano }).or_default().add(red);
    }
    steps
}
