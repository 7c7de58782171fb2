//! Archiving traces: they are kept from now on, by the rule for archived traces, without one for ever.

use std::fmt::Write;
use std::sync::Arc;

use siltstone_catalog::time::Clock;
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;

use crate::parts::{StartError, shared_with_catalog};
use crate::query::querier_without_ports;
use crate::settings::Resolved;

/// Archives traces that there are, one after the other.
pub async fn archive(
    settings: &Resolved,
    clock: Arc<dyn Clock>,
    tenant: Tenant,
    traces: Vec<TraceId>,
) -> Result<String, StartError> {
    let shared = shared_with_catalog(settings, clock).await?;
    let querier = querier_without_ports(settings, &shared)?;
    let mut done = String::new();
    for trace in traces {
        let archived = querier.archive(&tenant, trace).await;
        archived.map_err(|error| StartError(format!("{done}{error}")))?;
        let _ = writeln!(done, "{trace}\tarchived");
    }
    Ok(done)
}
