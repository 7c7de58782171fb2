//! A few spans of a shop, each with something that JSON may get wrong.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use siltstone_querier::limits::QueryLimits;
use siltstone_testkit::corpus::build::{
    MILLISECOND, START, array, attribute, attribute_of, bytes, map, span_id, text,
};
use siltstone_tests::decode::request_spans;
use siltstone_tests::query_world::QueryWorld;

use crate::requests::Http;

/// Of the large trace; its half as a number of its own is no trace's.
pub(crate) const LARGE: &str = "0102030405060708090a0b0c0d0e0f10";
/// Of the trace that has only half an id.
pub(crate) const SHORT: &str = "00000000000000ab";

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: i32 = 2;

fn span(trace: &[u8], id: u64, parent: u64, name: &str, kind: i32, millis: (u64, u64)) -> Span {
    Span {
        trace_id: trace.to_vec(),
        span_id: span_id(id),
        parent_span_id: if parent == 0 { Vec::new() } else { span_id(parent) },
        name: name.to_owned(),
        kind,
        start_time_unix_nano: START + millis.0 * MILLISECOND,
        end_time_unix_nano: START + millis.1 * MILLISECOND,
        ..Span::default()
    }
}

fn of_service(
    resource: Vec<KeyValue>,
    scope: Option<InstrumentationScope>,
    spans: Vec<Span>,
) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource { attributes: resource, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope, spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

/// Attributes of all types.
fn attributes() -> Vec<KeyValue> {
    vec![
        attribute("text", text("a \"quoted\" ü")),
        attribute("int", Value::IntValue(72)),
        attribute("safe int", Value::IntValue(9_007_199_254_740_991)),
        attribute("large int", Value::IntValue(9_007_199_254_740_993)),
        attribute("double", Value::DoubleValue(72.5)),
        attribute("whole double", Value::DoubleValue(2.0)),
        attribute("nan", Value::DoubleValue(f64::NAN)),
        attribute("bool", Value::BoolValue(false)),
        attribute("bytes", bytes(&[0, 255])),
        attribute("array", array(vec![Value::IntValue(1), text("x")])),
        attribute("map", map(vec![attribute("k", Value::DoubleValue(0.5))])),
        attribute_of("nothing", None),
        attribute("@jaeger@warnings", array(vec![text("clock was off")])),
    ]
}

fn called() -> Span {
    let large: Vec<u8> = (1..=16).collect();
    let link = |trace: &[u8], id: u64, attributes| Link {
        trace_id: trace.to_vec(),
        span_id: span_id(id),
        attributes,
        ..Link::default()
    };
    Span {
        trace_state: "vendor=1".to_owned(),
        flags: 257,
        attributes: attributes(),
        status: Some(Status { code: ERROR, message: "out of stock".to_owned() }),
        events: vec![
            Event {
                time_unix_nano: START + 25 * MILLISECOND,
                name: "exception".to_owned(),
                attributes: vec![attribute("exception.type", text("Empty"))],
                ..Event::default()
            },
            Event {
                time_unix_nano: START + 22 * MILLISECOND,
                name: "a name".to_owned(),
                attributes: vec![attribute("event", text("another name"))],
                ..Event::default()
            },
        ],
        links: vec![
            link(&large, 2, vec![attribute("opentracing.ref_type", text("follows_from"))]),
            link(&[7; 16], 9, vec![attribute("opentracing.ref_type", text("child_of"))]),
            link(&[7; 16], 10, Vec::new()),
        ],
        ..span(&large, 3, 2, "cart.get", SERVER, (20, 30))
    }
}

fn request() -> ExportTraceServiceRequest {
    let large: Vec<u8> = (1..=16).collect();
    let mut short = vec![0; 15];
    short.push(0xab);
    let name = |name: &str| attribute("service.name", text(name));
    let scope = InstrumentationScope {
        name: "http".to_owned(),
        version: "1.2".to_owned(),
        attributes: vec![attribute("lost", text("x"))],
        ..InstrumentationScope::default()
    };
    let shop = vec![
        span(&large, 1, 0, "GET /", SERVER, (0, 100)),
        Span {
            status: Some(Status { code: 1, message: String::new() }),
            ..span(&large, 2, 1, "call", CLIENT, (10, 40))
        },
    ];
    ExportTraceServiceRequest {
        resource_spans: vec![
            of_service(vec![name("shop"), attribute("host.name", text("h1"))], None, shop),
            of_service(vec![name("team/cart")], Some(scope), vec![called()]),
            of_service(Vec::new(), None, vec![span(&short, 1, 9, "poll", INTERNAL, (5, 5))]),
        ],
    }
}

/// With all spans in a block: spans that are live are everybody's here.
pub(crate) async fn flushed() -> QueryWorld {
    let world = QueryWorld::new().await;
    world.flush(&request_spans(&request()).collect::<Vec<_>>()).await;
    world
}

pub(crate) async fn world() -> QueryWorld {
    let world = QueryWorld::new().await;
    let spans: Vec<_> = request_spans(&request()).collect();
    let (flushed, live) = spans.split_at(2);
    world.flush(flushed).await;
    world.live.accept(live.to_vec());
    world
}

pub(crate) async fn shop() -> Http {
    Http::new(world().await.querier(QueryLimits::default()))
}
