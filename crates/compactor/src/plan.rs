//! Which blocks are worth merging: a pure function of what is there.
//!
//! A block is sorted by trace id, so time prunes whole blocks only: a large one must cover little time. What was
//! flushed is merged with its neighbours in time and moved into its day (`inbox.rs`). What became a small block is
//! merged again with its neighbours in an hour, and with any in its day once that is over (`day.rs`), if that makes
//! fewer and much larger ones (`tier.rs`). A block that is three quarters full is never written again.
//! `simulation.rs` says what that comes to over months.

mod cuts;
mod day;
mod inbox;
mod policy;
mod tier;
mod times;

use std::collections::{BTreeMap, HashSet};

use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::kept::Until;
use siltstone_format::day::Day;
use siltstone_format::id::BlockId;
use ulid::Ulid;

pub use policy::Policy;

/// A block as planning sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub id: BlockId,
    /// The inbox, or the day that it was merged into.
    pub section: Section,
    pub rows: u64,
    pub bytes: u64,
    pub min_start_unix_nano: u64,
    pub max_start_unix_nano: u64,
    /// What blocks of one merge have in common.
    pub job: Option<Ulid>,
    /// Until when its traces are kept, if that is decided.
    pub until: Option<Until>,
}

impl Piece {
    /// A block, and until when it is kept, if that was decided and holds.
    pub(crate) fn of(section: Section, block: &BlockEntry, until: Option<Until>) -> Self {
        let spans = &block.summary.spans;
        Self {
            id: block.id(),
            section,
            rows: spans.rows,
            bytes: block.bytes(),
            min_start_unix_nano: spans.min_start_unix_nano,
            max_start_unix_nano: spans.max_start_unix_nano,
            job: block.disjoint_set,
            until,
        }
    }
}

/// Blocks that become others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub inputs: Vec<Piece>,
    /// Times at which outputs are cut, ascending, beside every midnight: a trace goes whole to where its earliest
    /// span lies. Within a slice a merge begins another block whenever one is full.
    pub cuts: Vec<u64>,
}

/// What to merge of one tenant, the most urgent first: what was flushed, the newest first, then days, the newest
/// first. No block is in two jobs.
///
/// The time decides only what is worth its while yet, never what is right. The inbox and each day are planned
/// without a look at one another, so whole days may be left out; of a day that is not, all blocks are needed.
pub fn plan(pieces: &[Piece], now_unix_nano: u64, policy: &Policy) -> Vec<Job> {
    let (inbox, days) = by_section(pieces);
    let mut jobs = inbox::jobs(inbox, now_unix_nano, policy);
    for (day, pieces) in days.into_iter().rev() {
        jobs.extend(day::jobs(day, pieces, now_unix_nano, policy));
    }
    jobs
}

/// Blocks of a day that are written anew since it is decided how long they are kept: neighbours in time together, as
/// many as one job may have. What stays of them is little, so it is not cut.
pub fn decide(pieces: &[Piece], policy: &Policy) -> Vec<Job> {
    let mut pieces: Vec<&Piece> = pieces.iter().collect();
    pieces.sort_unstable_by_key(|piece| (tier::middle(piece), piece.id));
    let (mut jobs, mut rest) = (Vec::new(), pieces.as_slice());
    while !rest.is_empty() {
        let (batch, more) = rest.split_at(policy.within_bounds(rest));
        jobs.push(job(batch, Vec::new()));
        rest = more;
    }
    jobs
}

/// What waits to be merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The whole inbox, and what a plan would merge of days.
    pub blocks: u64,
    pub rows: u64,
    pub bytes: u64,
    /// When the oldest block of the inbox was flushed.
    pub oldest_unmerged_unix_nano: Option<u64>,
}

/// What waits of some pieces of which this was planned.
pub fn backlog(pieces: &[Piece], jobs: &[Job]) -> Backlog {
    let inbox = pieces.iter().filter(|piece| piece.section == Section::Inbox);
    let of_jobs = jobs.iter().flat_map(|job| &job.inputs);
    let waiting = inbox.clone().chain(of_jobs.filter(|piece| piece.section != Section::Inbox));
    let mut backlog =
        Backlog { oldest_unmerged_unix_nano: inbox.map(times::drawn_at).min(), ..Backlog::default() };
    waiting.for_each(|piece| backlog.add(piece));
    backlog
}

impl Backlog {
    /// What waits elsewhere as well.
    pub fn and(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.rows = self.rows.saturating_add(other.rows);
        self.bytes = self.bytes.saturating_add(other.bytes);
        let oldest = [self.oldest_unmerged_unix_nano, other.oldest_unmerged_unix_nano];
        self.oldest_unmerged_unix_nano = oldest.into_iter().flatten().min();
    }

    fn add(&mut self, piece: &Piece) {
        self.blocks += 1;
        self.rows = self.rows.saturating_add(piece.rows);
        self.bytes = self.bytes.saturating_add(piece.bytes);
    }
}

/// Each block once, whatever was listed.
fn by_section(pieces: &[Piece]) -> (Vec<&Piece>, BTreeMap<Day, Vec<&Piece>>) {
    let mut seen = HashSet::new();
    let (mut inbox, mut days) = (Vec::new(), BTreeMap::<Day, Vec<&Piece>>::new());
    for piece in pieces.iter().filter(|piece| seen.insert(piece.id.0)) {
        match piece.section {
            Section::Inbox => inbox.push(piece),
            Section::Day(day) => days.entry(day).or_default().push(piece),
        }
    }
    (inbox, days)
}

fn job(inputs: &[&Piece], cuts: Vec<u64>) -> Job {
    Job { inputs: inputs.iter().map(|piece| (*piece).clone()).collect(), cuts }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
