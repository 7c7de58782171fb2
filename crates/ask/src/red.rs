//! Rate, errors and durations of each operation in time steps.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use siltstone_format::block::parts::Parts;
use siltstone_format::columns::SpanColumns;

use crate::histogram::{Bucket, Histogram};

/// OTLP's number of a status that is an error.
pub const ERROR: i32 = 2;

/// A name of a service's spans, with the kind that they have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation {
    pub service: String,
    pub name: String,
    /// By OTLP's number.
    pub kind: i32,
}

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
    pub const ONE: Self = Self { from_unix_nano: 0, nanos: u64::MAX };

    /// Multiples of a length.
    pub fn of(nanos: u64) -> Self {
        Self { from_unix_nano: 0, nanos: nanos.max(1) }
    }

    /// When the step begins that holds a time.
    pub fn start_of(self, unix_nano: u64) -> u64 {
        let nanos = self.nanos.max(1);
        let phase = self.from_unix_nano % nanos;
        match unix_nano.checked_sub(phase) {
            Some(behind) => unix_nano - behind % nanos,
            None => 0,
        }
    }
}

impl Red {
    /// Adds what others say.
    pub fn merge(&mut self, more: &Self) {
        self.calls += more.calls;
        self.errors += more.errors;
        self.sum_nanos += more.sum_nanos;
        self.durations.merge(&more.durations);
    }

    /// Undoes a merge.
    pub fn take_back(&mut self, merged: &Self) {
        self.calls -= merged.calls;
        self.errors -= merged.errors;
        self.sum_nanos -= merged.sum_nanos;
        self.durations.take_back(&merged.durations);
    }

    /// Adds a span, of which status and times were read.
    pub fn add_span(&mut self, columns: &SpanColumns, row: usize) {
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

/// What must be read of spans for it.
pub fn parts() -> Parts {
    Parts {
        starts: true,
        durations: true,
        names: true,
        kinds: true,
        status_codes: true,
        origins: true,
        ..Parts::default()
    }
}

/// What some rows of columns say, by operation and step; by status as well, or with none.
pub fn of_rows(columns: &SpanColumns, rows: &[u32], steps: Steps, by_status: bool) -> BTreeMap<Outcome, Red> {
    let Counted { services, numbers, mut reds, durations } = Counted::of(columns, rows, steps, by_status);
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
        (outcome, std::mem::take(&mut reds[number as usize]))
    });
    spelled_out.collect()
}

/// Service, name, kind, status and start of the step.
type Key = (u32, u32, i32, i32, u64);

/// Spans by operation, status and step, all by numbers.
struct Counted {
    services: Vec<String>,
    numbers: HashMap<Key, u32, RandomState>,
    /// By number, without calls and how their durations are spread.
    reds: Vec<Red>,
    /// Of each span its number and how long it took, sorted: counting neighbours is cheaper than finding a bucket
    /// for each.
    durations: Vec<(u32, Bucket)>,
}

impl Counted {
    fn of(columns: &SpanColumns, rows: &[u32], steps: Steps, by_status: bool) -> Self {
        let (services, service_of_origin) = services_of(columns);
        let mut numbers = HashMap::<Key, u32, RandomState>::default();
        let mut reds: Vec<Red> = Vec::new();
        let mut durations = Vec::with_capacity(rows.len());
        for row in rows.iter().map(|row| *row as usize) {
            let start = steps.start_of(columns.starts[row].cast_unsigned());
            let service = service_of_origin[columns.origins_of_rows[row] as usize];
            let (kind, status_code) = (columns.kinds[row], columns.status_codes[row]);
            let key =
                (service, columns.names_of_rows[row], kind, if by_status { status_code } else { 0 }, start);
            let number = *numbers.entry(key).or_insert(reds.len() as u32);
            if number as usize == reds.len() {
                reds.push(Red::default());
            }
            let (red, duration) = (&mut reds[number as usize], duration_of(columns, row));
            red.errors += u64::from(status_code == ERROR);
            red.sum_nanos += taken(duration);
            durations.push((number, Bucket::of(duration)));
        }
        durations.sort_unstable();
        Self { services, numbers, reds, durations }
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
