use siltstone_ask::{Comparison, Field};

use super::*;
use crate::querier::tests::one_at_a_time;
use crate::test_world::{Ingester, START, World, span_of, spans};

fn found(filter: &Filter, order: Order, limit: usize) -> Vec<TraceId> {
    let world = World::new();
    let ingester = Ingester::new(&world);
    // More than are looked at first, and more than few.
    ingester.accept(spans(0..6_000));
    ingester.flush();
    let querier = one_at_a_time(&world);
    let (tenant, filter) = (Tenant::single(), filter.clone());
    let search = Search { tenant, filter, window: Window::ALL, order, limit, after: None };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = runtime.block_on(querier.search(&search)).unwrap();
    answer.content.traces.into_iter().map(|found| found.trace.id).collect()
}

fn trace(number: u64) -> TraceId {
    span_of(number, number).trace_id
}

#[test]
fn should_find_what_matches_only_behind_the_best_starts() {
    for (number, order) in [(5, Order::Newest), (5_990, Order::Oldest), (7, Order::Longest)] {
        let filter = Filter::regex(Field::TraceId.into(), &trace(number).to_string()).unwrap();
        assert_eq!(found(&filter, order, 1), [trace(number)], "{order:?}");
    }
}

/// Traces whose ids begin with the time: the best starts lie in one row group, and of the others nothing is asked.
#[test]
fn should_find_the_best_starts_wherever_they_lie() {
    let world = World::new();
    let ingester = Ingester::new(&world);
    const SPANS: u64 = 140_000;
    ingester.accept(spans(0..SPANS));
    ingester.flush();
    let name = Filter::compare(Field::Name.into(), Comparison::Eq, "operation 0").unwrap();
    let window = |first: u64, last: u64| Window { start: START + first, end: START + last };
    for (order, window, expected) in [
        (Order::Newest, Window::ALL, (0..SPANS).rev().collect::<Vec<u64>>()),
        (Order::Oldest, Window::ALL, (0..SPANS).collect()),
        (Order::Newest, window(10, 90_000), (10..90_000).rev().collect()),
        (Order::Oldest, window(131_500, SPANS), (131_500..SPANS).collect()),
    ] {
        // A querier that has read nothing.
        let querier = one_at_a_time(&world);
        let (tenant, filter) = (Tenant::single(), name.clone());
        let search = Search { tenant, filter, window, order, limit: 20, after: None };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on(querier.search(&search)).unwrap();
        let found: Vec<TraceId> = answer.content.traces.iter().map(|found| found.trace.id).collect();
        let right = expected.into_iter().filter(|number| number % 3 == 0).take(20).map(trace);
        assert_eq!(found, right.collect::<Vec<_>>(), "{order:?} {window:?}");
        // Most rows were looked at once, for their starts.
        assert!(answer.cost.rows_scanned <= SPANS + 10_000, "{:?}", answer.cost);
    }
}

#[test]
fn should_find_the_first_where_all_match() {
    assert_eq!(found(&Filter::all(), Order::Newest, 1), [trace(5_999)]);
    assert_eq!(found(&Filter::all(), Order::Oldest, 3), [0, 1, 2].map(trace));
}
