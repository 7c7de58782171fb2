//! What becomes of a tenant's traces by some rules, and when: a look that changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Sum;

use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::kept::Until;
use siltstone_catalog::snapshot::{Snapshot, SnapshotError};
use siltstone_format::block::parts::Parts;
use siltstone_format::day::Day;
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;

use super::around::Around;
use super::due::{Ruled, archived_since};
use super::judge::{JudgeError, Judging};
use super::part::HELD;
use super::{Hours, Rules};
use crate::input::{Input, Source};

/// Traces of one day that are kept equally long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// One that is in several blocks counts in each.
    pub traces: u64,
    pub spans: u64,
    /// As many of a block's as its spans are of all of that.
    pub bytes: u64,
}

/// What was decided, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Nobody looked which traces the rules name.
    Undecided,
    WouldBeKept(Until, Hours),
    IsKept(Until),
}

pub type Outlook = BTreeMap<(Day, Fate), Share>;

/// How far it is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Into the catalog.
    Decided,
    /// Into all blocks about which nothing is decided, with so many bytes for what is known of traces.
    Rows { memory_bytes: usize },
}

/// What becomes of all that is in days; what was flushed lately is in none.
pub async fn outlook(
    catalog: &Catalog,
    snapshot: &Snapshot,
    tenant: &Tenant,
    rules: Rules,
    depth: Depth,
) -> Result<Outlook, JudgeError> {
    let pages = catalog.pages(snapshot, tenant).await?;
    let archived = archived_since(catalog, snapshot, tenant, 0).await?;
    let archived: Vec<TraceId> = archived.into_iter().map(|(_, trace)| trace).collect();
    let days: BTreeSet<Day> = pages.iter().filter_map(|page| page.section.day()).collect();
    let ruled = Ruled { tenant: tenant.clone(), rules, pages };
    let mut outlook = Outlook::new();
    for day in days {
        let around = Around::of(catalog, &ruled, &ruled.pages, day).await?;
        for (_, block) in around.decided_of(day) {
            let Some(kept) = block.kept else { continue };
            add(&mut outlook, (day, Fate::IsKept(kept.until)), whole(block));
        }
        let Depth::Rows { memory_bytes } = depth else {
            for (_, block) in &around.undecided {
                add(&mut outlook, (day, Fate::Undecided), whole(block));
            }
            continue;
        };
        let mut judging = Judging::new(&ruled, day, memory_bytes);
        let source = Source::new(catalog.bucket().objects());
        loop {
            judging.look(catalog, snapshot, &around, &archived).await?;
            let part = judging.left(&around);
            if part.is_empty() {
                break;
            }
            for (_, block) in &part {
                for (hours, share) in shares(&source, block, &judging).await? {
                    add(&mut outlook, (day, Fate::WouldBeKept(hours.until(day), hours)), share);
                }
            }
            judging.end_part();
        }
    }
    Ok(outlook)
}

/// What was flushed lately, and is in no day yet.
pub async fn in_no_day(
    catalog: &Catalog,
    snapshot: &Snapshot,
    tenant: &Tenant,
) -> Result<Share, SnapshotError> {
    let flushed = snapshot.entries.iter().flat_map(|entry| &entry.blocks);
    let mut share: Share = flushed.filter(|block| block.tenant() == tenant).map(whole).sum();
    let pages = catalog.pages(snapshot, tenant).await?;
    for page in pages.iter().filter(|page| page.section.day().is_none()) {
        share = catalog.blocks_of(tenant, page).await?.blocks.iter().map(whole).chain([share]).sum();
    }
    Ok(share)
}

fn whole(block: &BlockEntry) -> Share {
    let spans = &block.summary.spans;
    Share { traces: spans.traces, spans: spans.rows, bytes: block.bytes() }
}

fn add(outlook: &mut Outlook, of: (Day, Fate), more: Share) {
    let share = outlook.entry(of).or_default();
    *share = [*share, more].into_iter().sum();
}

impl Sum for Share {
    fn sum<All: Iterator<Item = Self>>(all: All) -> Self {
        all.fold(Self::default(), |one, other| Self {
            traces: one.traces + other.traces,
            spans: one.spans + other.spans,
            bytes: one.bytes + other.bytes,
        })
    }
}

/// The traces of a block by how long they are kept.
async fn shares(
    source: &Source,
    block: &BlockEntry,
    judging: &Judging,
) -> Result<BTreeMap<Hours, Share>, JudgeError> {
    let mut shares: BTreeMap<Hours, Share> = BTreeMap::new();
    let (parts, mut last) = (Parts { trace_ids: true, ..Parts::default() }, None);
    let mut input = Input::open(source, block, HELD).await?;
    let each = input.each(&parts, |columns| {
        for run in columns.trace_ids.chunk_by(|one, next| one == next) {
            let share = shares.entry(judging.hours_of(&run[0])).or_default();
            share.traces += u64::from(last != Some(run[0]));
            share.spans += run.len() as u64;
            last = Some(run[0]);
        }
        Ok(())
    });
    each.await?;
    let (bytes, rows) = (u128::from(block.bytes()), u128::from(block.summary.spans.rows.max(1)));
    for share in shares.values_mut() {
        share.bytes = u64::try_from(bytes * u128::from(share.spans) / rows).unwrap_or(u64::MAX);
    }
    Ok(shares)
}
