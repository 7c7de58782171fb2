//! The engine against the oracle: the same answer to every question, wherever spans lie.

#![expect(clippy::unwrap_used, reason = "what is built here is within all bounds")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use siltstone_ask::{Filter, Level, Window};
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;
use siltstone_querier::counts::Of;
use siltstone_querier::limits::QueryLimits;
use siltstone_querier::names::{Operation, OperationsOf};
use siltstone_querier::querier::Querier;
use siltstone_querier::rank::Order;
use siltstone_querier::red::Step;
use siltstone_querier::search::{FoundTrace, Search};
use siltstone_testkit::oracle::{self, CanonicalSpan, HexBytes, OracleFilter};
use siltstone_testkit::{arbitrary, nasty};
use siltstone_tests::decode::request_spans;
use siltstone_tests::described::{Built, Known};
use siltstone_tests::large_set::{self, large_scene};
use siltstone_tests::scene::{Asked, LAYOUTS, Layout, Scene, asked, canonical};

use oracle::Level::{Event, Link, Resource, Scope, Span as OfSpan};

const LEVELS: [(Level, &[oracle::Level]); 6] = [
    (Level::Span, &[OfSpan]),
    (Level::Resource, &[Resource]),
    (Level::Scope, &[Scope]),
    (Level::Event, &[Event]),
    (Level::Link, &[Link]),
    (Level::Any, &[OfSpan, Resource, Scope, Event, Link]),
];

/// How often what happened, so that a test that tests nothing is noticed.
#[derive(Debug, Default)]
struct Tally {
    empty: usize,
    found: usize,
    went_on: usize,
}

fn same(found: &FoundTrace, right: &oracle::FoundTrace) -> bool {
    HexBytes(found.trace.id.0.to_vec()) == right.trace_id
        && canonical(&found.trace.spans) == right.spans
        && found.matching == right.matching
}

/// Asks piece by piece until there is no more, and compares with all that the oracle finds.
async fn check(
    querier: &Querier,
    scene: &Scene,
    known: &Known,
    asked: &Asked,
    tally: &RefCell<Tally>,
) -> Result<(), TestCaseError> {
    let built = Built::of(&asked.described, known);
    let window = asked.window(&scene.spans);
    let right = scene.oracle.find(&asked.of_oracle(&built, window, usize::MAX)).traces;
    let mut search = Search {
        tenant: Tenant::single(),
        filter: built.filter.clone(),
        window: window.unwrap_or(Window::ALL),
        order: asked.order,
        limit: asked.limit,
        after: None,
    };
    let mut rest = &right[..];
    // Some pieces are as good as all.
    for _ in 0..3 {
        let answer = querier.search(&search).await.unwrap();
        prop_assert_eq!(&answer.gaps, &Vec::<String>::new());
        let found = answer.content;
        let (piece, behind) = rest.split_at(asked.limit.min(rest.len()));
        let is_right = found.traces.len() == piece.len()
            && found.traces.iter().zip(piece).all(|(found, right)| same(found, right));
        prop_assert!(
            is_right,
            "{asked:?}\n{:?}\nfound {:#?}\nright {:#?}",
            built.filter,
            found.traces,
            piece
        );
        prop_assert_eq!(found.next.is_some(), !behind.is_empty(), "{:?}", asked);
        rest = behind;
        let mut tally = tally.borrow_mut();
        tally.empty += usize::from(found.traces.is_empty());
        tally.found += found.traces.len();
        let Some(next) = found.next else { break };
        tally.went_on += 1;
        search.after = Some(next);
    }
    Ok(())
}

/// What people pick from lists.
async fn check_names(querier: &Querier, scene: &Scene, asked: &Asked) -> Result<(), TestCaseError> {
    let tenant = Tenant::single();
    let window = asked.window(&scene.spans);
    let inside = |span: &&CanonicalSpan| window.is_none_or(|window| window.contains(span.start_unix_nanos));
    let all = scene.oracle.spans();
    let spans: Vec<&CanonicalSpan> = all.iter().filter(inside).collect();
    let window = window.unwrap_or(Window::ALL);

    let services = querier.services(&tenant, window).await.unwrap();
    let right: BTreeSet<String> = spans.iter().map(|span| span.service_name().to_owned()).collect();
    prop_assert_eq!(&services.content, &right);

    let service = right.into_iter().nth(asked.limit % 2);
    let kind = (asked.limit == 1).then_some(2);
    let of = OperationsOf { service: service.clone(), kind };
    let operations = querier.operations(&tenant, &of, window).await.unwrap();
    let wanted = |span: &&&CanonicalSpan| {
        service.as_ref().is_none_or(|service| span.service_name() == service)
            && kind.is_none_or(|kind| span.kind == kind)
    };
    let operation = |span: &&CanonicalSpan| Operation {
        service: span.service_name().to_owned(),
        name: span.name.clone(),
        kind: span.kind,
    };
    let right: BTreeSet<Operation> = spans.iter().filter(wanted).map(operation).collect();
    prop_assert_eq!(operations.content, right);
    Ok(())
}

/// Numbers of spans, of which some are stored twice.
async fn check_counts(
    querier: &Querier,
    scene: &Scene,
    known: &Known,
    levels: &[(Level, &[oracle::Level])],
) -> Result<(), TestCaseError> {
    let of = Of { tenant: Tenant::single(), filter: Filter::all(), window: Window::ALL };
    let services = querier.spans_per_service(&of).await.unwrap();
    prop_assert_eq!(services.content, scene.oracle.spans_per_service());
    for (level, oracle_levels) in levels.iter().copied() {
        let keys = querier.attribute_keys(&of, level).await.unwrap().content;
        // From all of them, as those with columns and those without are not equal.
        for (key, count) in keys.iter().step_by(keys.len().div_ceil(4).max(1)) {
            let has = |level: &oracle::Level| OracleFilter::attribute(*level, key, oracle::Test::Exists);
            let has = OracleFilter::Or(oracle_levels.iter().map(has).collect());
            let right = scene.oracle.spans().iter().filter(|span| has.holds_on(span)).count() as u64;
            prop_assert_eq!(*count, right, "{:?} {:?}", level, key);
            let values = querier.attribute_values(&of, level, key).await.unwrap();
            let mut found: Vec<u64> = values.content.into_values().collect();
            let mut right: Vec<u64> =
                scene.oracle.spans_per_value(oracle_levels, key).into_values().collect();
            found.sort_unstable();
            right.sort_unstable();
            prop_assert_eq!(found, right, "{:?} {:?}", level, key);
        }
        let of_known = known.keys(level).filter(|key| !keys.contains_key(*key)).take(3);
        for key in of_known {
            prop_assert!(scene.oracle.spans_per_value(oracle_levels, key).is_empty(), "{level:?} {key:?}");
        }
    }
    Ok(())
}

/// Rate, errors and durations, with steps that are not a minute's.
async fn check_red(querier: &Querier, scene: &Scene, asked: &Asked) -> Result<(), TestCaseError> {
    let window = asked.window(&scene.spans).unwrap_or(Window::ALL);
    let step_nanos = [1, 1_000, 7_000_000_007, u64::MAX][asked.limit % 4];
    let of = Of { tenant: Tenant::single(), filter: Filter::all(), window };
    let found = querier.red(&of, step_nanos).await.unwrap().content;
    let mut right = BTreeMap::<Step, (u64, u64, Vec<i128>)>::new();
    for span in scene.oracle.spans().iter().filter(|span| window.contains(span.start_unix_nanos)) {
        let operation =
            Operation { service: span.service_name().to_owned(), name: span.name.clone(), kind: span.kind };
        let start_unix_nano = span.start_unix_nanos / step_nanos * step_nanos;
        let red = right.entry(Step { operation, start_unix_nano }).or_default();
        red.0 += 1;
        red.1 += u64::from(span.status_code == 2);
        red.2.push(span.duration_nanos().max(0));
    }
    prop_assert!(found.keys().eq(right.keys()), "{found:#?}\n{right:#?}");
    for (red, (calls, errors, mut durations)) in found.values().zip(right.into_values()) {
        prop_assert_eq!((red.calls, red.errors, red.durations.count()), (calls, errors, calls));
        prop_assert_eq!(red.sum_nanos, durations.iter().map(|nanos| nanos.unsigned_abs()).sum::<u128>());
        durations.sort_unstable();
        let (median, exact) =
            (red.durations.quantile(0.5).unwrap(), durations[(durations.len() - 1) / 2] as f64);
        prop_assert!((median - exact).abs() <= exact * 0.02, "{median} for {exact}");
    }
    Ok(())
}

async fn check_ids(querier: &Querier, scene: &Scene) -> Result<(), TestCaseError> {
    let some = scene.scattered.iter().take(20).copied();
    let mut ids: Vec<TraceId> = some.chain(scene.spans.iter().map(|span| span.trace_id).take(40)).collect();
    ids.push(TraceId([0xee; 16]));
    let answer = querier.traces(&Tenant::single(), &ids).await.unwrap();
    ids.sort();
    ids.dedup();
    let mut found = answer.content.iter();
    for id in ids {
        let right = scene.oracle.trace(&id.0);
        if right.is_empty() {
            continue;
        }
        let trace = found.next().unwrap();
        prop_assert_eq!(trace.id, id);
        prop_assert_eq!(canonical(&trace.spans), right);
    }
    prop_assert!(found.next().is_none());
    Ok(())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn random_spans_are_found_as_the_oracle_says_wherever_they_lie() {
    let runtime = runtime();
    let tally = RefCell::new(Tally::default());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) };
    let cases =
        (arbitrary::arbitrary_requests(), vec(asked(), 8), select(LAYOUTS.to_vec()), vec(any::<usize>(), 64));
    let checked = TestRunner::new(config).run(&cases, |(requests, asked, layout, dice)| {
        runtime.block_on(async {
            let mut rolls = dice.iter().cycle();
            let scene = Scene::of(&requests, layout, 3, |sides| rolls.next().unwrap() % sides).await;
            let querier = scene.world.querier(QueryLimits::default());
            let known = Known::of(scene.spans.iter());
            for asked in asked.iter().filter(|_| !scene.spans.is_empty()) {
                check(&querier, &scene, &known, asked, &tally).await?;
            }
            if !scene.spans.is_empty() {
                check_names(&querier, &scene, &asked[0]).await?;
                check_counts(&querier, &scene, &known, &LEVELS).await?;
                check_red(&querier, &scene, &asked[0]).await?;
            }
            check_ids(&querier, &scene).await
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
    let tally = tally.into_inner();
    println!("{tally:?}");
    assert!(tally.found > 2_000 && tally.empty > 300 && tally.went_on > 300, "{tally:?}");
}

#[test]
fn nasty_spans_are_found_as_the_oracle_says() {
    let runtime = runtime();
    let mut runner = TestRunner::deterministic();
    let tally = RefCell::new(Tally::default());
    for (name, request) in nasty::named() {
        if request_spans(&request).count() > 5_000 {
            // Those are for the decoder.
            continue;
        }
        let requests = [request];
        let mut roll = 0_usize;
        let checked: Result<(), TestCaseError> = runtime.block_on(async {
            let scene = Scene::of(&requests, Layout::Mixed, 100, |sides| {
                roll = roll.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (roll >> 33) % sides
            });
            let scene = scene.await;
            let querier = scene.world.querier(QueryLimits::default());
            let known = Known::of(scene.spans.iter());
            for _ in 0..if scene.spans.is_empty() { 0 } else { 10 } {
                let asked = asked().new_tree(&mut runner).unwrap().current();
                check(&querier, &scene, &known, &asked, &tally).await?;
            }
            check_ids(&querier, &scene).await
        });
        checked.unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
    println!("{:?}", tally.into_inner());
}

#[test]
fn large_sets_are_found_as_the_oracle_says() {
    let runtime = runtime();
    let mut runner = TestRunner::deterministic();
    let tally = RefCell::new(Tally::default());
    for seed in large_set::seeds() {
        let checked: Result<(), TestCaseError> = runtime.block_on(async {
            let scene = large_scene(seed).await;
            let querier = scene.world.querier(QueryLimits::default());
            let known = Known::of(scene.spans.iter().step_by(100));
            for order in [Order::Newest, Order::Oldest, Order::Longest].repeat(4) {
                let mut asked = asked().new_tree(&mut runner).unwrap().current();
                asked.order = order;
                check(&querier, &scene, &known, &asked, &tally).await?;
            }
            let asked = asked().new_tree(&mut runner).unwrap().current();
            check_names(&querier, &scene, &asked).await?;
            check_red(&querier, &scene, &asked).await?;
            check_counts(&querier, &scene, &known, &LEVELS[..1]).await?;
            check_ids(&querier, &scene).await
        });
        checked.unwrap_or_else(|failure| panic!("set {seed}: {failure}"));
    }
    let tally = tally.into_inner();
    println!("{tally:?}");
    assert!(tally.found > 20 && tally.went_on > 5, "{tally:?}");
}

/// Found by random questions: rows that a name excludes were not read, and with them the beginnings of traces, by
/// which parents are told.
#[test]
fn parents_are_known_where_a_name_excludes_most_rows() {
    runtime().block_on(async {
        let span = |number: u8| siltstone_format::span::Span {
            trace_id: TraceId([1; 16]),
            span_id: siltstone_format::id::SpanId([number; 8]),
            parent_span_id: (number > 1).then(|| siltstone_format::id::SpanId([number - 1; 8])),
            name: format!("step {number}"),
            start_unix_nano: u64::from(number),
            end_unix_nano: 100,
            ..siltstone_format::span::Span::default()
        };
        let world = siltstone_tests::query_world::QueryWorld::new().await;
        world.flush(&(1..=200).map(span).collect::<Vec<_>>()).await;
        world.merge(1_000).await;
        let querier = world.querier(QueryLimits::default());
        let name = |name: &str| {
            Filter::compare(siltstone_ask::Field::Name.into(), siltstone_ask::Comparison::Eq, name).unwrap()
        };
        let has_parent = Filter::exists(siltstone_ask::Field::ParentSpanId.into());
        for (number, found) in [(150, 1), (1, 0)] {
            let filter = Filter::and(vec![name(&format!("step {number}")), has_parent.clone()]).unwrap();
            let search = Search {
                tenant: Tenant::single(),
                filter,
                window: Window::ALL,
                order: siltstone_querier::rank::Order::Newest,
                limit: 5,
                after: None,
            };
            assert_eq!(querier.search(&search).await.unwrap().content.traces.len(), found, "{number}");
        }
    });
}
