//! Bringing a tenant's filter groups up to date, and publishing that.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use futures::future::BoxFuture;
use siltstone_format::filter::transposed::GroupError;
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

use super::build::{BuildError, Filters, Source, Written, read_filters, transposed, write_group};
use super::index::GroupIndex;
use super::observe::Observed;
use super::plan::{Limits, Plan, Step, plan};
use crate::block_page::Section;
use crate::bucket::StoreError;
use crate::catalog::Catalog;
use crate::draft::{Draft, DraftError};
use crate::load::LoadError;
use crate::publish::{Change, ChangeError, PublishError};
use crate::tenant_page::{GroupRef, TenantPage};
use crate::time::drawn_at;

/// What was done to a tenant's groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regrouped {
    pub built: Vec<ObjectId>,
    pub given_up: Vec<ObjectId>,
    /// Blocks that are in groups now and were in none before.
    pub blocks: u64,
    pub bytes_written: u64,
    /// Blocks whose filters are damaged or lost: no lookup excludes them.
    pub damaged_blocks: Vec<BlockId>,
    /// Rows of new groups that exclude nothing, because a group before was damaged there.
    pub damaged_rows: u64,
    /// There is more to do.
    pub more: bool,
}

/// Why groups were not brought up to date. They are as good as before.
#[derive(Debug, thiserror::Error)]
pub enum GroupsError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("what the tenant has cannot be read: {0}")]
    Draft(#[from] DraftError),
    #[error("filters do not fit together: {0}")]
    Group(#[from] GroupError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Catalog {
    /// Puts blocks that are in no filter group into groups, merges groups, and drops those
    /// that nobody needs. Nothing is done, and nothing written, while there is little to do.
    pub async fn regroup(&self, tenant: &Tenant) -> Result<Regrouped, GroupsError> {
        self.regroup_within(tenant, &Limits::default(), &BTreeSet::new()).await
    }

    /// The same, and builds groups anew that a lookup or a check found damaged, from the
    /// blocks' own filters.
    pub async fn regroup_without(
        &self,
        tenant: &Tenant,
        damaged: &BTreeSet<ObjectId>,
    ) -> Result<Regrouped, GroupsError> {
        self.regroup_within(tenant, &Limits::default(), damaged).await
    }

    pub(crate) async fn regroup_within(
        &self,
        tenant: &Tenant,
        limits: &Limits,
        damaged: &BTreeSet<ObjectId>,
    ) -> Result<Regrouped, GroupsError> {
        let loaded = self.load().await?;
        if let Some((number, damage)) = loaded.damaged_root {
            return Err(PublishError::DamagedRoot { number, damage }.into());
        }
        let Some(known) = loaded.root.tenants.get(tenant) else { return Ok(Regrouped::default()) };
        let page = self.pages.tenant(&self.bucket, known.page, tenant).await?;
        let mut unreadable = damaged.clone();
        loop {
            match self.try_regroup(&page, &unreadable, limits).await {
                // Each time it is another one, so this ends.
                Err(TryError::Build(BuildError::Unreadable(group))) if unreadable.insert(group) => {}
                Err(TryError::Build(BuildError::Unreadable(group))) => {
                    let key = ObjectKey::FilterGroup(group);
                    return Err(DraftError::Gone { key }.into());
                }
                Err(TryError::Build(BuildError::Store(error))) => return Err(error.into()),
                Err(TryError::Build(BuildError::Group(error))) => return Err(error.into()),
                Err(TryError::Final(error)) => return Err(error),
                Ok(done) => return Ok(done),
            }
        }
    }

    async fn try_regroup(
        &self,
        page: &TenantPage,
        unreadable: &BTreeSet<ObjectId>,
        limits: &Limits,
    ) -> Result<Regrouped, TryError> {
        let observed = Observed::of(self, page, unreadable).await.map_err(GroupsError::from)?;
        let plan = plan(&observed.known(), &observed.loose(), limits);
        if plan.is_empty() {
            return Ok(Regrouped::default());
        }
        let work = Work::of(self, &observed, &plan).await?;
        self.publish(&work.change).await.map_err(GroupsError::from)?;
        Ok(work.done)
    }
}

enum TryError {
    Build(BuildError),
    Final(GroupsError),
}

impl From<BuildError> for TryError {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl From<GroupsError> for TryError {
    fn from(error: GroupsError) -> Self {
        Self::Final(error)
    }
}

/// The new groups, written, and what is to be published of them.
struct Work {
    change: Regroup,
    done: Regrouped,
}

impl Work {
    async fn of(catalog: &Catalog, observed: &Observed, plan: &Plan) -> Result<Self, TryError> {
        let blocks: BTreeSet<BlockId> =
            plan.steps.iter().flat_map(|step| step.blocks.iter().copied()).collect();
        let entries = blocks.iter().filter_map(|id| observed.loose.get(id)).map(|(_, block)| block);
        let mut filters = read_filters(&catalog.bucket, entries).await.map_err(GroupsError::from)?;
        let mut work = Self {
            change: Regroup {
                tenant: observed.tenant.clone(),
                added: Vec::new(),
                observed: observed.listed.clone(),
                given_up: plan.dropped.iter().copied().collect(),
                grouped: newly_grouped(observed, &blocks),
            },
            done: Regrouped { more: plan.more, ..Regrouped::default() },
        };
        for step in &plan.steps {
            work.make(catalog, observed, step, &mut filters).await?;
        }
        work.done.damaged_blocks = filters.damaged;
        work.done.blocks = work.change.grouped.values().map(|blocks| blocks.len() as u64).sum();
        work.done.given_up = work.change.given_up.iter().copied().collect();
        Ok(work)
    }

    /// Writes the group of one step, and its index.
    async fn make(
        &mut self,
        catalog: &Catalog,
        observed: &Observed,
        step: &Step,
        filters: &mut Filters,
    ) -> Result<(), TryError> {
        let mut sections: BTreeMap<BlockId, Section> = BTreeMap::new();
        let mut time = (u64::MAX, 0);
        let mut add_time = |from: u64, to: u64| time = (time.0.min(from), time.1.max(to));
        let mut sources: Vec<(_, Source)> =
            transposed(step.kind, &step.blocks, filters)?.into_iter().collect();
        for (section, block) in step.blocks.iter().filter_map(|id| observed.loose.get(id)) {
            sections.insert(block.id(), *section);
            let spans = &block.summary.spans;
            add_time(spans.min_start_unix_nano, spans.max_end_unix_nano.max(spans.max_start_unix_nano));
        }
        for seen in step.groups.iter().filter_map(|id| observed.group(*id)) {
            let Some(index) = &seen.index else { continue };
            sections.extend(index.members());
            add_time(seen.group.min_start_unix_nano, seen.group.max_end_unix_nano);
            sources.push((index.header.clone(), Source::Group(seen.group.id)));
        }
        self.change.given_up.extend(&step.groups);
        let id = ObjectId(catalog.next_id());
        let Some(written) = write_group(&catalog.bucket, id, sources, &observed.dead).await? else {
            return Ok(());
        };
        self.add(catalog, written, &sections, time).await
    }

    async fn add(
        &mut self,
        catalog: &Catalog,
        written: Written,
        sections: &BTreeMap<BlockId, Section>,
        time: (u64, u64),
    ) -> Result<(), TryError> {
        let Written { id, header, damaged_rows } = written;
        let index_id = ObjectId(catalog.next_id());
        let group = GroupRef::of(id, index_id, &header, time);
        let sections = header.blocks().iter().filter_map(|block| sections.get(block).copied()).collect();
        self.done.bytes_written += header.object_len();
        self.done.damaged_rows += damaged_rows as u64;
        self.done.built.push(id);
        let index = GroupIndex::new(id, header, sections).encode();
        catalog.bucket.put(&ObjectKey::Page(index_id), index).await.map_err(GroupsError::from)?;
        self.change.added.push(group);
        Ok(())
    }
}

/// Blocks that were in no group. Others were in an unreadable one, and are noted already.
fn newly_grouped(observed: &Observed, blocks: &BTreeSet<BlockId>) -> BTreeMap<Section, BTreeSet<BlockId>> {
    let mut grouped: BTreeMap<Section, BTreeSet<BlockId>> = BTreeMap::new();
    for (section, block) in blocks.iter().filter_map(|id| observed.loose.get(id)) {
        if !block.grouped {
            grouped.entry(*section).or_default().insert(block.id());
        }
    }
    grouped
}

/// Puts groups in the place of others. Blocks that were retired while it was made do no
/// harm: they are members that no longer exist.
struct Regroup {
    tenant: Tenant,
    added: Vec<GroupRef>,
    /// The groups that it was planned by. Where there are others now, its blocks may have
    /// come into those too.
    observed: BTreeSet<ObjectId>,
    given_up: BTreeSet<ObjectId>,
    grouped: BTreeMap<Section, BTreeSet<BlockId>>,
}

impl Change for Regroup {
    fn apply<'a>(&'a self, draft: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>> {
        async move {
            let floor = draft.base().floor;
            let named_late = |id: ObjectId| drawn_at(id.0) >= floor;
            if !self.added.iter().all(|group| named_late(group.id) && named_late(group.index)) {
                return Err(ChangeError::Refused(
                    "building filter groups took longer than the grace for orphans, so they may be swept: \
                     build them again"
                        .to_owned(),
                ));
            }
            let known = &draft.tenant_page(&self.tenant).await?.groups;
            let mut groups: Vec<GroupRef> =
                known.iter().filter(|group| !self.given_up.contains(&group.id)).cloned().collect();
            if known.iter().map(|group| group.id).collect::<BTreeSet<_>>() != self.observed {
                return Err(self.overtaken());
            }
            groups.extend(self.added.iter().cloned());
            for (section, blocks) in &self.grouped {
                if !draft.note_grouped(&self.tenant, *section, blocks).await? {
                    return Err(self.overtaken());
                }
            }
            Ok(draft.set_groups(&self.tenant, groups).await?)
        }
        .boxed()
    }
}

impl Regroup {
    fn overtaken(&self) -> ChangeError {
        ChangeError::Refused(format!(
            "the filter groups of tenant {} have changed meanwhile: somebody else builds them too",
            self.tenant
        ))
    }
}
