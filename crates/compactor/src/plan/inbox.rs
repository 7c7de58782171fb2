//! What was flushed, into its days: neighbours in time together.

use std::collections::BTreeMap;

use siltstone_format::day::Day;

use super::policy::Policy;
use super::times::{HOUR, Window, drawn_at, has_passed, position};
use super::{Job, Piece, cuts, job};

/// With fewer, and few rows, blocks wait for the end of their hour: small tenants are many.
const FEW: usize = 4;
const FEW_ROWS_OF_TARGET: u64 = 32;

pub(super) fn jobs(pieces: Vec<&Piece>, now: u64, policy: &Policy) -> Vec<Job> {
    let mut windows: BTreeMap<Window, Vec<&Piece>> = BTreeMap::new();
    for piece in pieces {
        windows.entry(window_of(position(piece), now, policy)).or_default().push(piece);
    }
    let mut jobs = Vec::new();
    for (window, mut pieces) in windows.into_iter().rev() {
        pieces.sort_unstable_by_key(|piece| (position(piece), piece.id));
        let batches = batches(&pieces, policy);
        let due = batches.into_iter().rev().filter(|batch| is_due(batch, window, now, policy));
        jobs.extend(due.map(|batch| job(batch, cuts_of(batch, window, policy))));
    }
    jobs
}

/// An hour, or a day that is over.
fn window_of(time: u64, now: u64, policy: &Policy) -> Window {
    let day = Window::of_day(Day::of_unix_nano(time));
    if day.is_over(now, policy.day_slack) { day } else { Window::hour_of(time) }
}

fn batches<'a, 'p>(mut pieces: &'a [&'p Piece], policy: &Policy) -> Vec<&'a [&'p Piece]> {
    let mut batches = Vec::new();
    while !pieces.is_empty() {
        let (batch, rest) = pieces.split_at(policy.within_bounds(pieces));
        batches.push(batch);
        pieces = rest;
    }
    batches
}

fn is_due(batch: &[&Piece], window: Window, now: u64, policy: &Policy) -> bool {
    let size = policy.total(batch);
    let is_full = batch.len() >= policy.most_inputs || size >= policy.batch_rows;
    if policy.at_once || is_full || window.is_over(now, policy.hour_slack) {
        return true;
    }
    let is_worth_it = batch.len() > 1 && size >= policy.target_rows / FEW_ROWS_OF_TARGET;
    let has_waited = batch.iter().any(|piece| has_passed(drawn_at(piece), policy.wait, now));
    (is_worth_it || batch.len() >= FEW) && has_waited
}

fn cuts_of(batch: &[&Piece], window: Window, policy: &Policy) -> Vec<u64> {
    let mut found = cuts::of_inbox(batch, window, policy);
    if window.end - window.start <= HOUR {
        // What is of the hour before, mostly of its last minutes, and what came later than that stand apart. The
        // latter is not cut by hours: it is so little that it would be blocks of a few rows each.
        found.extend([window.start.saturating_sub(HOUR), window.start, window.end]);
    }
    cuts::useful(found, batch)
}
