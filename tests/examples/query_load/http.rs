//! The same questions as Jaeger's clients send them, to the querier's own router, until the body has come to its end:
//! what is between the core's answer and the socket.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::{Request, StatusCode};
use serde_json::Value;
use siltstone_querier::cost::CostReport;
use siltstone_querier::http::{HttpConfig, router};
use siltstone_querier::querier::Querier;
use tower::ServiceExt;

use crate::Failure;
use crate::asks::{Answered, Asking};
use crate::truth::{FAILED, NEWEST, STATUS};

/// A path, and how what it answers is counted.
pub(crate) struct Get {
    path: String,
    count: fn(&Value) -> usize,
}

impl Get {
    pub(crate) fn trace(trace: &str) -> Self {
        Self { path: format!("/api/traces/{trace}"), count: |answer| list(&answer["data"][0]["spans"]).len() }
    }

    pub(crate) fn trace_v3(trace: &str) -> Self {
        Self { path: format!("/api/v3/traces/{trace}"), count: |answer| spans(answer).count() }
    }

    pub(crate) fn newest(service: &str) -> Self {
        let path = format!("/api/traces?service={service}&limit={NEWEST}&start=0&end=4102444800000000");
        Self { path, count: |answer| list(&answer["data"]).len() }
    }

    pub(crate) fn failed() -> Self {
        let count = |answer: &Value| {
            spans(answer).map(|span| span["traceId"].as_str()).collect::<BTreeSet<_>>().len()
        };
        Self { path: all_failed("traces"), count }
    }

    pub(crate) fn failed_summaries() -> Self {
        Self { path: all_failed("trace-summaries"), count: |answer| list(&answer["summaries"]).len() }
    }
}

fn all_failed(what: &str) -> String {
    format!(
        "/api/v3/{what}?query.attributes=%7B%22{STATUS}%22%3A%22{FAILED}%22%7D&query.search_depth=1000000\
         &query.start_time_min=2000-01-01T00:00:00Z&query.start_time_max=2100-01-01T00:00:00Z"
    )
}

/// None where there is no list.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn spans(answer: &Value) -> impl Iterator<Item = &Value> {
    let scopes = list(&answer["result"]["resourceSpans"]).iter().flat_map(|of| list(&of["scopeSpans"]));
    scopes.flat_map(|of| list(&of["spans"]))
}

/// What was counted in answers, by their bytes: to count in JSON takes longer than the answer, and leaves memory in
/// another state.
static COUNTED: LazyLock<Mutex<HashMap<Vec<u8>, usize>>> = LazyLock::new(Mutex::default);

fn counted(get: &Get, answer: Vec<u8>) -> Result<usize, Failure> {
    let mut counted = COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = counted.get(&answer) {
        return Ok(*known);
    }
    let count = (get.count)(&serde_json::from_slice(&answer)?);
    counted.insert(answer, count);
    Ok(count)
}

pub(crate) async fn ask(querier: &Arc<Querier>, get: &Get) -> Result<Answered, Failure> {
    let router = router(Arc::clone(querier), HttpConfig::default());
    let request = Request::get(&get.path).body(Body::empty())?;
    let asking = Asking::begin();
    let (head, body) = router.oneshot(request).await?.into_parts();
    let mut pieces = Vec::new();
    let mut body = body;
    while let Some(frame) = body.frame().await {
        pieces.extend(frame?.into_data());
    }
    let answered = asking.answered(0, CostReport::default());
    let bytes = pieces.concat();
    if head.status != StatusCode::OK {
        return Err(format!("{}: {} {}", get.path, head.status, String::from_utf8_lossy(&bytes)).into());
    }
    Ok(Answered { found: counted(get, bytes)?, ..answered })
}
