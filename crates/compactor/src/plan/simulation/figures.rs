//! What a simulation comes to, as a line of a table.

use super::executor::Block;
use super::traffic::{DAY, MINUTE, Traffic};

#[derive(Debug)]
pub(super) struct Figures {
    pub(super) writes: f64,
    pub(super) writes_of_late: f64,
    pub(super) worst: OfDay,
    pub(super) oldest_flush: u64,
    pub(super) long_while_open: f64,
    pub(super) jobs_of_day: f64,
    pub(super) blocks: usize,
    pub(super) left_in_inbox: usize,
}

/// The blocks of a day; those most of whose rows came late are counted apart.
#[derive(Debug, Default)]
pub(super) struct OfDay {
    pub(super) blocks: usize,
    pub(super) late: usize,
    /// How many cover one instant.
    pub(super) at_once: Cover,
    pub(super) late_at_once: Cover,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cover {
    pub(super) mean: f64,
    pub(super) most: usize,
}

impl OfDay {
    pub(super) fn of<'b>(day: u32, blocks: impl Iterator<Item = &'b Block>, traffic: &Traffic) -> Self {
        let from = u64::from(day) * DAY;
        let (from, to) = (from.max(traffic.start()), (from + DAY).min(traffic.end()));
        let (late, others): (Vec<&Block>, Vec<&Block>) = blocks.partition(|block| block.is_late());
        Self {
            blocks: others.len(),
            late: late.len(),
            at_once: Cover::of(&others, from, to),
            late_at_once: Cover::of(&late, from, to),
        }
    }

    /// Of several days, the most of each.
    pub(super) fn note(&mut self, other: &Self) {
        self.blocks = self.blocks.max(other.blocks);
        self.late = self.late.max(other.late);
        self.at_once.note(other.at_once);
        self.late_at_once.note(other.late_at_once);
    }
}

impl Cover {
    fn of(blocks: &[&Block], from: u64, to: u64) -> Self {
        let mut changes: Vec<(u64, i64)> = Vec::with_capacity(blocks.len() * 2);
        for block in blocks {
            let (first, last) = (block.piece.min_start_unix_nano, block.piece.max_start_unix_nano + 1);
            if first < to && last > from {
                changes.extend([(first.max(from), 1), (last.min(to), -1)]);
            }
        }
        // One that ends where another begins does not meet it.
        changes.sort_unstable();
        let (mut count, mut most, mut covered) = (0, 0, 0u128);
        for (place, (time, change)) in changes.iter().enumerate() {
            count += change;
            most = most.max(count);
            let next = changes.get(place + 1).map_or(*time, |(next, _)| *next);
            covered += u128::from(next - time) * count as u128;
        }
        Self { mean: covered as f64 / to.saturating_sub(from).max(1) as f64, most: most as usize }
    }

    fn note(&mut self, other: Self) {
        self.mean = self.mean.max(other.mean);
        self.most = self.most.max(other.most);
    }
}

impl Figures {
    pub(super) const HEAD: &str = "| spans/s | days | trouble | writes | blocks a day | cover an instant: mean, most | \
        of late spans: a day, most | oldest flush | jobs a day | blocks at the end |\n\
        |---|---|---|---|---|---|---|---|---|---|";

    pub(super) fn line(&self, traffic: &Traffic) -> String {
        format!(
            "| {} | {} | {} | {:.2} | {} | {:.1}, {} | {}, {} | {} min | {:.0} | {} |",
            traffic.rate,
            traffic.days,
            traffic.trouble.name(),
            self.writes,
            self.worst.blocks,
            self.worst.at_once.mean,
            self.worst.at_once.most,
            self.worst.late,
            self.worst.late_at_once.most,
            self.oldest_flush / MINUTE,
            self.jobs_of_day,
            self.blocks,
        )
    }
}
