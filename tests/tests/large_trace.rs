//! An answer takes no more memory because its trace is large: a million spans go through a few megabytes.

#![expect(clippy::unwrap_used, reason = "a test that fails says so by a panic")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::origin::{Origin, SERVICE_NAME};
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_format::value::{Attribute, Value};
use siltstone_querier::limits::QueryLimits;
use siltstone_querier::querier::Querier;
use siltstone_tests::query_world::QueryWorld;

/// Bytes that the process holds, and the most that it held.
static HELD: AtomicIsize = AtomicIsize::new(0);
static MOST: AtomicIsize = AtomicIsize::new(0);

struct Counting;

fn count(bytes: isize) {
    let held = HELD.fetch_add(bytes, Relaxed) + bytes;
    MOST.fetch_max(held, Relaxed);
}

// SAFETY: every call is handed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SMALL: TraceId = TraceId([1; 16]);
const LARGE: TraceId = TraceId([2; 16]);
const LARGE_SPANS: u64 = 1_000_000;
const BLOCKS: u64 = 4;
const MOST_GROWTH: isize = 64 << 20;

fn span(trace: TraceId, number: u64, origin: &Arc<Origin>) -> Span {
    let text = |key: &str, value: String| Attribute { key: key.to_owned(), value: Value::Str(value) };
    let start = 1_800_000_000_000_000_000 + number * 1_000;
    Span {
        trace_id: trace,
        span_id: SpanId((number + 1).to_be_bytes()),
        parent_span_id: (number > 0).then(|| SpanId((number / 2 + 1).to_be_bytes())),
        name: format!("GET /{}", number % 50),
        start_unix_nano: start,
        end_unix_nano: start + number % 977,
        attributes: vec![
            text("http.route", format!("/{}", number % 50)),
            text("message.id", format!("message-{number}")),
            Attribute { key: "http.response.status_code".to_owned(), value: Value::Int(200) },
        ],
        origin: Arc::clone(origin),
        ..Span::default()
    }
}

/// A trace of ten spans, and one of a million in several blocks.
async fn world() -> QueryWorld {
    let world = QueryWorld::new().await;
    let service = Attribute { key: SERVICE_NAME.to_owned(), value: Value::Str("shop".to_owned()) };
    let origin = Arc::new(Origin { resource_attributes: vec![service], ..Origin::default() });
    world.flush(&(0..10).map(|number| span(SMALL, number, &origin)).collect::<Vec<_>>()).await;
    for block in 0..BLOCKS {
        let numbers = (block..LARGE_SPANS).step_by(BLOCKS as usize);
        world.flush(&numbers.map(|number| span(LARGE, number, &origin)).collect::<Vec<_>>()).await;
    }
    world
}

/// The most that is held while a trace is answered with, beyond what was held before, and its spans.
async fn most_held(querier: &Arc<Querier>, trace: TraceId) -> (isize, u64) {
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    let mut stream = querier.stream_traces(&Tenant::single(), &[trace]).await.unwrap();
    let mut spans = 0;
    while let Some(piece) = stream.next().await.unwrap() {
        spans += piece.spans.len() as u64;
    }
    (MOST.load(Relaxed) - before, spans)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_answer_with_a_million_spans_in_little_memory() {
    let world = world().await;
    let querier = world.querier(QueryLimits::default());
    let (small, spans) = most_held(&querier, SMALL).await;
    assert_eq!(spans, 10);
    let (large, spans) = most_held(&querier, LARGE).await;
    assert_eq!(spans, LARGE_SPANS);
    println!("{} KiB for 10 spans, {} KiB for a million", small >> 10, large >> 10);
    assert!(large - small < MOST_GROWTH, "{large} bytes more");
}
