//! The querier as a part of the process, and its port.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use siltstone_ingest::bucket_live::BucketReader;
use siltstone_ingest::receive::connections::Answer;
use siltstone_live::RemoteLimits;
use siltstone_querier::http::router;
use siltstone_querier::querier::{Querier, QuerierConfig, QuerierParts};
use siltstone_querier::sql::SqlConfig;
use siltstone_querier::{InProcess, Ingesters};
use tokio::runtime::Handle;
use tower::ServiceExt;

use crate::parts::{Shared, StartError, failed};
use crate::settings::Resolved;

/// Answers requests on the query port.
pub struct QueryPort {
    router: Router,
}

impl Answer for QueryPort {
    type Body = Body;

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let answered = self.router.clone().oneshot(request.map(Body::new)).await;
        answered.unwrap_or_else(|never| match never {})
    }
}

pub(crate) async fn start_query(
    settings: &Resolved,
    shared: &Shared,
    in_process: Option<InProcess>,
    processors: Handle,
) -> Result<Arc<QueryPort>, StartError> {
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
    Ok(Arc::new(QueryPort { router: router(querier, settings.ingest.otlp.tenants) }))
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
