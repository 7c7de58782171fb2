//! What questions cost: requests and bytes, counted, not timed. A store 60 ms away is asked as rarely as one may.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says so by a panic")]

use futures::TryStreamExt;
use object_store::ObjectStore;
use siltstone_ask::{Comparison, Field, Filter, Level, Target, Window};
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_format::value::{Attribute, Value};
use siltstone_querier::counts::Of;
use siltstone_querier::limits::QueryLimits;
use siltstone_querier::rank::Order;
use siltstone_querier::search::Search;
use siltstone_querier::spans::SpanSearch;
use siltstone_tests::query_world::QueryWorld;

const SPANS_OF_A_TRACE: u64 = 5;
const TRACES_OF_A_BLOCK: u64 = 20;
const START: u64 = 1_800_000_000_000_000_000;

/// Spans of some traces, a millisecond apart; those of one user, if it is named, in three blocks.
fn spans(blocks: u64, needle: Option<&str>) -> Vec<Span> {
    spans_apart(blocks, 1_000_000, needle)
}

fn spans_apart(blocks: u64, apart_nanos: u64, needle: Option<&str>) -> Vec<Span> {
    let traces = 0..blocks * TRACES_OF_A_BLOCK;
    let of_trace = |trace: u64| {
        (0..SPANS_OF_A_TRACE).map(move |number| {
            let is_needle = trace % (blocks * TRACES_OF_A_BLOCK).div_ceil(3) == 7 && number == 2;
            let user = match needle {
                Some(needle) if is_needle => needle.to_owned(),
                _ => format!("user {}", trace * SPANS_OF_A_TRACE + number),
            };
            let id = u128::from(trace.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(trace);
            let start = START + trace * apart_nanos + number;
            Span {
                trace_id: TraceId(id.to_be_bytes()),
                span_id: SpanId((trace * SPANS_OF_A_TRACE + number + 1).to_be_bytes()),
                name: format!("GET /{number}"),
                start_unix_nano: start,
                end_unix_nano: start + 5_000,
                attributes: vec![Attribute { key: "enduser.id".to_owned(), value: Value::Str(user) }],
                ..Span::default()
            }
        })
    };
    traces.flat_map(of_trace).collect()
}

async fn world(blocks: u64, needle: Option<&str>) -> (QueryWorld, Vec<Span>) {
    let world = QueryWorld::new().await;
    let spans = spans(blocks, needle);
    world.flush(&spans).await;
    world.merge((SPANS_OF_A_TRACE * TRACES_OF_A_BLOCK) as usize).await;
    world.catalog.regroup(&Tenant::single()).await.expect("groups filters");
    (world, spans)
}

/// How a trace is asked for.
#[derive(Clone, Copy, Debug)]
enum As {
    Whole,
    Pieces,
}

/// Requests for one trace by a process that has nothing of any block, and how deep they are.
async fn cost_of_a_trace(blocks: u64, how: As) -> (u64, u64) {
    let (world, spans) = world(blocks, None).await;
    let querier = world.querier(QueryLimits::default());
    // So that it has a snapshot, the catalog's pages and the heads of its groups, and other blocks than that one.
    let wanted = spans[spans.len() / 2].trace_id;
    let mut others: Vec<TraceId> = spans.iter().map(|span| span.trace_id).collect();
    others.sort();
    let place = others.partition_point(|trace| *trace < wanted);
    let away = 2 * (TRACES_OF_A_BLOCK * SPANS_OF_A_TRACE) as usize;
    let others = [others[place.saturating_sub(away)], others[(place + away).min(others.len() - 1)]];
    assert_eq!(querier.traces(&Tenant::single(), &others).await.unwrap().content.len(), 2);
    world.store.reset();
    let found = match how {
        As::Whole => querier.traces(&Tenant::single(), &[wanted]).await.unwrap().content.remove(0).spans,
        As::Pieces => {
            let mut stream = querier.stream_traces(&Tenant::single(), &[wanted]).await.unwrap();
            stream.next().await.unwrap().expect("has a piece").spans
        }
    };
    assert_eq!(found.len() as u64, SPANS_OF_A_TRACE);
    let counts = world.store.snapshot();
    let requests = world.store.requests();
    println!(
        "{blocks} blocks, {how:?}: {} requests, {} deep, {} bytes",
        counts.total(),
        counts.depth,
        counts.bytes_read
    );
    requests
        .iter()
        .for_each(|request| println!("  {:?} {} {}", request.operation, request.location, request.depth));
    assert!(counts.bytes_read < 4 << 20);
    (counts.total(), counts.depth)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_find_a_trace_with_as_few_requests_among_a_thousand_blocks_as_among_ten() {
    let (few, deep) = cost_of_a_trace(10, As::Whole).await;
    assert!(few <= 12, "{few} requests");
    // The ingesters and the log are listed, one after the other, before the three that the trace takes.
    assert!(deep <= 5, "{deep} deep");
    assert_eq!(cost_of_a_trace(1_000, As::Whole).await, (few, deep));
    assert_eq!(cost_of_a_trace(10, As::Pieces).await, (few, deep));
    assert_eq!(cost_of_a_trace(1_000, As::Pieces).await, (few, deep));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_open_only_blocks_that_hold_the_needle() {
    let (world, _) = world(1_000, Some("needle")).await;
    let querier = world.querier(QueryLimits::default());
    let target = Target::attribute(Level::Span, "enduser.id");
    let search = Search {
        tenant: Tenant::single(),
        filter: Filter::compare(target, Comparison::Eq, "needle").unwrap(),
        window: Window::ALL,
        order: Order::Newest,
        limit: 20,
        after: None,
    };
    let answer = querier.search(&search).await.unwrap();
    assert_eq!(answer.content.traces.len(), 3);
    let cost = answer.cost;
    println!("{cost:?}");
    // Three for the search and three for whole traces, and what filters say wrongly.
    assert!(cost.blocks_considered <= 2 * 3 + 20, "{cost:?}");
    assert!(cost.blocks_read <= 2 * 3 + 20, "{cost:?}");
    // A value that nobody has.
    let target = Target::attribute(Level::Span, "enduser.id");
    let absent = Filter::compare(target, Comparison::Eq, "absent").unwrap();
    let answer = querier.search(&Search { filter: absent, ..search }).await.unwrap();
    assert!(answer.content.traces.is_empty());
    assert!(answer.cost.blocks_read <= 20, "{:?}", answer.cost);
}

/// Whoever types a tag does not say whether it is the span's: what a block does not have elsewhere is not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_look_at_no_more_rows_for_a_key_without_a_level() {
    let (world, _) = world(50, Some("needle")).await;
    let querier = world.querier(QueryLimits::default());
    let mut scanned = Vec::new();
    for level in [Level::Span, Level::Any] {
        let filter = Filter::compare(Target::attribute(level, "enduser.id"), Comparison::Eq, "needle");
        let search = Search {
            tenant: Tenant::single(),
            filter: filter.unwrap(),
            window: Window::ALL,
            order: Order::Newest,
            limit: 20,
            after: None,
        };
        let answer = querier.search(&search).await.unwrap();
        println!("{level:?} {:?}", answer.cost);
        assert_eq!(answer.content.traces.len(), 3);
        scanned.push(answer.cost.rows_scanned);
    }
    assert_eq!(scanned[0], scanned[1]);
}

/// Blocks by time, as compactors make them.
async fn world_by_time(spans: &[Span]) -> QueryWorld {
    let world = QueryWorld::new().await;
    for piece in spans.chunks((SPANS_OF_A_TRACE * TRACES_OF_A_BLOCK) as usize) {
        world.flush(piece).await;
    }
    world
}

/// The same for single spans, by duration too: what a block can hold at best is known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_stop_when_no_block_can_hold_newer_or_longer_spans() {
    let mut spans = spans(100, None);
    spans.iter_mut().step_by(1_000).for_each(|span| span.end_unix_nano += 3_600_000_000_000);
    let world = world_by_time(&spans).await;
    let querier = world.querier(QueryLimits::default());
    // Some are under way when the last one is known; then the first spans are read whole, the long ones in a block each.
    for (order, limit, most_reads) in
        [(Order::Newest, 20, 8), (Order::Oldest, 20, 8), (Order::Longest, 7, 10 + 4 + 9)]
    {
        let (tenant, filter, window) = (Tenant::single(), Filter::all(), Window::ALL);
        let search = SpanSearch { tenant, filter, window, order, limit, after: None };
        let answer = querier.find_spans(&search).await.unwrap();
        println!("{order:?} {:?}", answer.cost);
        let mut right = spans.clone();
        right.sort_by_key(|span| match order {
            Order::Newest => (-i128::from(span.start_unix_nano), span.trace_id),
            Order::Oldest => (i128::from(span.start_unix_nano), span.trace_id),
            Order::Longest => (-i128::from(span.duration_nano()), span.trace_id),
        });
        assert_eq!(answer.content.spans, right[..limit]);
        assert!(answer.cost.blocks_read <= most_reads, "{order:?} {:?}", answer.cost);
    }
}

/// Traces of a short time have all their spans looked for in few blocks, however many there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_read_few_blocks_for_who_called_whom_in_a_short_time() {
    let (world, spans) = world(200, None).await;
    let querier = world.querier(QueryLimits::default());
    let window = Window { start: spans[0].start_unix_nano, end: spans[0].start_unix_nano + 10_000_000 };
    let answer = querier.dependencies(&Tenant::single(), window).await.unwrap();
    println!("{:?}", answer.cost);
    // Ten traces, and every block may hold some by the time: blocks are by trace here.
    assert!(answer.cost.blocks_read <= 12, "{:?}", answer.cost);
    assert!(answer.content.edges.is_empty() && answer.content.without_parent.is_empty());
}

/// By start, what cannot be among the first is not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_stop_when_no_block_can_hold_newer_traces() {
    let spans = spans(100, None);
    let world = world_by_time(&spans).await;
    let querier = world.querier(QueryLimits::default());
    let search = Search {
        tenant: Tenant::single(),
        filter: Filter::all(),
        window: Window::ALL,
        order: Order::Newest,
        limit: 20,
        after: None,
    };
    let answer = querier.search(&search).await.unwrap();
    println!("{:?}", answer.cost);
    let newest: Vec<TraceId> = answer.content.traces.iter().map(|found| found.trace.id).collect();
    let mut right: Vec<TraceId> = spans.iter().rev().map(|span| span.trace_id).collect();
    right.dedup();
    assert_eq!(newest, right[..20]);
    // Some are under way when the last one is known; then the traces are read whole.
    assert!(answer.cost.blocks_read <= 10, "{:?}", answer.cost);
}

const QUARTER_NANOS: u64 = 15 * 60 * 1_000_000_000;
const QUARTERS_OF_A_DAY: u64 = 96;

/// A day in merged blocks of a quarter of an hour each, its spans, and the bytes of all objects.
async fn merged_day() -> (QueryWorld, Vec<Span>, u64) {
    let world = QueryWorld::new().await;
    let spans = spans_apart(QUARTERS_OF_A_DAY, QUARTER_NANOS / TRACES_OF_A_BLOCK, None);
    let blocks: Vec<&[Span]> = spans.chunks((SPANS_OF_A_TRACE * TRACES_OF_A_BLOCK) as usize).collect();
    assert_eq!(blocks.len() as u64, QUARTERS_OF_A_DAY);
    world.lay(&blocks).await;
    let objects: Vec<_> = world.store.inner().list(None).try_collect().await.unwrap();
    let bytes = objects.iter().map(|object| object.size).sum();
    (world, spans, bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_find_the_newest_traces_of_a_merged_day_in_its_last_block() {
    let (world, spans, bytes) = merged_day().await;
    let querier = world.querier(QueryLimits::default());
    world.store.reset();
    let search = Search {
        tenant: Tenant::single(),
        filter: Filter::regex(Field::Name.into(), "GET /[0-3]").unwrap(),
        window: Window::ALL,
        order: Order::Newest,
        limit: 15,
        after: None,
    };
    let answer = querier.search(&search).await.unwrap();
    let counts = world.store.snapshot();
    println!("{:?}, {} of {bytes} bytes in {} requests", answer.cost, counts.bytes_read, counts.total());
    let newest: Vec<TraceId> = answer.content.traces.iter().map(|found| found.trace.id).collect();
    let mut right: Vec<TraceId> = spans.iter().rev().map(|span| span.trace_id).collect();
    right.dedup();
    assert_eq!(newest, right[..15]);
    // Once for rows that match, once for whole traces.
    assert_eq!(answer.cost.blocks_read, 2);
    // Pages of the catalog and indexes of groups among them, which the next question has.
    assert!(counts.bytes_read * 10 < bytes, "{} of {bytes} bytes", counts.bytes_read);
    // A process that knows nothing: catalog and filters of blocks, rows, filters of traces, spans.
    assert!(counts.total() <= 20 && counts.depth <= 13, "{counts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_read_only_the_blocks_of_a_quarter_of_an_hour_for_its_rates() {
    let (world, spans, bytes) = merged_day().await;
    let querier = world.querier(QueryLimits::default());
    world.store.reset();
    // From within one block into the next.
    let start = START + 40 * QUARTER_NANOS + QUARTER_NANOS / 3;
    let window = Window { start, end: start + QUARTER_NANOS };
    let of = Of { tenant: Tenant::single(), filter: Filter::all(), window };
    let answer = querier.red(&of, QUARTER_NANOS / 15).await.unwrap();
    let counts = world.store.snapshot();
    println!("{:?}, {} of {bytes} bytes in {} requests", answer.cost, counts.bytes_read, counts.total());
    let calls: u64 = answer.content.values().map(|red| red.calls).sum();
    let right = spans.iter().filter(|span| window.contains(span.start_unix_nano)).count();
    assert_eq!(calls, right as u64);
    assert_eq!(answer.cost.blocks_read, 2);
    assert!(counts.bytes_read * 10 < bytes, "{} of {bytes} bytes", counts.bytes_read);
}
