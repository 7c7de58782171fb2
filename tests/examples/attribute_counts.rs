//! What counting keys and values of attributes costs over a million spans in merged blocks:
//! `cargo run --release -p siltstone-tests --example attribute_counts`. Each question is asked twice: the second
//! time its pages are in memory.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use siltstone_ask::{Filter, Level, Window};
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_querier::counts::Of;
use siltstone_querier::limits::QueryLimits;
use siltstone_tests::decode::request_spans;
use siltstone_tests::query_world::QueryWorld;
use siltstone_traffic::{Traffic, TrafficConfig};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SPANS: usize = 1_000_000;
const SPANS_OF_A_BLOCK: usize = 500_000;

/// Of all threads: others use this machine too.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

#[expect(clippy::expect_used, reason = "a measurement that fails has no result")]
#[tokio::main]
async fn main() {
    let world = QueryWorld::new().await;
    let mut spans: Vec<Span> = Vec::new();
    for batch in Traffic::new(TrafficConfig { spans: SPANS, seed: 1, ..TrafficConfig::default() }) {
        spans.extend(request_spans(&batch.request));
        if spans.len() >= SPANS_OF_A_BLOCK {
            world.flush(&spans).await;
            spans.clear();
        }
    }
    world.flush(&spans).await;
    drop(spans);
    world.merge(SPANS_OF_A_BLOCK).await;
    let querier = world.querier(QueryLimits::default());
    let of = Of { tenant: Tenant::single(), filter: Filter::all(), window: Window::ALL };
    for level in [Level::Span, Level::Resource, Level::Event, Level::Any] {
        for _ in 0..2 {
            let before = cpu_time();
            let found = querier.attribute_keys(&of, level).await.expect("answers").content;
            println!("keys {level:?}: {} keys, {:?}", found.len(), cpu_time() - before);
        }
    }
    for (level, key) in [
        (Level::Span, "http.route"),
        (Level::Span, "http.response.status_code"),
        (Level::Resource, "service.name"),
        (Level::Event, "exception.type"),
        (Level::Any, "http.route"),
    ] {
        for _ in 0..2 {
            let before = cpu_time();
            let found = querier.attribute_values(&of, level, key).await.expect("answers").content;
            let spans: u64 = found.values().sum();
            println!(
                "values {level:?} {key}: {} values, {spans} spans, {:?}",
                found.len(),
                cpu_time() - before
            );
        }
    }
}
