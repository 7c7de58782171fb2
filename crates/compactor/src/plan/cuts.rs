//! Where a merge is cut, so that a slice is about one full block.
//!
//! What is known of a block is its first and its last span, so all of this is a guess. A cut where nothing is costs
//! nothing; where one is missing, several blocks cover the same time.

use std::time::Duration;

use super::Piece;
use super::policy::Policy;
use super::times::{Window, drawn_at, has_passed, position};

/// A job that is cut into more has inputs that no plan foresees.
const MOST_SLICES: u64 = 64;

/// Slices for each full block of spans that came in no order.
const FINELY: u64 = 8;

/// Most of a flushed block is of so short a time, if spans kept coming.
const USUAL_FLUSH: u64 = 30_000_000_000;

/// A block whose last span is so much older than itself is not of spans that were sent as they happened.
const USUAL_DELAY: Duration = Duration::from_secs(15 * 60);

/// Rows that are taken to lie evenly between two times.
#[derive(Clone, Copy, Debug)]
struct Part {
    from: u64,
    to: u64,
    rows: u64,
}

impl Part {
    fn before(&self, time: u64) -> u128 {
        let length = u128::from(self.to.saturating_sub(self.from)) + 1;
        let passed = u128::from(time.saturating_sub(self.from)).min(length);
        u128::from(self.rows) * passed / length
    }
}

/// Cuts of blocks of one day, or of one of its hours.
pub(super) fn of_day(pieces: &[&Piece], window: Window, policy: &Policy) -> Vec<u64> {
    let mut pieces = pieces.to_vec();
    pieces.sort_unstable_by_key(|piece| (piece.max_start_unix_nano, piece.id));
    let usual_share = policy.total(&pieces) / (2 * pieces.len().max(1) as u64);
    let mut ended = window.start;
    let mut parts = Vec::with_capacity(pieces.len());
    for piece in &pieces {
        // A trace stands where its first span is, so some spans are beyond.
        let to = piece.max_start_unix_nano.min(window.end);
        let from = piece.min_start_unix_nano.max(window.start).min(to);
        // A few late spans make a block begin long before the one before it ends. If it all but ends there too,
        // both are of the same time.
        let goes_on = to.saturating_sub(ended) >= (to - from) / 4;
        let from = if goes_on { from.max(ended) } else { from };
        let rows = policy.size(piece);
        parts.push(Part { from, to, rows });
        // A block of a few rows does not say where others begin.
        if rows >= usual_share {
            ended = ended.max(to);
        }
    }
    useful(even(&parts, policy.slices(policy.total(&pieces))), &pieces)
}

/// Cuts of flushed blocks, which are sorted by their positions.
pub(super) fn of_inbox(pieces: &[&Piece], window: Window, policy: &Policy) -> Vec<u64> {
    let [Some(first), Some(last)] = [pieces.first(), pieces.last()].map(|piece| piece.map(|it| position(it)))
    else {
        return Vec::new();
    };
    if policy.total(pieces) < policy.target_rows / 4 {
        return Vec::new();
    }
    let guesses: Vec<Guess> = pieces.iter().map(|piece| Guess::of(piece, last - first, policy)).collect();
    let ends: Vec<Part> = guesses.iter().filter_map(|guess| guess.end).collect();
    let mut cuts = even(&ends, policy.slices(sum(&ends)));
    // Spans that came late stand apart, or the first slice would cover all the time that they are of.
    let margin = ((last - first) / 4).min(2 * USUAL_FLUSH);
    let begin = ends.iter().map(|part| part.from).min();
    cuts.extend(begin.map(|begin| match begin.saturating_sub(margin) {
        // What spills over from the window before is cut off anyway.
        before if before < window.start => begin.min(window.start),
        before => before,
    }));
    let spread: Vec<Part> = guesses.iter().filter_map(|guess| guess.spread).collect();
    // Of spans in no order every job has some of all times. It is cut finely, so that the next merge can be one of
    // neighbours.
    cuts.extend(even(&spread, policy.slices(sum(&spread).saturating_mul(FINELY))));
    useful(cuts, pieces)
}

/// Where the rows of a flushed block are. If nothing tells which it is, it is cut for both.
struct Guess {
    /// Just before its last span, but for a few late ones; or it is short.
    end: Option<Part>,
    /// All over the time from its first span to its last.
    spread: Option<Part>,
}

impl Guess {
    /// Of a job of blocks whose positions are within `length`.
    fn of(piece: &Piece, length: u64, policy: &Policy) -> Self {
        let (to, rows) = (position(piece), policy.size(piece));
        let all = Part { from: piece.min_start_unix_nano.min(to), to, rows };
        // As if an eighth of the job's blocks had been filled at the same time: nobody says how many ingesters
        // there are.
        let short = (length / 8).max(1);
        if to - all.from <= short {
            return Self { end: Some(all), spread: None };
        }
        let end = Part { from: to.saturating_sub(short.min(USUAL_FLUSH)).max(all.from), ..all };
        let is_live = !has_passed(to, USUAL_DELAY, drawn_at(piece));
        Self { end: Some(end), spread: (!is_live).then_some(all) }
    }
}

fn sum(parts: &[Part]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.rows))
}

/// Times between slices of equal size.
fn even(parts: &[Part], slices: u64) -> Vec<u64> {
    let slices = slices.clamp(1, MOST_SLICES);
    let total: u128 = parts.iter().map(|part| u128::from(part.rows)).sum();
    let bounds = (parts.iter().map(|part| part.from).min(), parts.iter().map(|part| part.to).max());
    let (Some(from), Some(to)) = bounds else { return Vec::new() };
    let wanted = (1..slices).map(|slice| total * u128::from(slice) / u128::from(slices));
    wanted.map(|wanted| first_with(parts, wanted, from, to)).collect()
}

/// The first time before which at least so many rows lie.
fn first_with(parts: &[Part], wanted: u128, mut from: u64, mut to: u64) -> u64 {
    while from < to {
        let middle = from + (to - from) / 2;
        let before: u128 = parts.iter().map(|part| part.before(middle)).sum();
        if before >= wanted { to = middle } else { from = middle + 1 }
    }
    from
}

/// Ascending, and none beyond what there is.
pub(super) fn useful(mut cuts: Vec<u64>, pieces: &[&Piece]) -> Vec<u64> {
    let first = pieces.iter().map(|piece| piece.min_start_unix_nano).min();
    let last = pieces.iter().map(|piece| piece.max_start_unix_nano).max();
    cuts.retain(|cut| first.is_some_and(|first| first < *cut) && last.is_some_and(|last| *cut <= last));
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}
