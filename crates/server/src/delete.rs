//! `siltstone delete`: traces that nobody is shown any more.

use std::fmt::Write;
use std::sync::Arc;

use siltstone_catalog::Catalog;
use siltstone_catalog::change::AddMark;
use siltstone_catalog::groups::Wanted;
use siltstone_catalog::mark::{MarkKind, MarkTarget};
use siltstone_catalog::snapshot::{Cover, Snapshot};
use siltstone_catalog::time::Clock;
use siltstone_format::filter::split_block::FilterKey;
use siltstone_format::filter::transposed::GroupKind;
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;

use crate::parts::{StartError, failed, shared};
use crate::settings::Resolved;

/// What is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    pub tenant: Tenant,
    pub traces: Vec<TraceId>,
    /// Without, it is only said what would be.
    pub confirmed: bool,
}

const WHAT_FOLLOWS: &str = "\
Nobody is shown spans of these traces any more, nor of spans that come later under their ids. Compactors take them
out of blocks when they merge, and within about an hour out of those that are not merged any more; the objects from
before go an hour after that. Versions that the bucket keeps, and backups, are not within reach.
";

/// Deletes traces, or says what that would be about.
pub async fn delete(
    settings: &Resolved,
    clock: Arc<dyn Clock>,
    deletion: Deletion,
) -> Result<String, StartError> {
    let catalog = shared(settings, clock).await?.catalog;
    let fresh = Cover { fresh: true, ..Cover::default() };
    let snapshot = catalog.snapshot(&fresh).await.map_err(failed)?;
    let mut text = String::new();
    for trace in &deletion.traces {
        let blocks = blocks_that_may_hold(&catalog, &snapshot, &deletion.tenant, trace).await?;
        if deletion.confirmed {
            let (kind, target) = (MarkKind::Delete, MarkTarget::Trace(*trace));
            let mark = AddMark { tenant: deletion.tenant.clone(), kind, target };
            catalog.publish(&mark).await.map_err(failed)?;
            tracing::info!(target: "siltstone::audit", %trace, tenant = %deletion.tenant, "a trace was deleted");
        }
        let done = if deletion.confirmed { "deleted" } else { "would be deleted" };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{trace}\t{done}\t{blocks} blocks may hold spans of it");
    }
    text.push_str(match deletion.confirmed {
        true => WHAT_FOLLOWS,
        false => "Nothing was deleted. Say --yes to do it: there is no way back.\n",
    });
    Ok(text)
}

/// By their filters: about one in a thousand may hold it and does not. What is in no block yet is not among them.
async fn blocks_that_may_hold(
    catalog: &Catalog,
    snapshot: &Snapshot,
    tenant: &Tenant,
    trace: &TraceId,
) -> Result<usize, StartError> {
    let all_of_any = [vec![FilterKey::of_trace(trace)]];
    let wanted = Wanted {
        kind: GroupKind::TraceIds,
        all_of_any: &all_of_any,
        from_unix_nano: 0,
        to_unix_nano: u64::MAX,
    };
    let found = catalog.blocks_that_may_hold(snapshot, tenant, wanted).await.map_err(failed)?;
    Ok(found.holding.len() + found.unasked.len())
}
