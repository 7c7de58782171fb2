//! The port on which Jaeger finds its store: reading by the querier's services, writing by OTLP.
//!
//! What is written here is no request of the receivers' ports, and ends with them all the same: before the last
//! flush, so that this holds all that was acknowledged.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use siltstone_ingest::receive::connections::{Answer, Stop};
use siltstone_ingest::receive::otlp::TRACE_SERVICE;
use siltstone_ingest::receive::otlp::grpc::GrpcReceiver;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// How spans are written, if this process does that.
pub(crate) struct Writing {
    pub(crate) receiver: Arc<GrpcReceiver>,
    /// With which the receivers' ports end.
    pub(crate) stop: Stop,
    pub(crate) under_way: TaskTracker,
}

/// Answers calls on the port.
pub(crate) struct StoragePort {
    pub(crate) reading: Router,
    pub(crate) writing: Option<Writing>,
}

impl Answer for StoragePort {
    type Body = Body;

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let service = request.uri().path().trim_start_matches('/').split('/').next();
        match &self.writing {
            Some(writing) if service == Some(TRACE_SERVICE) => writing.answer(request).await,
            _ => {
                let answered = self.reading.clone().oneshot(request.map(Body::new)).await;
                answered.unwrap_or_else(|never| match never {})
            }
        }
    }
}

impl Writing {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        // Who has one of these before the end is waited for; the others come too late.
        let _under_way = self.under_way.token();
        if self.stop.gently.is_cancelled() {
            return stopping();
        }
        tokio::select! {
            answered = Arc::clone(&self.receiver).answer(request) => answered.map(Body::new),
            () = self.stop.now.cancelled() => stopping(),
        }
    }
}

fn stopping() -> Response<Body> {
    tonic::Status::unavailable("the server stops: send it again").into_http()
}
