//! A tenant's blocks by where they stand, and what was asked about its traces: what whoever merges them works on.

use std::sync::Arc;

use siltstone_format::id::TraceId;
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

use crate::block_entry::BlockEntry;
use crate::block_page::BlockPage;
use crate::catalog::Catalog;
use crate::deleted::{DeletedTraces, TracePage, TracePageRef};
use crate::mark::{Mark, MarkKind, MarkTarget};
use crate::message::Damage;
use crate::snapshot::{Missing, Recorded, Snapshot, SnapshotError, TenantBlocks, hard, stood_in_for};
use crate::tenant_page::PageRef;
use crate::time::StoreTime;

/// What was asked about a tenant's traces.
#[derive(Clone, Debug, Default)]
pub struct TenantMarks {
    pub marks: Arc<Vec<Mark>>,
    pub deleted: Arc<DeletedTraces>,
    /// A merge that applies them has applied all up to this number: none where marks may be missing.
    pub clean_through: u64,
}

/// Traces of one tenant that were deleted lately, each with the time.
#[derive(Clone, Debug, Default)]
pub struct LateDeletions {
    pub traces: Vec<(TraceId, StoreTime)>,
    pub pages: Vec<(StoreTime, Arc<TracePage>)>,
}

impl LateDeletions {
    /// How many there are, one that was deleted several times so often.
    pub fn traces(&self) -> usize {
        self.traces.len() + self.pages.iter().map(|(_, page)| page.traces.len()).sum::<usize>()
    }

    pub fn iter(&self) -> impl Iterator<Item = (TraceId, StoreTime)> {
        let of_pages = self.pages.iter().flat_map(|(at, page)| page.traces.iter().map(|trace| (*trace, *at)));
        self.traces.iter().copied().chain(of_pages)
    }
}

/// Where a tenant's blocks stand.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// In pages of the snapshot's root, see [`Catalog::blocks_of`],
    pub pages: Vec<PageRef>,
    /// and in flushes that it has not folded.
    pub flushed: Vec<BlockEntry>,
    /// What cannot be read, and its blocks with it.
    pub missing: Vec<Missing>,
}

impl Catalog {
    /// All blocks of a tenant, by where they stand.
    pub async fn standing(&self, snapshot: &Snapshot, tenant: &Tenant) -> Result<Standing, SnapshotError> {
        let mut found = TenantBlocks::default();
        let page = self.tenant_page(snapshot, tenant, &mut found).await?;
        let mut missing = found.missing;
        let pages = page.map_or_else(Vec::new, |page| {
            missing.extend(stood_in_for(&page));
            page.pages.clone()
        });
        Ok(Standing { pages, flushed: snapshot.flushed(tenant, 0, u64::MAX).collect(), missing })
    }

    /// What was deleted of a tenant under a later number than this, at that time or later. None: these are more traces
    /// than are wanted at most, and their pages were not read.
    pub async fn late_deletions(
        &self,
        snapshot: &Snapshot,
        tenant: &Tenant,
        after: u64,
        since: StoreTime,
        most: usize,
    ) -> Result<Option<LateDeletions>, SnapshotError> {
        let mut found = LateDeletions::default();
        let Some(known) = snapshot.root.tenants.get(tenant) else { return Ok(Some(found)) };
        let page = self.pages.tenant(&self.bucket, known.page, tenant).await.map_err(hard)?;
        if let Some(damaged) = page.damaged.first() {
            let damage = Damage::Content("another page stands in for it");
            return Err(SnapshotError::Damaged { key: ObjectKey::Page(*damaged), damage });
        }
        let is_late = |number: u64, at: StoreTime| number > after && at >= since;
        let late_pages: Vec<&TracePageRef> =
            page.trace_pages.iter().filter(|late| is_late(late.number, late.at)).collect();
        let of_pages = late_pages.iter().fold(0u64, |sum, late| sum.saturating_add(late.traces));
        if of_pages > most as u64 {
            return Ok(None);
        }
        let mut add = |marks: &[Mark]| {
            let late =
                marks.iter().filter(|mark| is_late(mark.number, mark.at) && mark.kind == MarkKind::Delete);
            found.traces.extend(late.map(|mark| {
                let MarkTarget::Trace(trace) = mark.target;
                (trace, mark.at)
            }));
        };
        add(&page.marks);
        for older in page.mark_pages.iter().rev() {
            let marks = self.pages.marks(&self.bucket, *older).await.map_err(hard)?;
            add(&marks);
            if marks.first().is_none_or(|oldest| oldest.number <= after || oldest.at < since) {
                break;
            }
        }
        if of_pages + found.traces.len() as u64 > most as u64 {
            return Ok(None);
        }
        for late in late_pages {
            let traces = self.pages.traces(&self.bucket, late.id).await.map_err(hard)?;
            found.pages.push((late.at, traces));
        }
        Ok(Some(found))
    }

    /// The tenant's pages of blocks in the snapshot's root: flushes that it has not folded are in none.
    pub async fn pages(&self, snapshot: &Snapshot, tenant: &Tenant) -> Result<Vec<PageRef>, SnapshotError> {
        let mut found = TenantBlocks::default();
        let page = self.tenant_page(snapshot, tenant, &mut found).await?;
        match found.missing.into_iter().next() {
            Some(missing) => Err(SnapshotError::Damaged { key: missing.key, damage: missing.why }),
            None => Ok(page.map_or_else(Vec::new, |page| page.pages.clone())),
        }
    }

    /// The blocks of one of its pages.
    pub async fn blocks_of(&self, tenant: &Tenant, page: &PageRef) -> Result<Arc<BlockPage>, SnapshotError> {
        self.pages.blocks(&self.bucket, page, tenant).await.map_err(hard)
    }

    /// All marks of the tenant that the snapshot's root has, for merges.
    pub async fn marks(&self, snapshot: &Snapshot, tenant: &Tenant) -> Result<TenantMarks, SnapshotError> {
        let mut found = TenantBlocks::default();
        self.tenant_page(snapshot, tenant, &mut found).await?;
        self.add_marks(snapshot, tenant, Recorded::InForce, &mut found).await?;
        let TenantBlocks { marks, deleted, clean_through, .. } = found;
        Ok(TenantMarks { marks, deleted, clean_through })
    }
}
