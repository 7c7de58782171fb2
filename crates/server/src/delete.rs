//! `siltstone delete`: traces that nobody is shown any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
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
    is_there(&snapshot, &deletion.tenant)?;
    if deletion.confirmed {
        catalog.check_clock().await.map_err(failed)?;
    }
    let mut text = String::new();
    for trace in &deletion.traces {
        let done = delete_one(&catalog, &snapshot, &deletion, trace).await;
        // Those before it are deleted: that must be said whatever comes.
        text.push_str(&done.map_err(|error| StartError(format!("{text}{trace}: {error}")))?);
    }
    text.push_str(match deletion.confirmed {
        true => WHAT_FOLLOWS,
        false => "Nothing was deleted. Say --yes to do it: there is no way back.\n",
    });
    Ok(text)
}

/// Whoever mistypes a tenant is told that something was deleted, and it is not.
fn is_there(snapshot: &Snapshot, tenant: &Tenant) -> Result<(), StartError> {
    let flushed = snapshot.entries.iter().flat_map(|entry| &entry.blocks).map(BlockEntry::tenant);
    let tenants: BTreeSet<&Tenant> = snapshot.root.tenants.keys().chain(flushed).collect();
    if tenants.contains(tenant) {
        return Ok(());
    }
    let some: Vec<String> = tenants.iter().take(20).map(|tenant| format!("`{tenant}`")).collect();
    Err(StartError(format!(
        "the store has nothing of the tenant `{tenant}`, so nothing is deleted; it has {} tenants: {}",
        tenants.len(),
        some.join(", ")
    )))
}

/// A line that says what was done.
async fn delete_one(
    catalog: &Catalog,
    snapshot: &Snapshot,
    deletion: &Deletion,
    trace: &TraceId,
) -> Result<String, StartError> {
    let tenant = &deletion.tenant;
    let all_of_any = [vec![FilterKey::of_trace(trace)]];
    let wanted = Wanted {
        kind: GroupKind::TraceIds,
        all_of_any: &all_of_any,
        from_unix_nano: 0,
        to_unix_nano: u64::MAX,
    };
    // What is in no block yet is not among them.
    let found = catalog.blocks_that_may_hold(snapshot, tenant, wanted).await.map_err(failed)?;
    let blocks = found.holding.len() + found.unasked.len();
    if deletion.confirmed {
        let (kind, target) = (MarkKind::Delete, MarkTarget::Trace(*trace));
        let mark = AddMark { tenant: tenant.clone(), kind, target };
        catalog.publish(&mark).await.map_err(failed)?;
        tracing::info!(target: "siltstone::audit", %trace, %tenant, "a trace was deleted");
    }
    let done = if deletion.confirmed { "deleted" } else { "would be deleted" };
    let unread = match found.missing.len() {
        0 => String::new(),
        pages => format!(", and blocks that {pages} damaged pages of the catalog know"),
    };
    Ok(format!("{trace}\t{done}\t{blocks} blocks may hold spans of it{unread}\n"))
}
