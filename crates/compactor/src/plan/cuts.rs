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

/// Slices for each full block of spans of a time of which other jobs have some as well. Were they finer, they would
/// mostly cover the time that traces go on for beyond their end.
const FINE: u64 = 4;

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
pub(super) fn of_day(pieces: &[&Piece], slices: u64, window: Window, policy: &Policy) -> Vec<u64> {
    let total = policy.total(pieces);
    let mut pieces = with_ends(pieces);
    pieces.sort_unstable_by_key(|(piece, end)| (*end, piece.id));
    let usual_share = total / (2 * pieces.len().max(1) as u64);
    let mut ended = window.start;
    let mut parts = Vec::with_capacity(pieces.len());
    for (piece, end) in &pieces {
        let to = (*end).min(window.end);
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
    let pieces: Vec<&Piece> = pieces.into_iter().map(|(piece, _)| piece).collect();
    useful(even(&parts, slices), &pieces)
}

/// Where the traces of each piece have begun. A trace stands where its first span is, so some spans are beyond: of
/// pieces that one job cut, where one ends the next one begins, and what they share is how long traces go on.
fn with_ends<'p>(pieces: &[&'p Piece]) -> Vec<(&'p Piece, u64)> {
    let mut pieces = pieces.to_vec();
    pieces.sort_unstable_by_key(|piece| (piece.job, piece.min_start_unix_nano, piece.id));
    let of_one_job = pieces.chunk_by(|one, next| one.job.is_some() && one.job == next.job);
    let ends = of_one_job.flat_map(|pieces| {
        let mut beyond = 0;
        let begins = pieces.iter().skip(1).map(|next| Some(next.min_start_unix_nano));
        pieces.iter().zip(begins.chain([None])).map(move |(piece, next)| {
            let last = piece.max_start_unix_nano;
            let end =
                next.unwrap_or(last.saturating_sub(beyond)).clamp(piece.min_start_unix_nano.min(last), last);
            beyond = last - end;
            (*piece, end)
        })
    });
    ends.collect()
}

/// Cuts of flushed blocks, which are sorted by their positions.
pub(super) fn of_inbox(pieces: &[&Piece], window: Window, policy: &Policy) -> Vec<u64> {
    let [Some(first), Some(last)] = [pieces.first(), pieces.last()].map(|piece| piece.map(|it| position(it)))
    else {
        return Vec::new();
    };
    if policy.total(pieces) < few_rows(pieces, policy) {
        return Vec::new();
    }
    let fill = time_to_fill(last - first, pieces.len() as u64, policy);
    let guess = |piece: &&Piece| Guess::of(piece, last - first, fill, policy);
    let guesses: Vec<Guess> = pieces.iter().map(guess).collect();
    let ends: Vec<Part> = guesses.iter().filter_map(|guess| guess.end).collect();
    let slices = policy.slices(sum(&ends));
    let mut cuts = of_neighbours(&ends, (first, last, fill), window, policy);
    // Spans that came late stand apart, or the first slice would cover all the time that they are of.
    let margin = ((last - first) / slices.max(1) / 2).min(2 * USUAL_FLUSH);
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

/// Fewer are not cut: what came late of them would be a block of a few rows. One block that comes alone is the last of
/// its hour. A few late spans would make it as long as the hour, and it would be taken for one of late spans.
fn few_rows(pieces: &[&Piece], policy: &Policy) -> u64 {
    policy.target_rows / if pieces.len() == 1 { 80 } else { 16 }
}

/// Cuts of blocks that were flushed one after the other, the first one at `first`, the last one at `last`, and that
/// took so long to `fill`.
///
/// While a block was filled, so were those of the jobs before and after: near both ends, others have rows of the same
/// time. Where that is longer than a slice, it is cut finely, so that the next merge is one of both jobs' rows.
fn of_neighbours(
    parts: &[Part],
    (first, last, fill): (u64, u64, u64),
    window: Window,
    policy: &Policy,
) -> Vec<u64> {
    let slices = policy.slices(sum(parts));
    if fill <= (last - first) / slices.max(1) {
        return even(parts, slices);
    }
    // Jobs of the window before have rows of it as well, but no rows of this one.
    let spills_over = parts.iter().any(|part| part.from < window.start);
    let alone_from = if spills_over { window.start } else { first };
    let head = within(parts, 0, alone_from);
    let alone = sum(&within(parts, alone_from, last.saturating_sub(fill)));
    let (before, aim) = (sum(&head), policy.slice_rows());
    let begins = (0..=alone / aim).map(|slice| before.saturating_add(slice.saturating_mul(aim)));
    let begins = begins.take(MOST_SLICES as usize).filter(|rows| *rows > 0);
    let mut cuts = after_rows(parts, begins.map(u128::from));
    // What makes no full block is part of what is merged again.
    let tail = within(parts, cuts.last().copied().unwrap_or(alone_from), last);
    for seam in [head, tail] {
        cuts.extend(even(&seam, sum(&seam).div_ceil((policy.target_rows / FINE).max(1))));
    }
    cuts
}

/// How long a block of some that were flushed one after the other was filled: as if a third as many as a job may have
/// were filled at the same time. Nobody says how many ingesters there are.
fn time_to_fill(length: u64, blocks: u64, policy: &Policy) -> u64 {
    let at_once = policy.most_inputs as u64 / 3;
    let apart = length.checked_div(blocks.saturating_sub(1));
    apart.map_or(USUAL_FLUSH, |apart| apart.saturating_mul(at_once).min(USUAL_FLUSH))
}

/// What lies between two times.
fn within(parts: &[Part], from: u64, to: u64) -> Vec<Part> {
    let clipped = parts.iter().filter(|part| part.from < to && from < part.to).map(|part| {
        let rows = part.before(to).saturating_sub(part.before(from));
        Part { from: part.from.max(from), to: part.to.min(to), rows: rows as u64 }
    });
    clipped.collect()
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
    fn of(piece: &Piece, length: u64, fill: u64, policy: &Policy) -> Self {
        let (to, rows) = (position(piece), policy.size(piece));
        let all = Part { from: piece.min_start_unix_nano.min(to), to, rows };
        // Short enough to be one of many that followed one another.
        if to - all.from <= (length / 8).max(1) {
            return Self { end: Some(all), spread: None };
        }
        let end = Part { from: to.saturating_sub(fill).max(all.from), ..all };
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
    after_rows(parts, (1..slices).map(|slice| total * u128::from(slice) / u128::from(slices)))
}

/// For each of some numbers of rows, the time before which so many lie. Between two times at which parts begin or end,
/// rows lie evenly.
fn after_rows(parts: &[Part], wanted: impl Iterator<Item = u128>) -> Vec<u64> {
    let mut times: Vec<u64> = parts.iter().flat_map(|part| [part.from, part.to.saturating_add(1)]).collect();
    times.sort_unstable();
    times.dedup();
    let before = |time: u64| parts.iter().map(|part| part.before(time)).sum::<u128>();
    let known: Vec<(u64, u128)> = times.into_iter().map(|time| (time, before(time))).collect();
    let times = wanted.filter_map(|wanted| {
        let next = known.partition_point(|(_, rows)| *rows < wanted);
        let (to, upto) = *known.get(next).or(known.last())?;
        let Some((from, rows)) = next.checked_sub(1).map(|last| known[last]) else { return Some(to) };
        // With more than there are, both are the end.
        let further =
            (u128::from(to - from) * (wanted - rows).min(upto - rows)).div_ceil((upto - rows).max(1));
        Some(from.saturating_add(u64::try_from(further).unwrap_or(u64::MAX)))
    });
    times.collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_find_the_time_before_which_so_many_rows_lie() {
        let day = 24 * 3_600_000_000_000;
        // Few rows all day, and many of one instant.
        let parts = [
            Part { from: 0, to: day - 1, rows: 1_000 },
            Part { from: day / 2, to: day / 2, rows: 8_000_000 },
        ];
        let found =
            after_rows(&parts, [0, 250, 500, 501, 8_000_500, 8_000_750, 8_001_000, 9_000_000].into_iter());
        let half = day / 2;
        assert_eq!(found, [0, day / 4, half, half + 1, half + 1, day / 4 * 3 + 1, day, day]);
        let gap = [Part { from: 10, to: 19, rows: 10 }, Part { from: 50, to: 59, rows: 10 }];
        assert_eq!(after_rows(&gap, [5, 10, 11, 20].into_iter()), [15, 20, 51, 60]);
        assert!(after_rows(&[], [5].into_iter()).is_empty());
    }
}
