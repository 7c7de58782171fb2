//! What is stored comes back as Jaeger's JSON: against a mapping that knows spans as OTLP has them, and that shares no
//! code with what is tested.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use siltstone_querier::limits::QueryLimits;
use siltstone_testkit::oracle::canonical::{
    Attributes, CanonicalEvent, CanonicalLink, CanonicalSpan, CanonicalValue,
};
use siltstone_testkit::{arbitrary, nasty};
use siltstone_tests::scene::{LAYOUTS, Layout, Scene};

use crate::requests::Http;

const KINDS: [&str; 6] = ["", "internal", "server", "client", "producer", "consumer"];
const LARGEST: i64 = (1 << 53) - 1;

fn short(trace: &[u8]) -> String {
    let hex: String = trace.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.strip_prefix("0000000000000000").map(str::to_owned).unwrap_or(hex)
}

fn nested(value: &CanonicalValue) -> Value {
    match value {
        CanonicalValue::Empty => Value::Null,
        CanonicalValue::String(text) => json!(text),
        CanonicalValue::Bool(flag) => json!(flag),
        CanonicalValue::Int(int) => json!(int),
        CanonicalValue::Double(double) => number(double.value()),
        CanonicalValue::Bytes(bytes) => json!(BASE64.encode(&bytes.0)),
        CanonicalValue::Array(items) => items.iter().map(nested).collect(),
        CanonicalValue::Map(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), nested(value))).collect()
        }
    }
}

fn number(double: f64) -> Value {
    match double {
        _ if double.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        double => json!(double),
    }
}

/// A tag; lists and maps stand as what their text says.
fn tag(key: &str, value: &CanonicalValue) -> Value {
    let (kind, value) = match value {
        CanonicalValue::Empty => ("string", json!("")),
        CanonicalValue::String(text) => ("string", json!(text)),
        CanonicalValue::Bool(flag) => ("bool", json!(flag)),
        CanonicalValue::Int(int) if int.unsigned_abs() > LARGEST as u64 => ("int64", json!(int.to_string())),
        CanonicalValue::Int(int) => ("int64", json!(int)),
        CanonicalValue::Double(double) => ("float64", number(double.value())),
        CanonicalValue::Bytes(bytes) => ("binary", json!(BASE64.encode(&bytes.0))),
        CanonicalValue::Array(_) | CanonicalValue::Map(_) => ("string", json!({"json": nested(value)})),
    };
    json!({"key": key, "type": kind, "value": value})
}

fn texts(pairs: &[(&str, &str)]) -> Vec<Value> {
    let said = pairs.iter().filter(|(_, text)| !text.is_empty());
    said.map(|(key, text)| json!({"key": key, "type": "string", "value": text})).collect()
}

fn sorted(mut tags: Vec<Value>) -> Vec<Value> {
    tags.sort_by_key(Value::to_string);
    tags
}

fn tags(attributes: &Attributes) -> Vec<Value> {
    sorted(attributes.0.iter().map(|(key, value)| tag(key, value)).collect())
}

fn references(span: &CanonicalSpan) -> Vec<Value> {
    let reference = |kind: &str, trace: &[u8], id: &[u8]| {
        let mut id = id.to_vec();
        id.resize(8, 0);
        json!({"refType": kind, "traceID": short(trace), "spanID": short(&[&[0; 8][..], &id].concat())})
    };
    let kind = |link: &CanonicalLink| {
        let types = link.attributes.values_of("opentracing.ref_type");
        let is_child = types.into_iter().any(|value| *value == CanonicalValue::String("child_of".to_owned()));
        if is_child { "CHILD_OF" } else { "FOLLOWS_FROM" }
    };
    let mut all = Vec::new();
    let is_parent = |link: &&CanonicalLink| {
        link.trace_id == span.trace_id && Some(&link.span_id) == span.parent_id.as_ref()
    };
    if let Some(parent) = &span.parent_id {
        let kind = span.links.iter().filter(is_parent).map(kind).next_back().unwrap_or("CHILD_OF");
        all.push(reference(kind, &span.trace_id.0, &parent.0));
    }
    for link in span.links.iter().filter(|link| !is_parent(link)) {
        let mut trace = link.trace_id.0.clone();
        trace.resize(16, 0);
        all.push(reference(kind(link), &trace, &link.span_id.0));
    }
    all
}

fn log(event: &CanonicalEvent) -> Value {
    let mut fields = tags(&event.attributes);
    if event.attributes.values_of("event").next().is_none() {
        fields.extend(texts(&[("event", &event.name)]));
    }
    json!({"timestamp": event.unix_nanos / 1_000, "fields": sorted(fields)})
}

/// A span with its process in it.
fn expected(span: &CanonicalSpan) -> Value {
    let origin = &span.origin;
    let mut all =
        texts(&[("otel.scope.name", &origin.scope_name), ("otel.scope.version", &origin.scope_version)]);
    all.extend(tags(&span.attributes));
    let kind = usize::try_from(span.kind).ok().and_then(|kind| KINDS.get(kind)).copied().unwrap_or_default();
    let code = match span.status_code {
        1 => "OK",
        2 => "ERROR",
        _ => "",
    };
    all.extend(texts(&[("span.kind", kind), ("otel.status_code", code)]));
    if span.status_code == 2 {
        all.push(json!({"key": "error", "type": "bool", "value": true}));
    }
    all.extend(texts(&[
        ("otel.status_description", &span.status_message),
        ("w3c.tracestate", &span.trace_state),
    ]));
    let names_service = |(key, value): &&(String, CanonicalValue)| {
        key == "service.name" && matches!(value, CanonicalValue::String(_))
    };
    let resource = origin.resource_attributes.0.iter().filter(|pair| !names_service(pair));
    let service = match span.service_name() {
        "" => "OTLPResourceNoServiceName",
        name => name,
    };
    json!({
        "traceID": short(&span.trace_id.0),
        "spanID": short(&[&[0; 8][..], &span.span_id.0].concat()),
        "operationName": span.name,
        "references": references(span),
        "startTime": span.start_unix_nanos / 1_000,
        "duration": span.end_unix_nanos.saturating_sub(span.start_unix_nanos) / 1_000,
        "tags": all,
        "logs": span.events.iter().map(log).collect::<Vec<_>>(),
        "process": {
            "serviceName": service,
            "tags": sorted(resource.map(|(key, value)| tag(key, value)).collect()),
        },
        "warnings": null,
    })
}

/// One span of an answer in the same form: numbers by their type, texts of lists as what they say, and attributes,
/// whose order carries no meaning, in one.
fn found(span: &Value, processes: &Value) -> Value {
    let mut span = span.as_object().unwrap().clone();
    let process = span.remove("processID").unwrap();
    let mut process = processes[process.as_str().unwrap()].clone();
    process["tags"] = sorted(read(&process["tags"])).into();
    span.insert("process".to_owned(), process);
    span["tags"] = attributes_sorted(read(&span["tags"])).into();
    for log in span["logs"].as_array_mut().unwrap() {
        log["fields"] = sorted(read(&log["fields"])).into();
    }
    span.into()
}

fn read(tags: &Value) -> Vec<Value> {
    let read = |tag: &Value| {
        let mut tag = tag.clone();
        match tag["type"].as_str().unwrap() {
            "float64" if tag["value"].is_number() => tag["value"] = json!(tag["value"].as_f64().unwrap()),
            "string" => {
                let parsed: Result<Value, _> = serde_json::from_str(tag["value"].as_str().unwrap());
                if let Some(parsed) = parsed.ok().filter(|parsed| parsed.is_object() || parsed.is_array()) {
                    tag["value"] = json!({"json": parsed});
                }
            }
            _ => {}
        }
        tag
    };
    tags.as_array().unwrap().iter().map(read).collect()
}

/// Between what stands first and what stands last.
fn attributes_sorted(mut tags: Vec<Value>) -> Vec<Value> {
    const FIRST: [&str; 2] = ["otel.scope.name", "otel.scope.version"];
    const LAST: [&str; 5] =
        ["span.kind", "otel.status_code", "error", "otel.status_description", "w3c.tracestate"];
    let is_of = |tag: &Value, keys: &[&str]| keys.contains(&tag["key"].as_str().unwrap());
    let first = tags.iter().take_while(|tag| is_of(tag, &FIRST)).count();
    let last = tags.iter().rev().take_while(|tag| is_of(tag, &LAST)).count();
    let end = tags.len() - last;
    tags[first..end].sort_by_key(Value::to_string);
    tags
}

/// Numbers in texts of lists: a double may be written like an int.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64().unwrap() {
            double if double.fract() == 0.0 && double.abs() < 1e15 => json!(double as i64),
            double => json!(double),
        },
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(entries) => entries.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        other => other.clone(),
    }
}

fn in_order(spans: impl Iterator<Item = Value>) -> Vec<Value> {
    sorted(spans.map(|span| plain(&span)).collect())
}

/// How many traces there were.
async fn check(scene: &Scene) -> Result<usize, TestCaseError> {
    let http = Http::new(scene.world.querier(QueryLimits::default()));
    let mut traces = BTreeMap::<Vec<u8>, Vec<CanonicalSpan>>::new();
    for span in scene.oracle.spans() {
        traces.entry(span.trace_id.0.clone()).or_default().push(span.clone());
    }
    for (trace, spans) in &traces {
        let reply = http.get(&format!("/api/traces/{}?raw=true", short(trace))).await;
        prop_assert_eq!(reply.status, 200);
        let answer = reply.json();
        prop_assert_eq!(answer["data"].as_array().unwrap().len(), 1);
        let read = &answer["data"][0];
        prop_assert_eq!(&read["traceID"], &json!(short(trace)));
        let processes = read["processes"].as_object().unwrap();
        let distinct: std::collections::HashSet<String> = processes.values().map(Value::to_string).collect();
        prop_assert_eq!(distinct.len(), processes.len(), "{:?}", processes);
        let found =
            in_order(read["spans"].as_array().unwrap().iter().map(|span| found(span, &read["processes"])));
        let right = in_order(spans.iter().map(expected));
        for (found, right) in found.iter().zip(&right) {
            prop_assert_eq!(found, right);
        }
        prop_assert_eq!(found.len(), right.len());
    }
    Ok(traces.len())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn any_trace_comes_back_as_the_mapping_says() {
    let runtime = runtime();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) };
    let cases = (arbitrary::arbitrary_requests(), select(LAYOUTS.to_vec()), vec(any::<usize>(), 64));
    let traces = std::cell::Cell::new(0);
    let checked = TestRunner::new(config).run(&cases, |(requests, layout, dice)| {
        runtime.block_on(async {
            let mut rolls = dice.iter().cycle();
            let scene = Scene::of(&requests, layout, 3, |sides| rolls.next().unwrap() % sides).await;
            traces.set(traces.get() + check(&scene).await?);
            Ok(())
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{} traces", traces.get());
    assert!(traces.get() > 300);
}

#[test]
fn every_nasty_trace_comes_back_as_the_mapping_says() {
    let runtime = runtime();
    let mut traces = 0;
    for (name, request) in nasty::named() {
        traces += runtime.block_on(async {
            let scene = Scene::of(&[request], Layout::Mixed, 100_000, |sides| traces % sides).await;
            check(&scene).await.unwrap_or_else(|failure| panic!("{name}: {failure}"))
        });
    }
    assert!(traces > 20, "{traces}");
}
