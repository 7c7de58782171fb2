//! What questions over a million spans in merged blocks cost that look at most of them: counting keys and values of
//! attributes, dependencies, and spans one by one. `cargo run --release -p siltstone-tests --example questions`. Each
//! is asked twice: the second time its pages may be in memory.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use siltstone_ask::{Filter, Level, Window};
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_querier::counts::Of;
use siltstone_querier::limits::QueryLimits;
use siltstone_querier::rank::Order;
use siltstone_querier::spans::SpanSearch;
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
        measure(&format!("keys {level:?}"), async || {
            querier.attribute_keys(&of, level).await.expect("answers").content.len()
        })
        .await;
    }
    for (level, key) in [
        (Level::Span, "http.route"),
        (Level::Span, "http.response.status_code"),
        (Level::Resource, "service.name"),
        (Level::Event, "exception.type"),
        (Level::Any, "http.route"),
    ] {
        measure(&format!("values {level:?} {key}"), async || {
            querier.attribute_values(&of, level, key).await.expect("answers").content.len()
        })
        .await;
    }
    for order in [Order::Newest, Order::Longest] {
        let Of { tenant, filter, window } = of.clone();
        let search = SpanSearch { tenant, filter, window, order, limit: 20, after: None };
        measure(&format!("spans {order:?}"), async || {
            querier.find_spans(&search).await.expect("answers").content.spans.len()
        })
        .await;
    }
    measure("dependencies", async || {
        querier.dependencies(&of.tenant, of.window).await.expect("answers").content.edges.len()
    })
    .await;
}

async fn measure(what: &str, ask: impl AsyncFn() -> usize) {
    for _ in 0..2 {
        let before = cpu_time();
        let found = ask().await;
        println!("{what}: {found} found, {:?}", cpu_time() - before);
    }
}
