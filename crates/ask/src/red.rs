//! Rate, errors and durations of each operation in time steps.

use std::collections::BTreeMap;

use siltstone_format::block::parts::Parts;
use siltstone_format::columns::SpanColumns;

use crate::groups::Groups;
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
        self.start_of_number(self.number_of(unix_nano))
    }

    /// The number of the step that holds a time. The first one, before the first that is whole, has 0.
    fn number_of(self, unix_nano: u64) -> u64 {
        let nanos = self.nanos.max(1);
        unix_nano
            .checked_sub(self.from_unix_nano % nanos)
            .map_or(0, |behind| (behind / nanos).saturating_add(1))
    }

    fn start_of_number(self, number: u64) -> u64 {
        let nanos = self.nanos.max(1);
        number.checked_sub(1).map_or(0, |whole| self.from_unix_nano % nanos + whole * nanos)
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
    let (services, service_of_origin) = services_of(columns);
    let service_of = |row: usize| service_of_origin[columns.origins_of_rows[row] as usize];
    let step_of = |row: usize| steps.number_of(columns.starts[row].cast_unsigned());
    let mut groups = Groups::of(rows);
    groups.cut(|row| u64::from(service_of(row)));
    groups.cut(|row| u64::from(columns.names_of_rows[row]));
    groups.cut(|row| u64::from(columns.kinds[row].cast_unsigned()));
    groups.cut(step_of);
    if by_status {
        groups.cut(|row| u64::from(columns.status_codes[row].cast_unsigned()));
    }
    // By numbers until here: texts are spelled out once for each group.
    let spelled_out = groups.first_rows().iter().zip(reds_of(columns, rows, &groups)).map(|(row, red)| {
        let row = *row as usize;
        let operation = Operation {
            service: services[service_of(row) as usize].clone(),
            name: columns.names.get(columns.names_of_rows[row]).to_owned(),
            kind: columns.kinds[row],
        };
        let step = Step { operation, start_unix_nano: steps.start_of_number(step_of(row)) };
        (Outcome { step, status_code: if by_status { columns.status_codes[row] } else { 0 } }, red)
    });
    spelled_out.collect()
}

/// Of each group.
fn reds_of(columns: &SpanColumns, rows: &[u32], groups: &Groups<'_>) -> Vec<Red> {
    let mut reds = vec![Red::default(); groups.first_rows().len()];
    // Of each span its group, and in the last 16 bits how long it took. Counting neighbours is cheaper than finding a
    // bucket for each.
    let mut durations: Vec<u64> = Vec::with_capacity(rows.len());
    for (row, group) in rows.iter().zip(groups.of_rows()) {
        let (red, row) = (&mut reds[*group as usize], *row as usize);
        let duration = duration_of(columns, row);
        red.errors += u64::from(columns.status_codes[row] == ERROR);
        red.sum_nanos += taken(duration);
        durations.push(u64::from(*group) << 16 | u64::from(Bucket::of(duration).number()));
    }
    durations.sort_unstable();
    for same in durations.chunk_by(|one, next| one == next) {
        let (group, bucket) = (same[0] >> 16, Bucket::of_number(same[0] as u16));
        let red = &mut reds[group as usize];
        red.calls += same.len() as u64;
        red.durations.add_counted(bucket, same.len() as u64);
    }
    reds
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_begin_steps_at_a_time() {
        let steps = Steps { from_unix_nano: 1_007, nanos: 10 };
        let starts = [0, 6, 7, 16, 17, 1_006, 1_007, u64::MAX].map(|time| steps.start_of(time));
        assert_eq!(starts, [0, 0, 7, 7, 17, 997, 1_007, u64::MAX - 8]);
        assert_eq!([0, 1, u64::MAX - 1].map(|time| Steps::ONE.start_of(time)), [0; 3]);
        assert_eq!([5, i64::MAX as u64].map(|time| Steps::of(1).start_of(time)), [5, i64::MAX as u64]);
    }
}
