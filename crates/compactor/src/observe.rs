//! What there is to merge: the blocks of each tenant by where they stand.
//!
//! The inbox and each day are looked at one after the other, so that a plan over months holds one day at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::{BlockPage, Section};
use siltstone_catalog::snapshot::{Snapshot, SnapshotError};
use siltstone_catalog::tenant_page::PageRef;
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::tenant::Tenant;

use crate::plan::{Job, Piece};
use crate::retain::decided;

/// The inbox of a tenant, or one of its days: what of it is read, and what for.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) section: Section,
    pages: Vec<PageRef>,
}

/// The blocks that stand there.
#[derive(Debug)]
pub(crate) struct Seen {
    section: Section,
    pages: Vec<Arc<BlockPage>>,
}

/// Days in which nothing was worth merging: as long as their pages are the same, they are not read again. So a
/// compactor looks at what is new, and not at months again and again.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pages: BTreeMap<(Tenant, Section), BTreeSet<ObjectId>>,
}

impl Settled {
    /// What of a tenant may be worth merging: the inbox, then days, the newest first.
    pub(crate) async fn unsettled(
        &mut self,
        catalog: &Catalog,
        snapshot: &Snapshot,
        tenant: &Tenant,
    ) -> Result<Vec<Standing>, SnapshotError> {
        let mut sections: BTreeMap<Section, Vec<PageRef>> = BTreeMap::new();
        for page in catalog.pages(snapshot, tenant).await? {
            sections.entry(page.section).or_default().push(page);
        }
        // Days that are there no more are forgotten.
        self.pages.retain(|(known, section), _| known != tenant || sections.contains_key(section));
        let inbox = sections.remove_entry(&Section::Inbox);
        let all = inbox.into_iter().chain(sections.into_iter().rev());
        let all = all.map(|(section, pages)| Standing { section, pages });
        let is_settled = |standing: &Standing| {
            self.pages.get(&(tenant.clone(), standing.section)).is_some_and(|known| *known == standing.ids())
        };
        Ok(all.filter(|standing| !is_settled(standing)).collect())
    }

    /// Notes a day that is over, of which no job would take a block even now.
    pub(crate) fn note(&mut self, tenant: &Tenant, day: &Standing) {
        self.pages.insert((tenant.clone(), day.section), day.ids());
    }
}

impl Standing {
    fn ids(&self) -> BTreeSet<ObjectId> {
        self.pages.iter().map(|page| page.id).collect()
    }

    pub(crate) async fn read(&self, catalog: &Catalog, tenant: &Tenant) -> Result<Seen, SnapshotError> {
        let mut seen = Seen { section: self.section, pages: Vec::with_capacity(self.pages.len()) };
        for page in &self.pages {
            seen.pages.push(catalog.blocks_of(tenant, page).await?);
        }
        Ok(seen)
    }
}

impl Seen {
    fn blocks(&self) -> impl Iterator<Item = &BlockEntry> {
        self.pages.iter().flat_map(|page| &page.blocks)
    }

    /// The blocks as planning sees them. What was decided by rules that do not hold any more counts as undecided.
    pub(crate) fn pieces(&self, reapplied: u64) -> Vec<Piece> {
        let pieces = self.blocks().map(|block| {
            Piece::of(self.section, block, decided(block.kept, reapplied).map(|kept| kept.until))
        });
        pieces.collect()
    }

    /// The inputs of each job, with all that the catalog says of them.
    pub(crate) fn inputs(&self, jobs: &[Job]) -> Vec<Vec<(Section, BlockEntry)>> {
        if jobs.is_empty() {
            return Vec::new();
        }
        let known: HashMap<BlockId, &BlockEntry> = self.blocks().map(|block| (block.id(), block)).collect();
        let of_job = |job: &Job| {
            let blocks = job.inputs.iter().filter_map(|piece| known.get(&piece.id));
            blocks.map(|block| (self.section, (*block).clone())).collect()
        };
        jobs.iter().map(of_job).collect()
    }
}
