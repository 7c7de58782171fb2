//! What there is to merge: the blocks of each tenant by where they stand.

use std::collections::{BTreeMap, BTreeSet};

use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::snapshot::{Snapshot, SnapshotError};
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::tenant::Tenant;

use crate::plan::Piece;
use crate::retain::decided;

/// The blocks of a tenant that may be worth merging.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) blocks: BTreeMap<BlockId, (Section, BlockEntry)>,
    /// The pages of the days among them.
    days: BTreeMap<Section, BTreeSet<ObjectId>>,
}

/// Days in which nothing was worth merging: as long as their pages are the same, they are not read again. So a
/// compactor looks at what is new, and not at months again and again.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pages: BTreeMap<(Tenant, Section), BTreeSet<ObjectId>>,
}

impl Settled {
    /// Notes the closed days of which no job would take a block even now.
    pub(crate) fn note<'j>(
        &mut self,
        tenant: &Tenant,
        seen: &Seen,
        is_closed: impl Fn(Day) -> bool,
        taken: impl Iterator<Item = &'j Piece>,
    ) {
        let busy: BTreeSet<Section> = taken.map(|piece| piece.section).collect();
        for (section, pages) in &seen.days {
            let is_closed = matches!(section, Section::Day(day) if is_closed(*day));
            if is_closed && !busy.contains(section) {
                self.pages.insert((tenant.clone(), *section), pages.clone());
            }
        }
    }

    /// Forgets the days that are there no more.
    fn retain(&mut self, tenant: &Tenant, days: &BTreeMap<Section, BTreeSet<ObjectId>>) {
        self.pages.retain(|(known, section), _| known != tenant || days.contains_key(section));
    }
}

impl Seen {
    /// Reads a tenant's pages, but for those of days that are settled.
    pub(crate) async fn of(
        catalog: &Catalog,
        snapshot: &Snapshot,
        tenant: &Tenant,
        settled: &mut Settled,
    ) -> Result<Self, SnapshotError> {
        let pages = catalog.pages(snapshot, tenant).await?;
        let mut days: BTreeMap<Section, BTreeSet<ObjectId>> = BTreeMap::new();
        for page in &pages {
            days.entry(page.section).or_default().insert(page.id);
        }
        settled.retain(tenant, &days);
        days.retain(|section, pages| settled.pages.get(&(tenant.clone(), *section)) != Some(pages));
        let mut seen = Self { blocks: BTreeMap::new(), days };
        for page in pages.iter().filter(|page| seen.days.contains_key(&page.section)) {
            let blocks = catalog.blocks_of(tenant, page).await?;
            seen.blocks.extend(blocks.blocks.iter().map(|block| (block.id(), (page.section, block.clone()))));
        }
        Ok(seen)
    }

    /// The blocks as planning sees them. What was decided by rules that do not hold any more counts as undecided.
    pub(crate) fn pieces(&self, reapplied: u64) -> Vec<Piece> {
        let pieces = self.blocks.values().map(|(section, block)| {
            Piece::of(*section, block, decided(block.kept, reapplied).map(|kept| kept.until))
        });
        pieces.collect()
    }
}
