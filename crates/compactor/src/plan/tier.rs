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
    let runs = between_full.chain([sparse.as_slice()]).flat_map(|group| runs(group, policy));
    let due = runs.filter(|run| is_due(run));
    due.map(|run| job(run, cuts::of_day(run, window, policy))).collect()
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

/// It becomes fewer blocks however its rows lie in time: each slice has one block that is not full at most. So there
/// is an end to merging. And even its largest block becomes part of a much larger one.
fn is_worth_it(run: &[&Piece], policy: &Policy) -> bool {
    let size = policy.total(run);
    let slices = policy.slices(size);
    let most_outputs = slices.saturating_add(size / policy.target_rows.max(1));
    let largest = run.iter().map(|piece| policy.size(piece)).max().unwrap_or(0);
    let kept = u128::from(largest) * u128::from(slices) * (u128::from(policy.growth) + 1);
    let is_fair = kept <= u128::from(size) * u128::from(policy.growth);
    is_fair && run.len() as u64 > most_outputs
}

/// When the first of them was written.
pub(super) fn oldest(run: &[&Piece]) -> u64 {
    run.iter().map(|piece| drawn_at(piece)).min().unwrap_or(0)
}
