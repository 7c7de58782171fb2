//! What is asked of metrics.

use siltstone_ask::{Field, Filter, FilterError, Literal, Window};
use siltstone_format::tenant::Tenant;

use crate::counts::Of;
use crate::jaeger::ask::service_meant;
use crate::jaeger::http::Parameters;
use crate::jaeger::kinds;
use crate::jaeger::legacy::envelope::Failure;
use crate::red::common_step;

const HOUR_MILLIS: i64 = 3_600_000;
const STEP_MILLIS: i64 = 5_000;
const RATE_PER_MILLIS: i64 = 600_000;
const NANOS_PER_MILLI: u64 = 1_000_000;
const SERVER: i32 = 2;
/// As many as Prometheus gives.
const MOST_POINTS: i64 = 11_000;
/// Steps in which spans are counted.
const MOST_BUCKETS: i64 = 50_000;

pub(super) struct MetricsAsked {
    services: Vec<String>,
    kinds: Vec<i32>,
    pub(super) by_operation: bool,
    pub(super) times: Times,
}

/// Which points there are, in milliseconds since 1970. All of it is a multiple of `bucket`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// The last point.
    pub(super) end: i64,
    pub(super) step: i64,
    /// Steps from the first point to the last.
    pub(super) steps: i64,
    /// What a point is about: so much time before it.
    pub(super) rate_per: i64,
    /// Spans are counted in such steps.
    pub(super) bucket: i64,
}

/// The share of calls that are not slower; 0 to 1.
pub(super) fn quantile(parameters: &Parameters) -> Result<f64, Failure> {
    let wrong = |problem: String| Failure::parameter("quantile", problem);
    let text = parameters.first(&["quantile"]).ok_or_else(|| wrong("it is required".to_owned()))?;
    let share: Option<f64> = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| {
        wrong(format!("\"{}\" is no number from 0 to 1", text.chars().take(64).collect::<String>()))
    })
}

impl MetricsAsked {
    pub(super) fn of(parameters: &Parameters, now_unix_nano: u64) -> Result<Self, Failure> {
        let services: Vec<String> = parameters.all("service").map(str::to_owned).collect();
        if services.is_empty() {
            return Err(Failure::parameter("service", "please provide at least one service name"));
        }
        let kinds: Result<Vec<i32>, _> = parameters.all("spanKind").map(kinds::number_of).collect();
        let mut kinds = kinds.map_err(|unknown| Failure::parameter("spanKind", unknown))?;
        if kinds.is_empty() {
            kinds.push(SERVER);
        }
        let by_operation = parameters
            .flag(&["groupByOperation"])
            .map_err(|error| Failure::parameter("groupByOperation", error))?;
        Ok(Self { services, kinds, by_operation, times: Times::of(parameters, now_unix_nano)? })
    }

    /// Spans that are counted.
    pub(super) fn of_spans(&self, tenant: Tenant) -> Result<Of, Failure> {
        Ok(Of { tenant, filter: self.filter().map_err(Failure::bad)?, window: self.times.window() })
    }

    fn filter(&self) -> Result<Filter, FilterError> {
        let named = |name: &str| Literal::Str(name.to_owned());
        let services = self.services.iter().flat_map(|shown| [named(shown), named(service_meant(shown))]);
        let kinds = self.kinds.iter().map(|kind| Literal::Int(i64::from(*kind)));
        Filter::and(vec![
            Filter::one_of(Field::ServiceName.into(), services.collect())?,
            Filter::one_of(Field::Kind.into(), kinds.collect())?,
        ])
    }
}

impl Times {
    fn of(parameters: &Parameters, now_unix_nano: u64) -> Result<Self, Failure> {
        let int = |name: &str| parameters.int(&[name]).map_err(|error| Failure::parameter(name, error));
        let positive = |name: &str, default: i64| match int(name)?.unwrap_or(default) {
            millis @ 1.. => Ok(millis),
            other => Err(Failure::parameter(
                name,
                format_args!("{other} is no time: write milliseconds, from 1 on"),
            )),
        };
        let now = i64::try_from(now_unix_nano / NANOS_PER_MILLI).unwrap_or(i64::MAX);
        let end = int("endTs")?.unwrap_or(now).clamp(0, i64::MAX / NANOS_PER_MILLI as i64);
        let (lookback, step) = (positive("lookback", HOUR_MILLIS)?, positive("step", STEP_MILLIS)?);
        let rate_per = positive("ratePer", RATE_PER_MILLIS)?;
        let steps = lookback / step;
        let bucket = common_step(step.unsigned_abs(), rate_per.unsigned_abs()).cast_signed();
        if steps >= MOST_POINTS {
            let problem = format_args!(
                "{lookback} ms have more than {MOST_POINTS} steps of {step} ms: ask for longer ones"
            );
            return Err(Failure::parameter("step", problem));
        }
        if (lookback / bucket).saturating_add(rate_per / bucket) > MOST_BUCKETS {
            let problem = format_args!(
                "{step} ms have only {bucket} ms in common with `ratePer`, {rate_per} ms: ask for a step of which \
                 that is a multiple"
            );
            return Err(Failure::parameter("step", problem));
        }
        Ok(Self { end: end - end % bucket, step, steps, rate_per, bucket })
    }

    pub(super) fn bucket_nanos(&self) -> u64 {
        self.bucket.unsigned_abs().saturating_mul(NANOS_PER_MILLI)
    }

    pub(super) fn points(&self) -> impl Iterator<Item = i64> {
        let Self { end, step, steps, .. } = *self;
        (0..=steps).rev().map(move |back| end - back * step)
    }

    /// Of what all points are about.
    fn window(&self) -> Window {
        let first = self.end - self.steps * self.step;
        let nanos = |millis: i64| u64::try_from(millis).unwrap_or(0).saturating_mul(NANOS_PER_MILLI);
        Window { start: nanos(first.saturating_sub(self.rate_per)), end: nanos(self.end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_123_456_789;

    fn times(query: &str) -> Result<Times, Failure> {
        Times::of(&Parameters::of(query), NOW)
    }

    #[test]
    fn should_count_in_steps_that_both_times_are_multiples_of() {
        let usual =
            Times { end: 1_700_000_000_000, step: 5_000, steps: 720, rate_per: 600_000, bucket: 5_000 };
        assert_eq!(times(""), Ok(usual));
        let odd = times("step=7000&ratePer=10000&lookback=20000&endTs=50500").unwrap();
        assert_eq!((odd.bucket, odd.end, odd.steps), (1_000, 50_000, 2));
        assert_eq!(odd.points().collect::<Vec<_>>(), [36_000, 43_000, 50_000]);
        assert_eq!(odd.window(), Window { start: 26_000_000_000, end: 50_000_000_000 });
        let early = times("endTs=1").unwrap();
        assert_eq!(early.window(), Window { start: 0, end: 0 });
    }

    #[test]
    fn should_refuse_what_takes_too_many_steps() {
        for query in [
            "step=0",
            "step=-1",
            "ratePer=0",
            "lookback=0",
            "step=1",
            "step=5001",
            "lookback=9223372036854775807",
        ] {
            assert!(times(query).is_err(), "{query}");
        }
        let longest = times("lookback=9223372036854775807&step=922337203685477&ratePer=922337203685477");
        assert_eq!(longest.unwrap().steps, 10_000);
    }
}
