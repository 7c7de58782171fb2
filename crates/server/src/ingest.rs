//! The ingester as a part of the process: how it is started, and what the process asks of it.

use std::sync::Arc;

use async_trait::async_trait;
use siltstone_catalog::time::Clock;
use siltstone_ingest::export::Accept;
use siltstone_ingest::metrics::Metrics;
use siltstone_ingest::receive::connections::Stop;
use tokio::net::TcpListener;

use crate::settings::Resolved;

/// An ingester that runs.
#[async_trait]
pub trait IngestCore: Accept {
    /// Answers other processes about live spans, until it is told to stop.
    async fn serve_live(self: Arc<Self>, listener: TcpListener, stop: Stop);

    /// Flushes what is in memory and ends. Nothing is accepted any more.
    async fn finish(&self) -> Result<(), String>;

    /// For `/status`.
    fn status(&self) -> serde_json::Value;
}

/// Why the ingester cannot start.
#[derive(Debug, thiserror::Error)]
#[error("the ingester cannot start: {0}")]
pub struct StartError(pub String);

/// Starts the ingester: the store is opened, the log read back, what it holds is live again.
pub async fn start_ingest(
    _settings: &Resolved,
    _clock: Arc<dyn Clock>,
    _metrics: Arc<Metrics>,
) -> Result<Arc<dyn IngestCore>, StartError> {
    Err(StartError("this build has no core that keeps spans".to_owned()))
}
