//! What planning aims at, and how long it waits for it.

use std::time::Duration;

use siltstone_format::day::Day;

use super::Piece;
use super::times::Window;

/// What planning aims at, and how long it waits for it. The defaults are what `docs/compaction.md` measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A block is full with so many rows or so many bytes: what the merge goes by.
    pub target_rows: u64,
    pub target_bytes: u64,
    /// Most inputs of a job, and most rows of them together: bounds of its memory and time.
    pub most_inputs: usize,
    pub most_rows: u64,
    /// Blocks of the inbox with so many rows together wait no longer. More at once leaves fewer remainders of late
    /// spans.
    pub batch_rows: u64,
    /// A block of the inbox waits so long for others.
    pub wait: Duration,
    /// So many small blocks, in a day or an hour, do not wait for its end.
    pub enough: usize,
    /// Small blocks of a day that is over wait so long for others that come late.
    pub wait_late: Duration,
    /// How long after its end an hour, or a day, is taken to be over.
    pub hour_slack: Duration,
    pub day_slack: Duration,
    /// A small block is merged if it is at most so many times what is merged with it.
    pub growth: u64,
    /// Whatever is worth merging is merged now: for a run that is not followed by another soon.
    pub at_once: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            target_rows: 2_000_000,
            target_bytes: 64 << 20,
            most_inputs: 64,
            most_rows: 16_000_000,
            batch_rows: 8_000_000,
            wait: Duration::from_secs(15 * 60),
            enough: 32,
            wait_late: Duration::from_secs(6 * 3_600),
            hour_slack: Duration::from_secs(20 * 60),
            day_slack: Duration::from_secs(2 * 3_600),
            growth: 3,
            at_once: false,
        }
    }
}

impl Policy {
    /// Whether a day is over: nothing but what comes late becomes part of it.
    pub fn is_closed(&self, day: Day, now_unix_nano: u64) -> bool {
        Window::of_day(day).is_over(now_unix_nano, self.day_slack)
    }

    /// In rows: of a block of large rows, as many as its bytes would be at the target.
    pub(super) fn size(&self, piece: &Piece) -> u64 {
        let bytes = u128::from(piece.bytes) * u128::from(self.target_rows);
        let by_bytes = bytes / u128::from(self.target_bytes.max(1));
        piece.rows.max(u64::try_from(by_bytes).unwrap_or(u64::MAX))
    }

    pub(super) fn total(&self, pieces: &[&Piece]) -> u64 {
        pieces.iter().fold(0, |sum, piece| sum.saturating_add(self.size(piece)))
    }

    /// Small ones are merged again. Slices come out somewhat below the target, and must not be.
    pub(super) fn is_small(&self, size: u64) -> bool {
        size < self.target_rows / 4 * 3
    }

    /// Into how many slices so much is cut: somewhat below the target each, since where spans lie is a guess.
    pub(super) fn slices(&self, size: u64) -> u64 {
        if size <= self.target_rows { 1 } else { size.div_ceil(self.slice_rows()) }
    }

    pub(super) fn slice_rows(&self) -> u64 {
        (self.target_rows / 10).saturating_mul(9).max(1)
    }

    /// The longest beginning that one job may have; one at least.
    pub(super) fn within_bounds(&self, pieces: &[&Piece]) -> usize {
        let mut rows = 0u64;
        let fits = pieces.iter().take(self.most_inputs).take_while(|piece| {
            rows = rows.saturating_add(self.size(piece));
            rows <= self.most_rows
        });
        fits.count().max(1)
    }
}
