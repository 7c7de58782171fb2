//! Rules of retention are set, and what they do not keep is given up: on grounds that are looked at again in the
//! moment in which it goes.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

use crate::block_page::Section;
use crate::bucket::StoreError;
use crate::catalog::Catalog;
use crate::change::Merge;
use crate::draft::Draft;
use crate::kept::Policy;
use crate::mark::MarkKind;
use crate::message::Damage;
use crate::publish::{Change, ChangeError};
use crate::snapshot::{Snapshot, SnapshotError, TenantBlocks};
use crate::tenant_page::PageRef;
use crate::time::StoreTime;

/// Most blocks that one root gives up for their time.
pub const MAX_EXPIRED: usize = 4096;

/// Gives a tenant rules of its own, or takes them away.
#[derive(Clone, Debug)]
pub struct SetRetention {
    pub tenant: Tenant,
    /// As `crates/ask` writes them. None: those of the settings hold.
    pub rules: Option<String>,
    /// What was decided before is decided anew.
    pub reapply: bool,
    /// Now, for people.
    pub at_unix_millis: u64,
}

impl Change for SetRetention {
    fn apply<'a>(&'a self, draft: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>> {
        async move {
            // Numbers of roots ascend, over a rebuild too, and each root has one change of this kind at most.
            let number = draft.base().number.saturating_add(1);
            let before = draft.tenant_page(&self.tenant).await?.retention.clone();
            let is_same = before.as_ref().map(|policy| &policy.rules) == self.rules.as_ref();
            if is_same && !self.reapply {
                return Ok(());
            }
            let earlier = before.map_or(0, |policy| policy.reapplied);
            let reapplied = if self.reapply { number } else { earlier };
            let rules = self.rules.clone().unwrap_or_default();
            let policy = Policy::new(rules, number, self.at_unix_millis, reapplied);
            Ok(draft.set_retention(&self.tenant, policy).await?)
        }
        .boxed()
    }
}

/// On what grounds something is given up, or is said to be kept so long.
#[derive(Clone, Debug)]
pub struct Grounds {
    /// The rules with this number say so,
    pub policy: u64,
    /// and all archive marks up to this one were looked at.
    pub marks: u64,
    /// What was looked at, where nothing was decided before.
    pub known: Option<Known>,
}

impl Grounds {
    /// Whether they hold in the root that is about to be published.
    async fn check(&self, draft: &mut Draft<'_>, tenant: &Tenant) -> Result<(), ChangeError> {
        self.check_wishes(draft, tenant).await?;
        match &self.known {
            Some(known) => known.check(draft, tenant).await,
            None => Ok(()),
        }
    }

    /// Whether nobody has said meanwhile that more is kept. Marks stand in the tenant's page by number, so what is newer
    /// than the newest that was looked at is among its last ones.
    async fn check_wishes(&self, draft: &mut Draft<'_>, tenant: &Tenant) -> Result<(), ChangeError> {
        let page = draft.tenant_page(tenant).await?;
        if !page.damaged.is_empty() {
            return refused("a page of the tenant cannot be read, and may say that it is kept");
        }
        if page.retention.as_ref().map_or(0, |policy| policy.number) != self.policy {
            return refused("the rules of retention were changed");
        }
        let is_new = page.marks.iter().any(|mark| mark.kind == MarkKind::Archive && mark.number > self.marks);
        // So many marks came meanwhile that new ones may be on a page of their own.
        let may_be_spilled = page.marks.first().is_some_and(|first| first.number > self.marks);
        if is_new || (may_be_spilled && !page.mark_pages.is_empty()) {
            return refused("traces were archived");
        }
        Ok(())
    }
}

fn refused(why: &str) -> Result<(), ChangeError> {
    Err(ChangeError::Refused(format!("{why} while it was decided what goes: decide again")))
}

/// Gives up blocks: nothing in them is kept any longer.
#[derive(Clone, Debug)]
pub struct Expire {
    pub tenant: Tenant,
    /// Each section with its blocks, [`MAX_EXPIRED`] at most.
    pub blocks: Vec<(Section, Vec<BlockId>)>,
    pub grounds: Grounds,
}

impl Change for Expire {
    fn apply<'a>(&'a self, draft: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>> {
        async move {
            if self.blocks.iter().map(|(_, blocks)| blocks.len()).sum::<usize>() > MAX_EXPIRED {
                return Err(ChangeError::Refused(format!("more than {MAX_EXPIRED} blocks go at once")));
            }
            self.grounds.check(draft, &self.tenant).await?;
            for (section, blocks) in &self.blocks {
                if !draft.retire_blocks(&self.tenant, *section, blocks).await? {
                    return refused("a block was merged or deleted");
                }
            }
            Ok(())
        }
        .boxed()
    }
}

/// A merge that leaves out what is not kept any longer, or that says how long the rest is kept.
#[derive(Clone, Debug)]
pub struct Decide {
    pub merge: Merge,
    pub grounds: Grounds,
}

/// The days whose blocks tell how long traces are kept, and what was seen of them: the blocks, and the pages in which
/// they stand. Who decides adds the blocks that are written for it before they are published.
#[derive(Clone, Debug)]
pub struct Known {
    days: RangeInclusive<Day>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    blocks: BTreeSet<BlockId>,
    pages: BTreeSet<ObjectId>,
}

impl Known {
    pub fn nothing(days: RangeInclusive<Day>) -> Self {
        Self { days, seen: Arc::default() }
    }

    pub fn add_blocks(&self, blocks: impl IntoIterator<Item = BlockId>) {
        self.seen().blocks.extend(blocks);
    }

    pub fn add_pages(&self, pages: impl IntoIterator<Item = ObjectId>) {
        self.seen().pages.extend(pages);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no block is there that was decided about and not seen. Two that look at different moments may each
    /// decide about a block of one trace, and the one that keeps it shorter might never be looked at again.
    async fn check(&self, draft: &mut Draft<'_>, tenant: &Tenant) -> Result<(), ChangeError> {
        let pages = &draft.tenant_page(tenant).await?.pages;
        let is_new = |page: &&PageRef| {
            let is_near = matches!(page.section, Section::Day(day) if self.days.contains(&day));
            is_near && page.kept.decided > 0 && !self.seen().pages.contains(&page.id)
        };
        let sections: BTreeSet<Section> = pages.iter().filter(is_new).map(|page| page.section).collect();
        for section in sections {
            let there = draft.blocks(tenant, section).await?;
            let seen = self.seen();
            if there.iter().any(|block| block.kept.is_some() && !seen.blocks.contains(&block.id())) {
                return refused("blocks of its days came to be decided about that were not looked at");
            }
        }
        Ok(())
    }
}

impl Change for Decide {
    fn apply<'a>(&'a self, draft: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>> {
        async move {
            self.grounds.check(draft, &self.merge.tenant).await?;
            self.merge.apply(draft).await
        }
        .boxed()
    }
}

impl Catalog {
    /// The tenant's own rules of retention. An error where they may be in a page that cannot be read.
    pub async fn retention(
        &self,
        snapshot: &Snapshot,
        tenant: &Tenant,
    ) -> Result<Option<Policy>, SnapshotError> {
        let mut found = TenantBlocks::default();
        let page = self.tenant_page(snapshot, tenant, &mut found).await?;
        if let Some(missing) = found.missing.into_iter().next() {
            return Err(SnapshotError::Damaged { key: missing.key, damage: missing.why });
        }
        if let Some(damaged) = page.as_ref().and_then(|page| page.damaged.first()) {
            let damage = Damage::Content("another page stands in for it, and may not know its rules");
            return Err(SnapshotError::Damaged { key: ObjectKey::Page(*damaged), damage });
        }
        Ok(page.and_then(|page| page.retention.clone()))
    }

    /// The store's time now, or a little before.
    pub async fn time_of_store(&self) -> Result<StoreTime, StoreError> {
        self.store_now().await
    }

    /// The store's time when a snapshot was asked for, or a little before: no wrong clock of a process ends the time of
    /// anything. Who was paused since must not take for complete by now what he saw then.
    pub async fn time_of_snapshot(&self, snapshot: &Snapshot) -> Result<StoreTime, StoreError> {
        let now = self.store_now().await?;
        Ok(now.minus(snapshot.age(self.clock.elapsed())))
    }
}

#[cfg(test)]
mod tests;
