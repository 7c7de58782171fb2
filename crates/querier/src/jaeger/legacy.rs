//! Jaeger's JSON under `/api`: what its UI up to now, and Grafana, read.

mod archive;
mod dependencies;
mod envelope;
mod metrics;
mod names;
mod parameters;
mod process;
mod span;
mod trace;
mod traces;
mod transform;
mod value;

use axum::Router;
use axum::routing::{get, post};

use super::http::Jaeger;

pub(super) fn router() -> Router<Jaeger> {
    Router::new()
        .route("/api/services", get(names::services))
        .route("/api/services/{*rest}", get(names::operations_of_service))
        .route("/api/operations", get(names::operations))
        .route("/api/traces", get(traces::search))
        .route("/api/traces/{trace}", get(traces::by_id))
        .route("/api/archive/{trace}", post(archive::archive))
        .route("/api/transform", post(transform::transform))
        .route("/api/dependencies", get(dependencies::dependencies))
        .route("/api/metrics/latencies", get(metrics::latencies))
        .route("/api/metrics/calls", get(metrics::calls))
        .route("/api/metrics/errors", get(metrics::errors))
        .route("/api/metrics/minstep", get(metrics::minstep))
}
