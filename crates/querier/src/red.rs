//! Rate, errors and durations of each operation in time steps, computed from the spans themselves.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use siltstone_ask::{Bucket, Histogram};
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
        self.durations.add(duration_of(columns, row));
    }
}

/// End less start, however far apart they are.
fn duration_of(columns: &SpanColumns, row: usize) -> i128 {
    let start = columns.starts[row].cast_unsigned();
    let end = start.wrapping_add(columns.durations[row].cast_unsigned());
    i128::from(end) - i128::from(start)
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
    let counted = Counted::of(columns, rows, step_nanos);
    // By numbers until here: texts are spelled out once for each operation and step.
    let spelled_out = counted.numbers.into_iter().map(|((service, name, kind, start_unix_nano), number)| {
        let service = counted.services[service as usize].clone();
        let operation = Operation { service, name: columns.names.get(name).to_owned(), kind };
        (Step { operation, start_unix_nano }, number)
    });
    let mut reds: Vec<Red> =
        counted.errors.iter().map(|errors| Red { errors: *errors, ..Red::default() }).collect();
    for same in counted.durations.chunk_by(|one, next| one == next) {
        let (number, bucket) = same[0];
        let red = &mut reds[number as usize];
        red.calls += same.len() as u64;
        red.durations.add_counted(bucket, same.len() as u64);
    }
    spelled_out.map(|(step, number)| (step, std::mem::take(&mut reds[number as usize]))).collect()
}

/// Service, name, kind and start of the step.
type Key = (u32, u32, i32, u64);

/// Spans by operation and step, all by numbers.
struct Counted {
    services: Vec<String>,
    numbers: HashMap<Key, u32, RandomState>,
    /// By number.
    errors: Vec<u64>,
    /// Of each span its number and how long it took, sorted: counting neighbours is cheaper than finding a bucket
    /// for each.
    durations: Vec<(u32, Bucket)>,
}

impl Counted {
    fn of(columns: &SpanColumns, rows: &[u32], step_nanos: u64) -> Self {
        let (services, service_of_origin) = services_of(columns);
        let mut numbers = HashMap::<Key, u32, RandomState>::default();
        let mut errors: Vec<u64> = Vec::new();
        let mut durations = Vec::with_capacity(rows.len());
        for row in rows.iter().map(|row| *row as usize) {
            let start = columns.starts[row].cast_unsigned();
            let service = service_of_origin[columns.origins_of_rows[row] as usize];
            let key = (service, columns.names_of_rows[row], columns.kinds[row], start - start % step_nanos);
            let number = *numbers.entry(key).or_insert(errors.len() as u32);
            if number as usize == errors.len() {
                errors.push(0);
            }
            errors[number as usize] += u64::from(columns.status_codes[row] == ERROR);
            durations.push((number, Bucket::of(duration_of(columns, row))));
        }
        durations.sort_unstable();
        Self { services, numbers, errors, durations }
    }
}

/// The services that there are, and which each origin is of.
fn services_of(columns: &SpanColumns) -> (Vec<String>, Vec<u32>) {
    let mut services: Vec<String> = columns.origins.iter().map(|origin| origin.service_name()).collect();
    let names = services.clone();
    services.sort_unstable();
    services.dedup();
    let number = |name: &String| services.partition_point(|known| known < name) as u32;
    let of_origins = names.iter().map(number).collect();
    (services, of_origins)
}
