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
use siltstone_format::filter::transposed::GroupKind;
use siltstone_format::id::{BlockId, TraceId};
use siltstone_format::tenant::Tenant;

use crate::deletions::Deletions;
use crate::input::{Held, Input, InputError, PARALLEL_REQUESTS, Source};
use crate::planted::{Bug, planted};

/// How often such blocks are looked for. What is deleted in between costs a block one rewrite.
const EVERY: Duration = Duration::from_secs(3600);
/// So long a deletion is looked for again: a merge that read the catalog before it may be published after the first
/// look, and no merge takes longer.
const AGAIN: Duration = Duration::from_secs(24 * 3600);

/// Traces that are looked for at a time: filters hold 32 bytes of each block for one.
const AT_A_TIME: usize = 16;

/// Why it is not known which blocks these are.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
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
    ) -> BTreeMap<u64, TraceId> {
        let none = Looked::default();
        let looked = self.tenants.get(tenant).unwrap_or(&none);
        let is_open =
            |number: &u64| looked.since.get(number).is_none_or(|since| now.saturating_sub(*since) <= AGAIN);
        let open: BTreeMap<u64, TraceId> = deletions.traces().filter(|(number, _)| is_open(number)).collect();
        let is_new = open.keys().any(|number| !looked.since.contains_key(number));
        let is_time = looked.at.is_none_or(|at| now.saturating_sub(at) >= EVERY);
        if is_time || (at_once && is_new) { open } else { BTreeMap::new() }
    }

    /// Notes what a look for some deletions has found.
    pub(crate) fn note(
        &mut self,
        tenant: &Tenant,
        asked: &BTreeMap<u64, TraceId>,
        now: Duration,
        found: Vec<(Section, BlockEntry)>,
    ) {
        let looked = self.tenants.entry(tenant.clone()).or_default();
        looked.at = Some(now);
        for number in asked.keys() {
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

/// The blocks of days that have rows of these traces, which were deleted. The filters tell which may; only these are
/// opened. What is in the inbox is merged soon, and is not among them.
pub(crate) async fn holding_deleted(
    catalog: &Catalog,
    snapshot: &Snapshot,
    tenant: &Tenant,
    traces: &BTreeMap<u64, TraceId>,
) -> Result<Vec<(Section, BlockEntry)>, LookError> {
    let source = Source::new(catalog.bucket().objects());
    let traces: Vec<(u64, TraceId)> = traces.iter().map(|(number, trace)| (*number, *trace)).collect();
    let mut holding = BTreeSet::new();
    for some in traces.chunks(AT_A_TIME) {
        let all_of_any = [some.iter().map(|(_, trace)| FilterKey::of_trace(trace)).collect()];
        let wanted = Wanted {
            kind: GroupKind::TraceIds,
            all_of_any: &all_of_any,
            from_unix_nano: 0,
            to_unix_nano: u64::MAX,
        };
        let candidates = catalog.blocks_that_may_hold(snapshot, tenant, wanted).await?;
        let blocks = candidates.holding.iter().chain(&candidates.unasked);
        let blocks = blocks.filter(|block| !holding.contains(&block.id()));
        let asks: Vec<_> = blocks.map(|block| holds_deleted(&source, block, some)).collect();
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
    traces: &[(u64, TraceId)],
) -> Result<Option<BlockId>, InputError> {
    let unknown = traces.iter().filter(|(number, _)| *number > block.clean_through);
    let mut traces: Vec<TraceId> = unknown.map(|(_, trace)| *trace).collect();
    traces.sort_unstable();
    if traces.is_empty() {
        return Ok(None);
    }
    let held = Held { window_bytes: 0, ahead_bytes: 0 };
    let asked = async { Input::open(source, block, held).await?.holds_any(&traces).await };
    match asked.await {
        Ok(holds) => Ok(holds.then_some(block.id())),
        // It holds up no other; nor could it be written anew.
        Err(error) if error.is_lasting() => {
            tracing::error!(%error, "nobody can tell whether the block holds what was deleted");
            Ok(None)
        }
        Err(error) => Err(error),
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
        let one = Deletions::of_traces(&[(3, TraceId([1; 16]))]);
        let two = Deletions::of_traces(&[(3, TraceId([1; 16])), (4, TraceId([2; 16]))]);
        let due = |erasing: &Erasing, deletions: &Deletions, minutes: u32, at_once| {
            let due = erasing.due(&tenant, deletions, minute * minutes, at_once);
            due.into_keys().collect::<Vec<u64>>()
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
        erasing.note(&tenant, &BTreeMap::new(), Duration::ZERO, blocks);
        let mut take = |merged: &[BlockId], most| {
            let taken = erasing.take(&tenant, |id| merged.contains(id), Duration::ZERO, most).into_iter();
            taken.map(|(_, block)| block.id()).collect::<Vec<_>>()
        };
        assert_eq!(take(&ids[1..2], 2), [ids[0], ids[2]]);
        assert_eq!(take(&[], 2), [ids[3]]);
        assert!(take(&[], 2).is_empty());
        erasing.note(&tenant, &BTreeMap::new(), Duration::ZERO, vec![(section, block(5))]);
        assert!(erasing.take(&tenant, |_| false, EVERY, 2).is_empty());
    }
}
