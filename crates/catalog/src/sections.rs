//! A tenant's blocks by where they stand, and what was asked about its traces: what whoever merges them works on.

use std::sync::Arc;

use siltstone_format::tenant::Tenant;

use crate::block_page::BlockPage;
use crate::catalog::Catalog;
use crate::mark::Mark;
use crate::snapshot::{Snapshot, SnapshotError, TenantBlocks, hard};
use crate::tenant_page::PageRef;

/// What was asked about a tenant's traces.
#[derive(Clone, Debug, Default)]
pub struct TenantMarks {
    pub marks: Vec<Mark>,
    /// A merge that applies them has applied all up to this number: none where marks may be missing.
    pub clean_through: u64,
}

impl Catalog {
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

    /// All marks of the tenant that the snapshot's root has.
    pub async fn marks(&self, snapshot: &Snapshot, tenant: &Tenant) -> Result<TenantMarks, SnapshotError> {
        let mut found = TenantBlocks::default();
        if let Some(page) = self.tenant_page(snapshot, tenant, &mut found).await? {
            self.add_pages(&page, 0, u64::MAX, |_| false, &mut found).await?;
        }
        Ok(TenantMarks { marks: found.marks, clean_through: found.clean_through })
    }
}
