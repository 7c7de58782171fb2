//! The next root while it is made: what is changed is loaded, what is replaced retired.
//!
//! Pages are immutable. A changed page is written under a new id, and the old one goes
//! to the root's list of what it gave up.

// Pages as they stand in the store.
mod pages;
// One tenant: its page, and those of its pages of blocks that are needed.
mod tenant;

pub(crate) use pages::{read_block_page, read_mark_page, read_tenant_page, read_trace_page};

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId, TraceId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;
use ulid::Ulid;

use tenant::TenantDraft;

use crate::block_entry::BlockEntry;
use crate::block_page::{BlockPage, Section};
use crate::bucket::{Bucket, PARALLEL_GETS, StoreError};
use crate::deleted::NewDeletion;
use crate::kept::Policy;
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
        self.tenant(tenant).await?.blocks(bucket, section).await
    }

    /// Adds a block to a section.
    pub async fn add(&mut self, section: Section, mut block: BlockEntry) -> Result<(), DraftError> {
        // Whatever it says: no group can have it yet.
        block.grouped = false;
        let (bucket, tenant) = (self.bucket, block.tenant().clone());
        self.tenant(&tenant).await?.add(bucket, section, block).await
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
        let are_out = self.tenant(tenant).await?.remove(bucket, section, blocks).await?;
        if are_out {
            self.retired.blocks.extend_from_slice(blocks);
        }
        Ok(are_out)
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
        self.tenant(tenant).await?.note_grouped(bucket, section, blocks).await
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
        let (number, at) = (self.next.mark_number + 1, self.base.root_at);
        let draft = self.tenant(tenant).await?;
        draft.page.marks.push(Mark::new(number, kind, target).asked(at, None));
        draft.changed = true;
        self.root_mut().mark_number = number;
        Ok(number)
    }

    /// Deletes traces, which ascend, and says the number of the deletion.
    pub(crate) async fn delete(
        &mut self,
        tenant: &Tenant,
        record: ObjectId,
        at: StoreTime,
        traces: &[TraceId],
    ) -> Result<u64, DraftError> {
        let (ids, clock, number) = (self.ids, self.clock, self.next.mark_number + 1);
        let draft = self.tenant(tenant).await?;
        let pages =
            NewDeletion { number, at, record, traces }.add_to(&mut draft.page, || ObjectId(ids.next(clock)));
        draft.changed = true;
        self.writes.extend(pages.into_iter().map(|(id, page)| (ObjectKey::Page(id), page)));
        self.root_mut().mark_number = number;
        Ok(number)
    }

    pub(crate) async fn set_retention(&mut self, tenant: &Tenant, policy: Policy) -> Result<(), DraftError> {
        let draft = self.tenant(tenant).await?;
        draft.page.retention = Some(policy);
        draft.changed = true;
        Ok(())
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
        let draft = self.tenant(tenant).await?;
        draft.cut = draft.cut.max(Some(cut));
        draft.changed = true;
        for section in draft.sections() {
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
        let newest_mark = draft.page.newest_mark();
        self.spill_marks(&mut draft.page);

        let before = self.next.tenants.remove(&tenant);
        // A damaged page stays: it may be all that is left of what it says.
        let replaced = before.as_ref().map(|before| before.page);
        self.retired.pages.extend(replaced.filter(|page| !draft.page.damaged.contains(page)));
        let id = self.write_object(draft.page.encode());
        let mut entry = TenantRef::new(id, before.as_ref());
        entry.cut = draft.cut;
        entry.newest_mark = entry.newest_mark.max(newest_mark);
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
