//! What dashboards ask a Prometheus about spans: rates, latencies and the graph of services, computed from the spans
//! themselves.
//!
//! ```text
//! text.rs ─▶ expr.rs ─▶ fetch.rs (spans counted by labels) ─▶ evaluate.rs ─▶ http.rs
//! ```
//!
//! Of the query language there is what Grafana and Jaeger ask of these metrics (`names.rs`); anything else is refused
//! by its name. Nobody scrapes anything: a counter is what was counted in the range that is asked for.

mod evaluate;
mod expr;
mod fetch;
pub(crate) mod http;
mod labels;
mod names;
mod text;
mod times;
