//! One tenant in a draft: its page, and those of its pages of blocks that are needed.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::tenant::Tenant;

use super::DraftError;
use super::pages::{read_block_page, read_tenant_page};
use crate::block_entry::BlockEntry;
use crate::block_page::{BlockPage, MAX_PAGE_BLOCKS, Section};
use crate::bucket::{Bucket, PARALLEL_GETS};
use crate::message::Damage;
use crate::root::Root;
use crate::tenant_page::TenantPage;

/// What a draft knows of a tenant.
pub(super) struct TenantDraft {
    pub(super) page: TenantPage,
    pub(super) cut: Option<Day>,
    pub(super) changed: bool,
    /// What is gone counts as damaged.
    lacks_pages: bool,
    pub(super) loaded: BTreeMap<ObjectId, LoadedPage>,
    /// Pages that do not stand in the store yet.
    pub(super) fresh: Vec<BlockPage>,
}

pub(super) struct LoadedPage {
    pub(super) page: BlockPage,
    pub(super) changed: bool,
}

impl TenantDraft {
    pub(super) fn is_changed(&self) -> bool {
        self.changed || !self.fresh.is_empty() || self.loaded.values().any(|loaded| loaded.changed)
    }

    /// The tenant as a root has it, and pages that are not needed any more.
    pub(super) async fn load(
        bucket: &Bucket,
        root: &Root,
        tenant: &Tenant,
        lacks_pages: bool,
    ) -> Result<(Self, Vec<ObjectId>), DraftError> {
        let known = root.tenants.get(tenant);
        let page = match known {
            Some(known) => tenant_page_or_stand_in(bucket, known.page, tenant, lacks_pages).await?,
            None => TenantPage::new(tenant.clone()),
        };
        let cut = known.and_then(|known| known.cut);
        let (loaded, fresh) = (BTreeMap::new(), Vec::new());
        let mut draft = Self { page, cut, changed: false, lacks_pages, loaded, fresh };
        let given_up = draft.take_back(bucket).await?;
        Ok((draft, given_up))
    }

    /// The last page of a section, if it has room.
    pub(super) fn last_page(&self, section: Section) -> Option<ObjectId> {
        let last = self.page.pages.iter().rev().find(|page| page.section == section);
        last.filter(|page| (page.blocks as usize) < MAX_PAGE_BLOCKS).map(|page| page.id)
    }

    /// Takes back what pages say that could not be read and can be now: a bad answer of
    /// the store, or an object that was restored. The pages that are not needed any more.
    async fn take_back(&mut self, bucket: &Bucket) -> Result<Vec<ObjectId>, DraftError> {
        let mut readable = Vec::new();
        for id in self.page.damaged.clone() {
            let earlier = match read_tenant_page(bucket, id, &self.page.tenant).await {
                Ok(earlier) => earlier,
                Err(DraftError::Damaged { .. } | DraftError::Gone { .. }) => continue,
                Err(error) => return Err(error),
            };
            self.page.take_back(id, earlier);
            self.changed = true;
            readable.push(id);
        }
        Ok(readable)
    }

    /// Adds a block to a section, on its last page if there is room.
    pub(super) async fn add(
        &mut self,
        bucket: &Bucket,
        section: Section,
        block: BlockEntry,
    ) -> Result<(), DraftError> {
        let has_room = |page: &BlockPage| page.blocks.len() < MAX_PAGE_BLOCKS;
        let fresh = self.fresh.iter_mut().rev().find(|page| page.section == section);
        if let Some(page) = fresh.filter(|page| has_room(page)) {
            page.blocks.push(block);
            return Ok(());
        }
        if let Some(id) = self.last_page(section) {
            match self.load_page(bucket, id, section).await {
                // The flush goes to a page of its own: a damaged one must not stop the rest.
                Ok(()) | Err(DraftError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
            if let Some(loaded) = self.loaded.get_mut(&id).filter(|loaded| has_room(&loaded.page)) {
                loaded.page.blocks.push(block);
                loaded.changed = true;
                return Ok(());
            }
        }
        let mut page = BlockPage::new(self.page.tenant.clone(), section);
        page.blocks.push(block);
        self.fresh.push(page);
        Ok(())
    }

    pub(super) async fn blocks(
        &mut self,
        bucket: &Bucket,
        section: Section,
    ) -> Result<Vec<BlockEntry>, DraftError> {
        self.load_section(bucket, section).await?;
        Ok(self.section_blocks(section).cloned().collect())
    }

    /// Takes blocks out of a section. False, and nothing is changed, if one of them is not there.
    pub(super) async fn remove(
        &mut self,
        bucket: &Bucket,
        section: Section,
        blocks: &[BlockId],
    ) -> Result<bool, DraftError> {
        self.load_section(bucket, section).await?;
        let wanted: BTreeSet<BlockId> = blocks.iter().copied().collect();
        let goes = |block: &BlockEntry| wanted.contains(&block.id());
        let there = self.section_blocks(section).filter(|block| goes(block)).map(BlockEntry::id);
        if there.collect::<BTreeSet<_>>() != wanted {
            return Ok(false);
        }
        for loaded in self.loaded.values_mut().filter(|loaded| loaded.page.section == section) {
            let before = loaded.page.blocks.len();
            loaded.page.blocks.retain(|block| !goes(block));
            loaded.changed |= loaded.page.blocks.len() != before;
        }
        for page in self.fresh.iter_mut().filter(|page| page.section == section) {
            page.blocks.retain(|block| !goes(block));
        }
        Ok(true)
    }

    /// Notes that those of these blocks that a section has are in filter groups. False, and nothing is
    /// changed, if one was in groups before.
    pub(super) async fn note_grouped(
        &mut self,
        bucket: &Bucket,
        section: Section,
        blocks: &BTreeSet<BlockId>,
    ) -> Result<bool, DraftError> {
        self.load_section(bucket, section).await?;
        let is_meant = |block: &&mut BlockEntry| blocks.contains(&block.id());
        if self.section_blocks(section).any(|block| block.grouped && blocks.contains(&block.id())) {
            return Ok(false);
        }
        for loaded in self.loaded.values_mut().filter(|loaded| loaded.page.section == section) {
            for block in loaded.page.blocks.iter_mut().filter(is_meant) {
                block.grouped = true;
                loaded.changed = true;
            }
        }
        let fresh = self.fresh.iter_mut().filter(|page| page.section == section);
        for block in fresh.flat_map(|page| &mut page.blocks).filter(is_meant) {
            block.grouped = true;
        }
        Ok(true)
    }

    /// Sections that may have blocks.
    pub(super) fn sections(&self) -> BTreeSet<Section> {
        let stored = self.page.pages.iter().map(|page| page.section);
        stored.chain(self.fresh.iter().map(|page| page.section)).collect()
    }

    pub(super) async fn load_page(
        &mut self,
        bucket: &Bucket,
        id: ObjectId,
        section: Section,
    ) -> Result<(), DraftError> {
        if !self.loaded.contains_key(&id) {
            let page = read_block_page(bucket, id, &self.page.tenant, section).await;
            let page = page.map_err(|error| counted_as(error, self.lacks_pages))?;
            self.loaded.insert(id, LoadedPage { page, changed: false });
        }
        Ok(())
    }

    async fn load_section(&mut self, bucket: &Bucket, section: Section) -> Result<(), DraftError> {
        let (tenant, lacks_pages) = (&self.page.tenant, self.lacks_pages);
        let of_section = self.page.pages.iter().filter(|page| page.section == section);
        let missing: Vec<ObjectId> =
            of_section.map(|page| page.id).filter(|id| !self.loaded.contains_key(id)).collect();
        let pages: Vec<(ObjectId, BlockPage)> = stream::iter(missing)
            .map(async |id| {
                let page = read_block_page(bucket, id, tenant, section).await;
                Ok::<_, DraftError>((id, page.map_err(|error| counted_as(error, lacks_pages))?))
            })
            .buffered(PARALLEL_GETS)
            .try_collect()
            .await?;
        let loaded = pages.into_iter().map(|(id, page)| (id, LoadedPage { page, changed: false }));
        self.loaded.extend(loaded);
        Ok(())
    }

    fn section_blocks(&self, section: Section) -> impl Iterator<Item = &BlockEntry> {
        let loaded = self.loaded.values().map(|loaded| &loaded.page);
        loaded.chain(&self.fresh).filter(move |page| page.section == section).flat_map(|page| &page.blocks)
    }
}

/// A tenant's page; one that is damaged is stood in for by a new one that names it, so
/// that one tenant's damage stops nobody else, and its own new blocks are found.
async fn tenant_page_or_stand_in(
    bucket: &Bucket,
    id: ObjectId,
    tenant: &Tenant,
    lacks_pages: bool,
) -> Result<TenantPage, DraftError> {
    let read = read_tenant_page(bucket, id, tenant).await;
    match read.map_err(|error| counted_as(error, lacks_pages)) {
        // A later release wrote it, and it is well: whoever cannot read it must not replace it.
        Err(error @ DraftError::Damaged { damage: Damage::Version(_), .. }) => Err(error),
        Err(DraftError::Damaged { .. }) => Ok(TenantPage::in_place_of(tenant.clone(), id)),
        read => read,
    }
}

/// What is gone for good is a damage like another.
fn counted_as(error: DraftError, lacks_pages: bool) -> DraftError {
    match error {
        DraftError::Gone { key } if lacks_pages => DraftError::Damaged { key, damage: Damage::Gone },
        error => error,
    }
}
