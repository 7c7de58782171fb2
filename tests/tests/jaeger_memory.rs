//! A trace of a million spans goes through Jaeger's interfaces without ever being in memory as a whole.

#![expect(clippy::unwrap_used, reason = "a test that fails says so by a panic")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::origin::Origin;
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};
use siltstone_querier::http::{HttpConfig, router};
use siltstone_querier::jaeger::grpc::JaegerGrpc;
use siltstone_querier::jaeger::proto::{api_v2, api_v3, storage};
use siltstone_querier::jaeger::settings::JaegerSettings;
use siltstone_querier::limits::QueryLimits;
use siltstone_tests::query_world::QueryWorld;
use tower::ServiceExt;

static HELD: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

/// Counts the bytes that the process holds.
struct Counting;

fn count(bytes: usize) {
    let held = HELD.fetch_add(bytes.cast_signed(), Ordering::Relaxed) + bytes.cast_signed();
    PEAK.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: every call is handed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SPANS: u64 = 1_000_000;
/// Of one block.
const SPANS_OF_A_BLOCK: u64 = 200_000;
const MOST_MORE: isize = 64 << 20;
const START: u64 = 1_700_000_000_000_000_000;
const LARGE: TraceId = TraceId([1; 16]);
const SMALL: TraceId = TraceId([2; 16]);

fn span(trace: TraceId, number: u64, origin: &Arc<Origin>) -> Span {
    let attribute = |key: &str, value: Value| Attribute { key: key.to_owned(), value };
    let start = START + number * 1_000;
    Span {
        trace_id: trace,
        span_id: SpanId((number + 1).to_be_bytes()),
        parent_span_id: (number > 0).then(|| SpanId((number / 4 + 1).to_be_bytes())),
        name: format!("GET /{}", number % 50),
        kind: 2,
        start_unix_nano: start,
        end_unix_nano: start + 5_000,
        attributes: vec![
            attribute("http.route", Value::Str(format!("/{}", number % 50))),
            attribute("message.id", Value::Str(format!("message-{number}"))),
            attribute("http.response.status_code", Value::Int(200)),
        ],
        origin: Arc::clone(origin),
        ..Span::default()
    }
}

async fn world() -> QueryWorld {
    let world = QueryWorld::new().await;
    let name = Attribute { key: "service.name".to_owned(), value: Value::Str("shop".to_owned()) };
    let origin = Arc::new(Origin { resource_attributes: vec![name], ..Origin::default() });
    for first in (0..SPANS).step_by(SPANS_OF_A_BLOCK as usize) {
        let spans: Vec<Span> =
            (first..first + SPANS_OF_A_BLOCK).map(|number| span(LARGE, number, &origin)).collect();
        world.lay(&[&spans]).await;
    }
    let spans: Vec<Span> = (0..10).map(|number| span(SMALL, number, &origin)).collect();
    world.flush(&spans).await;
    world
}

/// An answer, and by how much the process grew while it came.
struct Read {
    bytes: usize,
    spans: usize,
    grown: isize,
}

/// Reads an answer as it comes. `spans_of`: how many spans begin in some bytes of it.
async fn read(router: Router, request: Request<Body>, mut spans_of: impl FnMut(&[u8]) -> usize) -> Read {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let (mut bytes, mut spans) = (0, 0);
    while let Some(frame) = body.frame().await {
        let frame = match frame.unwrap().into_data() {
            Ok(data) => data,
            Err(end) => {
                let trailers = end.into_trailers().unwrap();
                assert_eq!(trailers["grpc-status"], "0", "{trailers:?}");
                continue;
            }
        };
        bytes += frame.len();
        spans += spans_of(&frame);
    }
    Read { bytes, spans, grown: PEAK.load(Ordering::Relaxed) - before }
}

fn starts_in_json(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'"').filter(|part| part.starts_with(b"startTime")).count()
}

/// Splits what comes into messages of gRPC, none of them longer than clients take, and counts their spans.
fn spans_in_messages(count: fn(&[u8]) -> usize) -> impl FnMut(&[u8]) -> usize {
    let mut rest: Vec<u8> = Vec::new();
    move |bytes| {
        rest.extend_from_slice(bytes);
        let mut spans = 0;
        while rest.len() >= 5 {
            let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
            assert!(length <= 4 << 20, "a message of {length} bytes");
            if rest.len() < 5 + length {
                break;
            }
            spans += count(&rest[5..5 + length]);
            rest.drain(..5 + length);
        }
        spans
    }
}

fn call(path: &str, message: &impl Message) -> Request<Body> {
    let mut bytes = vec![0];
    bytes.extend((message.encoded_len() as u32).to_be_bytes());
    message.encode(&mut bytes).unwrap();
    let request = Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
    request.body(Body::from(bytes)).unwrap()
}

fn check(what: &str, small: &Read, large: &Read) {
    let Read { bytes, spans, grown } = large;
    println!("{what}: {bytes} bytes, {spans} spans; {grown} bytes held, {} for 10 spans", small.grown);
    assert_eq!((small.spans, large.spans), (10, SPANS as usize), "{what}");
    assert!(grown - small.grown < MOST_MORE, "{what}: {grown} bytes held, {} for 10 spans", small.grown);
}

/// One after the other in one test: all of the process is measured.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_trace_takes_hardly_more_memory_than_a_small_one() {
    let world = world().await;
    for (path, query) in
        [("/api/traces", ""), ("/api/traces", "?raw=true&prettyPrint=true"), ("/api/v3/traces", "")]
    {
        let read = async |trace: TraceId| {
            let http = router(world.querier(QueryLimits::default()), HttpConfig::default());
            let request = Request::get(format!("{path}/{trace}{query}")).body(Body::empty()).unwrap();
            read(http, request, starts_in_json).await
        };
        check(&format!("{path}{query}"), &read(SMALL).await, &read(LARGE).await);
    }
    let grpc = || {
        let querier = world.querier(QueryLimits::default());
        JaegerGrpc { querier, tenants: false, settings: Arc::new(JaegerSettings::default()) }
    };
    for raw in [false, true] {
        let v2 = async |trace: TraceId| {
            let asked = api_v2::GetTraceRequest {
                trace_id: trace.0.to_vec(),
                raw_traces: raw,
                ..api_v2::GetTraceRequest::default()
            };
            let services = grpc().queries().await.unwrap().whole_router();
            let path = "/jaeger.api_v2.QueryService/GetTrace";
            read(services, call(path, &asked), spans_in_messages(api_v2_spans)).await
        };
        check(&format!("api_v2 GetTrace, raw: {raw}"), &v2(SMALL).await, &v2(LARGE).await);
        let v3 = async |trace: TraceId| {
            let asked = api_v3::GetTraceRequest {
                trace_id: trace.to_string(),
                raw_traces: raw,
                ..api_v3::GetTraceRequest::default()
            };
            let services = grpc().queries().await.unwrap().whole_router();
            let path = "/jaeger.api_v3.QueryService/GetTrace";
            read(services, call(path, &asked), spans_in_messages(otlp_spans)).await
        };
        check(&format!("api_v3 GetTrace, raw: {raw}"), &v3(SMALL).await, &v3(LARGE).await);
    }
    let stored = async |trace: TraceId| {
        let one =
            storage::GetTraceParams { trace_id: trace.0.to_vec(), ..storage::GetTraceParams::default() };
        let services = grpc().storage(false).await.unwrap().whole_router();
        let asked = storage::GetTracesRequest { query: vec![one] };
        let path = "/jaeger.storage.v2.TraceReader/GetTraces";
        read(services, call(path, &asked), spans_in_messages(otlp_spans)).await
    };
    check("storage GetTraces", &stored(SMALL).await, &stored(LARGE).await);
}

fn otlp_spans(message: &[u8]) -> usize {
    let traces = TracesData::decode(message).unwrap();
    let scopes = traces.resource_spans.iter().flat_map(|of_resource| &of_resource.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

/// Field 1 of each chunk, once for each span.
fn api_v2_spans(mut message: &[u8]) -> usize {
    let mut spans = 0;
    while !message.is_empty() {
        let (number, wire) = decode_key(&mut message).unwrap();
        assert_eq!((number, wire), (1, WireType::LengthDelimited));
        let length = decode_varint(&mut message).unwrap() as usize;
        message = &message[length..];
        spans += 1;
    }
    spans
}
