//! Deleting what nobody needs. All rules are monotone: what may be deleted once may be
//! deleted for ever, so a sweeper that was paused for a day does no harm.
//!
//! | object | rule |
//! |---|---|
//! | retired block, page, group | retired for longer than the read grace |
//! | block, page, group that nobody refers to | named before a floor that is older than the read grace |
//! | log entry | folded, or of a fenced writer, in a root that every reader has seen |
//! | root | older than that root |

use std::collections::BTreeSet;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::path::ObjectKey;
use ulid::Ulid;

use crate::accept::{EntryName, is_fenced};
use crate::bucket::{Listing, PARALLEL_GETS, StoreError, failed};
use crate::catalog::Catalog;
use crate::draft::{Draft, DraftError, read_block_page, read_tenant_page};
use crate::load::{LoadError, Loaded};
use crate::message::Damage;
use crate::planted::{Bug, planted};
use crate::publish::{Change, ChangeError, PublishError};
use crate::root::{Retired, Root};
use crate::tenant_page::TenantPage;
use crate::time::{StoreTime, drawn_at};
use crate::windows::Windows;

/// What a sweep deleted, or would delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub retired: Vec<ObjectKey>,
    pub orphans: Vec<ObjectKey>,
    pub log_entries: Vec<ObjectKey>,
    pub roots: Vec<ObjectKey>,
    /// A part of the catalog that cannot be read: what it refers to is not known, so no
    /// orphan was told from it, of any tenant.
    pub unreadable: Option<ObjectKey>,
    /// What the store did not delete, and what it said. The next sweep tries again.
    pub failed: Vec<(ObjectKey, String)>,
}

/// Why a sweep stopped. What it deleted was right to delete; another sweep goes on.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("what the catalog refers to cannot be read, so no orphan can be told from it: {0}")]
    Draft(#[from] DraftError),
    #[error(
        "root {number} is damaged: nothing is swept until the catalog is whole again (`siltstone check`)"
    )]
    DamagedRoot { number: u64 },
    #[error("the root could not be told what was swept: {0}")]
    Publish(#[from] PublishError),
}

/// Whether to delete, or only to say what would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepMode {
    Delete,
    DryRun,
}

impl Swept {
    fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.retired.iter().chain(&self.orphans).chain(&self.log_entries).chain(&self.roots)
    }
}

impl Catalog {
    /// Deletes what may be deleted now, and publishes what the next sweep builds on.
    pub async fn sweep(&self, mode: SweepMode) -> Result<Swept, SweepError> {
        let loaded = self.load().await?;
        if let Some((number, _)) = loaded.damaged_root {
            return Err(SweepError::DamagedRoot { number });
        }
        let (root, now) = (&loaded.root, loaded.root_at);
        let gone: Vec<Retired> =
            root.retired.iter().filter(|retired| self.is_past_grace(retired, now)).cloned().collect();
        let mut sweepable = self.sweepable_floor(root, now);
        let mut swept =
            Swept { retired: gone.iter().flat_map(keys_of_retired).collect(), ..Swept::default() };
        match self.orphans(root, sweepable, now).await {
            Ok(orphans) => swept.orphans = orphans,
            Err(SweepError::Draft(DraftError::Damaged { key, .. } | DraftError::Gone { key })) => {
                swept.unreadable = Some(key);
                sweepable = StoreTime::default();
            }
            Err(error) => return Err(error),
        }
        self.old_log_and_roots(&loaded, &mut swept).await?;
        if mode == SweepMode::DryRun {
            return Ok(swept);
        }
        self.make_durable(root).await?;
        swept.failed = self.delete_all(&swept).await;
        let failed: BTreeSet<&ObjectKey> = swept.failed.iter().map(|(key, _)| key).collect();
        let is_gone = |retired: &Retired| !keys_of_retired(retired).iter().any(|key| failed.contains(key));
        let gone: Vec<Retired> = gone.into_iter().filter(is_gone).collect();
        if swept.orphans.iter().any(|key| failed.contains(key)) {
            // No sweep looks below the floor that was swept.
            sweepable = StoreTime::default();
        }
        let needs_a_tick = self.needs_a_tick(&loaded, &gone, &swept) && !planted(Bug::NoTick);
        let tick = needs_a_tick.then_some(root.number);
        let done = AfterSweep { gone, swept: sweepable, seen_before: now, tick, windows: self.windows };
        self.publish(&done).await?;
        Ok(swept)
    }

    /// What could not be deleted: one object that the store holds on to stops no other.
    async fn delete_all(&self, swept: &Swept) -> Vec<(ObjectKey, String)> {
        let keys: Vec<&ObjectKey> = swept.keys().collect();
        let deletes = stream::iter(keys).map(async |key| (key, self.bucket.delete(key).await));
        let failed = deletes
            .buffer_unordered(PARALLEL_GETS)
            .filter_map(async |(key, deleted)| deleted.err().map(|error| (key.clone(), error.to_string())));
        failed.collect().await
    }

    /// A folder shows a root before a crash could not take it back, and its publisher may
    /// be gone: what older roots and the log say must not go before that is certain.
    /// Creating it again makes it so, and does nothing else. Elsewhere what is listed stays.
    async fn make_durable(&self, root: &Root) -> Result<(), StoreError> {
        if self.bucket.listing == Listing::LogThenRoots {
            self.bucket.create(&ObjectKey::Root { number: root.number }, root.encode()).await?;
        }
        Ok(())
    }

    /// Store time is the newest root's: where nobody publishes it stands still, and what
    /// waits for its grace would wait for ever. So a sweep that leaves something waiting
    /// moves it on, and without that once in the grace for orphans, of which nobody knows.
    /// This machine's clock says only whether it is worth a root.
    fn needs_a_tick(&self, loaded: &Loaded, gone: &[Retired], swept: &Swept) -> bool {
        let root = &loaded.root;
        let is_folded = |(writer, number): &&EntryName| {
            is_fenced(root, *writer) || root.writers.get(writer).is_some_and(|state| *number < state.next)
        };
        let folded = loaded.listed.entries.keys().filter(is_folded).count();
        let interval = if folded > swept.log_entries.len() {
            self.windows.log_grace
        } else if root.retired.len() > gone.len() {
            self.windows.read_grace / 4
        } else {
            self.windows.orphan_grace
        };
        StoreTime(self.clock.wall_millis()) >= loaded.root_at.plus(interval)
    }

    fn is_past_grace(&self, retired: &Retired, now: StoreTime) -> bool {
        let age_is_enough = retired.at.is_some_and(|at| at.plus(self.windows.read_grace) <= now);
        let named_long_ago = |id: Ulid| drawn_at(id).plus(self.windows.read_grace) <= now;
        age_is_enough
            || (planted(Bug::RetiredByAge) && retired.blocks.iter().all(|block| named_long_ago(block.0)))
    }

    /// Objects named before this time and not referred to belong to nobody.
    fn sweepable_floor(&self, root: &Root, now: StoreTime) -> StoreTime {
        if planted(Bug::OrphansAtOnce) {
            return root.floor;
        }
        if planted(Bug::NoFence) {
            return now.minus(self.windows.orphan_grace);
        }
        let old_enough =
            |at: &Option<StoreTime>| at.is_some_and(|at| at.plus(self.windows.read_grace) <= now);
        let floors = root.floors.iter().filter(|(_, at)| old_enough(at)).map(|(floor, _)| *floor);
        floors.max().unwrap_or_default()
    }

    /// Objects named between the last sweep's floor and this one's to which nothing refers.
    async fn orphans(
        &self,
        root: &Root,
        floor: StoreTime,
        now: StoreTime,
    ) -> Result<Vec<ObjectKey>, SweepError> {
        if floor <= root.swept {
            return Ok(Vec::new());
        }
        let referred = self.referred(root, root.swept).await?;
        let mut orphans = Vec::new();
        for prefix in ["blk", "man", "flt"] {
            let start = Path::from(format!("{prefix}/{}", Ulid::from_parts(root.swept.0, 0)));
            let end = format!("{prefix}/{}", Ulid::from_parts(floor.0, 0));
            let mut objects = self.bucket.objects().list_with_offset(Some(&Path::from(prefix)), &start);
            while let Some(meta) = objects.try_next().await.map_err(|error| failed("list", &prefix, error))? {
                if meta.location.as_ref() >= end.as_str() {
                    if self.bucket.listing == Listing::Together {
                        break;
                    }
                    continue;
                }
                let Ok(key) = meta.location.as_ref().parse::<ObjectKey>() else { continue };
                if !referred.contains(&key) && StoreTime::of(&meta) < now {
                    orphans.push(key);
                }
            }
        }
        Ok(orphans)
    }

    /// All that the root refers to, and what it gave up and still lists: of blocks, those
    /// that were named at this time or later, and others that happen to be known.
    pub(crate) async fn referred(
        &self,
        root: &Root,
        named_since: StoreTime,
    ) -> Result<BTreeSet<ObjectKey>, DraftError> {
        let mut referred: BTreeSet<ObjectKey> = root.retired.iter().flat_map(keys_of_retired).collect();
        referred.extend(root.unread.iter().flat_map(|block| keys_of_block(*block)));
        let mut tenants = stream::iter(&root.tenants)
            .map(|(tenant, known)| read_tenant_page(&self.bucket, known.page, tenant))
            .buffered(PARALLEL_GETS);
        while let Some(page) = tenants.next().await {
            self.add_referred(&page?, named_since, &mut referred).await?;
        }
        referred.extend(root.tenants.values().map(|known| ObjectKey::Page(known.page)));
        Ok(referred)
    }

    async fn add_referred(
        &self,
        page: &TenantPage,
        named_since: StoreTime,
        referred: &mut BTreeSet<ObjectKey>,
    ) -> Result<(), DraftError> {
        if let Some(id) = page.damaged.first() {
            let damage = Damage::Content("another page stands in for it");
            return Err(DraftError::Damaged { key: ObjectKey::Page(*id), damage });
        }
        referred.extend(page.groups.iter().map(|group| ObjectKey::FilterGroup(group.id)));
        referred.extend(page.groups.iter().map(|group| ObjectKey::Page(group.index)));
        referred.extend(page.mark_pages.iter().map(|id| ObjectKey::Page(*id)));
        referred.extend(page.trace_pages.iter().map(|page| ObjectKey::Page(page.id)));
        referred.extend(page.pages.iter().map(|blocks| ObjectKey::Page(blocks.id)));
        let mut read =
            stream::iter(page.pages.iter().filter(|blocks| blocks.may_be_named_since(named_since)))
                .map(|blocks| read_block_page(&self.bucket, blocks.id, &page.tenant, blocks.section))
                .buffered(PARALLEL_GETS);
        while let Some(blocks) = read.next().await {
            referred.extend(blocks?.blocks.iter().flat_map(|block| keys_of_block(block.id())));
        }
        Ok(())
    }

    /// Log entries and roots that no reader can need: where one listing brings both, those
    /// of a root that has been there for the grace period.
    async fn old_log_and_roots(&self, loaded: &Loaded, swept: &mut Swept) -> Result<(), SweepError> {
        let (listed, now) = (&loaded.listed, loaded.root_at);
        let seen_by_all = match self.bucket.listing {
            Listing::Together if !planted(Bug::NoLogGrace) => {
                let aged = listed.roots.iter().filter(|(_, at)| at.plus(self.windows.log_grace) <= now);
                let Some(number) = aged.map(|(number, _)| *number).max() else { return Ok(()) };
                let object = self.bucket.get(&ObjectKey::Root { number }).await?;
                match object.map(|object| Root::decode(&object, number)) {
                    Some(Ok(root)) => root,
                    // Gone or damaged: the next sweep finds another.
                    _ => return Ok(()),
                }
            }
            _ => (*loaded.root).clone(),
        };
        for (writer, number) in listed.entries.keys() {
            let folded = seen_by_all.writers.get(writer).is_some_and(|state| *number < state.next);
            if folded || is_fenced(&seen_by_all, *writer) {
                swept.log_entries.push(ObjectKey::LogEntry { writer: *writer, number: *number });
            }
        }
        let older = listed.roots.keys().filter(|number| **number < seen_by_all.number);
        swept.roots.extend(older.map(|number| ObjectKey::Root { number: *number }));
        Ok(())
    }
}

pub(crate) fn keys_of_block(block: BlockId) -> [ObjectKey; 2] {
    [ObjectKey::Spans(block), ObjectKey::Origins(block)]
}

pub(crate) fn keys_of_retired(retired: &Retired) -> Vec<ObjectKey> {
    let pages = retired.pages.iter().map(|id: &ObjectId| ObjectKey::Page(*id));
    let groups = retired.groups.iter().map(|id| ObjectKey::FilterGroup(*id));
    retired.blocks.iter().flat_map(|block| keys_of_block(*block)).chain(pages).chain(groups).collect()
}

/// How many floors a root remembers.
const REMEMBERED_FLOORS: usize = 8;

/// What a sweep leaves in the root: what it deleted is forgotten, and the floor rises.
struct AfterSweep {
    gone: Vec<Retired>,
    swept: StoreTime,
    /// When the root landed that was seen before this publish looks at the log.
    seen_before: StoreTime,
    /// A root over which one is published whether it says anything new or not.
    tick: Option<u64>,
    windows: Windows,
}

impl Change for AfterSweep {
    fn apply<'a>(&'a self, draft: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>> {
        async move {
            draft.forget_retired(&self.gone);
            if self.tick == Some(draft.base().number) {
                draft.root_mut();
            }
            if self.swept > draft.base().swept {
                let root = draft.root_mut();
                root.swept = self.swept;
                // Entries and merges that name older ones are refused by the floor.
                root.taken.retain(|block| drawn_at(block.0) >= self.swept);
            }
            let seen = if planted(Bug::FloorFromBase) { draft.base_at() } else { self.seen_before };
            let floor = seen.minus(self.windows.orphan_grace);
            // One floor after the other, so that those remembered span the grace they wait for.
            let due = draft.base_at().minus(self.windows.read_grace / 4);
            let is_due =
                draft.base().floors.last().is_none_or(|(_, at)| at.unwrap_or(draft.base_at()) <= due);
            // Entries that stay in the log may have blocks of any age.
            let leaves = draft.base_loaded().leaves_entries();
            if floor > draft.base().floor && is_due && !leaves {
                let root = draft.root_mut();
                // All that landed before that look is folded, so its writers are known; a
                // writer commits without a look of its own for half of this time.
                root.forgotten = root.forgotten.max(seen.minus(self.windows.forget_writer));
                root.floor = floor;
                root.floors.push((floor, None));
                let old = root.floors.len().saturating_sub(REMEMBERED_FLOORS);
                root.floors.drain(..old);
            }
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
