//! Numbers of spans over time into the points of series.

use std::collections::BTreeMap;

use super::asked::Times;
use crate::jaeger::ask::shown_service;
use crate::jaeger::json::{write_double, write_text};
use crate::jaeger::time::{unix_nano_of_millis, write_rfc3339};
use crate::red::{Red, Sliding, Step};
use crate::tally::Sum;

const NANOS_PER_MILLI: f64 = 1e6;
const MILLIS_PER_SECOND: f64 = 1e3;

/// What a point says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measure {
    /// Milliseconds that this share of calls did not exceed.
    Latency { share: f64 },
    /// A second.
    Calls,
    /// As a part of calls.
    Errors,
}

/// A service, or one of its operations.
#[derive(Debug, PartialEq)]
pub(super) struct Series {
    service: String,
    operation: Option<String>,
    /// By when they begin, in milliseconds.
    steps: BTreeMap<i64, Red>,
}

impl Measure {
    pub(super) fn name(self, by_operation: bool) -> String {
        let what = match self {
            Self::Latency { .. } => "latencies",
            Self::Calls => "call_rate",
            Self::Errors => "error_rate",
        };
        format!("service_{}{what}", if by_operation { "operation_" } else { "" })
    }

    pub(super) fn help(self, by_operation: bool) -> String {
        let what = match self {
            Self::Latency { share } => format!("{share:.2}th quantile latency"),
            Self::Calls => "calls/sec".to_owned(),
            Self::Errors => "error rate, computed as a fraction of errors/sec over calls/sec".to_owned(),
        };
        format!("{what}, grouped by service{}", if by_operation { " & operation" } else { "" })
    }
}

impl Series {
    /// Sorted by name.
    pub(super) fn of(steps: BTreeMap<Step, Red>, by_operation: bool) -> Vec<Self> {
        let mut series = BTreeMap::<(String, Option<String>), BTreeMap<i64, Red>>::new();
        for (Step { operation, start_unix_nano }, red) in steps {
            let service = shown_service(&operation.service).to_owned();
            let millis = i64::try_from(start_unix_nano / NANOS_PER_MILLI as u64).unwrap_or(i64::MAX);
            let of_series = series.entry((service, by_operation.then_some(operation.name))).or_default();
            of_series.entry(millis).or_default().add(red);
        }
        let of = |((service, operation), steps)| Self { service, operation, steps };
        series.into_iter().map(of).collect()
    }

    pub(super) fn write(&self, measure: Measure, times: &Times, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"labels\":[{\"name\":\"service_name\",\"value\":");
        write_text(&self.service, out);
        if let Some(operation) = &self.operation {
            out.extend_from_slice(b"},{\"name\":\"operation\",\"value\":");
            write_text(operation, out);
        }
        out.extend_from_slice(b"}],\"metricPoints\":[");
        let (mut timestamp, mut is_first) = (String::new(), true);
        for (point, value) in self.points(measure, times) {
            if !std::mem::take(&mut is_first) {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"gaugeValue\":{\"doubleValue\":");
            write_double(value, out);
            timestamp.clear();
            write_rfc3339(unix_nano_of_millis(point), &mut timestamp);
            out.extend_from_slice(b"},\"timestamp\":");
            write_text(&timestamp, out);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }

    /// What a point says of no calls is no number, but for their rate.
    fn points(&self, measure: Measure, times: &Times) -> Vec<(i64, f64)> {
        let mut sliding = Sliding::over(&self.steps);
        let point = |point: i64| {
            let red = sliding.within(&(point.saturating_sub(times.rate_per)..point));
            (point, measure.of(red, times))
        };
        times.points().map(point).collect()
    }
}

impl Measure {
    /// Of what lies in the time that a point is about.
    fn of(self, red: &Red, times: &Times) -> f64 {
        match self {
            Self::Latency { share } => {
                red.durations.quantile(share).map_or(f64::NAN, |nanos| nanos / NANOS_PER_MILLI)
            }
            Self::Calls => red.calls as f64 * MILLIS_PER_SECOND / times.rate_per as f64,
            Self::Errors if red.calls == 0 => f64::NAN,
            Self::Errors => red.errors as f64 / red.calls as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Operation;

    fn step(name: &str, start_millis: u64, calls: u64, errors: u64) -> (Step, Red) {
        let mut red = Red { calls, errors, ..Red::default() };
        (0..calls).for_each(|_| red.durations.add(i128::from(start_millis) * 1_000_000));
        let operation = Operation { service: "cart".to_owned(), name: name.to_owned(), kind: 2 };
        (Step { operation, start_unix_nano: start_millis * 1_000_000 }, red)
    }

    fn times() -> Times {
        Times { end: 50_000, step: 10_000, steps: 4, rate_per: 20_000, bucket: 10_000 }
    }

    #[test]
    fn should_slide_over_the_time_before_each_point() {
        let steps = [step("a", 10_000, 4, 0), step("b", 20_000, 2, 1), step("a", 40_000, 10, 5)];
        let series = Series::of(steps.into(), false).remove(0);
        let values = |measure| -> Vec<f64> {
            series.points(measure, &times()).into_iter().map(|(_, value)| value).collect()
        };
        assert_eq!(values(Measure::Calls), [0.0, 0.2, 0.3, 0.1, 0.5]);
        let errors = values(Measure::Errors);
        assert!(errors[0].is_nan());
        assert_eq!(errors[1..], [0.0, 1.0 / 6.0, 0.5, 0.5]);
        let latencies = values(Measure::Latency { share: 0.5 });
        assert!(latencies[0].is_nan());
        for (found, exact) in latencies[1..].iter().zip([10_000.0, 10_000.0, 20_000.0, 40_000.0]) {
            assert!((found / exact - 1.0).abs() < 0.0115, "{found} for {exact}");
        }
    }

    #[test]
    fn should_tell_operations_apart_only_if_that_is_wanted() {
        let steps: BTreeMap<Step, Red> = [step("a", 0, 1, 0), step("b", 0, 1, 0)].into();
        assert_eq!(Series::of(steps.clone(), false).len(), 1);
        let names: Vec<_> = Series::of(steps, true).into_iter().map(|series| series.operation).collect();
        assert_eq!(names, [Some("a".to_owned()), Some("b".to_owned())]);
    }
}
