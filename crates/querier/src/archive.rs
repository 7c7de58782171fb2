//! Archiving: a mark in the catalog, by which a trace is kept from now on, whatever ends with its time.

use std::sync::Arc;

use siltstone_catalog::change::AddMark;
use siltstone_catalog::mark::{MarkKind, MarkTarget};
use siltstone_catalog::publish::PublishError;
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;

use crate::querier::{Querier, QueryError};

/// Why a trace is not archived.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("there is no trace {trace}")]
    NoTrace {
        trace: TraceId,
        /// Where it may be, as that could not be asked.
        gaps: Vec<String>,
    },
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("the trace is not archived: {0}")]
    Publish(Box<PublishError>),
}

impl Querier {
    /// Keeps a trace that there is: in force once this returns. Asked for twice, it is kept once.
    pub async fn archive(self: &Arc<Self>, tenant: &Tenant, trace: TraceId) -> Result<(), ArchiveError> {
        let mut traces = self.stream_traces(tenant, &[trace]).await?;
        if traces.next().await?.is_none() {
            return Err(ArchiveError::NoTrace { trace, gaps: traces.gaps().to_vec() });
        }
        // The mark is not about these spans: nobody has to wait for them.
        drop(traces);
        let (kind, target) = (MarkKind::Archive, MarkTarget::Trace(trace));
        let mark = AddMark { tenant: tenant.clone(), kind, target };
        self.catalog.publish(&mark).await.map_err(|error| ArchiveError::Publish(Box::new(error)))?;
        tracing::info!(target: "siltstone::audit", %tenant, %trace, "a trace was archived");
        Ok(())
    }
}
