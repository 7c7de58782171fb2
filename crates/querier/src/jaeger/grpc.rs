//! Jaeger over gRPC: both query APIs, and what every gRPC server has beside its services.
//!
//! Each service is some paths of a router, so that a port may serve it beside HTTP. Requests are read as messages
//! (`super::proto`); answers are bytes when they come here, so that those with spans are never a tree.

// How a call is read and answered.
pub(super) mod call;
// Why it is refused.
pub(super) mod status;
// What services have in common.
pub(super) mod questions;
pub(super) mod spans;
// Spans of the older API.
mod model;
// The services.
mod api_v2;
mod api_v3;
// Health and reflection.
mod standard;

use std::sync::Arc;

use axum::Router;
use siltstone_ask::Window;

pub use self::standard::{GrpcServices, ReflectionError};
use super::adjust::Reading;
use super::settings::JaegerSettings;
use super::storage;
use crate::querier::Querier;

const API_V2: &str = "jaeger.api_v2.QueryService";
const API_V3: &str = "jaeger.api_v3.QueryService";
/// The service by which spans are written, where the server has one.
const TRACE_SERVICE: &str = "opentelemetry.proto.collector.trace.v1.TraceService";
/// What Jaeger calls the writing of spans when it asks for its health.
const TRACE_WRITER: &str = "jaeger.storage.v2.TraceWriter";

/// What calls are answered with.
#[derive(Clone)]
pub struct JaegerGrpc {
    pub querier: Arc<Querier>,
    /// Calls must name their tenant.
    pub tenants: bool,
    pub settings: Arc<JaegerSettings>,
}

impl JaegerGrpc {
    /// The query APIs.
    pub async fn queries(&self) -> Result<GrpcServices, ReflectionError> {
        let router = Router::new().merge(api_v2::router(self)).merge(api_v3::router(self));
        GrpcServices::new(router, &[API_V2, API_V3], &[]).await
    }

    /// A store for Jaeger. `is_written`: the server has OTLP's service beside it.
    pub async fn storage(&self, is_written: bool) -> Result<GrpcServices, ReflectionError> {
        let writing: &[&str] = if is_written { &[TRACE_SERVICE] } else { &[] };
        let names: Vec<&str> = storage::SERVICES.iter().chain(writing).copied().collect();
        let also_healthy: &[&str] = if is_written { &[TRACE_WRITER] } else { &[] };
        GrpcServices::new(storage::router(self), &names, also_healthy).await
    }

    pub(super) fn now_unix_nano(&self) -> u64 {
        self.querier.clock.wall_millis().saturating_mul(1_000_000)
    }

    /// In which services and operations are looked for.
    pub(super) fn window_of_names(&self) -> Window {
        self.settings.window_of_names(self.now_unix_nano())
    }

    pub(super) fn reading(&self, is_raw: bool) -> Reading {
        match is_raw {
            true => Reading::Raw,
            false => Reading::Adjusted { max_clock_skew: self.settings.max_clock_skew },
        }
    }
}
