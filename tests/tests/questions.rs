//! Spans found one by one, and who calls whom: the engine against the oracle, wherever spans lie.

#![expect(clippy::unwrap_used, reason = "what is built here is within all bounds")]

use std::cell::RefCell;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use siltstone_ask::Window;
use siltstone_format::day::Day;
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::origin::{Origin, SERVICE_NAME};
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_format::value::{Attribute, Value};
use siltstone_querier::dependencies::{Dependencies, Edge, EdgeKind};
use siltstone_querier::limits::{LimitReached, QueryLimits};
use siltstone_querier::querier::{Querier, QueryError};
use siltstone_querier::rank::Order;
use siltstone_querier::spans::SpanSearch;
use siltstone_testkit::arbitrary;
use siltstone_testkit::oracle::{self, CanonicalSpan, TimeWindow};
use siltstone_tests::decode::request_spans;
use siltstone_tests::described::{Built, Known};
use siltstone_tests::encode::encode_request;
use siltstone_tests::large_set::{self, large_scene};
use siltstone_tests::scene::{Asked, LAYOUTS, Layout, Scene, asked, canonical};

/// How often what happened, so that a test that tests nothing is noticed.
#[derive(Debug, Default)]
struct Tally {
    found: usize,
    went_on: usize,
    /// By kind: service, messaging, database, peer.
    edges: [usize; 4],
    without_parent: usize,
    too_large: usize,
}

type Tallied<'a> = &'a RefCell<Tally>;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn key(span: &CanonicalSpan, order: Order) -> (i128, Vec<u8>, Vec<u8>) {
    let rank = match order {
        Order::Newest | Order::Oldest => i128::from(span.start_unix_nanos),
        Order::Longest => span.duration_nanos(),
    };
    (rank, span.trace_id.0.clone(), span.span_id.0.clone())
}

/// Asks piece by piece, until there is no more or enough is seen.
async fn check_spans(
    querier: &Querier,
    scene: &Scene,
    known: &Known,
    asked: &Asked,
    tally: Tallied<'_>,
) -> Result<(), TestCaseError> {
    let built = Built::of(&asked.described, known);
    let window = asked.window(&scene.spans);
    let right = scene.oracle.find_spans(&asked.of_oracle(&built, window, usize::MAX));
    let mut search = SpanSearch {
        tenant: Tenant::single(),
        filter: built.filter.clone(),
        window: window.unwrap_or(Window::ALL),
        order: asked.order,
        limit: asked.limit,
        after: None,
    };
    let mut found: Vec<CanonicalSpan> = Vec::new();
    let mut is_all = false;
    while !is_all && found.len() < 60 {
        let answer = querier.find_spans(&search).await.unwrap();
        prop_assert_eq!(&answer.gaps, &Vec::<String>::new());
        let spans = &answer.content.spans;
        is_all = answer.content.next.is_none();
        prop_assert_eq!(spans.len(), asked.limit.min(right.len() - found.len()), "{:?}", asked);
        found.extend(spans.iter().flat_map(|span| canonical(std::slice::from_ref(span))));
        prop_assert_eq!(is_all, found.len() == right.len(), "{:?}", asked);
        tally.borrow_mut().went_on += usize::from(!is_all);
        search.after = answer.content.next;
    }
    tally.borrow_mut().found += found.len();
    let keys = |spans: &[CanonicalSpan]| spans.iter().map(|span| key(span, asked.order)).collect::<Vec<_>>();
    prop_assert_eq!(keys(&found), keys(&right[..found.len()]), "{:?}", asked);
    // Spans that are equal in all of that come in any order, but none twice.
    let (mut sorted, mut once) = (found.clone(), found);
    sorted.sort();
    once.sort();
    once.dedup();
    prop_assert_eq!(sorted.len(), once.len(), "a span came twice: {:?}", asked);
    if is_all {
        let mut right = right;
        right.sort();
        prop_assert_eq!(sorted, right);
    }
    Ok(())
}

fn edge_of_oracle((caller, callee, kind, system): &oracle::dependencies::Edge) -> Edge {
    let kind = match *kind {
        "service" => EdgeKind::Service,
        "messaging" => EdgeKind::Messaging { system: system.clone() },
        "database" => EdgeKind::Database,
        _ => EdgeKind::Peer,
    };
    Edge { caller: caller.clone(), callee: callee.clone(), kind }
}

fn same_dependencies(
    found: &Dependencies,
    right: oracle::dependencies::Dependencies,
    tally: Tallied<'_>,
) -> Result<(), TestCaseError> {
    let mut tally = tally.borrow_mut();
    prop_assert_eq!(&found.without_parent, &right.without_parent);
    tally.without_parent += found.without_parent.len();
    let mut edges: Vec<_> =
        right.edges.into_iter().map(|(edge, calls)| (edge_of_oracle(&edge), calls)).collect();
    edges.sort_by(|(one, _), (other, _)| one.cmp(other));
    let right_edges: Vec<&Edge> = edges.iter().map(|(edge, _)| edge).collect();
    prop_assert_eq!(found.edges.keys().collect::<Vec<_>>(), right_edges);
    for ((edge, red), (_, right)) in found.edges.iter().zip(edges) {
        prop_assert_eq!((red.calls, red.errors), (right.calls, right.errors), "{:?}", edge);
        let mut durations: Vec<i128> = right.durations_nanos.iter().map(|nanos| (*nanos).max(0)).collect();
        durations.sort_unstable();
        prop_assert_eq!(red.durations.count(), right.calls);
        prop_assert_eq!(red.sum_nanos, durations.iter().map(|nanos| nanos.unsigned_abs()).sum::<u128>());
        for share in [0.5, 1.0] {
            let place = ((share * durations.len() as f64).ceil() as usize).max(1) - 1;
            let (found, exact) = (red.durations.quantile(share).unwrap(), durations[place] as f64);
            prop_assert!((found - exact).abs() <= exact * 0.02, "{found} for {exact}");
        }
        let kind = match edge.kind {
            EdgeKind::Service => 0,
            EdgeKind::Messaging { .. } => 1,
            EdgeKind::Database => 2,
            EdgeKind::Peer => 3,
        };
        tally.edges[kind] += 1;
    }
    Ok(())
}

async fn check_dependencies(
    querier: &Querier,
    scene: &Scene,
    window: Option<Window>,
    tally: Tallied<'_>,
) -> Result<(), TestCaseError> {
    let answer = querier.dependencies(&Tenant::single(), window.unwrap_or(Window::ALL)).await.unwrap();
    prop_assert_eq!(&answer.gaps, &Vec::<String>::new());
    same_dependencies(&answer.content, right_dependencies(scene, window), tally)
}

fn right_dependencies(scene: &Scene, window: Option<Window>) -> oracle::dependencies::Dependencies {
    let window =
        window.map(|window| TimeWindow { start_unix_nanos: window.start, end_unix_nanos: window.end });
    scene.oracle.dependencies(window)
}

/// Spans of a few traces that call each other in all ways: ids are few, so that many are shared.
fn calling_spans() -> impl Strategy<Value = Vec<Span>> {
    let texts = vec![
        ("db.system.name", "postgresql"),
        ("db.system", "redis"),
        ("messaging.system", "kafka"),
        ("peer.service", "payments"),
        ("server.address", "10.0.0.1"),
        ("server.address", ""),
        ("net.peer.name", "away"),
        ("other", "x"),
    ];
    let ids = (0..8_u8, 1..6_u8, option::weighted(0.8, 1..7_u8));
    let says = (0..6_i32, 0..3_i32, 0..3_usize, vec(select(texts), 0..3));
    let span = (ids, says, 0..40_u64, 0..9_u64).prop_map(|((trace, id, parent), says, start, duration)| {
        let (kind, status_code, service, texts) = says;
        let text =
            |key: &str, value: &str| Attribute { key: key.to_owned(), value: Value::Str(value.to_owned()) };
        let service = ["shop", "cart", ""][service];
        Span {
            trace_id: TraceId([trace * 30 + 1; 16]),
            span_id: SpanId([id; 8]),
            parent_span_id: parent.map(|parent| SpanId([parent; 8])),
            kind,
            status_code,
            start_unix_nano: 1_000_000 + start,
            end_unix_nano: 1_000_000 + start + duration,
            attributes: texts.into_iter().map(|(key, value)| text(key, value)).collect(),
            origin: Arc::new(Origin {
                resource_attributes: vec![text(SERVICE_NAME, service)],
                ..Origin::default()
            }),
            ..Span::default()
        }
    });
    vec(span, 1..50)
}

fn calling_span(
    trace: u8,
    service: &str,
    kind: i32,
    (id, parent): (u8, Option<u8>),
    texts: &[(&str, &str)],
) -> Span {
    let text =
        |(key, value): (&str, &str)| Attribute { key: key.to_owned(), value: Value::Str(value.to_owned()) };
    let resource_attributes = vec![text((SERVICE_NAME, service))];
    Span {
        trace_id: TraceId([trace + 1; 16]),
        span_id: SpanId([id; 8]),
        parent_span_id: parent.map(|parent| SpanId([parent; 8])),
        kind,
        attributes: texts.iter().map(|pair| text(*pair)).collect(),
        origin: Arc::new(Origin { resource_attributes, ..Origin::default() }),
        ..Span::default()
    }
}

/// What a person who reads the traces would say: of the oracle too.
#[test]
fn who_calls_whom_is_what_the_traces_tell() {
    let (internal, server, client, producer, consumer) = (1, 2, 3, 4, 5);
    let kafka = ("messaging.system", "kafka");
    let ordering = [
        calling_span(1, "shop", server, (1, None), &[]),
        calling_span(1, "shop", client, (2, Some(1)), &[("server.address", "cart:80")]),
        Span { status_code: 2, ..calling_span(1, "cart", server, (3, Some(2)), &[]) },
        calling_span(1, "cart", client, (4, Some(3)), &[("db.system", "redis"), ("server.address", "db")]),
        calling_span(1, "cart", internal, (5, Some(3)), &[]),
        calling_span(1, "cart", client, (6, Some(5)), &[("server.address", "10.0.0.1")]),
        calling_span(1, "cart", producer, (7, Some(3)), &[kafka]),
        calling_span(1, "mail", consumer, (8, Some(7)), &[kafka]),
        calling_span(1, "mail", producer, (9, Some(8)), &[("messaging.system", "rabbitmq")]),
        calling_span(1, "mail", server, (10, Some(99)), &[]),
    ];
    let sharing_an_id = [
        calling_span(2, "web", client, (1, None), &[]),
        calling_span(2, "pay", server, (1, None), &[]),
        calling_span(2, "pay", internal, (2, Some(1)), &[]),
    ];
    let spans = [&ordering[..], &sharing_an_id].concat();
    let edge = |caller: &str, callee: &str, kind| {
        (
            Edge { caller: caller.to_owned(), callee: callee.to_owned(), kind },
            (1, u64::from(callee == "cart")),
        )
    };
    let messaging = |system: &str| EdgeKind::Messaging { system: system.to_owned() };
    let mut expected = [
        edge("shop", "cart", EdgeKind::Service),
        edge("cart", "redis", EdgeKind::Database),
        edge("cart", "10.0.0.1", EdgeKind::Peer),
        edge("cart", "mail", messaging("kafka")),
        edge("mail", "rabbitmq", messaging("rabbitmq")),
        edge("web", "pay", EdgeKind::Service),
    ];
    expected.sort();
    runtime().block_on(async {
        let scene = Scene::of(&[encode_request(&spans)], Layout::FlushesOnly, 9, |sides| sides - 1).await;
        let querier = scene.world.querier(QueryLimits::default());
        let found = querier.dependencies(&Tenant::single(), Window::ALL).await.unwrap().content;
        let edges: Vec<_> =
            found.edges.iter().map(|(edge, red)| (edge.clone(), (red.calls, red.errors))).collect();
        assert_eq!(edges, expected);
        assert_eq!(found.without_parent, [("mail".to_owned(), 1)].into());
        let tally = RefCell::default();
        same_dependencies(&found, right_dependencies(&scene, None), &tally).unwrap();
    });
}

/// A trace may begin on a day that is given up.
#[test]
fn days_that_are_given_up_are_in_no_whole_trace() {
    const DAY: u64 = 86_400_000_000_000;
    let at = |day: u64, span: Span| Span { start_unix_nano: day * DAY, end_unix_nano: day * DAY, ..span };
    let (server, client) = (2, 3);
    let caller = at(20_000, calling_span(1, "shop", client, (1, None), &[]));
    let callee = at(20_001, calling_span(1, "cart", server, (2, Some(1)), &[]));
    let request = encode_request(&[caller, callee]);
    runtime().block_on(async {
        // What is merged goes with the day of its trace's earliest span, all at once.
        for layout in [Layout::LiveOnly, Layout::FlushesOnly] {
            let scene = Scene::of(std::slice::from_ref(&request), layout, 9, |sides| sides - 1).await;
            let querier = scene.world.querier(QueryLimits::default());
            let window = Window { start: 20_001 * DAY, end: 20_002 * DAY };
            let ask = async || querier.dependencies(&Tenant::single(), window).await.unwrap().content;
            let before = ask().await;
            assert_eq!((before.edges.len(), before.without_parent.len()), (1, 0), "{layout:?}");
            scene.world.cut(Day::of_unix_nano(20_001 * DAY)).await;
            let found = ask().await;
            assert_eq!((found.edges.len(), found.without_parent.len()), (0, 1), "{layout:?}");
        }
    });
}

/// A trace that is deleted.
fn deleted() -> impl Strategy<Value = Option<Index>> {
    option::weighted(0.3, any::<Index>())
}

fn has_spans(requests: &[ExportTraceServiceRequest]) -> bool {
    requests.iter().flat_map(request_spans).next().is_some()
}

#[test]
fn random_spans_are_found_one_by_one_as_the_oracle_says() {
    let runtime = runtime();
    let tally = RefCell::new(Tally::default());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) };
    let requests = arbitrary::arbitrary_requests().prop_filter("has spans", |requests| has_spans(requests));
    let cases = (requests, vec(asked(), 8), select(LAYOUTS.to_vec()), vec(any::<usize>(), 64), deleted());
    let checked = TestRunner::new(config).run(&cases, |(requests, asked, layout, dice, deleted)| {
        runtime.block_on(async {
            let mut rolls = dice.iter().cycle();
            let mut scene = Scene::of(&requests, layout, 3, |sides| rolls.next().unwrap() % sides).await;
            if let Some(deleted) = deleted {
                scene.delete(deleted.get(&scene.spans).trace_id).await;
            }
            let querier = scene.world.querier(QueryLimits::default());
            let known = Known::of(scene.spans.iter());
            for asked in asked.iter().filter(|_| !scene.spans.is_empty()) {
                check_spans(&querier, &scene, &known, asked, &tally).await?;
            }
            check_dependencies(&querier, &scene, None, &tally).await
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
    let tally = tally.into_inner();
    println!("{tally:?}");
    assert!(tally.found > 2_000 && tally.went_on > 1_000, "{tally:?}");
}

#[test]
fn dependencies_are_what_the_oracle_says_however_much_is_held_at_a_time() {
    let runtime = runtime();
    let tally = RefCell::new(Tally::default());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) };
    let window = option::of((any::<Index>(), any::<Index>()));
    let cases = (calling_spans(), window, select(LAYOUTS.to_vec()), vec(any::<usize>(), 64), deleted());
    let checked = TestRunner::new(config).run(&cases, |(spans, window, layout, dice, deleted)| {
        runtime.block_on(async {
            let mut rolls = dice.iter().cycle();
            let request = encode_request(&spans);
            let mut scene = Scene::of(&[request], layout, 9, |sides| rolls.next().unwrap() % sides).await;
            if let Some(deleted) = deleted {
                scene.delete(deleted.get(&spans).trace_id).await;
            }
            let window = window.map(|(one, other)| {
                let starts = [one, other].map(|index| index.get(&spans).start_unix_nano);
                Window { start: starts[0].min(starts[1]), end: starts[0].max(starts[1]) + 1 }
            });
            check_dependencies(&scene.world.querier(QueryLimits::default()), &scene, window, &tally).await?;
            // A slice may have so few spans that there are many slices.
            let few = QueryLimits { spans: 16, ..QueryLimits::default() };
            let querier = scene.world.querier(few);
            match querier.dependencies(&Tenant::single(), window.unwrap_or(Window::ALL)).await {
                Ok(answer) => same_dependencies(&answer.content, right_dependencies(&scene, window), &tally),
                Err(QueryError::Limit(LimitReached::Spans(16))) => {
                    // Each span is stored twice at most, apart from what a flush before a merge had.
                    let most =
                        scene.oracle.trace_ids().iter().map(|id| scene.oracle.trace(&id.0).len()).max();
                    prop_assert!(most.unwrap() > 8);
                    tally.borrow_mut().too_large += 1;
                    Ok(())
                }
                Err(other) => Err(TestCaseError::fail(other.to_string())),
            }
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
    let tally = tally.into_inner();
    println!("{tally:?}");
    assert!(tally.edges.iter().all(|edges| *edges > 300) && tally.without_parent > 300, "{tally:?}");
    assert!(tally.too_large < 200, "{tally:?}");
}

#[test]
fn large_sets_are_found_one_by_one_as_the_oracle_says() {
    let runtime = runtime();
    let mut runner = TestRunner::deterministic();
    let tally = RefCell::new(Tally::default());
    for seed in large_set::seeds() {
        let checked: Result<(), TestCaseError> = runtime.block_on(async {
            let scene = large_scene(seed).await;
            let querier = scene.world.querier(QueryLimits::default());
            let known = Known::of(scene.spans.iter().step_by(100));
            for order in [Order::Newest, Order::Oldest, Order::Longest].repeat(3) {
                let mut asked = asked().new_tree(&mut runner).unwrap().current();
                asked.order = order;
                check_spans(&querier, &scene, &known, &asked, &tally).await?;
            }
            let mut starts: Vec<u64> = scene.spans.iter().map(|span| span.start_unix_nano).collect();
            starts.sort_unstable();
            let middle = Window { start: starts[starts.len() / 3], end: starts[starts.len() / 2] };
            for window in [None, Some(middle)] {
                check_dependencies(&querier, &scene, window, &tally).await?;
            }
            Ok(())
        });
        checked.unwrap_or_else(|failure| panic!("set {seed}: {failure}"));
    }
    let tally = tally.into_inner();
    println!("{tally:?}");
    assert!(tally.found > 100 && tally.without_parent > 10, "{tally:?}");
}
