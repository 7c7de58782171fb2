//! Which of some small blocks are merged with which: those of about one size, so that no row is written often.

use super::Piece;
use super::policy::Policy;
use super::times::{Window, drawn_at};
use super::{Job, cuts, job};

/// Blocks whose rows lie so many times less densely than most rows are of late spans and cover a long time: they are
/// merged on their own, or the others would cover it too.
const SPARSE: u64 = 8;

/// Disjoint runs of neighbours, each of which becomes fewer blocks; those of them that are due.
pub(super) fn jobs(
    pieces: Vec<&Piece>,
    window: Window,
    policy: &Policy,
    is_due: impl Fn(&[&Piece]) -> bool,
) -> Vec<Job> {
    let [mut dense, sparse] = by_density(pieces);
    dense.sort_unstable_by_key(|piece| (middle(piece), piece.id));
    let sparse = comparable(sparse, policy);
    // What lies on both sides of a full block is not merged: it would cover the time of that block as well.
    let between_full = dense.split(|piece| !policy.is_small(policy.size(piece)));
    let groups = between_full.chain([sparse.as_slice()]);
    let runs = groups.flat_map(|group| runs(group, policy).into_iter().map(move |run| (run, group)));
    let due = runs.filter(|(run, _)| is_due(run));
    due.map(|(run, group)| job(run, cuts::of_day(run, slices(run, group, policy), window, policy))).collect()
}

fn runs<'a, 'p>(mut pieces: &'a [&'p Piece], policy: &Policy) -> Vec<&'a [&'p Piece]> {
    let mut runs = Vec::new();
    while pieces.len() > 1 {
        let longest = policy.within_bounds(pieces);
        let run = (2..=longest).rev().find(|length| is_worth_it(&pieces[..*length], policy));
        let (run, rest) = pieces.split_at(run.unwrap_or(1));
        if run.len() > 1 {
            runs.push(run);
        }
        pieces = rest;
    }
    runs
}

fn by_density(mut pieces: Vec<&Piece>) -> [Vec<&Piece>; 2] {
    pieces.sort_unstable_by_key(|piece| (nanos_of_row(piece), piece.id));
    let rows: u128 = pieces.iter().map(|piece| u128::from(piece.rows)).sum();
    let mut denser = 0u128;
    let most = pieces.iter().find(|piece| {
        denser += u128::from(piece.rows);
        denser * 2 >= rows
    });
    let usual = most.map_or(0, |piece| nanos_of_row(piece));
    let sparse = pieces.partition_point(|piece| nanos_of_row(piece) / SPARSE <= usual);
    let sparse = pieces.split_off(sparse);
    [pieces, sparse]
}

fn nanos_of_row(piece: &Piece) -> u64 {
    piece.max_start_unix_nano.saturating_sub(piece.min_start_unix_nano) / piece.rows.max(1)
}

/// Without the largest ones, each of which is too large for all smaller ones together. Sorted by time.
fn comparable<'p>(mut pieces: Vec<&'p Piece>, policy: &Policy) -> Vec<&'p Piece> {
    pieces.retain(|piece| policy.is_small(policy.size(piece)));
    pieces.sort_unstable_by_key(|piece| (policy.size(piece), piece.id));
    let (mut before, mut taken) = (0u64, 0);
    for (place, piece) in pieces.iter().enumerate() {
        let size = policy.size(piece);
        if size <= before.saturating_mul(policy.growth) {
            taken = place + 1;
        }
        before = before.saturating_add(size);
    }
    pieces.truncate(taken);
    pieces.sort_unstable_by_key(|piece| (middle(piece), piece.id));
    pieces
}

pub(super) fn middle(piece: &Piece) -> u64 {
    piece.min_start_unix_nano / 2 + piece.max_start_unix_nano / 2
}

/// Into how many slices a run of a group is cut.
fn slices(run: &[&Piece], group: &[&Piece], policy: &Policy) -> u64 {
    let size = policy.total(run);
    let slices = policy.slices(size);
    let from = run.iter().map(|piece| piece.min_start_unix_nano).min().unwrap_or(0);
    let to = run.iter().map(|piece| piece.max_start_unix_nano).max().unwrap_or(0);
    let of_its_time =
        group.iter().fold(0u64, |sum, piece| sum.saturating_add(within(piece, from, to, policy)));
    // What others have of the same time is more than this job can take along: full blocks would lie beside theirs
    // for ever. It is cut as finely as may be, so that the next merge is one of neighbours.
    let is_crowded = slices > 1 && of_its_time / 2 > size;
    if is_crowded { most_slices(run, policy) } else { slices }
}

/// What a piece has between two times, if its rows lie evenly.
fn within(piece: &Piece, from: u64, to: u64, policy: &Policy) -> u64 {
    let length = |from: u64, to: u64| u128::from(to.saturating_sub(from)) + 1;
    let (first, last) = (piece.min_start_unix_nano, piece.max_start_unix_nano);
    if last < from || to < first {
        return 0;
    }
    let part = length(first.max(from), last.min(to));
    u64::try_from(u128::from(policy.size(piece)) * part / length(first, last)).unwrap_or(u64::MAX)
}

fn is_worth_it(run: &[&Piece], policy: &Policy) -> bool {
    policy.slices(policy.total(run)) <= most_slices(run, policy)
}

/// With so many, a run becomes fewer blocks however its rows lie in time: each slice has one block that is not full
/// at most. So there is an end to merging. And even its largest block becomes part of a much larger one.
fn most_slices(run: &[&Piece], policy: &Policy) -> u64 {
    let size = policy.total(run);
    let full = size / policy.target_rows.max(1);
    let of_fewer_blocks = (run.len() as u64).saturating_sub(full.saturating_add(1));
    let largest = run.iter().map(|piece| policy.size(piece)).max().unwrap_or(0);
    let kept = u128::from(largest) * (u128::from(policy.growth) + 1);
    let of_larger_blocks = (u128::from(size) * u128::from(policy.growth)).checked_div(kept);
    of_fewer_blocks.min(of_larger_blocks.and_then(|most| u64::try_from(most).ok()).unwrap_or(u64::MAX))
}

/// When the first of them was written.
pub(super) fn oldest(run: &[&Piece]) -> u64 {
    run.iter().map(|piece| drawn_at(piece)).min().unwrap_or(0)
}
