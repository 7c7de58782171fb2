//! What holds for all answers: whose spans they are, what they lack, how they come.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use siltstone_catalog::mark::{MarkKind, MarkTarget};
use siltstone_catalog::snapshot::Cover;
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;
use siltstone_querier::jaeger::settings::JaegerSettings;
use siltstone_querier::limits::QueryLimits;

use crate::fixture::{LARGE, flushed, shop, world};
use crate::requests::{Http, Reply};

const TIMES: &str = "start=1699999999000000&end=1700000001000000";

async fn of_tenant(http: &Http, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    http.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_say_whose_spans_is_not_answered() {
    let querier = flushed().await.querier(QueryLimits::default());
    let http = Http::with(querier, true, JaegerSettings::default());
    let id = format!("/api/traces/{LARGE}");
    for path in ["/api/services", "/api/v3/services", id.as_str(), "/api/metrics/minstep", "/api/v3/traces"] {
        let reply = of_tenant(&http, path, &[]).await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (401, Some("text/plain; charset=utf-8")),
            "{path}"
        );
        assert!(reply.body.starts_with("missing tenant header"), "{}", reply.body);
        let reply = of_tenant(&http, path, &[("x-tenant", "a/b")]).await;
        assert!(reply.status == 401 && reply.body.starts_with("unknown tenant"), "{}", reply.body);
    }
    let both = [("x-tenant", "one"), ("x-scope-orgid", "other")];
    assert_eq!(of_tenant(&http, "/api/services", &both).await.status, 401);
    for header in ["x-tenant", "X-Scope-OrgID"] {
        let reply = of_tenant(&http, "/api/services", &[(header, "default")]).await;
        assert_eq!(reply.json()["total"], json!(3));
        let reply = of_tenant(&http, "/api/services", &[(header, "other")]).await;
        assert_eq!(reply.body, r#"{"data":[],"total":0,"limit":0,"offset":0,"errors":null}"#);
        assert_eq!(of_tenant(&http, &id, &[(header, "other")]).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_what_it_lacks() {
    let world = world().await;
    world.announce_the_dead().await;
    let http = Http::new(world.querier(QueryLimits::default()));
    let reply = http.get(&format!("/api/traces/{LARGE}")).await;
    let said = reply.json()["errors"][0]["msg"].as_str().unwrap().to_owned();
    assert!(said.starts_with("the answer is not complete: "), "{said}");
    assert!(reply.header("x-siltstone-partial").is_some());
    let reply = http.get("/api/services").await;
    assert_eq!(reply.json()["errors"].as_array().unwrap().len(), 1, "{}", reply.body);
    let reply = http.get("/api/traces/ffff").await;
    assert_eq!(reply.status, 404);
    assert!(reply.body.contains("trace not found, but the answer is not complete"), "{}", reply.body);
    for path in ["/api/v3/services", "/api/v3/traces/ab", "/api/metrics/calls?service=shop"] {
        assert!(http.get(path).await.header("x-siltstone-partial").is_some(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_that_is_met_has_a_status() {
    let few = QueryLimits { bytes: 1, ..QueryLimits::default() };
    let http = Http::new(flushed().await.querier(few));
    let id = format!("/api/traces/{LARGE}");
    let v3 = format!("/api/v3/traces/{LARGE}");
    let calls = "/api/dependencies?endTs=1700000001000";
    for path in ["/api/services", "/api/v3/services", id.as_str(), v3.as_str(), calls] {
        let reply = http.get(path).await;
        assert_eq!(reply.status, 422, "{path}: {}", reply.body);
        assert!(reply.body.contains("limits.default.query_bytes"), "{}", reply.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_trace_has_a_mark_and_only_one() {
    let world = world().await;
    let http = Http::new(world.querier(QueryLimits::default()));
    for _ in 0..2 {
        assert_eq!(http.post(&format!("/api/archive/{LARGE}"), "").await.status, 200);
    }
    let fresh = Cover { fresh: true, ..Cover::default() };
    let snapshot = world.catalog.snapshot(&fresh).await.unwrap();
    let found = world.catalog.blocks(&snapshot, &Tenant::single(), 0, u64::MAX).await.unwrap();
    let trace: TraceId = LARGE.parse().unwrap();
    let marks: Vec<_> = found.marks.iter().map(|mark| (mark.kind, mark.target.clone())).collect();
    assert_eq!(marks, [(MarkKind::Archive, MarkTarget::Trace(trace))]);
    // It is there as before.
    assert_eq!(http.get(&format!("/api/traces/{LARGE}")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_find_by_everything_that_is_shown() {
    let http = shop().await;
    let tags = |key: &str, text: &str| {
        let pair = encoded_pair("tags", &json!({key: text}).to_string());
        format!("/api/traces?service=team%2Fcart&{TIMES}&{pair}")
    };
    for (key, text) in [
        ("error", "true"),
        ("span.kind", "server"),
        ("int", "72"),
        ("double", "72.50"),
        ("bool", "false"),
        ("otel.status_description", "out of stock"),
        ("w3c.tracestate", "vendor=1"),
        ("scope.name", "http"),
        ("otel.scope.version", "1.2"),
        ("resource.service.name", "team/cart"),
        ("exception.type", "Empty"),
        ("opentracing.ref_type", "child_of"),
        ("event", "exception"),
        ("lost", "x"),
    ] {
        assert_eq!(http.get(&tags(key, text)).await.json()["data"].as_array().unwrap().len(), 1, "{key}");
        assert_eq!(http.get(&tags(key, "other")).await.json()["data"], json!([]), "{key}");
    }
    // All on one span: the error is not the client's.
    let of_client = format!("/api/traces?service=shop&{TIMES}&tag=span.kind:client");
    assert_eq!(http.get(&of_client).await.json()["data"].as_array().unwrap().len(), 1);
    assert_eq!(http.get(&format!("{of_client}&tag=error:true")).await.json()["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_are_bounded_by_times_durations_and_limits() {
    let http = shop().await;
    let found = async |rest: &str| {
        let reply = http.get(&format!("/api/traces?{rest}")).await;
        assert_eq!(reply.status, 200, "{rest}: {}", reply.body);
        reply.json()["data"].as_array().unwrap().len()
    };
    // The trace's root starts at 1,700,000,000 s, its callee 20 ms later and takes 10 ms.
    assert_eq!(found("service=shop&start=1700000000000000&end=1700000000000000").await, 1);
    assert_eq!(found("service=shop&start=1700000000000001&end=1700000000009999").await, 0);
    assert_eq!(found("service=team/cart&start=1700000000020000&end=1700000000020000").await, 1);
    assert_eq!(found(&format!("service=team/cart&{TIMES}&minDuration=10ms&maxDuration=10ms")).await, 1);
    assert_eq!(found(&format!("service=team/cart&{TIMES}&minDuration=10.001ms")).await, 0);
    assert_eq!(found(&format!("service=team/cart&{TIMES}&maxDuration=9999us")).await, 0);
    assert_eq!(found(&format!("service=team/cart&{TIMES}&limit=1&lookback=1h&limit=")).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn structured_filters_are_answered_or_refused() {
    let http = shop().await;
    let asked = async |filter: serde_json::Value, rest: &str| {
        let filter = encoded_pair("query.filter", &filter.to_string());
        let times = "query.startTimeMin=2023-11-14T22:13:19Z&query.startTimeMax=2023-11-14T22:13:21Z";
        http.get(&format!("/api/v3/trace-summaries?{times}&{filter}{rest}")).await
    };
    let named = |name: &str| {
        json!({"op": "eq", "args": [
            {"field": {"name": "name", "level": "span"}}, {"scalar": {"value": name, "type": "string"}}]})
    };
    let found = asked(named("poll"), "").await.json();
    assert_eq!(found["summaries"].as_array().unwrap().len(), 1);
    assert_eq!(found["summaries"][0]["rootOperationName"], json!(null));
    assert_eq!(asked(named("other"), "").await.json()["summaries"], json!([]));
    let reply = asked(named("poll"), "&query.serviceName=shop").await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    for wrong in [json!({"op": "like", "args": []}), json!([]), json!({"op": "eq", "args": [{"x": {}}]})] {
        let reply = asked(wrong, "").await;
        assert_eq!(reply.status, 400);
        assert!(reply.body.contains("malformed parameter query.filter: "), "{}", reply.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_may_be_of_the_last_time_only() {
    let querier = world().await.querier(QueryLimits::default());
    let lookback = Some(Duration::from_secs(3_600));
    let http =
        Http::with(querier, false, JaegerSettings { names_lookback: lookback, ..JaegerSettings::default() });
    assert_eq!(http.get("/api/v3/services").await.body, r#"{"services":[]}"#);
    assert_eq!(http.get("/api/v3/operations?service=shop").await.body, r#"{"operations":[]}"#);
}

fn encoded_pair(name: &str, value: &str) -> String {
    let encoded: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("{name}={encoded}")
}
