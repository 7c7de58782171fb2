//! Which blocks may hold what is looked for: one row of each group, all at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use siltstone_format::filter::split_block::FilterKey;
use siltstone_format::filter::transposed::{GroupHeader, GroupKind};
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

use super::index::GroupIndex;
use crate::block_entry::BlockEntry;
use crate::block_page::Section;
use crate::bucket::path;
use crate::catalog::Catalog;
use crate::deleted::DeletedTraces;
use crate::mark::Mark;
use crate::snapshot::{Missing, Recorded, Snapshot, SnapshotError, TenantBlocks};
use crate::tenant_page::{GroupRef, PageRef, TenantPage};

const PARALLEL_GROUPS: usize = 32;

/// What blocks are wanted for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub kind: GroupKind,
    /// Of each of these, one key must be there. With none of them, every block may do.
    pub all_of_any: &'a [Vec<FilterKey>],
    pub from_unix_nano: u64,
    pub to_unix_nano: u64,
}

/// Blocks that may hold what is wanted. No other block does.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// A group says so.
    pub holding: Vec<BlockEntry>,
    /// They are in no group that could be read: ask their own filters.
    pub unasked: Vec<BlockEntry>,
    /// What was asked about single traces.
    pub marks: Arc<Vec<Mark>>,
    /// What may hide one of their rows.
    pub deleted: Arc<DeletedTraces>,
    /// Parts of the catalog that cannot be read: an answer from the rest is partial.
    pub missing: Vec<Missing>,
    /// Groups that exclude nothing because they cannot be read: the answer is right, and
    /// slow.
    pub unread: Vec<Unread>,
}

/// A group that could not be asked: [`Catalog::regroup_without`] builds it anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub group: ObjectId,
    pub why: String,
}

impl<'a> Wanted<'a> {
    /// Whatever has one of these keys of traces, of any time.
    pub fn traces(any_of: &'a [Vec<FilterKey>]) -> Self {
        Self { kind: GroupKind::TraceIds, all_of_any: any_of, from_unix_nano: 0, to_unix_nano: u64::MAX }
    }

    fn keys(&self) -> impl Iterator<Item = FilterKey> {
        self.all_of_any.iter().flatten().copied()
    }

    fn overlaps(&self, group: &GroupRef) -> bool {
        group.overlaps(self.from_unix_nano, self.to_unix_nano)
    }
}

impl Catalog {
    /// The tenant's blocks that may hold what is wanted. The number of requests does not
    /// grow with the number of blocks, but with that of groups, of blocks that were found,
    /// and of pages with blocks that are in no group yet.
    pub async fn blocks_that_may_hold(
        &self,
        snapshot: &Snapshot,
        tenant: &Tenant,
        wanted: Wanted<'_>,
    ) -> Result<Candidates, SnapshotError> {
        let mut found = TenantBlocks::default();
        let mut answers = Answers::default();
        if let Some(page) = self.tenant_page(snapshot, tenant, &mut found).await? {
            answers = self.ask_groups(&page, wanted).await;
            let (from, to) = (wanted.from_unix_nano, wanted.to_unix_nano);
            self.add_pages(&page, from, to, |page| answers.need(page), &mut found).await?;
        }
        self.add_marks(snapshot, tenant, Recorded::All, &mut found).await?;
        let mut candidates = answers.sort(found);
        candidates.unasked.extend(snapshot.flushed(tenant, wanted.from_unix_nano, wanted.to_unix_nano));
        Ok(candidates)
    }

    async fn ask_groups(&self, page: &TenantPage, wanted: Wanted<'_>) -> Answers {
        let groups = page.groups.iter().filter(|group| group.kind == wanted.kind && wanted.overlaps(group));
        let asks: Vec<_> =
            groups.map(|group| async move { (group, self.ask_group(group, wanted).await) }).collect();
        let mut asked = stream::iter(asks).buffered(PARALLEL_GROUPS);
        let mut answers = Answers::default();
        while let Some((group, answer)) = asked.next().await {
            answers.add(group, answer);
        }
        answers
    }

    async fn ask_group(&self, group: &GroupRef, wanted: Wanted<'_>) -> Answer {
        // Row and index side by side: where a row lies follows from what the tenant's page says.
        let rows = rows_of(group, wanted);
        let path = path(&ObjectKey::FilterGroup(group.id));
        let read_rows = async {
            match rows.is_empty() {
                true => Ok(Vec::new()),
                false => self.bucket.objects().get_ranges(&path, &rows).await,
            }
        };
        let (index, bytes) = futures::join!(self.indexes.of(&self.bucket, group), read_rows);
        let index = match index {
            Ok(index) => index,
            Err(error) => return Answer::unread(unread(group, error.to_string())),
        };
        match bytes {
            Ok(bytes) => {
                let (holding, is_damaged) = holding(&index.header, wanted, &Rows { rows, bytes });
                let unread = is_damaged.then(|| unread(group, "a row of it is damaged".to_owned()));
                Answer { holding, index: Some(index), unread }
            }
            Err(error) => Answer {
                holding: vec![true; index.header.blocks().len()],
                index: Some(index),
                unread: Some(unread(group, error.to_string())),
            },
        }
    }
}

fn unread(group: &GroupRef, why: String) -> Unread {
    Unread { group: group.id, why }
}

/// The bytes of a group that tell of all keys.
fn rows_of(group: &GroupRef, wanted: Wanted<'_>) -> Vec<std::ops::Range<u64>> {
    let blocks = usize::try_from(group.blocks).unwrap_or(usize::MAX);
    let ranges = wanted.keys().map(|key| GroupHeader::probe_range_of(group.class, blocks, key));
    let mut rows: Vec<_> = ranges.map(|range| (range.start, range.end)).collect();
    rows.sort_unstable();
    rows.dedup();
    rows.into_iter().map(|(start, end)| start..end).collect()
}

/// Rows of one group.
struct Rows {
    rows: Vec<std::ops::Range<u64>>,
    bytes: Vec<Bytes>,
}

impl Rows {
    fn of(&self, range: &std::ops::Range<u64>) -> &[u8] {
        let place = self.rows.iter().position(|row| row == range);
        // Nothing is no row, so it counts as damaged.
        place.and_then(|place| self.bytes.get(place)).map_or(&[], |bytes| bytes)
    }
}

/// Which blocks of a group may hold what is wanted, and whether a row was damaged.
fn holding(header: &GroupHeader, wanted: Wanted<'_>, rows: &Rows) -> (Vec<bool>, bool) {
    let mut is_damaged = false;
    let mut all = vec![true; header.blocks().len()];
    for keys in wanted.all_of_any {
        let mut any = vec![false; all.len()];
        for key in keys {
            let probe = header.probe(*key, rows.of(&header.probe_range(*key)));
            is_damaged |= probe.damaged;
            // Both are in the order of the group.
            let mut hits = probe.blocks.iter().peekable();
            for (place, block) in header.blocks().iter().enumerate() {
                any[place] |= hits.next_if_eq(&block).is_some();
            }
        }
        all.iter_mut().zip(any).for_each(|(all, any)| *all &= any);
    }
    (all, is_damaged)
}

/// What one group said.
struct Answer {
    /// None: which blocks it has is not known.
    index: Option<Arc<GroupIndex>>,
    holding: Vec<bool>,
    unread: Option<Unread>,
}

impl Answer {
    fn unread(why: Unread) -> Self {
        Self { index: None, holding: Vec::new(), unread: Some(why) }
    }
}

/// What all groups said.
#[derive(Default)]
struct Answers {
    indexes: Vec<Arc<GroupIndex>>,
    holding: BTreeSet<BlockId>,
    sections: BTreeSet<Section>,
    /// Times in which there may be blocks of which no group tells.
    unknown: Vec<(u64, u64)>,
    unread: Vec<Unread>,
}

impl Answers {
    fn add(&mut self, group: &GroupRef, answer: Answer) {
        self.unread.extend(answer.unread);
        let Some(index) = answer.index else {
            self.unknown.push((group.min_start_unix_nano, group.max_end_unix_nano));
            return;
        };
        for ((block, section), holds) in index.members().zip(answer.holding) {
            if holds {
                self.holding.insert(block);
                self.sections.insert(section);
            }
        }
        self.indexes.push(index);
    }

    /// Whether a page may have a candidate.
    fn need(&self, page: &PageRef) -> bool {
        page.grouped < page.blocks
            || self.sections.contains(&page.section)
            || self.unknown.iter().any(|(from, to)| page.overlaps(*from, *to))
    }

    /// Keeps those of the blocks on the pages that no group excludes.
    fn sort(self, found: TenantBlocks) -> Candidates {
        let mut candidates = Candidates {
            marks: found.marks,
            deleted: found.deleted,
            missing: found.missing,
            unread: self.unread,
            ..Candidates::default()
        };
        for block in found.blocks {
            if self.holding.contains(&block.id()) {
                candidates.holding.push(block);
            } else if !self.indexes.iter().any(|index| index.has(block.id())) {
                candidates.unasked.push(block);
            }
        }
        candidates
    }
}
