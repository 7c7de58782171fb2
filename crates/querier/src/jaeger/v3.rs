//! `/api/v3`: what Jaeger's UI reads from version 2.15 on. Traces are OTLP as JSON.

mod calls;
mod failure;
mod filter;
mod names;
mod otlp_json;
mod parameters;
mod summaries;
mod traces;

use axum::Router;
use axum::routing::get;

use super::http::Jaeger;

pub(super) fn router() -> Router<Jaeger> {
    Router::new()
        .route("/api/v3/services", get(names::services))
        .route("/api/v3/operations", get(names::operations))
        .route("/api/v3/traces", get(traces::search))
        .route("/api/v3/traces/{trace}", get(traces::by_id))
        .route("/api/v3/trace-summaries", get(summaries::search))
        .route("/api/v3/dependencies", get(calls::dependencies))
}
