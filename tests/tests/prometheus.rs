//! Rates, latencies and the graph of services as Prometheus tells them, against the oracle, wherever spans lie.

#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use siltstone_querier::http::{HttpConfig, router};
use siltstone_querier::limits::QueryLimits;
use siltstone_testkit::arbitrary;
use siltstone_testkit::oracle::CanonicalSpan;
use siltstone_tests::scene::{LAYOUTS, Layout, Scene};
use siltstone_traffic::{Traffic, TrafficConfig};
use tower::ServiceExt;

type Labels = BTreeMap<String, String>;

struct Asking {
    router: Router,
}

impl Asking {
    fn of(scene: &Scene) -> Self {
        let querier = scene.world.querier(QueryLimits::default());
        Self { router: router(querier, HttpConfig::default()) }
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let form = serde_urlencoded::to_string(fields).unwrap();
        let kind = "application/x-www-form-urlencoded";
        let request = Request::post(path).header("content-type", kind).body(Body::from(form)).unwrap();
        self.send(request).await
    }

    async fn send(&self, request: Request<Body>) -> (u16, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Each series at one time, in milliseconds.
    async fn at(&self, query: &str, millis: u64) -> BTreeMap<Labels, f64> {
        let time = format!("{}.{:03}", millis / 1_000, millis % 1_000);
        let (status, answer) = self.post("/api/v1/query", &[("query", query), ("time", &time)]).await;
        assert_eq!((status, &answer["data"]["resultType"]), (200, &json!("vector")), "{query}: {answer}");
        let series = answer["data"]["result"].as_array().unwrap().iter();
        series.map(|series| (labels(&series["metric"]), number(&series["value"][1]))).collect()
    }
}

fn labels(metric: &Value) -> Labels {
    serde_json::from_value(metric.clone()).unwrap()
}

fn number(text: &Value) -> f64 {
    match text.as_str().unwrap() {
        "+Inf" => f64::INFINITY,
        text => text.parse().unwrap(),
    }
}

fn named<const N: usize>(all: [(&str, &str); N]) -> Labels {
    let said = all.into_iter().filter(|(_, value)| !value.is_empty());
    said.map(|(label, value)| (label.to_owned(), value.to_owned())).collect()
}

fn status_of(span: &CanonicalSpan) -> &'static str {
    match span.status_code {
        1 => "STATUS_CODE_OK",
        2 => "STATUS_CODE_ERROR",
        _ => "STATUS_CODE_UNSET",
    }
}

/// How long these took together, in nanoseconds.
fn together<'a>(spans: impl Iterator<Item = &'a CanonicalSpan>) -> f64 {
    spans.map(|span| span.duration_nanos().max(0) as f64).sum()
}

fn is_near(found: f64, right: f64) -> bool {
    (found - right).abs() <= right.abs() * 1e-9
}

/// From the beginning of time to the last whole millisecond that a span may start in.
const LATEST_MILLIS: u64 = 9_223_372_036_854;
const EVER: &str = "[293y]";

async fn check(scene: &Scene) -> Result<(), TestCaseError> {
    let asking = Asking::of(scene);
    let ends = LATEST_MILLIS * 1_000_000;
    let spans = scene.oracle.spans();
    let mut right: BTreeMap<Labels, Vec<&CanonicalSpan>> = BTreeMap::new();
    for span in spans.iter().filter(|span| span.start_unix_nanos <= ends) {
        let labels = named([
            ("service_name", span.service_name()),
            ("span_name", &span.name),
            ("status_code", status_of(span)),
        ]);
        right.entry(labels).or_default().push(span);
    }
    let by = "sum by (service_name, span_name, status_code)";
    let calls =
        asking.at(&format!("{by} (increase(traces_spanmetrics_calls_total{EVER}))"), LATEST_MILLIS).await;
    let counts = right.iter().map(|(labels, spans)| (labels.clone(), spans.len() as f64)).collect();
    prop_assert_eq!(&calls, &counts);
    let sums =
        asking.at(&format!("{by} (increase(traces_spanmetrics_latency_sum{EVER}))"), LATEST_MILLIS).await;
    prop_assert_eq!(sums.len(), right.len());
    for (labels, spans) in &right {
        let seconds = together(spans.iter().copied()) / 1e9;
        prop_assert!(is_near(sums[labels], seconds), "{labels:?}: {} for {seconds}", sums[labels]);
    }
    // One of them, by itself.
    if let Some((labels, spans)) = right.iter().find(|(labels, _)| labels.len() == 3) {
        let quoted = |label: &str| format!("{label}={}", serde_json::to_string(&labels[label]).unwrap());
        let is_plain = |label: &str| labels[label].chars().all(|c| c.is_alphanumeric());
        if is_plain("service_name") && is_plain("span_name") {
            let matchers = ["service_name", "span_name", "status_code"].map(quoted).join(",");
            let one = format!("sum(increase(traces_spanmetrics_calls_total{{{matchers}}}{EVER}))");
            let found = asking.at(&one, LATEST_MILLIS).await;
            prop_assert_eq!(found, BTreeMap::from([(Labels::new(), spans.len() as f64)]));
        }
    }
    check_graph(scene, &asking).await
}

async fn check_graph(scene: &Scene, asking: &Asking) -> Result<(), TestCaseError> {
    let window = siltstone_testkit::oracle::TimeWindow {
        start_unix_nanos: 0,
        end_unix_nanos: LATEST_MILLIS * 1_000_000 + 1,
    };
    let (mut calls, mut failed) = (BTreeMap::<Labels, f64>::new(), BTreeMap::<Labels, f64>::new());
    for ((client, server, kind, _), found) in scene.oracle.dependencies(Some(window)).edges {
        let kind = match kind {
            "service" => "",
            "messaging" => "messaging_system",
            "database" => "database",
            _ => "virtual_node",
        };
        let labels = named([("client", &client), ("server", &server), ("connection_type", kind)]);
        *calls.entry(labels.clone()).or_default() += found.calls as f64;
        *failed.entry(labels).or_default() += found.errors as f64;
    }
    let by = "sum by (client, server, connection_type)";
    for (metric, right) in [("total", calls), ("failed_total", failed)] {
        let query = format!("{by} (increase(traces_service_graph_request_{metric}{EVER}))");
        prop_assert_eq!(asking.at(&query, LATEST_MILLIS).await, right, "{}", query);
    }
    Ok(())
}

#[test]
fn random_spans_are_counted_wherever_they_lie() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) };
    let cases = (arbitrary::arbitrary_requests(), select(LAYOUTS.to_vec()), vec(any::<usize>(), 64));
    let checked = TestRunner::new(config).run(&cases, |(requests, layout, dice)| {
        runtime.block_on(async {
            let mut rolls = dice.iter().cycle();
            let scene = Scene::of(&requests, layout, 3, |sides| rolls.next().unwrap() % sides).await;
            check(&scene).await
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn traffic() -> Scene {
    let config = TrafficConfig { spans: 20_000, seed: 5, ..TrafficConfig::default() };
    let requests: Vec<_> = Traffic::new(config).map(|batch| batch.request).collect();
    let mut roll = 0;
    let dice = |sides: usize| {
        roll += 7;
        roll % sides
    };
    Scene::of(&requests, Layout::Mixed, 1_000_000, dice).await
}

#[tokio::test(flavor = "multi_thread")]
async fn points_are_about_the_time_before_them() {
    let scene = traffic().await;
    let asking = Asking::of(&scene);
    check(&scene).await.unwrap();
    let starts = || scene.spans.iter().map(|span| span.start_unix_nano / 1_000_000);
    let (first, last) = (starts().min().unwrap(), starts().max().unwrap());
    let step = ((last - first) / 7).max(1);
    let seconds = |millis: u64| format!("{}.{:03}", millis / 1_000, millis % 1_000);
    let range = format!("{}ms", 2 * step);
    let query = format!("sum by (service) (rate(traces_spanmetrics_calls_total[{range}]))");
    let (start, end) = (first + step, last + 2 * step);
    let fields = [
        ("query", query.as_str()),
        ("start", &seconds(start)),
        ("end", &seconds(end)),
        ("step", &seconds(step)),
    ];
    let (status, answer) = asking.post("/api/v1/query_range", &fields).await;
    assert_eq!((status, &answer["data"]["resultType"]), (200, &json!("matrix")), "{answer}");
    let series = answer["data"]["result"].as_array().unwrap();
    assert!(series.len() > 3, "{answer}");
    let (spans, mut counted) = (scene.oracle.spans(), 0);
    for series in series {
        let service = series["metric"]["service"].as_str().unwrap();
        for point in series["values"].as_array().unwrap() {
            let millis = (point[0].as_f64().unwrap() * 1e3).round() as u64;
            let (after, until) = ((millis - 2 * step) * 1_000_000, millis * 1_000_000);
            let is_of = |span: &&CanonicalSpan| {
                let start = span.start_unix_nanos;
                span.service_name() == service && after < start && start <= until
            };
            let right = spans.iter().filter(is_of).count();
            let found = number(&point[1]) * (2 * step) as f64 / 1e3;
            assert!((found - right as f64).abs() < 1e-6, "{service} at {millis}: {found} for {right}");
            counted += right;
        }
    }
    // But for the last, each span is of two points.
    assert!(counted > spans.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn latencies_are_within_two_percent() {
    let scene = traffic().await;
    let asking = Asking::of(&scene);
    let mut durations = BTreeMap::<String, Vec<f64>>::new();
    let spans = scene.oracle.spans();
    for span in spans.iter().filter(|span| span.kind == 2) {
        let millis = span.duration_nanos().max(0) as f64 / 1e6;
        durations.entry(span.service_name().to_owned()).or_default().push(millis);
    }
    let latency = "traces_span_metrics_duration_milliseconds_bucket";
    let query = format!(
        "histogram_quantile(0.95, sum(rate({latency}{{span_kind =~ \"SPAN_KIND_SERVER\"}}{EVER})) by (service_name,le))"
    );
    let found = asking.at(&query, LATEST_MILLIS).await;
    assert!(found.len() > 3 && found.len() == durations.len(), "{found:?}");
    for (service, mut durations) in durations {
        durations.sort_by(f64::total_cmp);
        let right = durations[(0.95 * durations.len() as f64).ceil() as usize - 1];
        let found = found[&named([("service_name", &service)])];
        assert!((found / right - 1.0).abs() < 0.02, "{service}: {found} for {right}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn editors_are_offered_what_there_is() {
    let scene = traffic().await;
    let asking = Asking::of(&scene);
    let spans = scene.oracle.spans();
    let get = async |path: &str, fields: &[(&str, &str)]| {
        let path = format!(
            "/api/v1/{path}?end={}&start=0&{}",
            LATEST_MILLIS / 1_000,
            serde_urlencoded::to_string(fields).unwrap()
        );
        let (status, answer) = asking.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!((status, &answer["status"]), (200, &json!("success")), "{answer}");
        answer["data"].clone()
    };
    let names = get("label/__name__/values", &[]).await;
    assert!(names.as_array().unwrap().contains(&json!("traces_spanmetrics_calls_total")));
    let set = |texts: &mut dyn Iterator<Item = &str>| json!(texts.collect::<std::collections::BTreeSet<_>>());
    let services = set(&mut spans.iter().map(CanonicalSpan::service_name));
    assert_eq!(get("label/service/values", &[]).await, services);
    let by_name =
        [("match[]", "{__name__=\"traces_spanmetrics_calls_total\", status_code=\"STATUS_CODE_ERROR\"}")];
    let failed = spans.iter().filter(|span| span.status_code == 2);
    assert_eq!(
        get("label/service_name/values", &by_name).await,
        set(&mut failed.map(CanonicalSpan::service_name))
    );
    assert_eq!(get("label/absent/values", &[]).await, json!([]));
    assert_eq!(
        get("labels", &[("match[]", "traces_service_graph_request_total")]).await,
        json!(["__name__", "client", "connection_type", "server"])
    );
    assert!(get("labels", &[]).await.as_array().unwrap().contains(&json!("span_name")));
    assert_eq!(get("metadata", &[]).await["traces_spanmetrics_latency"][0]["type"], json!("histogram"));
    let edges = get("series", &[("match[]", "traces_service_graph_request_total")]).await;
    let calls =
        asking.at(&format!("increase(traces_service_graph_request_total{EVER})"), LATEST_MILLIS).await;
    assert_eq!(edges.as_array().unwrap().len(), calls.len());
    assert!(
        edges[0]["__name__"] == json!("traces_service_graph_request_total") && edges[0]["client"].is_string()
    );
    // Nothing was sent in the last hour.
    let request = Request::get("/api/v1/label/service/values").body(Body::empty()).unwrap();
    assert_eq!(asking.send(request).await.1["data"], json!([]));
    let request = Request::get("/api/v1/series?match[]=up").body(Body::empty()).unwrap();
    assert_eq!(asking.send(request).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_wrongly_is_told_why() {
    let scene = Scene::of(&[], Layout::LiveOnly, 3, |_| 0).await;
    let asking = Asking::of(&scene);
    let calls = "rate(traces_spanmetrics_calls_total[5m])";
    for (path, fields, says) in [
        ("/api/v1/query", vec![], "`query` is missing"),
        ("/api/v1/query", vec![("query", "up")], "there is no metric `up`"),
        ("/api/v1/query", vec![("query", calls), ("time", "noon")], "`time` is `noon`"),
        ("/api/v1/query", vec![("query", "sum(1)")], "series are expected"),
        ("/api/v1/query_range", vec![("query", calls), ("start", "0"), ("end", "1")], "`step` is missing"),
        (
            "/api/v1/query_range",
            vec![("query", calls), ("start", "2"), ("end", "1"), ("step", "1")],
            "before the start",
        ),
        (
            "/api/v1/query_range",
            vec![("query", calls), ("start", "0"), ("end", "1"), ("step", "0")],
            "leads nowhere",
        ),
        (
            "/api/v1/query_range",
            vec![("query", calls), ("start", "0"), ("end", "1e6"), ("step", "1s")],
            "longer step",
        ),
    ] {
        let (status, answer) = asking.post(path, &fields).await;
        let error = answer["error"].as_str().unwrap();
        assert_eq!((status, &answer["errorType"]), (400, &json!("bad_data")), "{answer}");
        assert!(error.contains(says), "{fields:?}: {error}");
    }
    // What data sources ask to see whether somebody is there.
    let request = Request::get("/api/v1/query?query=1%2B1&time=7").body(Body::empty()).unwrap();
    let (status, answer) = asking.send(request).await;
    assert_eq!((status, &answer["data"]), (200, &json!({"resultType": "scalar", "result": [7, "2"]})));
}
