//! Hours and days, and when a block belongs to which.

use std::time::Duration;

use siltstone_format::day::Day;

use super::Piece;

pub(super) const HOUR: u64 = 3_600_000_000_000;
const DAY: u64 = 24 * HOUR;

/// From its first nanosecond to the next one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Window {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Window {
    pub(super) fn hour_of(time: u64) -> Self {
        Self::from(time - time % HOUR, HOUR)
    }

    pub(super) fn of_day(day: Day) -> Self {
        Self::from(u64::from(day.0).saturating_mul(DAY), DAY)
    }

    fn from(start: u64, len: u64) -> Self {
        Self { start, end: start.saturating_add(len) }
    }

    pub(super) fn is_over(self, now: u64, slack: Duration) -> bool {
        has_passed(self.end, slack, now)
    }
}

pub(super) fn has_passed(since: u64, duration: Duration, now: u64) -> bool {
    now >= since.saturating_add(nanos(duration))
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// When a block was named: just before it was written.
pub(super) fn drawn_at(piece: &Piece) -> u64 {
    piece.id.0.timestamp_ms().saturating_mul(1_000_000)
}

/// Where most spans of a flushed block lie, or end: some come late, so its first span says little, and a clock
/// that runs ahead must not make it one of tomorrow's.
pub(super) fn position(piece: &Piece) -> u64 {
    piece.max_start_unix_nano.min(drawn_at(piece))
}
