//! A real Jaeger that keeps its spans with us: what it is sent, it finds again, as it would find it in a store of
//! its own.

use std::net::SocketAddr;

use serde_json::{Value, json};
use siltstone_testkit::server::{Jaeger, program};

use crate::process::{Process, ask_at};

const JAEGER: &str = "SILTSTONE_JAEGER";
/// A call from one service to another one, which fails.
const CALL: &str = "5b8efff798038103d269b633813fc60c";
/// A trace of one span, older, whose id has 64 bits.
const ALONE: &str = "0000000000000000a3ce929d0e0e4736";
const SECOND: u128 = 1_000_000_000;

fn export(now: u128) -> Value {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let span = |trace: &str, id: &str, name: &str, kind: u8, start: u128, nanos: u128| {
        json!({"traceId": trace, "spanId": id, "name": name, "kind": kind,
               "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + nanos).to_string()})
    };
    let of_service = |service: &str, spans: Vec<Value>| {
        let resource = json!({"attributes": [text("service.name", service), text("host.name", &format!("{service}-1"))]});
        json!({"resource": resource, "scopeSpans": [{"scope": {"name": "lib", "version": "1.2"}, "spans": spans}]})
    };
    let calling = span(CALL, "eee19b7ec3c1b174", "GET /", 3, now, SECOND / 2);
    let mut called = span(CALL, "eee19b7ec3c1b175", "POST /cart", 2, now + SECOND / 10, SECOND / 5);
    called["parentSpanId"] = json!("eee19b7ec3c1b174");
    called["status"] = json!({"code": 2, "message": "no more of it"});
    called["attributes"] = json!([
        {"key": "http.response.status_code", "value": {"intValue": "500"}},
        {"key": "load", "value": {"doubleValue": 72.5}},
        {"key": "sure", "value": {"boolValue": true}},
        text("item", "a \"b\""),
    ]);
    called["events"] = json!([{"timeUnixNano": (now + SECOND / 5).to_string(), "name": "exception",
                               "attributes": [text("exception.type", "SoldOut")]}]);
    let alone = span(ALONE, "0000000000000001", "tick", 1, now - 60 * SECOND, SECOND / 100);
    json!({"resourceSpans": [of_service("shop", vec![calling, alone]), of_service("cart", vec![called])]})
}

/// What Jaeger is asked.
struct Asked {
    address: SocketAddr,
}

impl Asked {
    fn get(&self, path: &str) -> (String, Value) {
        let (head, body) = ask_at(&self.address.to_string(), "application/json", &format!("GET {path}"), "");
        let status = head.split(' ').nth(1).unwrap().to_owned();
        let answer = serde_json::from_str(&body);
        assert!(answer.is_ok(), "{path}: no JSON\n{head}\n{body}");
        (status, answer.unwrap())
    }

    fn data(&self, path: &str) -> Value {
        let (status, mut answer) = self.get(path);
        assert_eq!((status.as_str(), &answer["errors"]), ("200", &Value::Null), "{path}: {answer}");
        answer["data"].take()
    }

    /// Which traces a search finds, in its order.
    fn search(&self, parameters: &str) -> Vec<String> {
        let found = self.data(&format!("/api/traces?{parameters}"));
        let ids = found.as_array().unwrap().iter().map(|trace| trace["traceID"].as_str().unwrap().to_owned());
        ids.collect()
    }
}

fn sorted(mut values: Value, by: &str) -> Value {
    values.as_array_mut().unwrap().sort_by_key(|value| value[by].to_string());
    values
}

#[tokio::test]
async fn a_jaeger_keeps_its_spans_with_us_and_finds_them() {
    let Some(program) = program(JAEGER) else { return };
    let folder = tempfile::tempdir().unwrap();
    let siltstone = Process::start("all", &folder.path().join("data"), &folder.path().join("store"));
    let at = |port: &str| siltstone.listen[port].as_str().unwrap().parse().unwrap();
    let jaeger = Jaeger::start(program, at("jaeger_storage"), at("query")).await.unwrap();
    let now = crate::now_nanos() - 10 * SECOND;
    let (otlp, body) = (jaeger.otlp_http().to_string(), export(now).to_string());
    let (head, body) = ask_at(&otlp, "application/json", "POST /v1/traces", &body);
    // Answered when we have answered: from now on it is found.
    assert!(head.contains(" 200 "), "{head}\n{body}");
    let asked = Asked { address: jaeger.query() };
    names(&asked);
    searches(&asked);
    one_trace(&asked, now / 1_000);
    dependencies(&asked, now / 1_000_000);
    metrics(&asked, now / 1_000_000);
    otlp_again(&asked);
    drop(jaeger);
    siltstone.end();
}

fn names(asked: &Asked) {
    let mut services = asked.data("/api/services");
    services.as_array_mut().unwrap().sort_by_key(Value::to_string);
    assert_eq!(services, json!(["cart", "shop"]));
    let operations = |query: &str| sorted(asked.data(&format!("/api/operations?{query}")), "name");
    assert_eq!(
        operations("service=shop"),
        json!([{"name": "GET /", "spanKind": "client"}, {"name": "tick", "spanKind": "internal"}])
    );
    assert_eq!(operations("service=shop&spanKind=client"), json!([{"name": "GET /", "spanKind": "client"}]));
    assert_eq!(asked.data("/api/services/cart/operations"), json!(["POST /cart"]));
    assert_eq!(asked.data("/api/services/nobody/operations"), Value::Null);
}

/// Texts stand for values of all types; `error` and the like are no attributes; all holds on one span.
fn searches(asked: &Asked) {
    let alone = ALONE.trim_start_matches('0');
    for (parameters, found) in [
        ("service=shop", &[CALL, alone][..]),
        ("service=shop&limit=1", &[CALL]),
        ("service=cart", &[CALL]),
        ("service=shop&operation=tick", &[alone]),
        ("service=shop&maxDuration=20ms", &[alone]),
        ("service=cart&minDuration=199ms&maxDuration=201ms", &[CALL]),
        ("service=cart&minDuration=300ms", &[]),
        ("service=cart&tag=http.response.status_code:500", &[CALL]),
        ("service=cart&tag=load:72.5&tag=sure:true", &[CALL]),
        ("service=cart&tags=%7B%22item%22%3A%22a+%5C%22b%5C%22%22%7D", &[CALL]),
        ("service=cart&tag=error:true", &[CALL]),
        ("service=shop&tag=error:true", &[]),
        ("service=cart&tag=exception.type:SoldOut", &[CALL]),
        ("service=cart&tag=host.name:cart-1", &[CALL]),
        ("service=cart&tag=host.name:shop-1", &[]),
        ("service=cart&tag=span.kind:server", &[CALL]),
        ("service=cart&tag=http.response.status_code:200", &[]),
        ("service=nobody", &[]),
    ] {
        assert_eq!(asked.search(parameters), found, "{parameters}");
    }
}

fn one_trace(asked: &Asked, start_micros: u128) {
    let traces = asked.data(&format!("/api/traces/{CALL}"));
    let trace = &traces[0];
    let spans = sorted(trace["spans"].clone(), "spanID");
    assert_eq!((traces.as_array().unwrap().len(), spans.as_array().unwrap().len()), (1, 2), "{trace}");
    let called = &spans[1];
    assert_eq!(
        called["references"],
        json!([{"refType": "CHILD_OF", "traceID": CALL, "spanID": "eee19b7ec3c1b174"}])
    );
    let times = |span: &Value| (span["startTime"].as_u64(), span["duration"].as_u64());
    let start = u64::try_from(start_micros).unwrap();
    assert_eq!(times(&spans[0]), (Some(start), Some(500_000)));
    assert_eq!(times(called), (Some(start + 100_000), Some(200_000)));
    assert_eq!(
        sorted(called["tags"].clone(), "key"),
        json!([
            {"key": "error", "type": "bool", "value": true},
            {"key": "http.response.status_code", "type": "int64", "value": 500},
            {"key": "item", "type": "string", "value": "a \"b\""},
            {"key": "load", "type": "float64", "value": 72.5},
            {"key": "otel.scope.name", "type": "string", "value": "lib"},
            {"key": "otel.scope.version", "type": "string", "value": "1.2"},
            {"key": "otel.status_code", "type": "string", "value": "ERROR"},
            {"key": "otel.status_description", "type": "string", "value": "no more of it"},
            {"key": "span.kind", "type": "string", "value": "server"},
            {"key": "sure", "type": "bool", "value": true},
        ])
    );
    let log = &called["logs"][0];
    assert_eq!(log["timestamp"].as_u64(), Some(start + 200_000));
    assert_eq!(
        sorted(log["fields"].clone(), "key"),
        json!([
            {"key": "event", "type": "string", "value": "exception"},
            {"key": "exception.type", "type": "string", "value": "SoldOut"},
        ])
    );
    let process = &trace["processes"][called["processID"].as_str().unwrap()];
    assert_eq!(
        process,
        &json!({"serviceName": "cart", "tags": [{"key": "host.name", "type": "string", "value": "cart-1"}]})
    );
    let (status, missing) = asked.get("/api/traces/1234567890abcdef");
    assert_eq!((status.as_str(), &missing["errors"][0]["msg"]), ("404", &json!("trace not found")));
}

fn dependencies(asked: &Asked, now_millis: u128) {
    let end = now_millis + 60_000;
    let calls = asked.data(&format!("/api/dependencies?endTs={end}&lookback=3600000"));
    assert_eq!(calls, json!([{"parent": "shop", "child": "cart", "callCount": 1}]));
    let before = now_millis - 3_600_000;
    assert_eq!(asked.data(&format!("/api/dependencies?endTs={before}&lookback=3600000")), json!([]));
}

/// What its page *Monitor* shows, which it asks of a Prometheus.
fn metrics(asked: &Asked, now_millis: u128) {
    let about =
        format!("service=cart&endTs={}&lookback=60000&step=60000&ratePer=600000", now_millis + 60_000);
    // The last point of the one series.
    let last = |path: &str| {
        let (status, answer) = asked.get(&format!("/api/metrics/{path}{about}"));
        assert_eq!(status, "200", "{path}: {answer}");
        let series = answer["metrics"].as_array().unwrap();
        assert_eq!(series.len(), 1, "{answer}");
        assert_eq!(series[0]["labels"][0], json!({"name": "service_name", "value": "cart"}));
        series[0]["metricPoints"].as_array().unwrap().last().unwrap()["gaugeValue"]["doubleValue"]
            .as_f64()
            .unwrap()
    };
    assert!((last("calls?") - 1.0 / 600.0).abs() < 1e-9);
    assert_eq!(last("errors?"), 1.0);
    let millis = last("latencies?quantile=0.95&");
    assert!((millis / 200.0 - 1.0).abs() < 0.02, "{millis}");
}

/// Its newer interface too, which goes the same way.
fn otlp_again(asked: &Asked) {
    let (status, answer) = asked.get(&format!("/api/v3/traces/{CALL}"));
    assert_eq!(status, "200", "{answer}");
    let resources = answer["result"]["resourceSpans"].as_array().unwrap();
    let spans = |resource: &Value| resource["scopeSpans"][0]["spans"].as_array().unwrap().len();
    assert_eq!(resources.iter().map(spans).sum::<usize>(), 2, "{answer}");
}
