//! A trace of a million spans goes through Jaeger's interfaces without ever being in memory as a whole.

#![expect(clippy::unwrap_used, reason = "a test that fails says so by a panic")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::origin::Origin;
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};
use siltstone_querier::http::{HttpConfig, router};
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

/// Bytes of the body, spans in it, and by how much the process grew while it came.
async fn read(world: &QueryWorld, path: &str) -> (usize, usize, isize) {
    let http = router(world.querier(QueryLimits::default()), HttpConfig::default());
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let response = http.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let (mut bytes, mut spans) = (0, 0);
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        bytes += data.len();
        let names = data.split(|byte| *byte == b'"').filter(|part| part.starts_with(b"startTime"));
        spans += names.count();
    }
    (bytes, spans, PEAK.load(Ordering::Relaxed) - before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_trace_takes_hardly_more_memory_than_a_small_one() {
    let world = world().await;
    for (path, query) in
        [("/api/traces", ""), ("/api/traces", "?raw=true&prettyPrint=true"), ("/api/v3/traces", "")]
    {
        let (_, _, small) = read(&world, &format!("{path}/{SMALL}{query}")).await;
        let (bytes, spans, large) = read(&world, &format!("{path}/{LARGE}{query}")).await;
        println!("{path}{query}: {bytes} bytes, {spans} spans; {large} bytes held, {small} for 10 spans");
        assert_eq!(spans, SPANS as usize);
        assert!(large - small < MOST_MORE, "{path}{query}: {large} bytes held, {small} for 10 spans");
    }
}
