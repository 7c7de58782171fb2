//! Questions over HTTP: adapters only, which turn requests into questions and answers into bodies.

mod rows;
mod sql;
mod status;
mod tenant;
pub mod usage;
// What browsers get beside the answers.
pub mod ui;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::jaeger;
use crate::jaeger::settings::JaegerSettings;
use crate::prometheus;
use crate::querier::Querier;

pub(crate) use status::{partial_header, status_of};
pub(crate) use tenant::tenant_of;

/// What requests are answered with.
#[derive(Clone)]
struct Service {
    querier: Arc<Querier>,
    /// Requests must name their tenant.
    tenants: bool,
}

#[derive(Clone, Default)]
pub struct HttpConfig {
    /// Requests must name their tenant.
    pub tenants: bool,
    pub jaeger: JaegerSettings,
}

/// All paths of the query port.
pub fn router(querier: Arc<Querier>, config: HttpConfig) -> Router {
    let HttpConfig { tenants, jaeger: settings } = config;
    let service = Service { querier: Arc::clone(&querier), tenants };
    let prometheus = prometheus::http::router(Arc::clone(&querier), tenants);
    let jaeger = jaeger::http::Jaeger::new(querier, tenants, settings);
    Router::new()
        .route("/api/sql", get(sql::by_get).post(sql::by_post))
        .route("/api/siltstone/usage", get(usage::by_get))
        .with_state(service)
        .merge(prometheus)
        .merge(jaeger::http::router(jaeger))
}
