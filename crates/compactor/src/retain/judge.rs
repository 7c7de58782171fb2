//! Which traces of a day are kept longer than the least.
//!
//! All blocks of the day, of the two beside it and of the inbox are looked at, but only at what the rules name. What
//! was decided about a block before holds of its traces; only their ids are read then. A block that may hold a trace
//! which is kept longer now is written anew before anything else is: as long as it is not, what says so is there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::expire::Known;
use siltstone_catalog::snapshot::{Snapshot, SnapshotError};
use siltstone_catalog::tenant_page::PageRef;
use siltstone_format::block::parts::Parts;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId, TraceId};
use siltstone_format::tenant::Tenant;

use super::due::{Anew, Ruled, day_of};
use super::verdicts::{TooMany, Verdicts};
use super::{Hours, Judged, Rules};
use crate::holding::{AT_A_TIME, may_hold};
use crate::input::{Held, Input, InputError, Source};
use crate::plan;
use crate::planted::{Bug, planted};

/// Why a day is not decided. All of it stays.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    #[error(transparent)]
    Snapshot(Box<SnapshotError>),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(
        "more than {most} of its traces, and of those of the days beside it, are kept longer than {least}: raise \
         `compact.memory`, of which a quarter holds them"
    )]
    TooMany { most: usize, least: Hours },
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

type Placed = (Section, BlockEntry);

/// The blocks that tell of the traces of a day.
#[derive(Debug, Default)]
pub(crate) struct Around {
    /// Blocks of the day about which nothing is decided.
    pub(crate) undecided: Vec<Placed>,
    /// The same of the days beside it, and of the inbox.
    beside: Vec<Placed>,
    decided: Vec<Placed>,
    /// The pages of these days.
    pages: Vec<ObjectId>,
}

impl Around {
    pub(crate) async fn of(
        catalog: &Catalog,
        ruled: &Ruled,
        pages: &[PageRef],
        day: Day,
    ) -> Result<Self, SnapshotError> {
        let mut around = Self::default();
        let first = Day(day.0.saturating_sub(1)).start_unix_nano();
        let end = Day(day.0.saturating_add(2)).start_unix_nano();
        for page in pages {
            let is_near = match page.section {
                Section::Day(other) => other.0.abs_diff(day.0) <= 1,
                Section::Inbox => page.overlaps(first, end),
            };
            if !is_near {
                continue;
            }
            if page.section != Section::Inbox {
                around.pages.push(page.id);
            }
            for block in &catalog.blocks_of(&ruled.tenant, page).await?.blocks {
                let blocks = match page.section {
                    Section::Inbox => &mut around.beside,
                    _ if ruled.rules.decided(block.kept).is_some() => &mut around.decided,
                    Section::Day(other) if other == day => &mut around.undecided,
                    Section::Day(_) => &mut around.beside,
                };
                blocks.push((page.section, block.clone()));
            }
        }
        Ok(around)
    }

    /// When the first of the undecided blocks was named, in Unix milliseconds.
    pub(crate) fn oldest_millis(&self) -> Option<u64> {
        self.undecided.iter().map(|(_, block)| block.id().0.timestamp_ms()).min()
    }

    /// Blocks of the day about which something is decided.
    pub(crate) fn decided_of(&self, day: Day) -> impl Iterator<Item = &Placed> {
        self.decided.iter().filter(move |(section, _)| *section == Section::Day(day))
    }

    /// Blocks about which something is decided.
    pub(crate) fn decided(&self) -> impl Iterator<Item = BlockId> {
        self.decided.iter().map(|(_, block)| block.id())
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = BlockId> {
        let all = self.undecided.iter().chain(&self.beside).chain(&self.decided);
        all.map(|(_, block)| block.id())
    }
}

/// A day on the way to its decision: it may take many jobs, and what was read for it is not read again.
#[derive(Debug)]
pub(crate) struct Judging {
    pub(crate) tenant: Tenant,
    pub(crate) day: Day,
    rules: Rules,
    verdicts: Arc<Verdicts>,
    known: Known,
    /// What is decided: the blocks about which nothing was when it began. What comes later is decided after it.
    of: BTreeSet<BlockId>,
    seen: HashSet<BlockId>,
    /// Decided blocks that hold traces which are kept longer.
    raised: BTreeMap<BlockId, Placed>,
}

impl Judging {
    pub(crate) fn new(ruled: &Ruled, day: Day, most_bytes: usize) -> Self {
        Self {
            tenant: ruled.tenant.clone(),
            day,
            rules: ruled.rules.clone(),
            verdicts: Arc::new(Verdicts::within(most_bytes)),
            known: Known::nothing(Day(day.0.saturating_sub(1))..=Day(day.0.saturating_add(1))),
            of: BTreeSet::new(),
            seen: HashSet::new(),
            raised: BTreeMap::new(),
        }
    }

    /// Whether it is about this day by these rules.
    pub(crate) fn is_of(&self, ruled: &Ruled, day: Day) -> bool {
        let of = |rules: &Rules| (rules.number, rules.reapplied, rules.retention.clone());
        (&self.tenant, self.day, of(&self.rules)) == (&ruled.tenant, day, of(&ruled.rules))
    }

    /// What has been looked at.
    pub(crate) fn known(&self) -> Option<Known> {
        (!planted(Bug::DecideBlindly)).then(|| self.known.clone())
    }

    /// How long a trace is kept, as far as is known.
    pub(crate) fn hours_of(&self, trace: &TraceId) -> Hours {
        let least = self.rules.least();
        self.verdicts.of(trace).map_or(least, |hours| hours.max(least))
    }

    /// Looks at all blocks that it has not seen yet.
    pub(crate) async fn look(
        &mut self,
        catalog: &Catalog,
        snapshot: &Snapshot,
        around: &Around,
        archived: &[TraceId],
    ) -> Result<(), JudgeError> {
        if self.seen.is_empty() {
            self.of = around.undecided.iter().map(|(_, block)| block.id()).collect();
            let traces = around.undecided.iter().map(|(_, block)| block.summary.spans.traces).sum();
            let is_restricted = !self.rules.longer().is_empty() && self.verdicts.has_room_for(traces);
            Arc::make_mut(&mut self.verdicts).is_restricted = is_restricted;
        }
        let source = Source::new(catalog.bucket().objects());
        for block in &around.undecided {
            self.look_at_undecided(&source, block, self.of.contains(&block.1.id())).await?;
        }
        let candidates = self.candidates(catalog, snapshot).await?;
        let is_candidate =
            |block: &&Placed| candidates.as_ref().is_none_or(|may| may.contains(&block.1.id()));
        for block in around.beside.iter().filter(is_candidate).filter(|_| !planted(Bug::ForgetBeside)) {
            self.look_at_undecided(&source, block, false).await?;
        }
        for block in around.decided.iter().filter(is_candidate) {
            self.look_at_decided(&source, block).await?;
        }
        let verdicts = Arc::make_mut(&mut self.verdicts);
        let least = self.rules.least();
        for trace in archived {
            let learned = verdicts.learn(*trace, self.rules.of_archived());
            learned.map_err(|TooMany(most)| JudgeError::TooMany { most, least })?;
        }
        let there: BTreeSet<BlockId> = around.ids().collect();
        self.raised.retain(|id, _| there.contains(id));
        self.known.add_blocks(there);
        self.known.add_pages(around.pages.iter().copied());
        Ok(())
    }

    /// What of it is not done yet.
    pub(crate) fn left(&self, around: &Around) -> Vec<Placed> {
        around.undecided.iter().filter(|(_, block)| self.of.contains(&block.id())).cloned().collect()
    }

    /// The blocks that may hold one of the traces, if these are so few that it is worth asking.
    async fn candidates(
        &self,
        catalog: &Catalog,
        snapshot: &Snapshot,
    ) -> Result<Option<BTreeSet<BlockId>>, SnapshotError> {
        const MOST: usize = 8 * AT_A_TIME;
        match self.verdicts.is_restricted && self.verdicts.len() <= MOST {
            true => may_hold(catalog, snapshot, &self.tenant, &self.verdicts.traces()).await.map(Some),
            false => Ok(None),
        }
    }

    /// Rows of a block about which nothing is decided, as far as the rules name them. `matters`: its traces are those
    /// of which something is to be learned.
    async fn look_at_undecided(
        &mut self,
        source: &Source,
        (_, block): &Placed,
        matters: bool,
    ) -> Result<(), JudgeError> {
        if !self.seen.insert(block.id()) {
            return Ok(());
        }
        let longer = self.rules.longer();
        let verdicts = Arc::make_mut(&mut self.verdicts);
        let adds_all = matters && verdicts.is_restricted;
        if longer.is_empty() && !adds_all {
            return Ok(());
        }
        let ids = Parts { trace_ids: true, ..Parts::default() };
        let parts = longer.iter().fold(ids, |all, (_, filter)| all.and(&filter.parts()));
        let (mut full, least) = (None, self.rules.least());
        let mut input = Input::open(source, block, HELD).await?;
        let seen = input.each(&parts, |columns| {
            if adds_all {
                full = full.or(add_all(verdicts, &columns.trace_ids, Hours::default()).err());
            }
            for (hours, filter) in &longer {
                for row in filter.rows(columns)?.iter() {
                    full = full.or(verdicts.learn(columns.trace_ids[row], *hours).err());
                }
            }
            if planted(Bug::FragmentView) {
                see_this_block_only(verdicts, columns, &longer, least)?;
            }
            Ok(())
        });
        seen.await?;
        self.unless_full(full)
    }

    /// Of a block about which something is decided, the ids of its traces, if they tell anything.
    async fn look_at_decided(&mut self, source: &Source, placed: &Placed) -> Result<(), JudgeError> {
        let (section, block) = placed;
        let Some(kept) = self.rules.decided(block.kept) else { return Ok(()) };
        if !self.seen.insert(block.id()) {
            return Ok(());
        }
        let hours = Hours::from_end_of(day_of(*section, block), kept.until);
        let verdicts = Arc::make_mut(&mut self.verdicts);
        if hours <= self.rules.least() && verdicts.longest() <= hours {
            return Ok(());
        }
        let (mut full, mut is_raised) = (None, false);
        let mut input = Input::open(source, block, HELD).await?;
        let parts = Parts { trace_ids: true, ..Parts::default() };
        let seen = input.each(&parts, |columns| {
            for run in columns.trace_ids.chunk_by(|one, next| one == next) {
                is_raised |= verdicts.of(&run[0]).is_some_and(|known| known > hours);
                full = full.or(verdicts.learn(run[0], hours).err());
            }
            Ok(())
        });
        seen.await?;
        if is_raised {
            self.raised.insert(block.id(), placed.clone());
        }
        self.unless_full(full)
    }

    fn unless_full(&self, full: Option<TooMany>) -> Result<(), JudgeError> {
        match full {
            Some(TooMany(most)) => Err(JudgeError::TooMany { most, least: self.rules.least() }),
            None => Ok(()),
        }
    }

    /// Undecided blocks of which it is clear that all traces get the least, and that this has passed. They need not be
    /// read.
    pub(crate) async fn gone(
        &self,
        catalog: &Catalog,
        snapshot: &Snapshot,
        undecided: &[Placed],
        hour: u32,
    ) -> Result<Vec<Placed>, SnapshotError> {
        let has_passed = self.rules.least().until(self.day).has_passed(hour);
        if !has_passed || !self.raised.is_empty() {
            return Ok(Vec::new());
        }
        // Asking must not cost more than reading.
        let most = undecided.len().saturating_mul(AT_A_TIME);
        let Some(longer) = self.verdicts.longer_than(self.rules.least(), most) else { return Ok(Vec::new()) };
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
        let alone =
            |block: &Placed| -> Anew { (block.clone(), ruled.anew(block, &self.verdicts, hour, marks)) };
        let raised = self.raised.values().map(alone).map(|(block, judged)| (vec![block], judged));
        if !self.raised.is_empty() && !planted(Bug::UndecidedFirst) {
            return raised.collect();
        }
        let by_id: BTreeMap<BlockId, &Placed> =
            undecided.iter().map(|placed| (placed.1.id(), placed)).collect();
        let pieces: Vec<plan::Piece> =
            undecided.iter().map(|(section, block)| plan::Piece::of(*section, block, None)).collect();
        let judged = ruled.undecided((&self.verdicts, self.known()), hour, marks);
        let jobs = plan::decide(&pieces, policy).into_iter().map(|job| {
            let inputs = job.inputs.iter().filter_map(|piece| by_id.get(&piece.id));
            (inputs.map(|placed| (*placed).clone()).collect(), judged.clone())
        });
        jobs.chain(raised).collect()
    }
}

/// Nothing is held beside what is looked at, but windows where parents are asked for.
pub(super) const HELD: Held = Held { window_bytes: 4 << 20, ahead_bytes: 1 << 20 };

fn add_all(verdicts: &mut Verdicts, traces: &[TraceId], hours: Hours) -> Result<(), TooMany> {
    traces.chunk_by(|one, next| one == next).try_for_each(|run| verdicts.add(run[0], hours))
}

/// What must not be done: what another block says of a trace is forgotten.
fn see_this_block_only(
    verdicts: &mut Verdicts,
    columns: &siltstone_format::columns::SpanColumns,
    longer: &[(Hours, &siltstone_ask::Filter)],
    least: Hours,
) -> Result<(), siltstone_format::value::ValueError> {
    let mut said: BTreeMap<TraceId, Hours> = columns.trace_ids.iter().map(|trace| (*trace, least)).collect();
    for (hours, filter) in longer {
        for row in filter.rows(columns)?.iter() {
            let known = said.entry(columns.trace_ids[row]).or_default();
            *known = (*hours).max(*known);
        }
    }
    said.into_iter().for_each(|(trace, hours)| verdicts.forget_others(trace, hours));
    Ok(())
}
