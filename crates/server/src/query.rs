//! The querier as a part of the process, and its port.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use siltstone_ingest::bucket_live::BucketReader;
use siltstone_ingest::receive::connections::Answer;
use siltstone_live::RemoteLimits;
use siltstone_querier::cache::CacheSizes;
use siltstone_querier::http::ui::{Ui, with_ui};
use siltstone_querier::http::{HttpConfig, router};
use siltstone_querier::jaeger::grpc::{GrpcServices, JaegerGrpc};
use siltstone_querier::jaeger::settings::JaegerSettings;
use siltstone_querier::querier::{Querier, QuerierConfig, QuerierParts};
use siltstone_querier::sql::SqlConfig;
use siltstone_querier::{InProcess, Ingesters};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tower::ServiceExt;

use crate::otlp_json::IngestersJson;
use crate::parts::{Shared, StartError, failed};
use crate::settings::Resolved;

const CACHES_WITHOUT_PORTS: u64 = 64 << 20;

/// How the content type of every call of gRPC begins.
const GRPC: &[u8] = b"application/grpc";

/// Answers requests by their paths. Calls of gRPC lie where clients look for them, whatever the base path is.
pub struct QueryPort {
    http: Router,
    grpc: Router,
}

/// What is asked on which port.
pub struct QueryPorts {
    /// HTTP, and gRPC beside it.
    pub(crate) query: Arc<QueryPort>,
    pub(crate) query_grpc: Arc<QueryPort>,
    /// Reading only; who writes is another part of the process.
    pub(crate) jaeger_storage: Router,
    /// Whoever counts asks it, and whoever deletes by a filter.
    pub(crate) querier: Arc<Querier>,
    services: [GrpcServices; 2],
}

impl QueryPorts {
    /// Tells who watches that no more should be asked.
    pub(crate) async fn stops(&self) {
        for services in &self.services {
            services.stops().await;
        }
    }
}

impl Answer for QueryPort {
    type Body = Body;

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let router = match kind {
            Some(kind) if kind.starts_with(GRPC) => &self.grpc,
            _ => &self.http,
        };
        let answered = router.clone().oneshot(request.map(Body::new)).await;
        answered.unwrap_or_else(|never| match never {})
    }
}

pub(crate) async fn start_query(
    settings: &Resolved,
    shared: &Shared,
    in_process: Option<InProcess>,
    processors: Handle,
) -> Result<QueryPorts, StartError> {
    let bucket = shared.catalog.bucket();
    let workers = processors.metrics().num_workers();
    let spill = emptied(settings).await?;
    let config = QuerierConfig {
        caches: settings.query.caches,
        limits: settings.query.limits.clone(),
        turns: settings.query.turns,
        sql: SqlConfig { partitions: workers, spill: Some(spill), spill_bytes: settings.query.spill_bytes },
        workers,
    };
    let logs = Arc::new(BucketReader::new(bucket));
    let parts = QuerierParts {
        catalog: Arc::clone(&shared.catalog),
        clock: Arc::clone(&shared.clock),
        ingesters: Ingesters::new(Arc::clone(bucket.objects()), RemoteLimits::default(), logs),
        in_process,
        processors,
    };
    let querier = Arc::new(Querier::new(&config, parts).map_err(failed)?);
    ports(settings, querier).await
}

/// A querier without ports: of a command, or of a process that answers no questions and is told what to delete.
pub(crate) fn querier_without_ports(
    settings: &Resolved,
    shared: &Shared,
) -> Result<Arc<Querier>, StartError> {
    let bucket = shared.catalog.bucket();
    let config = QuerierConfig {
        // Nobody asks twice, and a process of another role has its memory for that.
        caches: CacheSizes::of(CACHES_WITHOUT_PORTS),
        limits: settings.query.limits.clone(),
        turns: settings.query.turns,
        sql: SqlConfig { partitions: 1, spill: None, spill_bytes: settings.query.spill_bytes },
        workers: 1,
    };
    let logs = Arc::new(BucketReader::new(bucket));
    let parts = QuerierParts {
        catalog: Arc::clone(&shared.catalog),
        clock: Arc::clone(&shared.clock),
        ingesters: Ingesters::new(Arc::clone(bucket.objects()), RemoteLimits::default(), logs),
        in_process: None,
        processors: Handle::current(),
    };
    Ok(Arc::new(Querier::new(&config, parts).map_err(failed)?))
}

async fn ports(settings: &Resolved, querier: Arc<Querier>) -> Result<QueryPorts, StartError> {
    let http = http_config(settings);
    let jaeger = JaegerGrpc {
        querier: Arc::clone(&querier),
        tenants: http.tenants,
        settings: Arc::new(http.jaeger.clone()),
    };
    let queries = jaeger.queries().await.map_err(failed)?;
    let storage = jaeger.storage(settings.role.ingests()).await.map_err(failed)?;
    let ui = settings.query.ui.clone();
    let ui = spawn_blocking(move || Ui::open(&ui)).await.map_err(failed)?.map_err(failed)?;
    let grpc = queries.whole_router();
    Ok(QueryPorts {
        query: Arc::new(QueryPort {
            http: with_ui(router(Arc::clone(&querier), http), ui),
            grpc: grpc.clone(),
        }),
        query_grpc: Arc::new(QueryPort { http: grpc.clone(), grpc }),
        jaeger_storage: storage.whole_router(),
        querier,
        services: [queries, storage],
    })
}

fn http_config(settings: &Resolved) -> HttpConfig {
    HttpConfig {
        tenants: settings.ingest.otlp.tenants,
        jaeger: JaegerSettings {
            max_clock_skew: settings.query.max_clock_skew,
            names_lookback: settings.query.names_lookback,
            otlp_json: Some(Arc::new(IngestersJson)),
            transform_bytes: settings.ingest.otlp.request_bytes,
        },
    }
}

/// The folder for what does not fit into memory. What a process left there that was killed is of no use to anybody.
async fn emptied(settings: &Resolved) -> Result<std::path::PathBuf, StartError> {
    let folder = settings.data.join("spill");
    let said = |error: std::io::Error| StartError(format!("the folder `{}`: {error}", folder.display()));
    match tokio::fs::remove_dir_all(&folder).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(said(error)),
        _ => {}
    }
    tokio::fs::create_dir_all(&folder).await.map_err(said)?;
    Ok(folder)
}
