//! Which blocks may hold some traces: filters of many blocks tell it without a look at one of them.

use std::collections::BTreeSet;

use siltstone_catalog::Catalog;
use siltstone_catalog::groups::Wanted;
use siltstone_catalog::snapshot::{Snapshot, SnapshotError};
use siltstone_format::filter::split_block::FilterKey;
use siltstone_format::id::{BlockId, TraceId};
use siltstone_format::tenant::Tenant;

/// Traces that are asked for at a time: filters hold 32 bytes of each block for one.
pub(crate) const AT_A_TIME: usize = 16;
/// Of more traces most blocks hold one: filters are not asked.
pub(crate) const MOST_ASKED: usize = 1_000;

/// Blocks that may hold one of the traces. No other block does, of those that the snapshot refers to.
pub(crate) async fn may_hold(
    catalog: &Catalog,
    snapshot: &Snapshot,
    tenant: &Tenant,
    traces: &[TraceId],
) -> Result<BTreeSet<BlockId>, SnapshotError> {
    let mut blocks = BTreeSet::new();
    for some in traces.chunks(AT_A_TIME) {
        let any_of: [Vec<FilterKey>; 1] = [some.iter().map(FilterKey::of_trace).collect()];
        let candidates = catalog.blocks_that_may_hold(snapshot, tenant, Wanted::traces(&any_of)).await?;
        if let Some(missing) = candidates.missing.into_iter().next() {
            return Err(SnapshotError::Damaged { key: missing.key, damage: missing.why });
        }
        blocks.extend(candidates.holding.iter().chain(&candidates.unasked).map(|block| block.id()));
    }
    Ok(blocks)
}
