//! Traces that come piece by piece are those that come as a whole, however large they are and wherever they lie.

#![expect(clippy::unwrap_used, reason = "a test that fails says so by a panic")]

use std::sync::Arc;

use siltstone_ask::{Filter, Window};
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_querier::limits::QueryLimits;
use siltstone_querier::querier::Querier;
use siltstone_querier::rank::Order;
use siltstone_querier::search::Search;
use siltstone_querier::stream::TraceStream;
use siltstone_querier::traces::Trace;
use siltstone_tests::decode::request_spans;
use siltstone_tests::query_world::QueryWorld;
use siltstone_traffic::{Traffic, TrafficConfig};

/// More than are read as a whole.
const LARGE_SPANS: usize = 45_000;
const LARGE: TraceId = TraceId([0x77; 16]);

fn traffic(seed: u64, count: usize) -> Vec<Span> {
    let config = TrafficConfig { spans: count, seed, ..TrafficConfig::default() };
    Traffic::new(config).flat_map(|batch| request_spans(&batch.request).collect::<Vec<_>>()).collect()
}

/// One trace with parents near and far, some of its starts shared by many spans.
fn large_trace() -> Vec<Span> {
    let mut spans = traffic(5, LARGE_SPANS);
    spans.truncate(LARGE_SPANS);
    let id = |number: usize| SpanId((number as u64 + 1).to_be_bytes());
    for (number, span) in spans.iter_mut().enumerate() {
        span.trace_id = LARGE;
        span.span_id = id(number);
        span.parent_span_id = (number > 0).then(|| id(number * 7 / 8));
        if number % 10 == 0 {
            span.start_unix_nano -= span.start_unix_nano % 1_000_000_000;
        }
    }
    // One id, one start, two contents.
    let mut twin = spans[LARGE_SPANS / 2].clone();
    twin.name = "its other half".to_owned();
    spans.push(twin);
    spans
}

/// The large trace in five blocks and live, part of it more than once, among small ones.
async fn world() -> QueryWorld {
    let world = QueryWorld::new().await;
    let large = large_trace();
    let small = traffic(6, 5_000);
    let (flushed, merged) = large.split_at(LARGE_SPANS / 2);
    let merged: Vec<Span> = merged.iter().chain(&small).cloned().collect();
    world.flush(&merged).await;
    world.merge(usize::MAX).await;
    for (number, piece) in flushed.chunks(8_000).enumerate() {
        // Each flush has some of what another one has.
        let again = large.iter().skip(number * 9_000).step_by(7).take(500);
        world.flush(&piece.iter().chain(again).cloned().collect::<Vec<_>>()).await;
    }
    world.live.accept(large.iter().step_by(11).chain(&small[..1_000]).cloned().collect());
    world
}

async fn all(mut stream: TraceStream) -> Vec<Trace> {
    let mut traces: Vec<Trace> = Vec::new();
    let mut is_open = false;
    while let Some(piece) = stream.next().await.unwrap() {
        assert!((1..2_000).contains(&piece.spans.len()), "{}", piece.spans.len());
        match traces.last_mut().filter(|_| is_open) {
            Some(trace) => {
                assert_eq!(trace.id, piece.trace);
                trace.spans.extend(piece.spans);
            }
            None => traces.push(Trace { id: piece.trace, spans: piece.spans }),
        }
        is_open = !piece.is_last;
    }
    assert!(!is_open, "a trace ends without its last piece");
    assert_eq!(stream.gaps(), [] as [String; 0]);
    traces
}

async fn assert_same(querier: &Arc<Querier>, ids: &[TraceId]) -> Vec<Trace> {
    let tenant = Tenant::single();
    let whole = querier.traces(&tenant, ids).await.unwrap();
    let stream = querier.stream_traces(&tenant, ids).await.unwrap();
    let streamed = all(stream).await;
    let sizes = |traces: &[Trace]| -> Vec<(TraceId, usize)> {
        traces.iter().map(|trace| (trace.id, trace.spans.len())).collect()
    };
    assert_eq!(sizes(&streamed), sizes(&whole.content));
    assert!(streamed == whole.content, "the same number of spans, and not the same ones");
    streamed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_stream_traces_of_all_sizes_as_they_are_read_whole() {
    let world = world().await;
    let querier = world.querier(QueryLimits::default());
    let small: Vec<TraceId> = traffic(6, 5_000).iter().map(|span| span.trace_id).collect();
    let absent = TraceId([0x11; 16]);
    let large = assert_same(&querier, &[LARGE]).await;
    assert_eq!(large[0].spans.len(), LARGE_SPANS + 1);
    let with_parents = large[0].spans.iter().filter(|span| span.parent_span_id.is_some()).count();
    assert_eq!(with_parents, LARGE_SPANS);
    assert!(assert_same(&querier, &[absent]).await.is_empty());
    assert!(assert_same(&querier, &[]).await.is_empty());
    let some: Vec<TraceId> = small.iter().step_by(50).copied().chain([LARGE, absent]).collect();
    assert!(assert_same(&querier, &some).await.len() > 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_hide_a_deleted_trace_however_large() {
    let world = world().await;
    world.delete(LARGE).await;
    let querier = world.querier(QueryLimits::default());
    assert!(assert_same(&querier, &[LARGE]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_stream_found_traces_in_the_order_of_the_search_and_say_where_to_go_on() {
    let world = world().await;
    let querier = world.querier(QueryLimits::default());
    for order in [Order::Newest, Order::Oldest, Order::Longest] {
        let search = Search {
            tenant: Tenant::single(),
            filter: Filter::all(),
            window: Window::ALL,
            order,
            limit: 7,
            after: None,
        };
        let found = querier.search(&search).await.unwrap().content;
        let stream = querier.stream_search(&search).await.unwrap();
        assert_eq!(stream.next_page(), found.next);
        assert!(found.next.is_some());
        let streamed = all(stream).await;
        let found: Vec<Trace> = found.traces.into_iter().map(|found| found.trace).collect();
        assert!(streamed == found, "{order:?}");
    }
}
