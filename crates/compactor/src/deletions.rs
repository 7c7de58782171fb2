//! What was deleted of a tenant, as a merge applies it: a row is left out if its block does not know the deletion yet.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::mark::{MarkKind, MarkTarget};
use siltstone_catalog::snapshot::{Snapshot, SnapshotError};
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;

use crate::planted::{Bug, planted};

/// The traces that a block has and must not keep.
pub(crate) type Deleted = Arc<HashSet<TraceId>>;

/// Deletions of one tenant, as of one root.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletions {
    /// By the number of the mark.
    traces: BTreeMap<u64, TraceId>,
    /// Whoever applies them knows all deletions up to this number. None: there are some that it cannot apply.
    through: Option<u64>,
}

impl Deletions {
    pub(crate) async fn of(
        catalog: &Catalog,
        snapshot: &Snapshot,
        tenant: &Tenant,
    ) -> Result<Self, SnapshotError> {
        let found = catalog.marks(snapshot, tenant).await?;
        let mut deletions = Self { traces: BTreeMap::new(), through: Some(found.clean_through) };
        for mark in found.marks.iter().filter(|mark| mark.kind == MarkKind::Delete) {
            match mark.target {
                MarkTarget::Trace(trace) => drop(deletions.traces.insert(mark.number, trace)),
                // Readers refuse to answer as long as there is one.
                MarkTarget::Filter { .. } => deletions.through = None,
            }
        }
        Ok(deletions)
    }

    #[cfg(test)]
    pub(crate) fn of_traces(traces: &[(u64, TraceId)]) -> Self {
        let newest = traces.iter().map(|(number, _)| *number).max();
        Self { traces: traces.iter().copied().collect(), through: newest }
    }

    /// What each of the blocks must not keep. Blocks that know the same share it.
    pub(crate) fn of_blocks<'a>(&self, blocks: impl Iterator<Item = &'a BlockEntry>) -> Vec<Deleted> {
        let mut known: BTreeMap<u64, Deleted> = BTreeMap::new();
        let of_block = |block: &BlockEntry| {
            let unknown = || Arc::new(self.unknown_to(block.clean_through).collect());
            Arc::clone(known.entry(block.clean_through).or_insert_with(unknown))
        };
        blocks.map(of_block).collect()
    }

    /// Deleted traces of which a block that knows so many deletions may have rows.
    pub(crate) fn unknown_to(&self, clean_through: u64) -> impl Iterator<Item = TraceId> {
        let is_forgotten = planted(Bug::KeepDeleted);
        let unknown = self.traces.range(clean_through.saturating_add(1)..);
        unknown.filter(move |_| !is_forgotten).map(|(_, trace)| *trace)
    }

    /// The deletions that a merge of these blocks knows.
    pub(crate) fn known_to_merged<'a>(&self, inputs: impl Iterator<Item = &'a BlockEntry>) -> u64 {
        // What all of them know, their rows know, whatever cannot be applied here.
        let of_inputs = inputs.map(|block| block.clean_through).min().unwrap_or(0);
        of_inputs.max(self.through.unwrap_or(0))
    }

    /// By the number of their marks.
    pub(crate) fn traces(&self) -> impl Iterator<Item = (u64, TraceId)> {
        self.traces.iter().map(|(number, trace)| (*number, *trace))
    }
}
