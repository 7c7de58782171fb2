//! A model of the merge: rows that lie evenly in time, cut as the merge cuts traces.

use siltstone_catalog::block_page::Section;
use siltstone_format::day::Day;
use siltstone_format::id::BlockId;
use ulid::Ulid;

use super::super::{Job, Piece};
use super::traffic::{DAY, SECOND};

const BYTES_OF_FLUSHED_ROW: u64 = 30;
const BYTES_OF_ROW: u64 = 26;
const FULL: u64 = 2_000_000;
/// A trace goes where its first span is, so a slice has spans of so long after its end.
const TRACE: u64 = 2 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    No,
    Minutes,
    Days,
}

/// Rows that lie evenly between two times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) count: u64,
    pub(super) late: Late,
}

#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) piece: Piece,
    pub(super) rows: Vec<Rows>,
}

impl Block {
    pub(super) fn flushed(named: u64, number: u64, rows: Vec<Rows>) -> Self {
        Self::new(named, number, Section::Inbox, BYTES_OF_FLUSHED_ROW, rows)
    }

    fn new(named: u64, number: u64, section: Section, bytes_of_row: u64, mut rows: Vec<Rows>) -> Self {
        rows.retain(|rows| rows.count > 0);
        let count = rows.iter().map(|rows| rows.count).sum();
        let first = |rows: &Rows| rows.from + (rows.to - rows.from) / (rows.count + 1);
        let last = |rows: &Rows| rows.to - (rows.to - rows.from) / (rows.count + 1);
        let piece = Piece {
            id: BlockId(Ulid::from_parts(named / 1_000_000, number.into())),
            section,
            rows: count,
            bytes: count * bytes_of_row,
            min_start_unix_nano: rows.iter().map(first).min().unwrap_or(named),
            max_start_unix_nano: rows.iter().map(last).max().unwrap_or(named),
            job: None,
            until: None,
        };
        Self { piece, rows }
    }

    /// A share of all its rows; what is less than one is left to the next block.
    pub(super) fn share(&self, part: f64, carried: &mut f64) -> Self {
        let rows = self.rows.iter().map(|rows| {
            let wanted = rows.count as f64 * part + *carried;
            let count = (wanted.max(0.0) as u64).min(rows.count);
            *carried = (wanted - count as f64).clamp(-1.0, 1.0);
            Rows { count, ..*rows }
        });
        Self { piece: self.piece.clone(), rows: rows.filter(|rows| rows.count > 0).collect() }
    }

    /// Most of its rows came late.
    pub(super) fn is_late(&self) -> bool {
        let late: u64 = self.rows.iter().filter(|rows| rows.late != Late::No).map(|rows| rows.count).sum();
        late * 2 > self.piece.rows
    }
}

/// Fractions of rows are carried over, so that the sum is right and a few rows make a few blocks.
#[derive(Default)]
pub(super) struct Executor {
    carried: [f64; 3],
    blocks: u64,
}

impl Executor {
    pub(super) fn number(&mut self) -> u64 {
        self.blocks += 1;
        self.blocks
    }

    pub(super) fn merge(&mut self, job: &Job, inputs: &[Block], now: u64) -> Vec<Block> {
        let rows: Vec<Rows> = inputs.iter().flat_map(|block| block.rows.iter().copied()).collect();
        let (Some(from), Some(to)) = (rows.iter().map(|it| it.from).min(), rows.iter().map(|it| it.to).max())
        else {
            return Vec::new();
        };
        let midnights = (from / DAY + 1..=to / DAY).map(|day| day * DAY);
        let mut cuts: Vec<u64> = job.cuts.iter().copied().chain(midnights).collect();
        cuts.retain(|cut| (from + 1..to).contains(cut));
        cuts.extend([from, to]);
        cuts.sort_unstable();
        cuts.dedup();
        let mut slices: Vec<Vec<Rows>> = vec![Vec::new(); cuts.len().saturating_sub(1)];
        rows.iter().for_each(|rows| self.spread(*rows, &cuts, &mut slices));
        let job_id = Ulid::from_parts(now / 1_000_000, self.number().into());
        let mut blocks: Vec<Block> = slices.into_iter().flat_map(|slice| self.blocks(slice, now)).collect();
        blocks.iter_mut().for_each(|block| block.piece.job = Some(job_id));
        blocks
    }

    fn spread(&mut self, rows: Rows, cuts: &[u64], slices: &mut [Vec<Rows>]) {
        let mut left = rows;
        let first = cuts.partition_point(|cut| *cut <= rows.from).saturating_sub(1);
        for (slice, bounds) in slices.iter_mut().zip(cuts.windows(2)).skip(first) {
            if left.count == 0 {
                return;
            }
            let to = bounds[1].min(rows.to);
            let is_last = to == rows.to;
            let share = (to - left.from) as f64 / (rows.to - left.from).max(1) as f64;
            let carried = &mut self.carried[rows.late as usize];
            let wanted = left.count as f64 * share + *carried;
            let count = if is_last { left.count } else { (wanted.max(0.0) as u64).min(left.count) };
            if !is_last {
                *carried = (wanted - count as f64).clamp(-1.0, 1.0);
            }
            add(slice, Rows { from: left.from, to, count, late: rows.late });
            left = Rows { from: to, count: left.count - count, ..left };
        }
    }

    fn blocks(&mut self, slice: Vec<Rows>, now: u64) -> Vec<Block> {
        let Some(day) = slice.iter().map(|rows| rows.from / DAY).min() else { return Vec::new() };
        let total: u64 = slice.iter().map(|rows| rows.count).sum();
        let count = total.div_ceil(FULL);
        let mut left = slice;
        let mut blocks = Vec::new();
        for number in 0..count {
            let have: u64 = left.iter().map(|rows| rows.count).sum();
            let wanted = if number + 1 < count { FULL } else { have };
            let part = left.iter_mut().map(|rows| {
                let taken = (u128::from(rows.count) * u128::from(wanted) / u128::from(have)) as u64;
                rows.count -= taken;
                // Of the last span of a trace that begins just before the cut.
                Rows { to: rows.to + TRACE, count: taken, ..*rows }
            });
            let section = Section::Day(Day(day as u32));
            let part: Vec<Rows> = part.collect();
            let block_number = self.number();
            let mut block = Block::new(now, block_number, section, BYTES_OF_ROW, part);
            block.rows.iter_mut().for_each(|rows| rows.to -= TRACE);
            blocks.push(block);
        }
        blocks
    }
}

/// Rows of one kind are kept together, to have few of them.
fn add(slice: &mut Vec<Rows>, rows: Rows) {
    match slice.iter_mut().find(|other| other.late == rows.late) {
        _ if rows.count == 0 => {}
        Some(other) => {
            other.from = other.from.min(rows.from);
            other.to = other.to.max(rows.to);
            other.count += rows.count;
        }
        None => slice.push(rows),
    }
}
