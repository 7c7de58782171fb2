//! Questions over HTTP: adapters only, which turn requests into questions and answers into bodies.

mod rows;
mod sql;
mod tenant;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::querier::Querier;

/// What requests are answered with.
#[derive(Clone)]
struct Service {
    querier: Arc<Querier>,
    /// Requests must name their tenant.
    tenants: bool,
}

/// All paths of the query port.
pub fn router(querier: Arc<Querier>, tenants: bool) -> Router {
    let service = Service { querier, tenants };
    Router::new().route("/api/sql", get(sql::by_get).post(sql::by_post)).with_state(service)
}
