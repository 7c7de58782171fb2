//! Queries when something is missing, damaged or too much: the right answer, a clear error, or an answer that
//! says what it lacks.

#![expect(clippy::unwrap_used, reason = "a test that fails says so by a panic")]

use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use siltstone_ask::{Filter, Window};
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_querier::counts::Of;
use siltstone_querier::limits::{LimitReached, Limits, OwnLimits, QueryLimits};
use siltstone_querier::querier::{Querier, QueryError};
use siltstone_querier::rank::Order;
use siltstone_querier::search::Search;
use siltstone_querier::spans::SpanSearch;
use siltstone_tests::decode::request_spans;
use siltstone_tests::query_world::QueryWorld;
use siltstone_traffic::{Traffic, TrafficConfig};

fn spans(count: usize) -> Vec<Span> {
    let config = TrafficConfig { spans: count, seed: 3, ..TrafficConfig::default() };
    Traffic::new(config).flat_map(|batch| request_spans(&batch.request).collect::<Vec<_>>()).collect()
}

fn newest() -> Search {
    Search {
        tenant: Tenant::single(),
        filter: Filter::all(),
        window: Window::ALL,
        order: Order::Newest,
        limit: 5,
        after: None,
    }
}

fn newest_spans() -> SpanSearch {
    let Search { tenant, filter, window, order, limit, .. } = newest();
    SpanSearch { tenant, filter, window, order, limit, after: None }
}

/// Merged blocks with groups of filters, and two flushes.
async fn world() -> (QueryWorld, Vec<Span>) {
    let world = QueryWorld::new().await;
    let spans = spans(5_000);
    let (merged, flushed) = spans.split_at(4_000);
    world.flush(merged).await;
    world.merge(200).await;
    world.catalog.regroup(&Tenant::single()).await.unwrap();
    for piece in flushed.chunks(500) {
        world.flush(piece).await;
    }
    (world, spans)
}

async fn objects(world: &QueryWorld, prefix: &str) -> Vec<Path> {
    use futures::TryStreamExt;
    let listed = world.store.list(Some(&Path::from(prefix)));
    let all: Vec<_> = listed.try_collect().await.unwrap();
    all.into_iter().map(|object| object.location).collect()
}

async fn finds_all(querier: &Querier, spans: &[Span]) {
    let wanted: Vec<_> = spans.iter().step_by(500).map(|span| span.trace_id).collect();
    let answer = querier.traces(&Tenant::single(), &wanted).await.unwrap();
    assert!(answer.gaps.is_empty(), "{:?}", answer.gaps);
    for trace in &answer.content {
        let right = spans.iter().filter(|span| span.trace_id == trace.id).count();
        assert_eq!(trace.spans.len(), right);
    }
    assert!(!answer.content.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_answer_as_ever_when_filters_cannot_be_read() {
    let (world, spans) = world().await;
    let groups = objects(&world, "flt").await;
    assert!(!groups.is_empty());
    for group in groups {
        world.store.put(&group, PutPayload::from_static(b"garbage")).await.unwrap();
    }
    finds_all(&world.querier(QueryLimits::default()), &spans).await;
    // A block's own filters as well: they stand at the beginning of its second object.
    for object in objects(&world, "blk").await {
        if object.as_ref().ends_with("origins.parquet") {
            let mut bytes = world.store.get(&object).await.unwrap().bytes().await.unwrap().to_vec();
            bytes[20] ^= 0xff;
            world.store.put(&object, PutPayload::from(bytes)).await.unwrap();
        }
    }
    finds_all(&world.querier(QueryLimits::default()), &spans).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_say_which_block_is_gone() {
    let (world, spans) = world().await;
    for object in objects(&world, "blk").await {
        world.store.delete(&object).await.unwrap();
    }
    let querier = world.querier(QueryLimits::default());
    let error = querier.traces(&Tenant::single(), &[spans[0].trace_id]).await.unwrap_err();
    assert!(matches!(error, QueryError::Block(_)) && error.to_string().contains("blk/"), "{error}");
    let error = querier.search(&newest()).await.unwrap_err();
    assert!(matches!(error, QueryError::Block(_)) && error.to_string().contains("is not there"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_refuse_damaged_pages() {
    let (world, spans) = world().await;
    for object in objects(&world, "blk").await {
        if object.as_ref().ends_with("spans.parquet") {
            let mut bytes = world.store.get(&object).await.unwrap().bytes().await.unwrap().to_vec();
            // Within the first pages: metadata stands at the end.
            (4..2_000).for_each(|at| bytes[at] ^= 0x55);
            world.store.put(&object, PutPayload::from(bytes)).await.unwrap();
        }
    }
    let querier = world.querier(QueryLimits::default());
    let error = querier.traces(&Tenant::single(), &[spans[0].trace_id]).await.unwrap_err();
    assert!(matches!(error, QueryError::Block(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_fail_alone_and_say_which_bound_it_met() {
    let (world, spans) = world().await;
    let ids: Vec<_> = spans.iter().map(|span| span.trace_id).collect();
    let with = |limits| world.querier(limits);
    let limit = |error| match error {
        QueryError::Limit(limit) => limit,
        other => panic!("{other}"),
    };

    let few_bytes = with(QueryLimits { bytes: 1_000, ..QueryLimits::default() });
    let error = limit(few_bytes.search(&newest()).await.unwrap_err());
    assert_eq!(error, LimitReached::Bytes(1_000));
    assert!(error.to_string().contains("`limits.default.query_bytes`"));

    let own = OwnLimits { bytes: Some(1_000), ..OwnLimits::default() };
    let limits = Limits { tenants: [(Tenant::single(), own)].into(), ..Limits::default() };
    let error = limit(world.querier(limits).search(&newest()).await.unwrap_err());
    assert_eq!(error, LimitReached::Bytes(1_000));

    let few_spans = with(QueryLimits { spans: 100, ..QueryLimits::default() });
    let error = limit(few_spans.traces(&Tenant::single(), &ids).await.unwrap_err());
    assert_eq!(error, LimitReached::Spans(100));

    let all = SpanSearch { limit: usize::MAX, ..newest_spans() };
    let error = limit(few_spans.find_spans(&all).await.unwrap_err());
    assert_eq!(error, LimitReached::Spans(100));
    assert_eq!(few_spans.find_spans(&newest_spans()).await.unwrap().content.spans.len(), 5);

    let few_traces = with(QueryLimits { traces: 10, ..QueryLimits::default() });
    let longest = Search { order: Order::Longest, ..newest() };
    let error = limit(few_traces.search(&longest).await.unwrap_err());
    assert_eq!(error, LimitReached::Traces(10));
    // By start, no more are compared than are wanted.
    assert_eq!(few_traces.search(&newest()).await.unwrap().content.traces.len(), 5);

    let few_groups = with(QueryLimits { groups: 3, ..QueryLimits::default() });
    let of = Of { tenant: Tenant::single(), filter: Filter::all(), window: Window::ALL };
    let error = limit(few_groups.red(&of, 1).await.unwrap_err());
    assert_eq!(error, LimitReached::Groups(3));

    let no_time = with(QueryLimits { deadline: Duration::ZERO, ..QueryLimits::default() });
    let error = limit(no_time.search(&newest()).await.unwrap_err());
    assert_eq!(error, LimitReached::Deadline(Duration::ZERO));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_take_any_limit() {
    let (world, spans) = world().await;
    let querier = world.querier(QueryLimits::default());
    let mut traces: Vec<_> = spans.iter().map(|span| span.trace_id).collect();
    traces.sort();
    traces.dedup();
    for order in [Order::Newest, Order::Oldest, Order::Longest] {
        let all = querier.search(&Search { limit: usize::MAX, order, ..newest() }).await.unwrap().content;
        assert_eq!((all.traces.len(), all.next), (traces.len(), None));
        let none = querier.search(&Search { limit: 0, order, ..newest() }).await.unwrap().content;
        assert!(none.traces.is_empty() && none.next.is_none());
        let all = SpanSearch { limit: usize::MAX, order, ..newest_spans() };
        let all = querier.find_spans(&all).await.unwrap().content;
        assert_eq!((all.spans.len(), all.next), (spans.len(), None));
        let none = SpanSearch { limit: 0, order, ..newest_spans() };
        let none = querier.find_spans(&none).await.unwrap().content;
        assert!(none.spans.is_empty() && none.next.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_name_an_ingester_that_cannot_be_asked() {
    let (world, spans) = world().await;
    world.announce_the_dead().await;
    let querier = world.querier(QueryLimits::default());
    let answer = querier.traces(&Tenant::single(), &[spans[0].trace_id]).await.unwrap();
    assert!(!answer.content.is_empty());
    assert!(answer.gaps.iter().any(|gap| gap.contains("127.0.0.1:1")), "{:?}", answer.gaps);
}
