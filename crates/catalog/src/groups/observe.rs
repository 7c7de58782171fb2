//! What a tenant's groups hold, and which blocks are in none: without reading the pages
//! of days in which nothing has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use siltstone_format::filter::transposed::GroupKind;
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::tenant::Tenant;

use super::index::GroupIndex;
use super::plan::{Known, Loose};
use crate::block_entry::BlockEntry;
use crate::block_page::Section;
use crate::bucket::PARALLEL_GETS;
use crate::catalog::Catalog;
use crate::draft::DraftError;
use crate::tenant_page::{GroupRef, PageRef, TenantPage};

/// A group and which blocks it has; none if that cannot be read.
pub(super) struct Seen {
    pub(super) group: GroupRef,
    pub(super) index: Option<Arc<GroupIndex>>,
}

impl Seen {
    fn first_section(&self) -> Option<Section> {
        Some(self.index.as_ref()?.members().next()?.1)
    }
}

pub(super) struct Observed {
    pub(super) tenant: Tenant,
    /// All that the tenant's page lists.
    pub(super) listed: BTreeSet<ObjectId>,
    pub(super) groups: Vec<Seen>,
    /// Members of groups that no longer exist.
    pub(super) dead: BTreeSet<BlockId>,
    /// Blocks that a group of some kind lacks, with their sections, oldest first.
    pub(super) loose: BTreeMap<BlockId, (Section, BlockEntry)>,
}

/// Blocks of a section, and how many of them are in groups.
#[derive(Clone, Copy, Default)]
struct Count {
    blocks: u64,
    grouped: u64,
}

impl Observed {
    /// Looks at a tenant's page. Groups that are known to be unreadable count as such.
    pub(super) async fn of(
        catalog: &Catalog,
        page: &TenantPage,
        unreadable: &BTreeSet<ObjectId>,
    ) -> Result<Self, DraftError> {
        let mut groups = seen(catalog, &page.groups).await?;
        groups
            .iter_mut()
            .filter(|seen| unreadable.contains(&seen.group.id))
            .for_each(|seen| seen.index = None);
        let mut sections: BTreeMap<Section, Count> = BTreeMap::new();
        for page in &page.pages {
            let count = sections.entry(page.section).or_default();
            count.blocks += page.blocks;
            count.grouped += page.grouped;
        }
        let wanted = unsettled(&groups, &page.pages, &sections);
        let read = read_sections(catalog, page, &wanted).await?;
        if read.len() < wanted.len() {
            // What an unreadable group had may be on a page that cannot be read today.
            groups.retain(|seen| seen.index.is_some());
        }
        let tenant = page.tenant.clone();
        let listed = page.groups.iter().map(|group| group.id).collect();
        let mut observed = Self { tenant, listed, groups, dead: BTreeSet::new(), loose: BTreeMap::new() };
        let indexes = observed.groups.iter().filter_map(|seen| seen.index.as_ref());
        for (block, section) in indexes.flat_map(|index| index.members()) {
            let is_dead = match read.get(&section) {
                Some(blocks) => !blocks.contains_key(&block),
                None => !sections.contains_key(&section),
            };
            if is_dead {
                observed.dead.insert(block);
            }
        }
        let loose = read
            .into_iter()
            .flat_map(|(section, blocks)| blocks.into_iter().map(move |(id, block)| (id, (section, block))));
        let loose = loose.filter(|(id, _)| KINDS.iter().any(|kind| !has(&observed.groups, *kind, *id)));
        observed.loose = loose.collect();
        Ok(observed)
    }

    pub(super) fn known(&self) -> Vec<Known> {
        let known = self.groups.iter().map(|seen| Known {
            id: seen.group.id,
            kind: seen.group.kind,
            // A group has blocks of days or of the inbox, never of both.
            of_inbox: seen.first_section() == Some(Section::Inbox),
            class: seen.group.class,
            members: seen.group.blocks,
            live: seen.index.as_ref().map(|index| {
                index.header.blocks().iter().filter(|block| !self.dead.contains(block)).count() as u64
            }),
        });
        known.collect()
    }

    pub(super) fn loose(&self) -> Vec<Loose> {
        let loose = self.loose.iter().map(|(id, (section, block))| {
            let filters = &block.summary.filters;
            let lacks = |kind| !has(&self.groups, kind, *id);
            Loose {
                id: *id,
                in_inbox: *section == Section::Inbox,
                traces: lacks(GroupKind::TraceIds).then_some(filters.traces.class),
                terms: lacks(GroupKind::Terms).then_some(filters.terms.class),
            }
        });
        loose.collect()
    }

    pub(super) fn group(&self, id: ObjectId) -> Option<&Seen> {
        self.groups.iter().find(|seen| seen.group.id == id)
    }
}

const KINDS: [GroupKind; 2] = [GroupKind::TraceIds, GroupKind::Terms];

fn has(groups: &[Seen], kind: GroupKind, block: BlockId) -> bool {
    let of_kind = groups.iter().filter(|seen| seen.group.kind == kind);
    of_kind.filter_map(|seen| seen.index.as_ref()).any(|index| index.has(block))
}

async fn seen(catalog: &Catalog, groups: &[GroupRef]) -> Result<Vec<Seen>, DraftError> {
    let mut read = stream::iter(groups)
        .map(|group| async move { (group, catalog.indexes.of(&catalog.bucket, group).await) })
        .buffered(PARALLEL_GETS);
    let mut seen = Vec::with_capacity(groups.len());
    while let Some((group, index)) = read.next().await {
        let index = match index {
            Ok(index) => Some(index),
            // Gone: the tenant's page may be out of date. Publishing finds that out.
            Err(DraftError::Damaged { .. } | DraftError::Gone { .. }) => None,
            Err(error) => return Err(error),
        };
        seen.push(Seen { group: group.clone(), index });
    }
    Ok(seen)
}

/// The sections whose blocks must be looked at: some are in no group, or their groups have
/// more members than there are blocks, or fewer.
fn unsettled(groups: &[Seen], pages: &[PageRef], sections: &BTreeMap<Section, Count>) -> BTreeSet<Section> {
    let mut members: BTreeMap<(bool, Section), u64> = BTreeMap::new();
    let mut unreadable = Vec::new();
    for Seen { group, index } in groups {
        match index {
            Some(index) => index.members().for_each(|(_, section)| {
                *members.entry((group.kind == GroupKind::Terms, section)).or_default() += 1;
            }),
            None => unreadable.push(group),
        }
    }
    let is_settled = |section: Section, count: &Count| {
        let of_kind = |is_terms| members.get(&(is_terms, section)).copied().unwrap_or(0);
        count.blocks == count.grouped && of_kind(false) == count.grouped && of_kind(true) == count.grouped
    };
    let mut unsettled: BTreeSet<Section> = sections
        .iter()
        .filter(|(section, count)| !is_settled(**section, count))
        .map(|(section, _)| *section)
        .collect();
    let hidden = pages.iter().filter(|page| {
        unreadable.iter().any(|group| group.overlaps(page.min_start_unix_nano, page.max_end_unix_nano))
    });
    unsettled.extend(hidden.map(|page| page.section));
    unsettled
}

type Sections = BTreeMap<Section, BTreeMap<BlockId, BlockEntry>>;

/// A section of which a page cannot be read is left alone: it cannot be written either.
async fn read_sections(
    catalog: &Catalog,
    page: &TenantPage,
    wanted: &BTreeSet<Section>,
) -> Result<Sections, DraftError> {
    let mut sections: Sections = wanted.iter().map(|section| (*section, BTreeMap::new())).collect();
    let mut read = stream::iter(page.pages.iter().filter(|page| wanted.contains(&page.section)))
        .map(|wanted| async move {
            (wanted.section, catalog.pages.blocks(&catalog.bucket, wanted, &page.tenant).await)
        })
        .buffered(PARALLEL_GETS);
    let mut damaged = BTreeSet::new();
    while let Some((section, blocks)) = read.next().await {
        match blocks {
            Ok(blocks) => sections
                .entry(section)
                .or_default()
                .extend(blocks.blocks.iter().map(|block| (block.id(), block.clone()))),
            Err(DraftError::Damaged { .. }) => {
                damaged.insert(section);
            }
            Err(error) => return Err(error),
        }
    }
    sections.retain(|section, _| !damaged.contains(section));
    Ok(sections)
}
