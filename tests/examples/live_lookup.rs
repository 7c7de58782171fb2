//! What a lookup by trace id costs an ingester that holds 256 MB of spans in no block:
//! `cargo run --release -p siltstone-tests --example live_lookup`.

use std::time::{Duration, Instant};

use siltstone_format::tenant::Tenant;
use siltstone_ingest::config::IngestConfig;
use siltstone_live::question::{Question, Wanted};
use siltstone_live::source::LiveSource;
use siltstone_tests::decode::request_spans;
use siltstone_tests::ingest_world::{World, send};
use siltstone_traffic::{Traffic, TrafficConfig};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BUFFERED_BYTES: u64 = 256 << 20;
const LOOKUPS: usize = 2_000;

#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::expect_used, reason = "a measurement that fails has no result")]
#[tokio::main]
async fn main() {
    let world = World::new();
    let hour = Duration::from_secs(3_600);
    let config = IngestConfig {
        memory_bytes: 4 << 30,
        flush_bytes: 4 << 30,
        small_tenant_age: hour,
        large_tenant_age: hour,
        ..world.config()
    };
    let (ingest, _) = world.ingest(1, 64 << 30, config).await;
    let tenant = Tenant::single();
    let (mut traces, mut spans) = (Vec::new(), 0);
    for batch in Traffic::new(TrafficConfig { spans: 10_000_000, ..TrafficConfig::default() }) {
        let accepted = send(&ingest, &tenant, &batch.request).await.expect("is accepted");
        spans += accepted.spans;
        traces.extend(request_spans(&batch.request).next().map(|span| span.trace_id));
        if ingest.live_bytes() > BUFFERED_BYTES {
            break;
        }
    }
    let live = ingest.live();
    let mut micros = Vec::new();
    for number in 0..LOOKUPS {
        let trace = traces[number * 7_919 % traces.len()];
        let question = Question { tenant: tenant.clone(), wanted: Wanted::Traces(vec![trace]) };
        let began = now();
        let answer = live.ask(&question).await.expect("answers");
        micros.push(now().duration_since(began).as_secs_f64() * 1e6);
        assert!(!answer.segments.is_empty(), "the trace is there");
    }
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize];
    println!(
        "{} MB of {spans} spans buffered; lookup of one trace: p50 {:.0} µs, p99 {:.0} µs, longest {:.0} µs",
        ingest.live_bytes() >> 20,
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
