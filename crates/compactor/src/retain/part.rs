//! Blocks of a day that are decided about together, and what is known of their traces.
//!
//! All blocks of the day, of the two beside it and of the inbox are looked at, but only at what the rules name. What
//! was decided about a block before holds of its traces; only their ids are read then. A block that may hold a trace
//! which is kept longer now is written anew before anything else is: as long as it is not, what says so is there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use siltstone_catalog::Catalog;
use siltstone_catalog::expire::Known;
use siltstone_catalog::snapshot::{Snapshot, SnapshotError};
use siltstone_format::block::parts::Parts;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, TraceId};
use siltstone_format::tenant::Tenant;

use super::around::{Around, Placed};
use super::due::day_of;
use super::judge::JudgeError;
use super::verdicts::Verdicts;
use super::{Hours, Rules};
use crate::holding::{AT_A_TIME, may_hold};
use crate::input::{Held, Input, Source};
use crate::planted::{Bug, planted};

/// Nothing is held beside what is looked at, but windows where parents are asked for.
pub(super) const HELD: Held = Held { window_bytes: 4 << 20, ahead_bytes: 1 << 20 };

#[derive(Debug)]
pub(super) struct Part {
    /// What is decided about by it.
    pub(super) blocks: BTreeSet<BlockId>,
    pub(super) verdicts: Arc<Verdicts>,
    pub(super) known: Known,
    seen: HashSet<BlockId>,
    /// Decided blocks that hold traces which are kept longer.
    pub(super) raised: BTreeMap<BlockId, Placed>,
}

/// Whose blocks are looked at, by what, and where.
pub(super) struct Looking<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) snapshot: &'a Snapshot,
    pub(super) tenant: &'a Tenant,
    pub(super) rules: &'a Rules,
}

/// Whether there was room for all that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Room {
    Enough,
    TooLittle,
}

impl Part {
    pub(super) fn nothing(days: RangeInclusive<Day>) -> Self {
        Self::new(BTreeSet::new(), Verdicts::default(), days)
    }

    pub(super) fn new(blocks: BTreeSet<BlockId>, verdicts: Verdicts, days: RangeInclusive<Day>) -> Self {
        Self {
            blocks,
            verdicts: Arc::new(verdicts),
            known: Known::nothing(days),
            seen: HashSet::new(),
            raised: BTreeMap::new(),
        }
    }

    fn has(&self, (_, block): &Placed) -> bool {
        self.blocks.contains(&block.id())
    }

    /// What of it is not done yet.
    pub(super) fn left<'a>(&self, around: &'a Around) -> impl Iterator<Item = &'a Placed> {
        around.undecided.iter().filter(|block| self.has(block))
    }

    /// Looks at all blocks that it has not seen yet.
    pub(super) async fn look(
        &mut self,
        looking: &Looking<'_>,
        around: &Around,
        archived: &[TraceId],
    ) -> Result<Room, JudgeError> {
        let source = Source::new(looking.catalog.bucket().objects());
        // First those whose traces matter: nothing may be learned of others.
        let (ours, others): (Vec<&Placed>, Vec<&Placed>) =
            around.undecided.iter().partition(|block| self.has(block));
        for block in ours {
            self.look_at_undecided(looking, &source, block).await?;
        }
        let candidates = self.candidates(looking).await?;
        let is_candidate =
            |block: &&Placed| candidates.as_ref().is_none_or(|may| may.contains(&block.1.id()));
        let others = others.into_iter().filter(|_| !planted(Bug::ForgetOtherParts));
        let beside = around.beside.iter().filter(|_| !planted(Bug::ForgetBeside));
        for block in others.chain(beside).filter(is_candidate) {
            self.look_at_undecided(looking, &source, block).await?;
        }
        for block in around.decided.iter().filter(is_candidate) {
            self.look_at_decided(looking, &source, block).await?;
        }
        let verdicts = Arc::make_mut(&mut self.verdicts);
        archived.iter().for_each(|trace| verdicts.learn(*trace, looking.rules.of_archived()));
        if verdicts.is_full() {
            return Ok(Room::TooLittle);
        }
        let there: BTreeSet<BlockId> = around.ids().collect();
        self.raised.retain(|id, _| there.contains(id));
        self.known.add_blocks(there);
        self.known.add_pages(around.pages.iter().copied());
        Ok(Room::Enough)
    }

    /// The blocks that may hold one of the traces, if these are so few that it is worth asking.
    async fn candidates(&self, looking: &Looking<'_>) -> Result<Option<BTreeSet<BlockId>>, SnapshotError> {
        const MOST: usize = 8 * AT_A_TIME;
        match self.verdicts.is_restricted && self.verdicts.len() <= MOST {
            true => {
                let traces = self.verdicts.traces();
                may_hold(looking.catalog, looking.snapshot, looking.tenant, &traces).await.map(Some)
            }
            false => Ok(None),
        }
    }

    /// Rows of a block about which nothing is decided, as far as the rules name them.
    async fn look_at_undecided(
        &mut self,
        looking: &Looking<'_>,
        source: &Source,
        placed: &Placed,
    ) -> Result<(), JudgeError> {
        let (longer, block) = (looking.rules.longer(), &placed.1);
        let adds_all = self.verdicts.is_restricted && self.has(placed);
        if self.verdicts.is_full() || !self.seen.insert(block.id()) || (longer.is_empty() && !adds_all) {
            return Ok(());
        }
        let verdicts = Arc::make_mut(&mut self.verdicts);
        let ids = Parts { trace_ids: true, ..Parts::default() };
        let parts = longer.iter().fold(ids, |all, (_, filter)| all.and(&filter.parts()));
        let mut input = Input::open(source, block, HELD).await?;
        let seen = input.each(&parts, |columns| {
            if adds_all {
                let runs = columns.trace_ids.chunk_by(|one, next| one == next);
                runs.for_each(|run| verdicts.add(run[0], Hours::default()));
            }
            for (hours, filter) in &longer {
                let rows = filter.rows(columns)?;
                rows.iter().for_each(|row| verdicts.learn(columns.trace_ids[row], *hours));
            }
            if planted(Bug::FragmentView) {
                see_this_block_only(verdicts, columns, &longer, looking.rules.least())?;
            }
            Ok(())
        });
        Ok(seen.await?)
    }

    /// Of a block about which something is decided, the ids of its traces, if they tell anything.
    async fn look_at_decided(
        &mut self,
        looking: &Looking<'_>,
        source: &Source,
        placed: &Placed,
    ) -> Result<(), JudgeError> {
        let (section, block) = placed;
        let Some(kept) = looking.rules.decided(block.kept) else { return Ok(()) };
        if self.verdicts.is_full() || !self.seen.insert(block.id()) {
            return Ok(());
        }
        let hours = Hours::from_end_of(day_of(*section, block), kept.until);
        let verdicts = Arc::make_mut(&mut self.verdicts);
        if hours <= looking.rules.least() && verdicts.longest() <= hours {
            return Ok(());
        }
        let mut is_raised = false;
        let mut input = Input::open(source, block, HELD).await?;
        let parts = Parts { trace_ids: true, ..Parts::default() };
        let seen = input.each(&parts, |columns| {
            for run in columns.trace_ids.chunk_by(|one, next| one == next) {
                is_raised |= verdicts.of(&run[0]).is_some_and(|known| known > hours);
                verdicts.learn(run[0], hours);
            }
            Ok(())
        });
        seen.await?;
        if is_raised {
            self.raised.insert(block.id(), placed.clone());
        }
        Ok(())
    }
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
