//! What was deleted stays deleted, whatever comes again, and looking for it opens only what may hold it.

#![expect(clippy::expect_used, reason = "a test that fails says so by a panic")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use siltstone_ask::{Filter, Window};
use siltstone_catalog::deletion::{Asked, Request};
use siltstone_catalog::rebuild::Force;
use siltstone_catalog::snapshot::Cover;
use siltstone_compactor::erase::{Left, left_of};
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_ingest::config::IngestConfig;
use siltstone_ingest::export::SpanFault;
use siltstone_querier::limits::QueryLimits;
use siltstone_querier::querier::Querier;
use siltstone_querier::rank::Order;
use siltstone_querier::search::Search;
use siltstone_testkit::corpus::build::{request, span};
use siltstone_testkit::oracle::{self, CanonicalSpan, Oracle, TimeWindow};
use siltstone_testkit::{Fault, FaultPlan, Operation, Rule, arbitrary};
use siltstone_tests::described::{Built, Described, Known};
use siltstone_tests::ingest_world::{World, live_of, send};
use siltstone_tests::merging::merge_the_inbox;
use siltstone_tests::query_world::QueryWorld;
use siltstone_tests::scene::{self, LAYOUTS, Scene, canonical};

const LOG_BYTES: u64 = 1 << 30;
const START: u64 = 1_800_000_000_000_000_000;

fn trace(number: u64) -> TraceId {
    TraceId(u128::from(number).to_be_bytes())
}

fn deletion_of(number: u64) -> Request {
    Request { tenant: Tenant::single(), asked: Asked::Traces, traces: vec![trace(number)], blocks: 0 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_bring_nothing_back_by_a_retried_export_a_replayed_log_a_merge_or_a_rebuild() {
    let world = World::new();
    let tenant = Tenant::single();
    let slowly = || IngestConfig {
        small_tenant_age: Duration::from_secs(600),
        large_tenant_age: Duration::from_secs(600),
        ..world.config()
    };
    let deleted = request("shop", vec![span(1, 1, "deleted"), span(2, 2, "kept")]);
    let late = request("shop", vec![span(1, 3, "late"), span(2, 4, "kept too")]);
    let (ingest, _) = world.ingest(1, LOG_BYTES, slowly()).await;
    send(&ingest, &tenant, &deleted).await.expect("is accepted");
    world.catalog(20).delete(deletion_of(1)).await.expect("deletes");
    let names = async |seed: u8, live: &[_]| {
        let seen = world.read(&world.catalog(seed), live, &tenant).await.spans;
        let mut names: Vec<String> = seen.into_iter().map(|span| span.name).collect();
        names.sort();
        names
    };
    assert_eq!(names(2, &[live_of(&ingest)]).await, ["kept"]);
    send(&ingest, &tenant, &deleted).await.expect("is accepted: it was sent before");
    assert_eq!(names(3, &[live_of(&ingest)]).await, ["kept"]);
    // It ends without a flush.
    world.objects.set_plan(FaultPlan::script([Rule::new(Fault::ErrorBefore).on(Operation::Put)]));
    assert!(!ingest.shutdown(Duration::ZERO).await);
    drop(ingest);
    world.objects.set_plan(FaultPlan::none());

    // The next one takes up the log, and knows what was deleted.
    let (ingest, _) = world.ingest(4, LOG_BYTES, slowly()).await;
    assert_eq!(names(5, &[live_of(&ingest)]).await, ["kept"]);
    send(&ingest, &tenant, &deleted).await.expect("is accepted: it is in the log");
    let accepted = send(&ingest, &tenant, &late).await.expect("is accepted in part");
    assert_eq!(accepted.spans, 1);
    assert_eq!(accepted.refused.iter().collect::<Vec<_>>(), [(SpanFault::Deleted, 1)]);
    assert!(accepted.message.contains("deleted less than a day ago"), "{}", accepted.message);
    assert_eq!(names(6, &[live_of(&ingest)]).await, ["kept", "kept too"]);
    assert!(ingest.shutdown(Duration::from_secs(60)).await);
    assert_eq!(names(7, &[]).await, ["kept", "kept too"]);

    // A rebuild takes in what was flushed before, and the records say what is deleted.
    merge_the_inbox(&world.catalog(8), &tenant, usize::MAX).await;
    assert_eq!(names(9, &[]).await, ["kept", "kept too"]);
    world.catalog(10).rebuild(Force::Yes).await.expect("rebuilds");
    assert_eq!(names(11, &[]).await, ["kept", "kept too"]);
}

/// One span of a trace with the number of its block.
fn block(number: u64) -> Vec<Span> {
    let start_unix_nano = START + number * 1_000_000;
    vec![Span {
        trace_id: trace(number + 1),
        span_id: SpanId([7; 8]),
        name: "operation".to_owned(),
        start_unix_nano,
        end_unix_nano: start_unix_nano + 5,
        ..Span::default()
    }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_open_only_blocks_that_may_hold_what_was_deleted() {
    const BLOCKS: u64 = 10_000;
    let world = QueryWorld::new().await;
    for first in (0..BLOCKS).step_by(1_000) {
        let blocks: Vec<Vec<Span>> = (first..first + 1_000).map(block).collect();
        let blocks: Vec<&[Span]> = blocks.iter().map(Vec::as_slice).collect();
        world.lay(&blocks).await;
    }
    let number = 4_321;
    let record = world.catalog.delete(deletion_of(number + 1)).await.expect("deletes");
    let snapshot = world.catalog.snapshot(&Cover { fresh: true, ..Cover::default() }).await.expect("reads");
    world.store.reset();
    let traces = record.request.traces;
    let (tenant, number_of_it) = (Tenant::single(), record.number.expect("is in force"));
    let left: Left = left_of(&world.catalog, &snapshot, &tenant, &traces, number_of_it).await.expect("looks");
    let of_blocks =
        world.store.requests().into_iter().filter(|request| request.location.as_ref().starts_with("blk/"));
    let mut opened: Vec<String> =
        of_blocks.map(|request| request.location.as_ref()[..30].to_owned()).collect();
    opened.sort();
    opened.dedup();
    println!("{} of {BLOCKS} blocks were opened, {} requests", opened.len(), world.store.snapshot().total());
    assert_eq!((left.blocks.len(), left.unread.len(), left.missing), (1, 0, 0));
    // One block in a thousand may be taken for one that holds it.
    assert!(opened.len() <= 1 + 3 * BLOCKS as usize / 1_000, "{}", opened.len());
    assert!(opened.iter().any(|key| *key == format!("blk/{}", left.blocks[0])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_find_all_traces_that_a_filter_matches_or_say_that_they_are_too_many() {
    let world = QueryWorld::new().await;
    let spans: Vec<Span> = (0..500).flat_map(block).collect();
    world.lay(&[&spans[..200]]).await;
    world.flush(&spans[200..400]).await;
    world.live.accept(spans[400..].to_vec());
    let querier = world.querier(QueryLimits { traces: 3, ..QueryLimits::default() });
    let window = siltstone_ask::Window { start: START, end: START + 450 * 1_000_000 };
    let filter = "name = \"operation\" and duration = 5ns".parse().expect("is a filter");
    let found = querier.matching_traces(&Tenant::single(), &filter, window, 1_000).await.expect("answers");
    assert_eq!(found.content, (1..=450).map(trace).collect::<Vec<_>>());
    assert!(found.gaps.is_empty(), "{:?}", found.gaps);
    let too_many = querier.matching_traces(&Tenant::single(), &filter, window, 449).await;
    assert!(too_many.is_err_and(|error| error.to_string().contains("449")));
}

/// How often what happened, so that a test that tests nothing is noticed.
#[derive(Debug, Default)]
struct Tally {
    nothing: usize,
    some: usize,
    everything: usize,
}

impl Tally {
    fn count(&mut self, found: usize, all: usize) {
        match found {
            0 => self.nothing += 1,
            found if found == all => self.everything += 1,
            _ => self.some += 1,
        }
    }
}

/// Every trace that there is, as a query has it.
async fn all_of(querier: &Querier) -> BTreeMap<TraceId, Vec<CanonicalSpan>> {
    let search = Search {
        tenant: Tenant::single(),
        filter: Filter::all(),
        window: Window::ALL,
        order: Order::Oldest,
        limit: 1_000_000,
        after: None,
    };
    let found = querier.search(&search).await.expect("answers");
    assert!(found.gaps.is_empty(), "{:?}", found.gaps);
    let traces = found.content.traces.into_iter();
    traces.map(|found| (found.trace.id, canonical(&found.trace.spans))).collect()
}

fn all_by(oracle: &Oracle) -> BTreeMap<TraceId, Vec<CanonicalSpan>> {
    let ids = oracle.trace_ids().into_iter().map(|id| TraceId(id.0.try_into().expect("has 16 bytes")));
    ids.map(|id| (id, oracle.trace(&id.0))).collect()
}

/// What a dry run says, what the oracle says, and what is there no more once it was done.
async fn delete_matching(
    scene: &mut Scene,
    querier: &Querier,
    asked: &Described,
    window: Option<Window>,
    tally: &RefCell<Tally>,
) -> Result<(), TestCaseError> {
    let built = Built::of(asked, &Known::of(scene.spans.iter()));
    let before = all_by(&scene.oracle);
    let right = scene.oracle.find(&oracle::Search {
        filter: built.oracle.clone(),
        window: window
            .map(|window| TimeWindow { start_unix_nanos: window.start, end_unix_nanos: window.end }),
        order: oracle::Order::Oldest,
        limit: usize::MAX,
    });
    let right: BTreeSet<TraceId> = right
        .traces
        .into_iter()
        .map(|found| TraceId(found.trace_id.0.try_into().expect("has 16 bytes")))
        .collect();

    // As records have it.
    let text = built.filter.to_string();
    let filter: Filter = text.parse().expect("is read as it was written");
    let (tenant, window) = (Tenant::single(), window.unwrap_or(Window::ALL));
    let dry = querier.matching_traces(&tenant, &filter, window, 1_000_000).await.expect("answers");
    prop_assert!(dry.gaps.is_empty(), "{:?}", dry.gaps);
    prop_assert_eq!(dry.content.iter().copied().collect::<BTreeSet<_>>(), right.clone(), "{}", text);
    prop_assert_eq!(all_of(querier).await, before.clone(), "{}", text);
    tally.borrow_mut().count(right.len(), before.len());
    if right.is_empty() {
        return Ok(());
    }
    let (from_unix_nano, to_unix_nano) = (window.start, window.end);
    let asked = Asked::Matching { filter: text.clone(), from_unix_nano, to_unix_nano };
    let request = Request { tenant, asked, traces: dry.content, blocks: 0 };
    scene.world.catalog.delete(request).await.expect("deletes");
    right.iter().for_each(|trace| scene.oracle.forget(&trace.0));
    scene.spans.retain(|span| !right.contains(&span.trace_id));
    let left = all_of(querier).await;
    prop_assert_eq!(&left, &all_by(&scene.oracle), "{}", &text);
    let hidden: BTreeSet<TraceId> = before.into_keys().filter(|trace| !left.contains_key(trace)).collect();
    prop_assert_eq!(hidden, right, "{}", text);
    Ok(())
}

#[test]
fn should_hide_exactly_the_traces_that_a_filter_matches_wherever_their_spans_lie() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("starts");
    let tally = RefCell::new(Tally::default());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) };
    let cases = (
        arbitrary::arbitrary_requests(),
        vec(scene::asked(), 4),
        select(LAYOUTS.to_vec()),
        vec(any::<usize>(), 64),
    );
    let checked = TestRunner::new(config).run(&cases, |(requests, asked, layout, dice)| {
        runtime.block_on(async {
            let mut rolls = dice.iter().cycle();
            let mut scene = Scene::of(&requests, layout, 3, |sides| rolls.next().unwrap_or(&0) % sides).await;
            let querier = scene.world.querier(QueryLimits::default());
            for asked in &asked {
                if scene.spans.is_empty() {
                    break;
                }
                let window = asked.window(&scene.spans);
                delete_matching(&mut scene, &querier, &asked.described, window, &tally).await?;
            }
            // What a merge leaves out was hidden before, and the other way round.
            scene.world.merge(3).await;
            prop_assert_eq!(all_of(&querier).await, all_by(&scene.oracle));
            Ok(())
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
    let tally = tally.into_inner();
    println!("{tally:?}");
    assert!(tally.some > 20 && tally.nothing > 20 && tally.everything > 5, "{tally:?}");
}
