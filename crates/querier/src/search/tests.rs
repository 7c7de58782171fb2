use siltstone_ask::Field;

use super::*;
use crate::querier::tests::one_at_a_time;
use crate::test_world::{Ingester, World, span_of, spans};

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

#[test]
fn should_find_the_first_where_all_match() {
    assert_eq!(found(&Filter::all(), Order::Newest, 3), [5_999, 5_998, 5_997].map(trace));
    assert_eq!(found(&Filter::all(), Order::Oldest, 2), [0, 1].map(trace));
}
