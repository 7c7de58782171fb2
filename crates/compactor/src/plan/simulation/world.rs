//! A tenant's blocks over months, and what they cost.

use std::collections::{BTreeMap, HashMap};

use siltstone_catalog::block_page::Section;
use siltstone_catalog::kept::Until;
use siltstone_format::id::BlockId;

use super::super::{Job, Piece, Policy, backlog, decide, plan};
use super::executor::{Block, Executor};
use super::traffic::{DAY, Flush, HOUR, MINUTE, Traffic, Trouble};

/// Rounds of planning and merging at one moment.
const MOST_ROUNDS: usize = 12;

pub(super) struct World {
    policy: Policy,
    executor: Executor,
    inbox: HashMap<BlockId, Block>,
    days: BTreeMap<u32, HashMap<BlockId, Block>>,
    tick: u64,
    flushed_bytes: u64,
    merged_bytes: u64,
    late_bytes: u64,
    oldest_flush: u64,
    rows_while_open: u64,
    long_while_open: u64,
    jobs: u64,
    /// Of each class, what is left of the rows that it should have got.
    carried: [f64; CLASSES.len()],
}

/// Days from the end of one after which it is decided,
const LEAST_DAYS: u64 = 7;
/// and what is kept longer than that: which part of all rows, and how many days.
const CLASSES: [(f64, u64); 3] = [(0.25, 30), (0.12, 90), (0.03, 400)];

#[derive(Debug)]
pub(super) struct Figures {
    pub(super) writes: f64,
    pub(super) writes_of_late: f64,
    pub(super) blocks_of_day: u64,
    late_of_day: u64,
    pub(super) most_at_once: usize,
    mean_at_once: f64,
    pub(super) most_late_at_once: usize,
    pub(super) oldest_flush: u64,
    pub(super) long_while_open: f64,
    jobs_of_day: f64,
    blocks: usize,
    pub(super) left_in_inbox: usize,
}

impl World {
    pub(super) fn new(traffic: &Traffic) -> Self {
        Self {
            policy: Policy { at_once: traffic.trouble == Trouble::OnceAnHour, ..Policy::default() },
            executor: Executor::default(),
            inbox: HashMap::new(),
            days: BTreeMap::new(),
            tick: traffic.tick,
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
            let oldest = backlog(&of_inbox, now, &self.policy).oldest_unmerged_unix_nano;
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
        let oldest = match now % (6 * HOUR) < self.tick {
            true => now / DAY - 10,
            false if now % (HOUR / 3) < self.tick => now / DAY - 1,
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

    pub(super) fn figures(&self, traffic: &Traffic) -> Figures {
        let day = self.settled(traffic);
        let of_day = |day: u32| self.days.get(&day).into_iter().flat_map(HashMap::values);
        let (from, to) = (u64::from(day) * DAY, u64::from(day) * DAY + DAY);
        let (from, to) = (from.max(traffic.start()), to.min(traffic.end()));
        let step = (to - from) / 10_000;
        let bulk = covering(of_day(day).filter(|block| !block.is_late()), from, step);
        let late = covering(of_day(day).filter(|block| block.is_late()), from, step);
        let ingested = self.flushed_bytes as f64;
        Figures {
            writes: 1.0 + self.merged_bytes as f64 / ingested,
            writes_of_late: self.late_bytes as f64 / ingested,
            blocks_of_day: of_day(day).filter(|block| !block.is_late()).count() as u64,
            late_of_day: of_day(day).filter(|block| block.is_late()).count() as u64,
            most_at_once: bulk.iter().copied().max().unwrap_or(0),
            mean_at_once: bulk.iter().sum::<usize>() as f64 / bulk.len() as f64,
            most_late_at_once: late.iter().copied().max().unwrap_or(0),
            oldest_flush: self.oldest_flush,
            long_while_open: self.long_while_open as f64 / self.rows_while_open.max(1) as f64,
            jobs_of_day: self.jobs as f64 / traffic.days,
            blocks: self.days.values().map(HashMap::len).sum(),
            left_in_inbox: self.inbox.len(),
        }
    }

    /// The day that is looked at closely: the fullest of those that trouble touched, else one in the middle.
    fn settled(&self, traffic: &Traffic) -> u32 {
        let middle = (traffic.start() + (traffic.end() - traffic.start()) / 2) / DAY;
        match traffic.trouble {
            Trouble::None | Trouble::OnceAnHour => middle as u32 - u32::from(traffic.days < 1.0),
            _ => {
                let days = 0..=(traffic.trouble_from() / DAY) as u32;
                let blocks = |day: &u32| self.days.get(day).map_or(0, HashMap::len);
                days.rev().take(9).max_by_key(blocks).unwrap_or_default()
            }
        }
    }
}

/// How many blocks cover each of the moments.
fn covering<'b>(blocks: impl Iterator<Item = &'b Block>, from: u64, step: u64) -> Vec<usize> {
    let mut change = vec![0i64; 10_001];
    let place = |time: u64| (time.saturating_sub(from).div_ceil(step.max(1)) as usize).min(10_000);
    for block in blocks {
        change[place(block.piece.min_start_unix_nano)] += 1;
        change[place(block.piece.max_start_unix_nano + 1)] -= 1;
    }
    let mut count = 0;
    let counts = change[..10_000].iter().map(|by| {
        count += by;
        count as usize
    });
    counts.collect()
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
            self.blocks_of_day,
            self.mean_at_once,
            self.most_at_once,
            self.late_of_day,
            self.most_late_at_once,
            self.oldest_flush / MINUTE,
            self.jobs_of_day,
            self.blocks,
        )
    }
}
