//! Which traces of a day are kept longer than the least, in a table of bounded size.
//!
//! If nothing but traces that are kept longer stands in the table, or all traces of the day do, the day is decided at
//! once. If there are too many of both, it goes by parts: some blocks of the day after the others, with the traces of
//! these blocks and no others in the table, one block's in any case. All blocks around are looked at for each part.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use siltstone_catalog::Catalog;
use siltstone_catalog::expire::Known;
use siltstone_catalog::snapshot::{Snapshot, SnapshotError};
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, TraceId};
use siltstone_format::tenant::Tenant;

use super::around::{Around, Placed};
use super::due::{Anew, Ruled};
use super::part::{Looking, Part, Room};
use super::verdicts::{Verdicts, room_within};
use super::{Hours, Judged, Rules};
use crate::holding::{AT_A_TIME, may_hold};
use crate::input::InputError;
use crate::plan;
use crate::planted::{Bug, planted};

/// Why a day is not decided. All of it stays.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    #[error(transparent)]
    Snapshot(Box<SnapshotError>),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("its blocks have more traces than the catalog says: see `siltstone check`")]
    Miscounted,
    #[error("block {0} cannot be read, and may say that they are kept longer: see `siltstone check`")]
    Unreadable(BlockId),
    #[error("it was told to stop")]
    Stopped,
    #[error("its thread has ended: {0}")]
    Thread(tokio::task::JoinError),
}

impl From<SnapshotError> for JudgeError {
    fn from(error: SnapshotError) -> Self {
        Self::Snapshot(Box::new(error))
    }
}

/// A day on the way to its decision: it may take many jobs, and what was read for it is not read again.
#[derive(Debug)]
pub(crate) struct Judging {
    pub(crate) tenant: Tenant,
    pub(crate) day: Day,
    rules: Rules,
    /// What is decided: the blocks about which nothing was when it began. What comes later is decided after it. None: it
    /// has not begun.
    of: Option<BTreeSet<BlockId>>,
    /// How many traces one table may tell of.
    room: usize,
    goes_by_parts: bool,
    part: Part,
}

impl Judging {
    pub(crate) fn new(ruled: &Ruled, day: Day, most_bytes: usize) -> Self {
        Self {
            tenant: ruled.tenant.clone(),
            day,
            rules: ruled.rules.clone(),
            of: None,
            room: room_within(most_bytes),
            goes_by_parts: false,
            part: Part::nothing(days_around(day)),
        }
    }

    /// Whether it is about this day by these rules.
    pub(crate) fn is_of(&self, ruled: &Ruled, day: Day) -> bool {
        let of = |rules: &Rules| (rules.number, rules.reapplied, rules.retention.clone());
        (&self.tenant, self.day, of(&self.rules)) == (&ruled.tenant, day, of(&ruled.rules))
    }

    /// What has been looked at.
    pub(crate) fn known(&self) -> Option<Known> {
        (!planted(Bug::DecideBlindly)).then(|| self.part.known.clone())
    }

    /// How long a trace of the part is kept, as far as is known.
    pub(crate) fn hours_of(&self, trace: &TraceId) -> Hours {
        let least = self.rules.least();
        self.part.verdicts.of(trace).map_or(least, |hours| hours.max(least))
    }

    /// Looks at all blocks that it has not seen yet; if a part is done, for the next one.
    pub(crate) async fn look(
        &mut self,
        catalog: &Catalog,
        snapshot: &Snapshot,
        around: &Around,
        archived: &[TraceId],
    ) -> Result<(), JudgeError> {
        self.of.get_or_insert_with(|| around.undecided.iter().map(|(_, block)| block.id()).collect());
        if self.part.left(around).next().is_none() {
            self.begin_part(around, archived);
        }
        if self.part.blocks.is_empty() {
            return Ok(());
        }
        let (tenant, rules) = (self.tenant.clone(), self.rules.clone());
        let looking = Looking { catalog, snapshot, tenant: &tenant, rules: &rules };
        if self.part.look(&looking, around, archived).await? == Room::Enough {
            return Ok(());
        }
        if self.goes_by_parts {
            return Err(JudgeError::Miscounted);
        }
        self.goes_by_parts = true;
        self.begin_part(around, archived);
        let (day, room) = (self.day, self.room);
        tracing::info!(%tenant, %day, room, "a day has more traces than `compact.memory` has room for: by parts");
        match self.part.look(&looking, around, archived).await? {
            Room::Enough => Ok(()),
            Room::TooLittle => Err(JudgeError::Miscounted),
        }
    }

    fn begin_part(&mut self, around: &Around, archived: &[TraceId]) {
        let mut left: Vec<&Placed> = self.waiting(around).collect();
        if left.is_empty() {
            self.part = Part::nothing(days_around(self.day));
            return;
        }
        let traces = |(_, block): &Placed| usize::try_from(block.summary.spans.traces).unwrap_or(usize::MAX);
        let all = left.iter().fold(0usize, |sum, block| sum.saturating_add(traces(block)));
        let fits = !self.rules.longer().is_empty() && all <= self.room;
        let verdicts = if fits || self.goes_by_parts {
            // Neighbours in time, which have traces in common: as many as there is room for, and one in any case.
            left.sort_unstable_by_key(|(_, block)| (block.summary.spans.max_start_unix_nano, block.id()));
            let mut room = self.room;
            let first = left.iter().position(|block| match room.checked_sub(traces(block)) {
                Some(rest) => {
                    room = rest;
                    false
                }
                None => true,
            });
            left.truncate(first.unwrap_or(left.len()).max(1));
            Verdicts::of_added(left.iter().map(|block| traces(block)).sum())
        } else {
            // The archived ones lie in memory anyway.
            Verdicts::of_any(self.room.max(archived.len()))
        };
        let blocks = left.iter().map(|(_, block)| block.id()).collect();
        self.part = Part::new(blocks, verdicts, days_around(self.day));
    }

    /// What is not done yet of the day.
    pub(crate) fn waiting<'a>(&'a self, around: &'a Around) -> impl Iterator<Item = &'a Placed> {
        let is_waiting = |block: BlockId| self.of.as_ref().is_some_and(|of| of.contains(&block));
        around.undecided.iter().filter(move |(_, block)| is_waiting(block.id()))
    }

    /// What is not done yet of the part of which it is known how long its traces are kept.
    pub(crate) fn left(&self, around: &Around) -> Vec<Placed> {
        self.part.left(around).cloned().collect()
    }

    /// Takes the part for done, though its blocks are there.
    pub(super) fn end_part(&mut self) {
        let ended = std::mem::replace(&mut self.part, Part::nothing(days_around(self.day)));
        self.of.iter_mut().for_each(|of| of.retain(|block| !ended.blocks.contains(block)));
    }

    /// Blocks of the part of which it is clear that all traces get the least, and that this has passed. They need not
    /// be read.
    pub(crate) async fn gone(
        &self,
        catalog: &Catalog,
        snapshot: &Snapshot,
        undecided: &[Placed],
        hour: u32,
    ) -> Result<Vec<Placed>, SnapshotError> {
        let has_passed = self.rules.least().until(self.day).has_passed(hour);
        if !has_passed || !self.part.raised.is_empty() {
            return Ok(Vec::new());
        }
        // Asking must not cost more than reading.
        let most = undecided.len().saturating_mul(AT_A_TIME);
        let longer = self.part.verdicts.longer_than(self.rules.least(), most);
        let Some(longer) = longer else { return Ok(Vec::new()) };
        let holding = may_hold(catalog, snapshot, &self.tenant, &longer).await?;
        let gone = undecided.iter().filter(|(_, block)| !holding.contains(&block.id()));
        Ok(gone.cloned().collect())
    }

    /// Blocks that are to be written anew, some at a time: those that hold traces which are kept longer than was decided
    /// first, each alone, and only then the others.
    pub(crate) fn jobs(
        &self,
        ruled: &Ruled,
        undecided: &[Placed],
        policy: &plan::Policy,
        (hour, marks): (u32, u64),
    ) -> Vec<(Vec<Placed>, Judged)> {
        let Part { verdicts, raised, .. } = &self.part;
        let alone = |block: &Placed| -> Anew { (block.clone(), ruled.anew(block, verdicts, hour, marks)) };
        let first = raised.values().map(alone).map(|(block, judged)| (vec![block], judged));
        if !raised.is_empty() && !planted(Bug::UndecidedFirst) {
            return first.collect();
        }
        let by_id: BTreeMap<BlockId, &Placed> =
            undecided.iter().map(|placed| (placed.1.id(), placed)).collect();
        let pieces: Vec<plan::Piece> =
            undecided.iter().map(|(section, block)| plan::Piece::of(*section, block, None)).collect();
        let judged = ruled.undecided(verdicts, self.known(), (hour, marks));
        let jobs = plan::decide(&pieces, policy).into_iter().map(|job| {
            let inputs = job.inputs.iter().filter_map(|piece| by_id.get(&piece.id));
            (inputs.map(|placed| (*placed).clone()).collect(), judged.clone())
        });
        jobs.chain(first).collect()
    }
}

/// A trace of a day is judged by what there is of these.
fn days_around(day: Day) -> RangeInclusive<Day> {
    Day(day.0.saturating_sub(1))..=Day(day.0.saturating_add(1))
}
