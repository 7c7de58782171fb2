//! What was deleted of a tenant, as a merge applies it: a row is left out if its block does not know the deletion yet.

use std::collections::BTreeSet;
use std::sync::Arc;

use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::deleted::DeletedTraces;
use siltstone_catalog::snapshot::{Snapshot, SnapshotError};
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;

use crate::planted::{Bug, planted};

/// What a block must not keep.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deleted {
    traces: Arc<DeletedTraces>,
    known: u64,
}

/// Deletions of one tenant, as of one root.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletions {
    traces: Arc<DeletedTraces>,
    /// Whoever applies them knows all deletions up to this number: none where some may be missing.
    through: u64,
}

impl Deleted {
    pub(crate) fn has(&self, trace: &TraceId) -> bool {
        self.traces.hides(trace, self.known) && !planted(Bug::KeepDeleted)
    }

    pub(crate) fn is_nothing(&self) -> bool {
        !self.traces.hides_any(self.known)
    }

    #[cfg(test)]
    pub(crate) fn of(traces: &[(u64, TraceId)]) -> Self {
        Self { traces: Arc::new(DeletedTraces::new(traces.iter().copied(), &[])), known: 0 }
    }
}

impl Deletions {
    pub(crate) async fn of(
        catalog: &Catalog,
        snapshot: &Snapshot,
        tenant: &Tenant,
    ) -> Result<Self, SnapshotError> {
        let found = catalog.marks(snapshot, tenant).await?;
        Ok(Self { traces: found.deleted, through: found.clean_through })
    }

    /// What a block must not keep.
    pub(crate) fn of_block(&self, block: &BlockEntry) -> Deleted {
        // Who accepted its rows may have known deletions.
        let known = if planted(Bug::ForgetWhatWasKnown) { 0 } else { block.clean_through };
        Deleted { traces: Arc::clone(&self.traces), known }
    }

    /// The deletions that a merge of these blocks knows. None: no number says it, since some may be missing here and
    /// its inputs know different ones.
    pub(crate) fn known_to_merged<'a>(
        &self,
        inputs: impl Iterator<Item = &'a BlockEntry> + Clone,
    ) -> Option<u64> {
        let known = inputs.map(|block| block.clean_through);
        let (least, most) = (known.clone().min().unwrap_or(0), known.max().unwrap_or(0));
        // What all of them know, their rows know, whatever is missing here.
        (self.through >= most || least == most).then_some(self.through.max(least))
    }

    /// The numbers of all deletions.
    pub(crate) fn numbers(&self) -> BTreeSet<u64> {
        self.traces.unknown_to(0).map(|(number, _)| number).collect()
    }

    /// The traces of some of the deletions.
    pub(crate) fn traces_of(&self, numbers: &BTreeSet<u64>) -> Vec<(u64, TraceId)> {
        self.traces.unknown_to(0).filter(|(number, _)| numbers.contains(number)).collect()
    }

    /// Some of them.
    pub(crate) fn of_traces(traces: &[(u64, TraceId)], through: u64) -> Self {
        Self { traces: Arc::new(DeletedTraces::new(traces.iter().copied(), &[])), through }
    }
}

#[cfg(test)]
mod tests {
    use siltstone_format::block::identity::BlockIdentity;
    use siltstone_format::block::write::encode_block;
    use siltstone_format::columns::SpanColumns;
    use siltstone_format::id::BlockId;
    use siltstone_format::span::Span;
    use ulid::Ulid;

    use super::*;

    #[test]
    fn should_say_what_an_output_knows_and_nothing_where_no_number_says_it() {
        let mut columns = SpanColumns::default();
        columns.push(&Span::default()).unwrap();
        let identity =
            BlockIdentity { block: BlockId(Ulid(1)), tenant: Tenant::single(), inputs: Vec::new() };
        let summary = encode_block(&columns, &identity).unwrap().summary;
        let known = |through, inputs: &[u64]| {
            let inputs: Vec<_> =
                inputs.iter().map(|known| BlockEntry::accepted(summary.clone(), *known)).collect();
            Deletions::of_traces(&[], through).known_to_merged(inputs.iter())
        };
        assert_eq!(known(7, &[0, 3, 7]), Some(7));
        // Marks are missing, and all inputs know the same.
        assert_eq!(known(0, &[3, 3]), Some(3));
        assert_eq!(known(0, &[3]), Some(3));
        assert_eq!(known(0, &[0, 3]), None);
        // A root that is older than an input.
        assert_eq!(known(2, &[1, 3]), None);
    }
}
