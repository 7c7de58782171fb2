//! Small blocks of a day, into larger ones.

use std::collections::BTreeMap;
use std::time::Duration;

use siltstone_catalog::kept::Until;
use siltstone_format::day::Day;

use super::policy::Policy;
use super::times::{Window, has_passed, nanos};
use super::{Job, Piece, tier};

/// A trace stands where its first span is, so a block of an hour may have spans of the next one.
const LONG_TRACE: Duration = Duration::from_secs(600);

/// So many small blocks of an hour are merged once it is over, even if they make no large one.
const MANY: usize = 8;

/// What is kept equally long is merged, and nothing else: it goes as a block.
pub(super) fn jobs(day: Day, pieces: Vec<&Piece>, now: u64, policy: &Policy) -> Vec<Job> {
    let mut alike: BTreeMap<Option<Until>, Vec<&Piece>> = BTreeMap::new();
    for piece in pieces {
        alike.entry(piece.until).or_default().push(piece);
    }
    alike.into_values().flat_map(|pieces| jobs_of_alike(day, pieces, now, policy)).collect()
}

fn jobs_of_alike(day: Day, pieces: Vec<&Piece>, now: u64, policy: &Policy) -> Vec<Job> {
    let window = Window::of_day(day);
    if !window.is_over(now, policy.day_slack) {
        return while_open(pieces, window, now, policy);
    }
    let is_due = |run: &[&Piece]| {
        let is_large = !policy.is_small(policy.total(run));
        let has_waited = has_passed(tier::oldest(run), policy.wait_late, now);
        policy.at_once || run.len() >= policy.enough || is_large || has_waited
    };
    tier::jobs(pieces, window, policy, is_due)
}

/// An hour at most; what covers more are late spans, which are merged among themselves.
fn while_open(pieces: Vec<&Piece>, day: Window, now: u64, policy: &Policy) -> Vec<Job> {
    let mut hours: BTreeMap<Option<Window>, Vec<&Piece>> = BTreeMap::new();
    for piece in pieces {
        hours.entry(hour_of(piece)).or_default().push(piece);
    }
    let mut jobs = Vec::new();
    for (hour, pieces) in hours.into_iter().rev() {
        // What was flushed before its end has been merged by then.
        let is_over = hour.is_some_and(|hour| hour.is_over(now, policy.hour_slack.saturating_mul(2)));
        let is_due = |run: &[&Piece]| {
            let is_large = !policy.is_small(policy.total(run));
            run.len() >= policy.enough || is_over && (is_large || run.len() >= MANY)
        };
        jobs.extend(tier::jobs(pieces, hour.unwrap_or(day), policy, is_due));
    }
    jobs
}

fn hour_of(piece: &Piece) -> Option<Window> {
    let hour = Window::hour_of(piece.min_start_unix_nano);
    let end = hour.end.saturating_add(nanos(LONG_TRACE));
    (piece.max_start_unix_nano < end).then_some(hour)
}
