use std::sync::Arc;

use prost::Message;
use siltstone_format::span::Link;

use super::*;

#[derive(Clone, PartialEq, Message)]
struct Chunk {
    #[prost(message, repeated, tag = "1")]
    spans: Vec<SpanMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    operation_name: String,
    #[prost(message, repeated, tag = "4")]
    references: Vec<Reference>,
    #[prost(uint32, tag = "5")]
    flags: u32,
    #[prost(message, optional, tag = "6")]
    start_time: Option<Seconds>,
    #[prost(message, optional, tag = "7")]
    duration: Option<Seconds>,
    #[prost(message, repeated, tag = "8")]
    tags: Vec<Tag>,
    #[prost(message, repeated, tag = "9")]
    logs: Vec<Log>,
    #[prost(message, optional, tag = "10")]
    process: Option<Process>,
    #[prost(string, tag = "11")]
    process_id: String,
    #[prost(string, repeated, tag = "12")]
    warnings: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Reference {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(int32, tag = "3")]
    ref_type: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Seconds {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Tag {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(int32, tag = "2")]
    v_type: i32,
    #[prost(string, tag = "3")]
    v_str: String,
    #[prost(bool, tag = "4")]
    v_bool: bool,
    #[prost(int64, tag = "5")]
    v_int64: i64,
    #[prost(double, tag = "6")]
    v_float64: f64,
    #[prost(bytes = "vec", tag = "7")]
    v_binary: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Log {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<Seconds>,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<Tag>,
}

#[derive(Clone, PartialEq, Message)]
struct Process {
    #[prost(string, tag = "1")]
    service_name: String,
    #[prost(message, repeated, tag = "2")]
    tags: Vec<Tag>,
}

fn attribute(key: &str, value: Value) -> Attribute {
    Attribute { key: key.to_owned(), value }
}

fn str(key: &str, text: &str) -> Attribute {
    attribute(key, Value::Str(text.to_owned()))
}

fn written(span: &Span) -> SpanMessage {
    let chunks = chunks(std::slice::from_ref(span));
    assert_eq!(chunks.len(), 1);
    Chunk::decode(chunks[0].clone()).unwrap().spans.remove(0)
}

/// Key, type and value of each tag.
fn said(tags: &[Tag]) -> Vec<(&str, i32, String)> {
    let value = |tag: &Tag| match tag.v_type {
        BOOL => tag.v_bool.to_string(),
        INT64 => tag.v_int64.to_string(),
        FLOAT64 => format!("{:?}", tag.v_float64),
        BINARY => format!("{:?}", tag.v_binary),
        _ => tag.v_str.clone(),
    };
    tags.iter().map(|tag| (tag.key.as_str(), tag.v_type, value(tag))).collect()
}

fn of(key: &str, kind: i32, text: &str) -> (&'static str, i32, String) {
    (Box::leak(key.to_owned().into_boxed_str()), kind, text.to_owned())
}

#[test]
fn should_translate_a_span_as_jaeger_does() {
    let origin = Origin {
        resource_attributes: vec![str("host", "a"), str("service.name", "shop")],
        scope_name: "hyper".to_owned(),
        scope_version: "1.2".to_owned(),
        scope_attributes: vec![str("lost", "yes")],
        ..Origin::default()
    };
    let span = Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        name: "GET /".to_owned(),
        trace_state: "a=b".to_owned(),
        flags: 1,
        kind: 2,
        start_unix_nano: 1_700_000_000_000_000_001,
        end_unix_nano: 1_700_000_001_500_000_001,
        status_code: ERROR,
        status_message: "boom".to_owned(),
        attributes: vec![
            str("s", "x"),
            attribute("i", Value::Int(-5)),
            attribute("d", Value::Double(0.5)),
            attribute("b", Value::Bool(false)),
            attribute("bytes", Value::Bytes(vec![1, 2])),
            attribute("list", Value::Array(vec![Value::Int(1), Value::Str("y".to_owned())])),
            attribute("map", Value::Map(vec![str("k", "v")])),
            attribute("empty", Value::Empty),
            attribute(WARNINGS, Value::Array(vec![Value::Str("clock".to_owned()), Value::Int(1)])),
        ],
        origin: Arc::new(origin),
        ..Span::default()
    };
    let message = written(&span);
    assert_eq!((&message.trace_id[..], &message.span_id[..]), (&[1; 16][..], &[2; 8][..]));
    assert_eq!((message.operation_name.as_str(), message.flags), ("GET /", 0));
    assert_eq!(message.start_time, Some(Seconds { seconds: 1_700_000_000, nanos: 1 }));
    assert_eq!(message.duration, Some(Seconds { seconds: 1, nanos: 500_000_000 }));
    let expected = [
        of("otel.scope.name", 0, "hyper"),
        of("otel.scope.version", 0, "1.2"),
        of("s", 0, "x"),
        of("i", INT64, "-5"),
        of("d", FLOAT64, "0.5"),
        of("b", BOOL, "false"),
        of("bytes", BINARY, "[1, 2]"),
        of("list", 0, "[1,\"y\"]"),
        of("map", 0, "{\"k\":\"v\"}"),
        of("empty", 0, ""),
        of("span.kind", 0, "server"),
        of("otel.status_code", 0, "ERROR"),
        of("error", BOOL, "true"),
        of("otel.status_description", 0, "boom"),
        of("w3c.tracestate", 0, "a=b"),
    ];
    assert_eq!(said(&message.tags), expected);
    assert_eq!(message.warnings, ["clock"]);
    let process = message.process.unwrap();
    assert_eq!((process.service_name.as_str(), said(&process.tags)), ("shop", vec![of("host", 0, "a")]));
}

#[test]
fn should_leave_out_what_says_nothing() {
    let message = written(&Span { status_code: OK, ..Span::default() });
    assert_eq!(said(&message.tags), [of("otel.status_code", 0, "OK")]);
    assert_eq!(written(&Span { kind: 77, ..Span::default() }).tags, []);
    assert_eq!(message.process.unwrap().service_name, "OTLPResourceNoServiceName");
    assert!(message.references.is_empty() && message.logs.is_empty() && message.warnings.is_empty());
}

#[test]
fn should_make_references_of_parents_and_links() {
    let link = |trace: u8, span: u8, kind: &str| Link {
        trace_id: TraceId([trace; 16]),
        span_id: SpanId([span; 8]),
        attributes: vec![str(REF_TYPE, kind)],
        ..Link::default()
    };
    let child = |links| Span {
        trace_id: TraceId([1; 16]),
        parent_span_id: Some(SpanId([9; 8])),
        links,
        ..Span::default()
    };
    let references = |links| -> Vec<(u8, u8, i32)> {
        let message = written(&child(links));
        message.references.iter().map(|of| (of.trace_id[0], of.span_id[0], of.ref_type)).collect()
    };
    assert_eq!(references(Vec::new()), [(1, 9, 0)]);
    let links = vec![link(2, 9, "child_of"), link(1, 8, "follows_from"), Link::default()];
    assert_eq!(references(links), [(1, 9, 0), (2, 9, 0), (1, 8, 1), (0, 0, 1)]);
    assert_eq!(references(vec![link(1, 9, "follows_from"), link(3, 3, "")]), [(1, 9, 1), (3, 3, 1)]);
}

#[test]
fn should_make_logs_of_events() {
    let event = |name: &str, attributes| Event {
        name: name.to_owned(),
        time_unix_nano: 5,
        attributes,
        ..Event::default()
    };
    let events =
        vec![event("e", vec![str("k", "v")]), event("e", vec![str("event", "own")]), event("", Vec::new())];
    let logs = written(&Span { events, ..Span::default() }).logs;
    assert_eq!(logs[0].timestamp, Some(Seconds { seconds: 0, nanos: 5 }));
    assert_eq!(said(&logs[0].fields), [of("event", 0, "e"), of("k", 0, "v")]);
    assert_eq!(said(&logs[1].fields), [of("event", 0, "own")]);
    assert_eq!(logs[2].fields, []);
}

#[test]
fn should_say_times_of_any_size() {
    let times = |start_unix_nano, end_unix_nano| {
        let message = written(&Span { start_unix_nano, end_unix_nano, ..Span::default() });
        let of = |time: Option<Seconds>| time.map(|time| (time.seconds, time.nanos)).unwrap();
        (of(message.start_time), of(message.duration))
    };
    assert_eq!(times(2_500_000_000, 0), ((2, 500_000_000), (-2, -500_000_000)));
    assert_eq!(times(0, u64::MAX), ((0, 0), (18_446_744_073, 709_551_615)));
}

#[test]
fn should_send_ten_spans_a_message_or_fewer_if_they_are_large() {
    let spans: Vec<Span> = (0..25).map(|id| Span { span_id: SpanId([id; 8]), ..Span::default() }).collect();
    let counts = |spans: &[Span]| -> Vec<usize> {
        let chunks = chunks(spans);
        assert!(chunks.iter().all(|chunk| chunk.len() <= MESSAGE_BYTES));
        chunks.into_iter().map(|chunk| Chunk::decode(chunk).unwrap().spans.len()).collect()
    };
    assert_eq!(counts(&spans), [10, 10, 5]);
    assert_eq!(counts(&[]), Vec::<usize>::new());
    let large = Span { attributes: vec![str("large", &"x".repeat(1 << 20))], ..Span::default() };
    assert_eq!(counts(&vec![large; 7]), [3, 3, 1]);
    let attributes = vec![str("large", &"x".repeat(5 << 20))];
    let too_large = Span { attributes, ..Span::default() };
    assert_eq!(counts(&[spans[0].clone(), too_large.clone(), spans[1].clone()]), [3]);
    assert_eq!(written(&too_large).warnings.len(), 1);
}
