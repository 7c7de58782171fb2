//! Blocks that hold what was deleted and that no merge touches any more: each is written anew, alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::groups::Wanted;
use siltstone_catalog::snapshot::{Snapshot, SnapshotError};
use siltstone_format::filter::split_block::FilterKey;
use siltstone_format::id::{BlockId, TraceId};
use siltstone_format::tenant::Tenant;

use crate::deletions::Deletions;
use crate::holding::{AT_A_TIME, MOST_ASKED};
use crate::input::{Held, Input, InputError, PARALLEL_REQUESTS, Source};
use crate::planted::{Bug, planted};

/// How often such blocks are looked for. What is deleted in between costs a block one rewrite.
const EVERY: Duration = Duration::from_secs(3600);
/// So long a deletion is looked for again: a merge that read the catalog before it may be published after the first
/// look, and no merge takes longer.
const AGAIN: Duration = Duration::from_secs(24 * 3600);

/// Why it is not known which blocks these are.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Input(#[from] InputError),
}

/// What is left to erase, by tenant.
#[derive(Default)]
pub(crate) struct Erasing {
    tenants: BTreeMap<Tenant, Looked>,
}

#[derive(Default)]
struct Looked {
    /// None: not yet.
    at: Option<Duration>,
    /// When each deletion was looked for first.
    since: BTreeMap<u64, Duration>,
    left: BTreeMap<BlockId, (Section, BlockEntry)>,
}

impl Erasing {
    /// The deletions to look for now, by a clock that only goes forward. `at_once`: nobody looks again soon.
    pub(crate) fn due(
        &self,
        tenant: &Tenant,
        deletions: &Deletions,
        now: Duration,
        at_once: bool,
    ) -> BTreeSet<u64> {
        let none = Looked::default();
        let looked = self.tenants.get(tenant).unwrap_or(&none);
        let is_open =
            |number: &u64| looked.since.get(number).is_none_or(|since| now.saturating_sub(*since) <= AGAIN);
        let open: BTreeSet<u64> = deletions.numbers().into_iter().filter(is_open).collect();
        let is_new = open.iter().any(|number| !looked.since.contains_key(number));
        let is_time = looked.at.is_none_or(|at| now.saturating_sub(at) >= EVERY);
        if is_time || (at_once && is_new) { open } else { BTreeSet::new() }
    }

    /// Notes what a look for some deletions has found.
    pub(crate) fn note(
        &mut self,
        tenant: &Tenant,
        asked: &BTreeSet<u64>,
        now: Duration,
        found: Vec<(Section, BlockEntry)>,
    ) {
        let looked = self.tenants.entry(tenant.clone()).or_default();
        looked.at = Some(now);
        for number in asked {
            looked.since.entry(*number).or_insert(now);
        }
        looked.left = found.into_iter().map(|(section, block)| (block.id(), (section, block))).collect();
    }

    /// That a look has failed: the next one is no sooner than after one that has not.
    pub(crate) fn note_failure(&mut self, tenant: &Tenant, now: Duration) {
        self.tenants.entry(tenant.clone()).or_default().at = Some(now);
    }

    /// The next blocks that are to be written anew, at most so many. What is merged anyway, or cannot be, is left out;
    /// what fails is found by the next look.
    pub(crate) fn take(
        &mut self,
        tenant: &Tenant,
        is_left_out: impl Fn(&BlockId) -> bool,
        now: Duration,
        most: usize,
    ) -> Vec<(Section, BlockEntry)> {
        let Some(looked) = self.tenants.get_mut(tenant) else { return Vec::new() };
        if looked.at.is_none_or(|at| now.saturating_sub(at) >= EVERY) {
            // Others may have replaced them.
            looked.left.clear();
        }
        looked.left.retain(|id, _| !is_left_out(id));
        let next: Vec<BlockId> = looked.left.keys().take(most).copied().collect();
        next.iter().filter_map(|id| looked.left.remove(id)).collect()
    }
}

/// The blocks of days that have rows of these traces, each with the number of its deletion, which they must not keep. The filters tell which may; only these are
/// opened. What is in the inbox is merged soon, and is not among them.
pub(crate) async fn holding_deleted(
    catalog: &Catalog,
    snapshot: &Snapshot,
    tenant: &Tenant,
    deletions: &Deletions,
    numbers: &BTreeSet<u64>,
) -> Result<Vec<(Section, BlockEntry)>, LookError> {
    let source = Source::new(catalog.bucket().objects());
    let traces = deletions.traces_of(numbers);
    let mut holding = BTreeSet::new();
    for some in traces.chunks(at_a_time(traces.len())) {
        let all_of_any = keys_of(some);
        let candidates = catalog.blocks_that_may_hold(snapshot, tenant, Wanted::traces(&all_of_any)).await?;
        let blocks = candidates.holding.iter().chain(&candidates.unasked);
        let blocks = blocks.filter(|block| !holding.contains(&block.id()));
        let asks: Vec<_> = blocks.map(|block| holds_deleted(&source, block, deletions, some)).collect();
        let answers: Vec<Option<BlockId>> =
            stream::iter(asks).buffered(PARALLEL_REQUESTS).try_collect().await?;
        holding.extend(answers.into_iter().flatten());
    }
    if holding.is_empty() || planted(Bug::NeverErase) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let pages = catalog.pages(snapshot, tenant).await?;
    for page in pages.into_iter().filter(|page| page.section != Section::Inbox) {
        match catalog.blocks_of(tenant, &page).await {
            Ok(blocks) => {
                let of_page = blocks.blocks.iter().filter(|block| holding.contains(&block.id()));
                found.extend(of_page.map(|block| (page.section, block.clone())));
            }
            // Its blocks cannot be replaced; others can.
            Err(error @ SnapshotError::Damaged { .. }) => {
                tracing::error!(%error, %tenant, "no deleted span is taken out of the blocks of this page");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

async fn holds_deleted(
    source: &Source,
    block: &BlockEntry,
    deletions: &Deletions,
    traces: &[(u64, TraceId)],
) -> Result<Option<BlockId>, InputError> {
    match holds(source, block, deletions, traces).await {
        Ok(holds) => Ok(holds.then_some(block.id())),
        // It holds up no other; nor could it be written anew.
        Err(error) if error.is_lasting() => {
            tracing::error!(%error, "nobody can tell whether the block holds what was deleted");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether a block has rows of some of these traces that it must not keep.
async fn holds(
    source: &Source,
    block: &BlockEntry,
    deletions: &Deletions,
    traces: &[(u64, TraceId)],
) -> Result<bool, InputError> {
    let deleted = deletions.of_block(block);
    let mut traces: Vec<TraceId> = traces.iter().map(|(_, trace)| *trace).collect();
    traces.retain(|trace| deleted.has(trace));
    traces.sort_unstable();
    if traces.is_empty() {
        return Ok(false);
    }
    let held = Held { window_bytes: 0, ahead_bytes: 0 };
    Input::open(source, block, held).await?.holds_any(&traces).await
}

/// What blocks still have of what was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Wherever they stand.
    pub blocks: Vec<BlockId>,
    /// Nobody can tell of these.
    pub unread: Vec<BlockId>,
    /// Pages of the catalog that cannot be read, and may know others.
    pub missing: usize,
}

impl Left {
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Looks for rows of some traces in all blocks that do not know a deletion of this number. The filters tell which may
/// have some; only these are opened.
pub async fn left_of(
    catalog: &Catalog,
    snapshot: &Snapshot,
    tenant: &Tenant,
    traces: &[TraceId],
    number: u64,
) -> Result<Left, LookError> {
    let source = Source::new(catalog.bucket().objects());
    let traces: Vec<(u64, TraceId)> = traces.iter().map(|trace| (number, *trace)).collect();
    let deletions = Deletions::of_traces(&traces, number);
    let mut left = Left::default();
    for some in traces.chunks(at_a_time(traces.len())) {
        let any_of = keys_of(some);
        let candidates = catalog.blocks_that_may_hold(snapshot, tenant, Wanted::traces(&any_of)).await?;
        left.missing = left.missing.max(candidates.missing.len());
        let blocks = candidates.holding.iter().chain(&candidates.unasked);
        let asks: Vec<_> = blocks
            .map(|block| async { (block.id(), holds(&source, block, &deletions, some).await) })
            .collect();
        let mut answers = stream::iter(asks).buffered(PARALLEL_REQUESTS);
        while let Some((block, holds)) = answers.next().await {
            match holds {
                Ok(true) => left.blocks.push(block),
                Ok(false) => {}
                Err(error) if error.is_lasting() => left.unread.push(block),
                Err(error) => return Err(error.into()),
            }
        }
    }
    for blocks in [&mut left.blocks, &mut left.unread] {
        blocks.sort_unstable();
        blocks.dedup();
    }
    Ok(left)
}

/// How many of some traces are looked for at a time.
fn at_a_time(traces: usize) -> usize {
    if traces > MOST_ASKED { traces } else { AT_A_TIME }
}

/// What filters are asked for; of too many nothing.
fn keys_of(traces: &[(u64, TraceId)]) -> Vec<Vec<FilterKey>> {
    match traces.len() {
        0..=AT_A_TIME => vec![traces.iter().map(|(_, trace)| FilterKey::of_trace(trace)).collect()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use siltstone_format::block::identity::BlockIdentity;
    use siltstone_format::block::write::encode_block;
    use siltstone_format::columns::SpanColumns;
    use siltstone_format::day::Day;
    use siltstone_format::span::Span;

    use super::*;

    fn block(number: u8) -> BlockEntry {
        let mut columns = SpanColumns::default();
        columns.push(&Span::default()).unwrap();
        let block = format!("{number:026}").parse().unwrap();
        let identity = BlockIdentity { block, tenant: Tenant::single(), inputs: Vec::new() };
        BlockEntry::flushed(encode_block(&columns, &identity).unwrap().summary)
    }

    #[test]
    fn should_look_once_an_hour_and_at_once_where_nobody_looks_again() {
        let (tenant, minute) = (Tenant::single(), Duration::from_secs(60));
        let mut erasing = Erasing::default();
        let (first, second) = ((3, TraceId([1; 16])), (4, TraceId([2; 16])));
        let (one, two) = (Deletions::of_traces(&[first], 3), Deletions::of_traces(&[first, second], 4));
        let due = |erasing: &Erasing, deletions: &Deletions, minutes: u32, at_once| {
            let due = erasing.due(&tenant, deletions, minute * minutes, at_once);
            due.into_iter().collect::<Vec<u64>>()
        };
        assert!(due(&erasing, &Deletions::default(), 1, true).is_empty());
        assert_eq!(due(&erasing, &one, 1, false), [3]);
        erasing.note(&tenant, &erasing.due(&tenant, &one, minute, false), minute, Vec::new());
        assert!(due(&erasing, &one, 2, true).is_empty());
        assert!(due(&erasing, &two, 2, false).is_empty());
        assert_eq!(due(&erasing, &two, 2, true), [3, 4]);
        assert_eq!(due(&erasing, &one, 61, false), [3]);
        // A day later no merge is under way that began before it.
        assert_eq!(due(&erasing, &two, 25 * 60, false), [4]);
        assert!(due(&erasing, &one, 25 * 60, false).is_empty());
    }

    #[test]
    fn should_give_each_block_once_and_none_that_is_merged() {
        let (tenant, section) = (Tenant::single(), Section::Day(Day(1)));
        let blocks: Vec<_> = (1..=4).map(|number| (section, block(number))).collect();
        let ids: Vec<BlockId> = blocks.iter().map(|(_, block)| block.id()).collect();
        let mut erasing = Erasing::default();
        erasing.note(&tenant, &BTreeSet::new(), Duration::ZERO, blocks);
        let mut take = |merged: &[BlockId], most| {
            let taken = erasing.take(&tenant, |id| merged.contains(id), Duration::ZERO, most).into_iter();
            taken.map(|(_, block)| block.id()).collect::<Vec<_>>()
        };
        assert_eq!(take(&ids[1..2], 2), [ids[0], ids[2]]);
        assert_eq!(take(&[], 2), [ids[3]]);
        assert!(take(&[], 2).is_empty());
        erasing.note(&tenant, &BTreeSet::new(), Duration::ZERO, vec![(section, block(5))]);
        assert!(erasing.take(&tenant, |_| false, EVERY, 2).is_empty());
    }
}
