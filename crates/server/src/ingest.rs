//! The ingester as a part of the process: how it is started, and what the process asks of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Request, Response};
use hyper::body::Incoming;
use siltstone_catalog::time::Clock;
use siltstone_format::id::ObjectId;
use siltstone_format::tenant::Tenant;
use siltstone_ingest::config::IngestConfig;
use siltstone_ingest::export::{Accept, Accepted, Admission, Export, Refused};
use siltstone_ingest::log::Durability;
use siltstone_ingest::log::object::ObjectLogs;
use siltstone_ingest::log::wal::{RealFiles, Wal};
use siltstone_ingest::metrics::Metrics;
use siltstone_ingest::receive::connections::{Answer, Bounds, Stop, serve};
use siltstone_ingest::service::{Ingest, IngestParts};
use siltstone_live::LiveService;
use siltstone_querier::InProcess;
use tokio::net::TcpListener;
use tonic::body::Body;
use tower::ServiceExt;

use crate::parts::{Shared, StartError, chance, failed};
use crate::settings::{Durability as DurabilitySetting, Resolved};

/// In the data folder: the log, and blocks that wait for the store.
pub(crate) const LOG: &str = "wal";
pub(crate) const SPOOL: &str = "spool";

/// An ingester that runs.
#[async_trait]
pub trait IngestCore: Accept {
    /// Answers other processes about live spans, until it is told to stop.
    async fn serve_live(self: Arc<Self>, listener: TcpListener, stop: Stop);

    /// Flushes what is in memory and ends. Nothing is accepted any more.
    async fn finish(&self) -> Result<(), String>;

    /// Brings the gauges up to date.
    fn observe(&self);

    /// For `/status`.
    fn status(&self) -> serde_json::Value;
}

/// Starts the ingester: its log is read back, what it holds is live again. `live` is where it listens for readers.
pub(crate) async fn start_ingest(
    settings: &Resolved,
    shared: &Shared,
    metrics: Arc<Metrics>,
    live: SocketAddr,
) -> Result<Arc<Core>, StartError> {
    let catalog = Arc::clone(&shared.catalog);
    let new = ObjectId(catalog.next_id());
    let config = ingest_config(settings);
    let (log, ingester) = match settings.ingest.durability {
        DurabilitySetting::Wal => (wal(settings).await?, remembered(settings.data.clone(), new).await?),
        DurabilitySetting::Object => {
            let most_queued_bytes = settings.ingest.memory_bytes as u64 / 4;
            let logs =
                ObjectLogs::new(catalog.bucket().clone(), Arc::clone(&shared.clock), most_queued_bytes);
            // What it leaves is found by its writers' names: no other incarnation has to be the same.
            (Durability::Object(logs), new)
        }
    };
    let address = settings.ingest.advertise.clone().unwrap_or_else(|| format!("http://{live}"));
    let seed = u64::from_le_bytes(chance()?);
    let clock = Arc::clone(&shared.clock);
    let parts = IngestParts { catalog, clock: Arc::clone(&clock), metrics, log, ingester, address, seed };
    let ingest = Ingest::start(config, parts).await.map_err(failed)?;
    let patience = settings.drain_deadline.mul_f32(0.9);
    let (store, connections) = (shared.store.clone(), settings.ingest.connections);
    Ok(Arc::new(Core { ingest, id: ingester, store, clock, connections, patience }))
}

async fn wal(settings: &Resolved) -> Result<Durability, StartError> {
    let (folder, most) = (settings.data.join(LOG), settings.ingest.log_bytes);
    let opening = tokio::task::spawn_blocking(move || Wal::open(&folder, Arc::new(RealFiles), most));
    let (wal, found) = opening.await.map_err(failed)?.map_err(failed)?;
    Ok(Durability::Wal { wal, found })
}

/// The name under which this ingester is announced, the same after each start with this log: what an earlier
/// one has announced is replaced.
async fn remembered(data: PathBuf, new: ObjectId) -> Result<ObjectId, StartError> {
    let path = data.join("ingester");
    let remembering = tokio::task::spawn_blocking(move || {
        match std::fs::read_to_string(&path) {
            // What is damaged was an announcement's name and nothing more.
            Ok(text) => {
                if let Ok(id) = text.trim().parse() {
                    return Ok(id);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        std::fs::write(&path, new.to_string()).map(|()| new)
    });
    let remembered = remembering.await.map_err(failed)?;
    remembered.map_err(|error| StartError(format!("`ingester` in the data folder: {error}")))
}

fn ingest_config(settings: &Resolved) -> IngestConfig {
    let ingest = &settings.ingest;
    IngestConfig {
        memory_bytes: ingest.memory_bytes,
        flush_bytes: ingest.memory_bytes / 12,
        large_tenant_age: ingest.large_tenant_age,
        small_tenant_age: ingest.small_tenant_age,
        // Without a log on the disk the machine may have none: what waits for the store waits in memory.
        spool: (ingest.durability == DurabilitySetting::Wal).then(|| settings.data.join(SPOOL)),
        limits: ingest.limits.clone(),
        encoders: std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        ..IngestConfig::default()
    }
}

pub(crate) struct Core {
    ingest: Ingest,
    id: ObjectId,
    store: String,
    clock: Arc<dyn Clock>,
    /// Of readers.
    connections: Bounds,
    /// Less than the whole process has for its end, so that it ends in order.
    patience: Duration,
}

impl Core {
    /// The spans that are in no block yet, for queries of the same process.
    pub(crate) fn in_process(&self) -> InProcess {
        InProcess { ingester: self.id, source: Arc::new(self.ingest.live()) }
    }
}

/// Answers readers about live spans.
struct LivePort {
    service: LiveService,
}

impl Answer for LivePort {
    type Body = Body;

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let answered = self.service.clone().oneshot(request).await;
        answered.unwrap_or_else(|never| match never {})
    }
}

#[async_trait]
impl Accept for Core {
    async fn admit(&self, tenant: &Tenant, bytes: usize) -> Result<Admission, Refused> {
        self.ingest.admit(tenant, bytes).await
    }

    async fn accept(&self, export: Export, admission: Admission) -> Result<Accepted, Refused> {
        self.ingest.accept(export, admission).await
    }
}

#[async_trait]
impl IngestCore for Core {
    async fn serve_live(self: Arc<Self>, listener: TcpListener, stop: Stop) {
        let port = LivePort { service: siltstone_live::serve(self.id, Arc::new(self.ingest.live())) };
        serve(listener, Arc::new(port), self.connections, Arc::clone(&self.clock), stop).await;
    }

    async fn finish(&self) -> Result<(), String> {
        match self.ingest.shutdown(self.patience).await {
            true => Ok(()),
            false => Err("the store did not take all blocks".to_owned()),
        }
    }

    fn observe(&self) {
        self.ingest.observe();
    }

    fn status(&self) -> serde_json::Value {
        let live = self.ingest.live_segments();
        serde_json::json!({
            "ingester": self.id.to_string(),
            "store": self.store,
            "live_segments": live.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}
