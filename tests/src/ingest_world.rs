//! An ingester in this process over a store that fails on command, with readers beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::memory::InMemory;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use siltstone_ask::Window;
use siltstone_catalog::bucket::{Bucket, Listing};
use siltstone_catalog::time::{Clock, SystemClock};
use siltstone_catalog::windows::Windows;
use siltstone_catalog::{Catalog, CatalogConfig};
use siltstone_format::id::ObjectId;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_ingest::config::IngestConfig;
use siltstone_ingest::export::{Accept, Accepted, Export, Refused};
use siltstone_ingest::log::Durability;
use siltstone_ingest::log::wal::{RealFiles, Wal};
use siltstone_ingest::metrics::Metrics;
use siltstone_ingest::service::{Ingest, IngestParts};
use siltstone_live::question::{Question, Wanted};
use siltstone_live::source::LiveSource;
use siltstone_querier::View;
use siltstone_querier::find::scan_all;
use siltstone_querier::limits::QueryLimits;
use siltstone_querier::querier::Querier;
use siltstone_testkit::{FaultPlan, FaultyStore, VirtualClock};
use ulid::Ulid;

use crate::query_world::querier_over;

/// What must come about on a machine on which much else runs.
const LONG_ENOUGH: Duration = Duration::from_secs(60);

pub struct World {
    pub objects: Arc<FaultyStore<InMemory>>,
    pub clock: Arc<dyn Clock>,
    pub folder: tempfile::TempDir,
}

/// What a reader found.
pub struct Seen {
    /// Each span once.
    pub spans: Vec<Span>,
    /// Rows of live segments and blocks together: more than spans if some are there twice.
    pub rows: usize,
}

impl World {
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        let clock = SystemClock::new();
        // The store's time stands still unless a test moves it on.
        let store_clock = VirtualClock::starting_at(clock.wall_millis() * 1_000_000);
        Self {
            objects: Arc::new(FaultyStore::new(InMemory::new(), store_clock, FaultPlan::none())),
            clock: Arc::new(clock),
            folder: tempfile::tempdir().expect("makes a folder"),
        }
    }

    pub fn catalog(&self, seed: u8) -> Arc<Catalog> {
        let config = CatalogConfig {
            bucket: Bucket::new(Arc::clone(&self.objects) as _, Listing::Together),
            clock: Arc::clone(&self.clock),
            seed: [seed; 32],
            windows: Windows::default(),
        };
        Arc::new(Catalog::new(config).expect("windows fit together"))
    }

    /// Cuts quickly, so that a test sees flushes.
    pub fn config(&self) -> IngestConfig {
        IngestConfig {
            small_tenant_age: Duration::from_millis(20),
            large_tenant_age: Duration::from_millis(20),
            spool: Some(self.folder.path().join("spool")),
            ..IngestConfig::default()
        }
    }

    pub fn log_folder(&self) -> std::path::PathBuf {
        self.folder.path().join("wal")
    }

    pub async fn ingest(&self, seed: u8, log_bytes: u64, config: IngestConfig) -> (Ingest, Arc<Metrics>) {
        let (wal, found) = open_wal(&self.log_folder(), log_bytes).await;
        let metrics = Arc::new(Metrics::default());
        let parts = IngestParts {
            catalog: self.catalog(seed),
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&metrics),
            log: Durability::Wal { wal, found },
            ingester: ObjectId(Ulid(1)),
            address: "http://127.0.0.1:9".to_owned(),
            seed: 7,
        };
        (Ingest::start(config, parts).await.expect("starts"), metrics)
    }

    /// A querier in the ingester's process.
    pub fn querier(&self, seed: u8, ingest: &Ingest) -> Arc<Querier> {
        querier_over(self.catalog(seed), Arc::clone(&self.clock), live_of(ingest), QueryLimits::default())
    }

    /// All spans of a tenant, as a reader with nothing in memory sees them.
    pub async fn read(&self, catalog: &Catalog, live: &[Arc<dyn LiveSource>], tenant: &Tenant) -> Seen {
        let question = everything(tenant);
        let view = View::open(catalog, &*self.clock, live, &question).await.expect("opens");
        assert!(view.partial.is_empty(), "{:?}", view.partial);
        let blocks = catalog.blocks(&view.snapshot, tenant, 0, u64::MAX).await.expect("lists");
        let found = scan_all(catalog, &*self.clock, &view).await.expect("reads");
        let in_blocks: u64 = blocks.blocks.iter().map(|block| block.summary.spans.rows).sum();
        let live: usize = view.live.iter().map(|segment| segment.spans.len()).sum();
        Seen { spans: found.spans, rows: in_blocks as usize + live }
    }
}

/// Waits for the folder's lock: who held it may be about to end.
async fn open_wal(folder: &Path, log_bytes: u64) -> (Wal, Vec<siltstone_ingest::log::wal::FoundSegment>) {
    let mut opened = None;
    until("the log's folder is free", async || {
        opened = Wal::open(folder, Arc::new(RealFiles), log_bytes).ok();
        opened.is_some()
    })
    .await;
    opened.expect("opened just now")
}

pub fn live_of(ingest: &Ingest) -> Arc<dyn LiveSource> {
    Arc::new(ingest.live())
}

pub fn everything(tenant: &Tenant) -> Question {
    Question { tenant: tenant.clone(), wanted: Wanted::Matching { filter: None, window: Window::ALL } }
}

/// Sends a request as a receiver would.
pub async fn send(
    ingest: &Ingest,
    tenant: &Tenant,
    request: &ExportTraceServiceRequest,
) -> Result<Accepted, Refused> {
    let body = Bytes::from(request.encode_to_vec());
    let admission = ingest.admit(tenant, body.len()).await?;
    ingest.accept(Export { tenant: tenant.clone(), body }, admission).await
}

/// Waits until something is so.
#[expect(clippy::disallowed_methods, reason = "other threads work in real time, and tell nobody")]
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG_ENOUGH, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
