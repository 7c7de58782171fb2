//! The points at which a query is evaluated.

use siltstone_ask::Window;

use crate::red::{Steps, common_step};

/// As many as Prometheus gives.
const MOST_POINTS: u64 = 11_000;
/// Steps in which spans are counted.
const MOST_STEPS: u64 = 50_000;
const NANOS_OF_MILLI: u64 = 1_000_000;

/// In milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    first: u64,
    step: u64,
    /// After the first.
    steps: u64,
}

/// Why so many points cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TimesError {
    #[error("the end is before the start")]
    Backwards,
    #[error("a step of zero or less leads nowhere: give a longer one")]
    NoStep,
    #[error("there are more than {MOST_POINTS} points from start to end: give a longer step")]
    TooManyPoints,
    #[error(
        "a step of {step} ms and a range of {range} ms have only {common} ms in common, too short to count in: give a \
         step of which the range is a multiple"
    )]
    Uneven { step: u64, range: u64, common: u64 },
}

impl Times {
    pub(super) fn at(millis: u64) -> Self {
        Self { first: millis, step: 1, steps: 0 }
    }

    pub(super) fn between(start: u64, end: u64, step: u64) -> Result<Self, TimesError> {
        let length = end.checked_sub(start).ok_or(TimesError::Backwards)?;
        let steps = length.checked_div(step).ok_or(TimesError::NoStep)?;
        if steps >= MOST_POINTS {
            return Err(TimesError::TooManyPoints);
        }
        Ok(Self { first: start, step, steps })
    }

    pub(super) fn count(&self) -> usize {
        self.steps as usize + 1
    }

    /// All points.
    pub(super) fn millis(&self) -> impl Iterator<Item = u64> + use<> {
        let Self { first, step, steps } = *self;
        (0..=steps).map(move |number| first + number * step)
    }

    /// In what spans are counted that start in a range before each point, and from when to when. A point's range ends
    /// with the point, and does not have the time at which it begins.
    pub(super) fn counted(&self, range: u64) -> Result<(Steps, Window), TimesError> {
        // Of one point, all of its range is counted at once.
        let common = if self.steps == 0 { range } else { common_step(self.step, range) };
        if (self.steps * self.step).saturating_add(range) / common.max(1) > MOST_STEPS {
            return Err(TimesError::Uneven { step: self.step, range, common });
        }
        let window =
            Window { end: after(self.first + self.steps * self.step), ..range_before(self.first, range) };
        let nanos = common.saturating_mul(NANOS_OF_MILLI);
        Ok((Steps { from_unix_nano: after(self.first), nanos }, window))
    }

    /// Whether a step that begins then is in the range of a point.
    pub(super) fn are_about(&self, start_unix_nano: u64, range: u64) -> bool {
        let Some(since) = start_unix_nano.checked_sub(after(self.first)) else { return true };
        let step = self.step.saturating_mul(NANOS_OF_MILLI);
        since % step >= step.saturating_sub(range.saturating_mul(NANOS_OF_MILLI))
    }

    /// For each point, from when to when steps begin that are of its range, in nanoseconds.
    pub(super) fn ranges(&self, range: u64) -> impl Iterator<Item = Window> + use<> {
        self.millis().map(move |point| range_before(point, range))
    }
}

fn range_before(point: u64, range: u64) -> Window {
    Window { start: point.checked_sub(range).map_or(0, after), end: after(point) }
}

/// The nanosecond after a time in milliseconds.
fn after(millis: u64) -> u64 {
    millis.saturating_mul(NANOS_OF_MILLI).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_count_in_steps_of_which_all_ranges_are_made() {
        let times = Times::between(100_003, 160_003, 20_000).unwrap();
        assert_eq!(times.millis().collect::<Vec<_>>(), [100_003, 120_003, 140_003, 160_003]);
        let (steps, window) = times.counted(30_000).unwrap();
        assert_eq!(steps.nanos, 10_000 * NANOS_OF_MILLI);
        assert_eq!(window, Window { start: 70_003_000_001, end: 160_003_000_001 });
        for range in times.ranges(30_000) {
            assert_eq!([range.start, range.end].map(|edge| steps.start_of(edge)), [range.start, range.end]);
            assert_eq!(steps.start_of(range.end - 1), range.end - 10_000_000_000);
        }
        let apart = Times::between(100_000, 200_000, 50_000).unwrap();
        let (steps, window) = apart.counted(20_000).unwrap();
        let all = (0..).map(|step| window.start + step * steps.nanos).take_while(|start| *start < window.end);
        let about: Vec<u64> =
            all.filter(|start| apart.are_about(*start, 20_000)).map(|start| start / 1_000_000_000).collect();
        assert_eq!(about, [80, 90, 130, 140, 180, 190]);
        let (steps, window) = Times::at(5_000).counted(60_000).unwrap();
        assert_eq!((steps.start_of(7), window), (0, Window { start: 0, end: 5_000_000_001 }));
    }

    #[test]
    fn should_refuse_what_takes_too_many() {
        assert_eq!(Times::between(2, 1, 1), Err(TimesError::Backwards));
        assert_eq!(Times::between(1, 2, 0), Err(TimesError::NoStep));
        assert_eq!(Times::between(0, 11_000, 1), Err(TimesError::TooManyPoints));
        let uneven = Times::between(0, 10_000_000, 1_001).unwrap().counted(60_000);
        assert_eq!(uneven, Err(TimesError::Uneven { step: 1_001, range: 60_000, common: 1 }));
        assert!(Times::between(0, u64::MAX, u64::MAX / 2).is_ok());
    }
}
