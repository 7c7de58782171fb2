//! A store for Jaeger itself: `jaeger.storage.v2`, as a process of Jaeger's asks it. Spans are written by OTLP, which
//! the server has beside this.

// What is searched for, as this protocol says it.
mod query;
// The services.
mod capabilities;
mod dependencies;
mod traces;

use axum::Router;

use super::grpc::JaegerGrpc;

const TRACE_READER: &str = "jaeger.storage.v2.TraceReader";
const DEPENDENCY_READER: &str = "jaeger.storage.v2.DependencyReader";
const CAPABILITIES: &str = "jaeger.storage.v2.Capabilities";

pub(super) const SERVICES: [&str; 3] = [TRACE_READER, DEPENDENCY_READER, CAPABILITIES];

pub(super) fn router(jaeger: &JaegerGrpc) -> Router {
    Router::new()
        .merge(traces::router(jaeger))
        .merge(dependencies::router(jaeger))
        .merge(capabilities::router(jaeger))
}
