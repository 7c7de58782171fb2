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

/// The same of spans with one status.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome {
    pub step: Step,
    /// By OTLP's number.
    pub status_code: i32,
}

/// Steps of equal length, one of which begins at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    pub from_unix_nano: u64,
    pub nanos: u64,
}

/// What spans of an operation that start within a step say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Red {
    pub calls: u64,
    pub errors: u64,
    /// All durations together. A span that ends before it starts took no time.
    pub sum_nanos: u128,
    pub durations: Histogram,
}

impl Steps {
    /// All of time.
    pub(crate) const ONE: Self = Self { from_unix_nano: 0, nanos: u64::MAX };

    /// Multiples of a length.
    pub fn of(nanos: u64) -> Self {
        Self { from_unix_nano: 0, nanos: nanos.max(1) }
    }

    /// When the step begins that holds a time.
    pub(crate) fn start_of(self, unix_nano: u64) -> u64 {
        let nanos = self.nanos.max(1);
        let phase = self.from_unix_nano % nanos;
        match unix_nano.checked_sub(phase) {
            Some(behind) => unix_nano - behind % nanos,
            None => 0,
        }
    }
}

impl Sum for Red {
    fn add(&mut self, more: Self) {
        self.merge(&more);
    }
}

impl Red {
    pub(crate) fn merge(&mut self, more: &Self) {
        self.calls += more.calls;
        self.errors += more.errors;
        self.sum_nanos += more.sum_nanos;
        self.durations.merge(&more.durations);
    }

    /// Undoes a merge.
    pub(crate) fn take_back(&mut self, merged: &Self) {
        self.calls -= merged.calls;
        self.errors -= merged.errors;
        self.sum_nanos -= merged.sum_nanos;
        self.durations.take_back(&merged.durations);
    }

    pub(crate) fn add_span(&mut self, columns: &SpanColumns, row: usize) {
        self.calls += 1;
        self.errors += u64::from(columns.status_codes[row] == ERROR);
        let duration = duration_of(columns, row);
        self.sum_nanos += taken(duration);
        self.durations.add(duration);
    }
}

fn taken(duration_nanos: i128) -> u128 {
    u128::try_from(duration_nanos).unwrap_or(0)
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
        let Answer { content, gaps, cost } = self.red_by_status(of, Steps::of(step_nanos)).await?;
        let mut steps = BTreeMap::<Step, Red>::new();
        for (outcome, red) in content {
            steps.entry(outcome.step).or_default().add(red);
        }
        Ok(Answer { content: steps, gaps, cost })
    }

    /// The same by status as well.
    pub async fn red_by_status(
        &self,
        of: &Of,
        steps: Steps,
    ) -> Result<Answer<BTreeMap<Outcome, Red>>, QueryError> {
        let parts = Parts {
            starts: true,
            durations: true,
            names: true,
            kinds: true,
            status_codes: true,
            origins: true,
            ..Parts::default()
        };
        let of_rows = Arc::new(move |columns: &SpanColumns, rows: &[u32]| Ok(of_rows(columns, rows, steps)));
        let Of { tenant, filter, window } = of.clone();
        self.within(&of.tenant, async |mut query| {
            let steps = query.count(Counting { tenant, filter, window, once: true, parts, of_rows }).await?;
            Ok(query.answer(steps))
        })
        .await
    }
}

fn of_rows(columns: &SpanColumns, rows: &[u32], steps: Steps) -> BTreeMap<Outcome, Red> {
    let Counted { services, numbers, sums, durations } = Counted::of(columns, rows, steps);
    let mut reds: Vec<Red> = sums.iter().map(|sum| Red { sum_nanos: *sum, ..Red::default() }).collect();
    for same in durations.chunk_by(|one, next| one == next) {
        let (number, bucket) = same[0];
        let red = &mut reds[number as usize];
        red.calls += same.len() as u64;
        red.durations.add_counted(bucket, same.len() as u64);
    }
    // By numbers until here: texts are spelled out once for each operation, status and step.
    let spelled_out = numbers.into_iter().map(|((service, name, kind, status_code, start), number)| {
        let service = services[service as usize].clone();
        let operation = Operation { service, name: columns.names.get(name).to_owned(), kind };
        let outcome = Outcome { step: Step { operation, start_unix_nano: start }, status_code };
        let mut red = std::mem::take(&mut reds[number as usize]);
        red.errors = if status_code == ERROR { red.calls } else { 0 };
        (outcome, red)
    });
    spelled_out.collect()
}

/// Service, name, kind, status and start of the step.
type Key = (u32, u32, i32, i32, u64);

/// Spans by operation, status and step, all by numbers.
struct Counted {
    services: Vec<String>,
    numbers: HashMap<Key, u32, RandomState>,
    /// By number, how long its spans took together.
    sums: Vec<u128>,
    /// Of each span its number and how long it took, sorted: counting neighbours is cheaper than finding a bucket
    /// for each.
    durations: Vec<(u32, Bucket)>,
}

impl Counted {
    fn of(columns: &SpanColumns, rows: &[u32], steps: Steps) -> Self {
        let (services, service_of_origin) = services_of(columns);
        let mut numbers = HashMap::<Key, u32, RandomState>::default();
        let mut sums: Vec<u128> = Vec::new();
        let mut durations = Vec::with_capacity(rows.len());
        for row in rows.iter().map(|row| *row as usize) {
            let start = steps.start_of(columns.starts[row].cast_unsigned());
            let service = service_of_origin[columns.origins_of_rows[row] as usize];
            let (kind, status_code) = (columns.kinds[row], columns.status_codes[row]);
            let key = (service, columns.names_of_rows[row], kind, status_code, start);
            let number = *numbers.entry(key).or_insert(sums.len() as u32);
            if number as usize == sums.len() {
                sums.push(0);
            }
            let duration = duration_of(columns, row);
            sums[number as usize] += taken(duration);
            durations.push((number, Bucket::of(duration)));
        }
        durations.sort_unstable();
        Self { services, numbers, sums, durations }
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
