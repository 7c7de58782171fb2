//! The next root while it is made: what is changed is loaded, what is replaced retired.
//!
//! Pages are immutable. A changed page is written under a new id, and the old one goes
//! to the root's list of what it gave up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;
use ulid::Ulid;

use crate::block_entry::BlockEntry;
use crate::block_page::{BlockPage, MAX_PAGE_BLOCKS, Section};
use crate::bucket::{Bucket, PARALLEL_GETS, StoreError};
use crate::load::Loaded;
use crate::mark::{self, MAX_PAGE_MARKS, Mark, MarkKind, MarkTarget};
use crate::message::Damage;
use crate::planted::{Bug, planted};
use crate::root::{Retired, Root, TenantRef, WriterState};
use crate::tenant_page::{GroupRef, PageRef, TenantPage};
use crate::time::{Clock, Ids, StoreTime, drawn_at};

/// Why a draft cannot be made or written.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("`{key}` is damaged: {damage}. `siltstone check` says what belongs to it")]
    Damaged { key: ObjectKey, damage: Damage },
    /// A newer root gave it up meanwhile: the draft is out of date.
    #[error("`{key}` is gone")]
    Gone { key: ObjectKey },
}

/// The next root, and the pages that it changes.
pub struct Draft<'a> {
    bucket: &'a Bucket,
    clock: &'a dyn Clock,
    ids: &'a Ids,
    base: &'a Loaded,
    next: Root,
    retired: Retired,
    tenants: BTreeMap<Tenant, TenantDraft>,
    changed: bool,
    /// Pages to be written before the root that refers to them.
    writes: Vec<(ObjectKey, Bytes)>,
}

struct TenantDraft {
    page: TenantPage,
    cut: Option<Day>,
    changed: bool,
    /// What is gone counts as damaged.
    lacks_pages: bool,
    loaded: BTreeMap<ObjectId, LoadedPage>,
    /// Pages that do not stand in the store yet.
    fresh: Vec<BlockPage>,
}

struct LoadedPage {
    page: BlockPage,
    changed: bool,
}

impl<'a> Draft<'a> {
    /// The successor of what was loaded, with the log folded into it.
    pub(crate) async fn begin(
        bucket: &'a Bucket,
        clock: &'a dyn Clock,
        ids: &'a Ids,
        base: &'a Loaded,
        nonce: Ulid,
    ) -> Result<Draft<'a>, DraftError> {
        let mut draft = Draft {
            bucket,
            clock,
            ids,
            base,
            next: base.root.successor(base.root_at, nonce),
            retired: Retired::default(),
            tenants: BTreeMap::new(),
            changed: false,
            writes: Vec::new(),
        };
        draft.fold().await?;
        draft.forget_writers();
        Ok(draft)
    }

    /// Moves the accepted entries' blocks into the inboxes of their tenants.
    async fn fold(&mut self) -> Result<(), DraftError> {
        let accepted = &self.base.accepted;
        self.changed = accepted.writers != self.base.root.writers;
        self.next.writers.clone_from(&accepted.writers);
        if planted(Bug::NoHighWater) {
            let listed = &self.base.listed.entries;
            self.next.writers.retain(|writer, _| listed.keys().any(|(named, _)| named == writer));
        }
        self.load_inboxes_to_fold().await?;
        for entry in &accepted.foldable {
            for block in &entry.blocks {
                let cut = self.base.root.tenants.get(block.tenant()).and_then(|tenant| tenant.cut);
                if cut.is_some_and(|cut| block.last_day() < cut) && !planted(Bug::NoCut) {
                    self.retired.blocks.push(block.id());
                } else {
                    self.add(Section::Inbox, block.clone()).await?;
                }
            }
        }
        for entry in &accepted.refused {
            // What was named below the swept floor may be in the catalog since a rebuild.
            let swept = self.base.root.swept;
            let refused = entry.blocks.iter().map(BlockEntry::id);
            self.retired.blocks.extend(refused.filter(|block| drawn_at(block.0) >= swept));
        }
        Ok(())
    }

    /// Reads what the fold will change, of all tenants side by side.
    async fn load_inboxes_to_fold(&mut self) -> Result<(), DraftError> {
        let blocks = self.base.accepted.foldable.iter().flat_map(|entry| &entry.blocks);
        let tenants: BTreeSet<Tenant> = blocks.map(|block| block.tenant().clone()).collect();
        let (bucket, root, lacks_pages) = (self.bucket, &self.next, self.base.lacks_pages);
        let drafts: Vec<(Tenant, TenantDraft, Vec<ObjectId>)> = stream::iter(tenants)
            .map(async |tenant| {
                let (mut draft, given_up) = TenantDraft::load(bucket, root, &tenant, lacks_pages).await?;
                if let Some(last) = draft.last_page(Section::Inbox) {
                    match draft.load_page(bucket, last, Section::Inbox).await {
                        // Adding to it will say so again.
                        Ok(()) | Err(DraftError::Damaged { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok((tenant, draft, given_up))
            })
            .buffer_unordered(PARALLEL_GETS)
            .try_collect()
            .await?;
        for (tenant, draft, given_up) in drafts {
            self.retired.pages.extend(given_up);
            self.tenants.insert(tenant, draft);
        }
        Ok(())
    }

    /// Drops writers that have been silent for long. Their entries are void from then on,
    /// by the age of their ids.
    fn forget_writers(&mut self) {
        let (listed, long_ago) = (&self.base.listed, self.next.forgotten);
        let before = self.next.writers.len();
        self.next.writers.retain(|writer, state| {
            state.last_entry >= long_ago
                || drawn_at(writer.0) >= long_ago
                || listed.entries.keys().any(|(named, _)| named == writer)
        });
        self.changed |= self.next.writers.len() != before;
    }

    /// The root that this draft replaces.
    pub fn base(&self) -> &Root {
        &self.base.root
    }

    /// When that root landed.
    pub fn base_at(&self) -> StoreTime {
        self.base.root_at
    }

    /// Whether anything differs from the root before.
    pub(crate) fn is_changed(&self) -> bool {
        self.changed || !self.retired.is_empty() || self.tenants.values().any(TenantDraft::is_changed)
    }

    pub(crate) fn root_mut(&mut self) -> &mut Root {
        self.changed = true;
        &mut self.next
    }

    /// What is known of a writer once the log is folded.
    pub(crate) fn writer_mut(&mut self, writer: siltstone_format::id::WriterId) -> &mut WriterState {
        self.changed = true;
        self.next.writers.entry(writer).or_insert_with(WriterState::unknown)
    }

    pub(crate) fn base_loaded(&self) -> &Loaded {
        self.base
    }

    async fn tenant(&mut self, tenant: &Tenant) -> Result<&mut TenantDraft, DraftError> {
        if !self.tenants.contains_key(tenant) {
            let lacks_pages = self.base.lacks_pages;
            let (draft, given_up) = TenantDraft::load(self.bucket, &self.next, tenant, lacks_pages).await?;
            self.retired.pages.extend(given_up);
            self.tenants.insert(tenant.clone(), draft);
        }
        // Inserted above if it was not there.
        self.tenants.get_mut(tenant).ok_or(DraftError::Gone { key: ObjectKey::Root { number: 0 } })
    }

    /// Blocks of a section.
    pub async fn blocks(&mut self, tenant: &Tenant, section: Section) -> Result<Vec<BlockEntry>, DraftError> {
        let bucket = self.bucket;
        let draft = self.tenant(tenant).await?;
        draft.load_section(bucket, section).await?;
        Ok(draft.section_pages(section).flat_map(|page| page.blocks.iter().cloned()).collect())
    }

    /// Adds a block to a section, on its last page if there is room.
    pub async fn add(&mut self, section: Section, mut block: BlockEntry) -> Result<(), DraftError> {
        let bucket = self.bucket;
        // Whatever it says: no group can have it yet.
        block.grouped = false;
        let tenant = block.tenant().clone();
        let draft = self.tenant(&tenant).await?;
        let fresh = draft.fresh.iter_mut().rev().find(|page| page.section == section);
        if let Some(page) = fresh.filter(|page| page.blocks.len() < MAX_PAGE_BLOCKS) {
            page.blocks.push(block);
            return Ok(());
        }
        if let Some(id) = draft.last_page(section) {
            match draft.load_page(bucket, id, section).await {
                Ok(()) => {}
                // The flush goes to a page of its own: a damaged one must not stop the rest.
                Err(DraftError::Damaged { .. }) => return draft.add_fresh(section, block),
                Err(error) => return Err(error),
            }
            if let Some(loaded) =
                draft.loaded.get_mut(&id).filter(|one| one.page.blocks.len() < MAX_PAGE_BLOCKS)
            {
                loaded.page.blocks.push(block);
                loaded.changed = true;
                return Ok(());
            }
        }
        draft.add_fresh(section, block)
    }

    /// Takes blocks out of a section and gives them up. False, and nothing is changed, if
    /// one of them is not there.
    pub async fn retire_blocks(
        &mut self,
        tenant: &Tenant,
        section: Section,
        blocks: &[BlockId],
    ) -> Result<bool, DraftError> {
        let bucket = self.bucket;
        let draft = self.tenant(tenant).await?;
        draft.load_section(bucket, section).await?;
        let wanted: BTreeSet<BlockId> = blocks.iter().copied().collect();
        let goes = |block: &BlockEntry| wanted.contains(&block.id());
        let of_section = draft.section_pages(section).flat_map(|page| &page.blocks);
        let there: BTreeSet<BlockId> = of_section.filter(|block| goes(block)).map(BlockEntry::id).collect();
        if there != wanted {
            return Ok(false);
        }
        for loaded in draft.loaded.values_mut().filter(|loaded| loaded.page.section == section) {
            let before = loaded.page.blocks.len();
            loaded.page.blocks.retain(|block| !goes(block));
            loaded.changed |= loaded.page.blocks.len() != before;
        }
        for page in draft.fresh.iter_mut().filter(|page| page.section == section) {
            page.blocks.retain(|block| !goes(block));
        }
        self.retired.blocks.extend_from_slice(blocks);
        Ok(true)
    }

    /// Replaces a tenant's filter groups.
    pub async fn set_groups(&mut self, tenant: &Tenant, groups: Vec<GroupRef>) -> Result<(), DraftError> {
        let draft = self.tenant(tenant).await?;
        let stays = |gone: &GroupRef| groups.iter().any(|group| group.id == gone.id);
        let before = std::mem::take(&mut draft.page.groups);
        let gone: Vec<&GroupRef> = before.iter().filter(|group| !stays(group)).collect();
        draft.changed = true;
        self.retired.groups.extend(gone.iter().map(|group| group.id));
        self.retired.pages.extend(gone.iter().map(|group| group.index));
        self.tenant(tenant).await?.page.groups = groups;
        Ok(())
    }

    /// Notes that blocks of a section are in filter groups; those that were retired
    /// meanwhile do not matter. False, and nothing is changed, if one was in groups before.
    pub(crate) async fn note_grouped(
        &mut self,
        tenant: &Tenant,
        section: Section,
        blocks: &BTreeSet<BlockId>,
    ) -> Result<bool, DraftError> {
        let bucket = self.bucket;
        let draft = self.tenant(tenant).await?;
        draft.load_section(bucket, section).await?;
        let is_meant = |block: &&mut BlockEntry| blocks.contains(&block.id());
        let was_grouped = |block: &BlockEntry| block.grouped && blocks.contains(&block.id());
        if draft.section_pages(section).any(|page| page.blocks.iter().any(was_grouped)) {
            return Ok(false);
        }
        for loaded in draft.loaded.values_mut().filter(|loaded| loaded.page.section == section) {
            for block in loaded.page.blocks.iter_mut().filter(is_meant) {
                block.grouped = true;
                loaded.changed = true;
            }
        }
        let fresh = draft.fresh.iter_mut().filter(|page| page.section == section);
        for block in fresh.flat_map(|page| &mut page.blocks).filter(is_meant) {
            block.grouped = true;
        }
        Ok(true)
    }

    /// The tenant's page as it is in this draft, its pages of blocks as they were.
    pub async fn tenant_page(&mut self, tenant: &Tenant) -> Result<&TenantPage, DraftError> {
        Ok(&self.tenant(tenant).await?.page)
    }

    /// The first day of the tenant that is kept.
    pub(crate) async fn cut_of(&mut self, tenant: &Tenant) -> Result<Option<Day>, DraftError> {
        Ok(self.tenant(tenant).await?.cut)
    }

    /// Gives up a block that stands in no section.
    pub(crate) fn give_up(&mut self, block: BlockId) {
        self.retired.blocks.push(block);
    }

    /// Adds a mark and says its number.
    pub async fn mark(
        &mut self,
        tenant: &Tenant,
        kind: MarkKind,
        target: MarkTarget,
    ) -> Result<u64, DraftError> {
        let number = self.next.mark_number + 1;
        let draft = self.tenant(tenant).await?;
        draft.page.marks.push(Mark::new(number, kind, target));
        draft.changed = true;
        self.root_mut().mark_number = number;
        Ok(number)
    }

    /// Drops marks from the tenant's page.
    pub(crate) async fn retain_marks(
        &mut self,
        tenant: &Tenant,
        keep: impl Fn(&Mark) -> bool,
    ) -> Result<(), DraftError> {
        let draft = self.tenant(tenant).await?;
        let before = draft.page.marks.len();
        draft.page.marks.retain(keep);
        draft.changed |= draft.page.marks.len() != before;
        Ok(())
    }

    /// Gives up the days before this one: blocks that end before it go.
    pub async fn cut(&mut self, tenant: &Tenant, cut: Day) -> Result<(), DraftError> {
        let sections: Vec<Section> = {
            let draft = self.tenant(tenant).await?;
            draft.cut = draft.cut.max(Some(cut));
            draft.changed = true;
            let all = draft.page.pages.iter().map(|page| page.section);
            let mut all: Vec<Section> = all.chain(draft.fresh.iter().map(|page| page.section)).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        for section in sections {
            if matches!(section, Section::Day(day) if day >= cut) {
                continue;
            }
            let all = self.blocks(tenant, section).await?;
            let ended = all.iter().filter(|block| match section {
                Section::Day(_) => true,
                Section::Inbox => block.last_day() < cut,
            });
            let ended: Vec<BlockId> = ended.map(BlockEntry::id).collect();
            self.retire_blocks(tenant, section, &ended).await?;
        }
        Ok(())
    }

    /// Drops what was swept from the list of what was given up.
    pub(crate) fn forget_retired(&mut self, swept: &[Retired]) {
        let before = self.next.retired.len();
        self.next.retired.retain(|retired| !swept.contains(retired));
        self.changed |= self.next.retired.len() != before;
    }

    /// Writes the changed pages, and gives the root that refers to them.
    pub(crate) async fn write(mut self) -> Result<Root, DraftError> {
        for (tenant, draft) in std::mem::take(&mut self.tenants) {
            if draft.is_changed() {
                self.write_tenant(tenant, draft);
            }
        }
        let bucket = self.bucket;
        stream::iter(std::mem::take(&mut self.writes))
            .map(async |(key, content)| bucket.put(&key, content).await)
            .buffer_unordered(PARALLEL_GETS)
            .try_collect::<()>()
            .await?;
        if !self.retired.is_empty() {
            self.next.retired.push(std::mem::take(&mut self.retired));
        }
        Ok(self.next)
    }

    fn write_tenant(&mut self, tenant: Tenant, mut draft: TenantDraft) {
        let mut pages = Vec::with_capacity(draft.page.pages.len() + draft.fresh.len());
        for known in std::mem::take(&mut draft.page.pages) {
            match draft.loaded.remove(&known.id) {
                Some(loaded) if loaded.changed => {
                    self.retired.pages.push(known.id);
                    pages.extend(self.write_page(&loaded.page));
                }
                _ => pages.push(known),
            }
        }
        for page in &draft.fresh {
            pages.extend(self.write_page(page));
        }
        draft.page.pages = pages;
        self.spill_marks(&mut draft.page);

        let before = self.next.tenants.remove(&tenant);
        // A damaged page stays: it may be all that is left of what it says.
        let replaced = before.as_ref().map(|before| before.page);
        self.retired.pages.extend(replaced.filter(|page| !draft.page.damaged.contains(page)));
        let id = self.write_object(draft.page.encode());
        let mut entry = TenantRef::new(id, before.as_ref());
        entry.cut = draft.cut;
        draft.page.pages.iter().for_each(|page| entry.count(page));
        self.next.tenants.insert(tenant, entry);
    }

    /// Writes a page unless it is empty.
    fn write_page(&mut self, page: &BlockPage) -> Option<PageRef> {
        (!page.blocks.is_empty()).then(|| PageRef::of(self.write_object(page.encode()), page))
    }

    /// Everything is written at once, before the root.
    fn write_object(&mut self, content: Bytes) -> ObjectId {
        let id = ObjectId(self.ids.next(self.clock));
        self.writes.push((ObjectKey::Page(id), content));
        id
    }

    /// Moves the oldest marks to a page of their own when there are many.
    fn spill_marks(&mut self, page: &mut TenantPage) {
        while page.marks.len() > MAX_PAGE_MARKS {
            let oldest: Vec<Mark> = page.marks.drain(..MAX_PAGE_MARKS).collect();
            page.mark_pages.push(self.write_object(mark::encode_page(&oldest)));
        }
    }
}

impl TenantDraft {
    fn is_changed(&self) -> bool {
        self.changed || !self.fresh.is_empty() || self.loaded.values().any(|loaded| loaded.changed)
    }

    /// The tenant as a root has it, and pages that are not needed any more.
    async fn load(
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
    fn last_page(&self, section: Section) -> Option<ObjectId> {
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

    fn add_fresh(&mut self, section: Section, block: BlockEntry) -> Result<(), DraftError> {
        let mut page = BlockPage::new(self.page.tenant.clone(), section);
        page.blocks.push(block);
        self.fresh.push(page);
        Ok(())
    }

    async fn load_page(&mut self, bucket: &Bucket, id: ObjectId, section: Section) -> Result<(), DraftError> {
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

    fn section_pages(&self, section: Section) -> impl Iterator<Item = &BlockPage> {
        let loaded = self.loaded.values().map(|loaded| &loaded.page);
        loaded.chain(&self.fresh).filter(move |page| page.section == section)
    }
}

pub(crate) async fn read_tenant_page(
    bucket: &Bucket,
    id: ObjectId,
    tenant: &Tenant,
) -> Result<TenantPage, DraftError> {
    let key = ObjectKey::Page(id);
    let object = bucket.get(&key).await?.ok_or(DraftError::Gone { key: key.clone() })?;
    TenantPage::decode(&object, tenant).map_err(|damage| DraftError::Damaged { key, damage })
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

pub(crate) async fn read_block_page(
    bucket: &Bucket,
    id: ObjectId,
    tenant: &Tenant,
    section: Section,
) -> Result<BlockPage, DraftError> {
    let key = ObjectKey::Page(id);
    let object = bucket.get(&key).await?.ok_or(DraftError::Gone { key: key.clone() })?;
    BlockPage::decode(&object, tenant, section).map_err(|damage| DraftError::Damaged { key, damage })
}

/// Marks of a page of older ones.
pub(crate) async fn read_mark_page(bucket: &Bucket, id: ObjectId) -> Result<Arc<Vec<Mark>>, DraftError> {
    let key = ObjectKey::Page(id);
    let object = bucket.get(&key).await?.ok_or(DraftError::Gone { key: key.clone() })?;
    mark::decode_page(&object).map(Arc::new).map_err(|damage| DraftError::Damaged { key, damage })
}
