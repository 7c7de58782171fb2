//! M1: a merge keeps the multiset of spans, less same spans, wherever windows, row groups and blocks end.

#![expect(clippy::unwrap_used, reason = "what is built here is within all bounds")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use siltstone_ask::collapse;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::snapshot::Cover;
use siltstone_compactor::config::CompactorConfig;
use siltstone_compactor::metrics::Metrics;
use siltstone_compactor::plan::Policy;
use siltstone_compactor::service::{Compactor, When};
use siltstone_format::day::Day;
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::invariants::check_f2;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_testkit::{Operation, arbitrary, nasty};
use siltstone_tests::blocks::traffic;
use siltstone_tests::decode::request_spans;
use siltstone_tests::merging::read_block;
use siltstone_tests::query_world::QueryWorld;

fn compactor(world: &QueryWorld, memory_bytes: usize, target_rows: u64) -> Compactor {
    let policy = Policy { target_rows, ..Policy::default() };
    let config = CompactorConfig { memory_bytes, policy, ..CompactorConfig::default() };
    let (catalog, clock) = (Arc::clone(&world.catalog), Arc::clone(&world.clock));
    Compactor::new(catalog, clock, config, Arc::new(Metrics::default()))
}

/// Merges flushes, and checks all that must hold of what comes of it.
async fn check(flushes: &[Vec<Span>], memory_bytes: usize, target_rows: u64) -> Result<usize, TestCaseError> {
    let world = QueryWorld::new().await;
    for flush in flushes {
        world.flush(flush).await;
    }
    let compactor = compactor(&world, memory_bytes, target_rows);
    let mut rounds = 0;
    while !compactor.round(When::Now).await.unwrap().is_idle() {
        rounds += 1;
        prop_assert!(rounds < 20, "it never ends");
    }
    let all: Vec<Span> = flushes.iter().flatten().cloned().collect();
    let right = collapse(all.clone());

    let fresh = Cover { fresh: true, ..Cover::default() };
    let snapshot = world.catalog.snapshot(&fresh).await.unwrap();
    let tenant = Tenant::single();
    let mut found = Vec::new();
    let mut days: BTreeMap<TraceId, BTreeSet<Day>> = BTreeMap::new();
    for page in world.catalog.pages(&snapshot, &tenant).await.unwrap() {
        let Section::Day(day) = page.section else {
            return Err(TestCaseError::fail("a block was left in the inbox"));
        };
        for block in &world.catalog.blocks_of(&tenant, &page).await.unwrap().blocks {
            let spans = read_block(&world.catalog, &block.summary).await;
            for span in &spans {
                days.entry(span.trace_id).or_default().insert(day);
            }
            found.extend(spans);
        }
    }
    let counts = compactor.metrics().counts();
    prop_assert_eq!(counts.jobs_failed, 0);
    prop_assert_eq!(found.len() + counts.rows_collapsed as usize, all.len());
    // What different jobs wrote may hold a span twice.
    let distinct = if counts.jobs_done == 1 { found } else { collapse(found) };
    check_f2(&right, &distinct).map_err(|error| TestCaseError::fail(error.to_string()))?;
    if counts.jobs_done == 1 {
        for span in &right {
            let days = &days[&span.trace_id];
            let of_trace = right.iter().filter(|other| other.trace_id == span.trace_id);
            let earliest = of_trace.map(|span| span.start_unix_nano).min().unwrap();
            prop_assert_eq!(days.iter().collect::<Vec<_>>(), [&Day::of_unix_nano(earliest)]);
        }
    }
    Ok(counts.blocks_written as usize)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Spans, and into which flushes each goes: sometimes into several, as a retried request does.
fn spread(spans: Vec<Span>, places: &[(usize, usize)], flushes: usize) -> Vec<Vec<Span>> {
    let mut spread = vec![Vec::new(); flushes];
    for (span, (one, other)) in spans.into_iter().zip(places.iter().cycle()) {
        if other % 8 == 0 {
            spread[other % flushes].push(span.clone());
        }
        spread[one % flushes].push(span);
    }
    spread
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn should_keep_every_span_once(
        requests in arbitrary::arbitrary_requests(),
        places in vec((0usize..64, 0usize..64), 1..100),
        flushes in 1usize..9,
        memory_bytes in prop_oneof![Just(1usize), Just(40_000), Just(4_000_000)],
        target_rows in prop_oneof![Just(1u64), Just(7), Just(1_000_000)],
    ) {
        let spans: Vec<Span> = requests.iter().flat_map(request_spans).collect();
        let flushes = spread(spans, &places, flushes);
        runtime().block_on(check(&flushes, memory_bytes, target_rows))?;
    }
}

#[test]
fn should_keep_every_nasty_span_once() {
    let spans: Vec<Span> = nasty::requests().iter().flat_map(request_spans).collect();
    let places: Vec<(usize, usize)> = (0..61).map(|number| (number * 7, number)).collect();
    for flushes in [1, 3, 8] {
        let flushes = spread(spans.clone(), &places, flushes);
        for memory_bytes in [1, 4_000_000] {
            runtime().block_on(check(&flushes, memory_bytes, 1_000_000)).unwrap();
        }
    }
}

/// A trace that fills many windows in each of its blocks, with parents before and behind their children, some in
/// another block and some nowhere.
#[test]
fn should_merge_a_trace_that_is_larger_than_what_is_held_of_it() {
    let id = |number: u64| SpanId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let span = |number: u64| Span {
        trace_id: TraceId([if number.is_multiple_of(50) { 3 } else { 5 }; 16]),
        span_id: id(number),
        parent_span_id: match number % 4 {
            0 => None,
            1 => Some(id(number / 2)),
            2 => Some(id(number + 900)),
            _ => Some(id(number + 1_000_000)),
        },
        start_unix_nano: 1_700_000_000_000_000_000 + number / 3,
        name: format!("operation {}", number % 7),
        ..Span::default()
    };
    let spans: Vec<Span> = (0..6_000).map(span).collect();
    let places: Vec<(usize, usize)> = (0..97).map(|number| (number * 5, number)).collect();
    let flushes = spread(spans, &places, 3);
    let blocks = runtime().block_on(check(&flushes, 100_000, 2_000)).unwrap();
    assert!(blocks > 1, "{blocks}");
}

/// Rows become columns in many small windows: what is asked of the store does not grow with their number.
#[tokio::test(flavor = "multi_thread")]
async fn should_ask_for_the_pages_of_many_windows_at_once() {
    const INPUTS: u64 = 4;
    let world = QueryWorld::new().await;
    for seed in 0..INPUTS {
        let mut spans = Vec::new();
        traffic(36_000, 280, seed).for_each(|batch| spans.extend(request_spans(&batch.request)));
        world.flush(&spans).await;
    }
    let stored: u64 = world.blocks().await.iter().map(BlockEntry::bytes).sum();
    // A window has about 1,300 rows, and pages of 20,000 are read at a time. So few rows are not cut: there is no room
    // for several outputs at once, and inputs would be read once more for each.
    let compactor = compactor(&world, 12 << 20, 4_000_000);
    world.store.reset();
    let round = compactor.round(When::Now).await.unwrap();
    assert_eq!(round.done.len(), 1, "{round:?}");
    let requests = world.store.requests().into_iter();
    let reads = requests.filter(|request| request.operation == Operation::GetRange);
    let reads = reads.filter(|request| request.location.as_ref().starts_with("blk/")).count();
    let bytes = world.store.snapshot().bytes_read;
    println!("{reads} requests, {bytes} bytes of {stored}");
    assert!(reads <= 12 * INPUTS as usize, "{reads} requests for {INPUTS} inputs of 28 windows each");
    assert!(bytes < 3 * stored, "{bytes} bytes were read of {stored}");
}

/// What is asked of the store when there is nothing to merge: one listing of the log, and no more.
#[tokio::test]
async fn should_ask_an_idle_bucket_once() {
    let world = QueryWorld::new().await;
    world.flush(&nasty::requests().iter().flat_map(request_spans).collect::<Vec<_>>()).await;
    let compactor = compactor(&world, 4_000_000, 1_000_000);
    while !compactor.round(When::Now).await.unwrap().is_idle() {}
    world.store.reset();
    assert!(compactor.round(When::Now).await.unwrap().is_idle());
    let requests: Vec<Operation> = world.store.requests().iter().map(|request| request.operation).collect();
    assert_eq!(requests, [Operation::List]);
}
