//! A tenant's blocks over months, and what they cost.

use std::collections::{BTreeMap, HashMap};

use siltstone_catalog::block_page::Section;
use siltstone_catalog::kept::Until;
use siltstone_format::id::BlockId;

use super::super::{Job, Piece, Policy, backlog, decide, plan};
use super::executor::{Block, Executor};
use super::figures::{Figures, OfDay};
use super::traffic::{DAY, Flush, HOUR, Traffic, Trouble};

/// Rounds of planning and merging at one moment.
const MOST_ROUNDS: usize = 12;

/// Days that late spans reach, or what is filled in.
const OPEN_DAYS: u64 = 12;

pub(super) struct World<'t> {
    traffic: &'t Traffic,
    policy: Policy,
    executor: Executor,
    inbox: HashMap<BlockId, Block>,
    days: BTreeMap<u32, HashMap<BlockId, Block>>,
    flushed_bytes: u64,
    merged_bytes: u64,
    late_bytes: u64,
    oldest_flush: u64,
    rows_while_open: u64,
    long_while_open: u64,
    jobs: u64,
    /// Of days that are put aside.
    blocks: usize,
    worst: OfDay,
    /// Of each class, what is left of the rows that it should have got.
    carried: [f64; CLASSES.len()],
}

/// Days from the end of one after which it is decided,
const LEAST_DAYS: u64 = 7;
/// and what is kept longer than that: which part of all rows, and how many days.
const CLASSES: [(f64, u64); 3] = [(0.25, 30), (0.12, 90), (0.03, 400)];

impl<'t> World<'t> {
    pub(super) fn new(traffic: &'t Traffic) -> Self {
        Self {
            traffic,
            policy: Policy { at_once: traffic.trouble == Trouble::OnceAnHour, ..Policy::default() },
            executor: Executor::default(),
            inbox: HashMap::new(),
            days: BTreeMap::new(),
            blocks: 0,
            worst: OfDay::default(),
            flushed_bytes: 0,
            merged_bytes: 0,
            late_bytes: 0,
            oldest_flush: 0,
            rows_while_open: 0,
            long_while_open: 0,
            jobs: 0,
            carried: [0.0; CLASSES.len()],
        }
    }

    /// Decides the days that are old enough, as soon as what came late has waited.
    pub(super) fn decide(&mut self, now: u64) {
        let before = (now / DAY).saturating_sub(LEAST_DAYS) as u32;
        let days: Vec<u32> = self.days.range(..before).map(|(day, _)| *day).collect();
        for day in days {
            let undecided = self.days[&day].values().filter(|block| block.piece.until.is_none());
            let pieces: Vec<Piece> = undecided.map(|block| block.piece.clone()).collect();
            let oldest = pieces.iter().map(|piece| piece.id.0.timestamp_ms() * 1_000_000).min();
            if oldest.is_some_and(|oldest| oldest + 6 * HOUR <= now) {
                decide(&pieces, &self.policy).iter().for_each(|job| self.sort(job, day, now));
            }
        }
    }

    /// What is kept only the least goes.
    fn sort(&mut self, job: &Job, day: u32, now: u64) {
        self.jobs += 1;
        let inputs: Vec<Block> = job.inputs.iter().filter_map(|piece| self.take(piece)).collect();
        for (class, (part, days)) in CLASSES.into_iter().enumerate() {
            let carried = &mut self.carried[class];
            let shares: Vec<Block> = inputs.iter().map(|block| block.share(part, carried)).collect();
            let until = Until::Hour((day + 1 + days as u32) * 24);
            for mut block in self.executor.merge(job, &shares, now) {
                block.piece.until = Some(until);
                self.add(block, now);
            }
        }
    }

    pub(super) fn flush(&mut self, flush: Flush) {
        let block = Block::flushed(flush.named, self.executor.number(), flush.rows);
        self.flushed_bytes += block.piece.bytes;
        self.inbox.insert(block.piece.id, block);
    }

    pub(super) fn compact(&mut self, now: u64, is_steady: bool) {
        if is_steady {
            let of_inbox: Vec<Piece> = self.inbox.values().map(|block| block.piece.clone()).collect();
            let oldest = backlog(&of_inbox, &[]).oldest_unmerged_unix_nano;
            self.oldest_flush = self.oldest_flush.max(oldest.map_or(0, |oldest| now - oldest));
        }
        for round in 0.. {
            assert!(round < MOST_ROUNDS, "it does not come to an end");
            let jobs = plan(&self.looked_at(now), now, &self.policy);
            if jobs.is_empty() {
                return;
            }
            jobs.iter().for_each(|job| self.execute(job, now));
        }
    }

    /// Days are looked at less often than the inbox, to save time.
    fn looked_at(&self, now: u64) -> Vec<Piece> {
        let oldest = match now % (6 * HOUR) < self.traffic.tick {
            true => now / DAY - 10,
            false if now % (HOUR / 3) < self.traffic.tick => now / DAY - 1,
            false => u64::from(u32::MAX),
        };
        let days = self.days.range(oldest as u32..).flat_map(|(_, blocks)| blocks.values());
        self.inbox.values().chain(days).map(|block| block.piece.clone()).collect()
    }

    fn execute(&mut self, job: &Job, now: u64) {
        self.jobs += 1;
        assert!(job.inputs.len() <= self.policy.most_inputs);
        assert!(job.inputs.iter().map(|piece| piece.rows).sum::<u64>() <= self.policy.most_rows);
        let inputs: Vec<Block> = job.inputs.iter().filter_map(|piece| self.take(piece)).collect();
        assert_eq!(inputs.len(), job.inputs.len());
        let rows: u64 = inputs.iter().map(|block| block.piece.rows).sum();
        let outputs = self.executor.merge(job, &inputs, now);
        assert_eq!(rows, outputs.iter().map(|block| block.piece.rows).sum::<u64>());
        for mut block in outputs {
            block.piece.until = job.inputs.first().and_then(|piece| piece.until);
            self.add(block, now);
        }
    }

    fn take(&mut self, piece: &Piece) -> Option<Block> {
        match piece.section {
            Section::Inbox => self.inbox.remove(&piece.id),
            Section::Day(day) => self.days.get_mut(&day.0)?.remove(&piece.id),
        }
    }

    fn add(&mut self, block: Block, now: u64) {
        let piece = &block.piece;
        let Section::Day(day) = piece.section else { return };
        self.merged_bytes += piece.bytes;
        if block.is_late() {
            self.late_bytes += piece.bytes;
        }
        if now < (u64::from(day.0) + 1) * DAY + 2 * HOUR {
            self.rows_while_open += piece.rows;
            if piece.max_start_unix_nano - piece.min_start_unix_nano > HOUR + HOUR / 60 {
                self.long_while_open += piece.rows;
            }
        }
        self.days.entry(day.0).or_default().insert(piece.id, block);
    }

    /// Counts the days that nothing reaches any more, and forgets their blocks: months of them need much memory.
    pub(super) fn put_aside(&mut self, now: u64) {
        while let Some(day) = self.days.first_entry()
            && u64::from(*day.key()) + OPEN_DAYS < now / DAY
        {
            self.blocks += day.get().len();
            self.worst.note(&OfDay::of(*day.key(), day.get().values(), self.traffic));
            day.remove();
        }
    }

    pub(super) fn figures(mut self) -> Figures {
        self.put_aside(u64::MAX);
        let flushed = self.flushed_bytes as f64;
        Figures {
            writes: 1.0 + self.merged_bytes as f64 / flushed,
            writes_of_late: self.late_bytes as f64 / flushed,
            worst: self.worst,
            oldest_flush: self.oldest_flush,
            long_while_open: self.long_while_open as f64 / self.rows_while_open.max(1) as f64,
            jobs_of_day: self.jobs as f64 / self.traffic.days,
            blocks: self.blocks,
            left_in_inbox: self.inbox.len(),
        }
    }
}
