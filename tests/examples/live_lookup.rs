//! What a lookup by trace id costs an ingester that holds 256 MB of spans in no block:
//! `cargo run --release -p siltstone-tests --example live_lookup`.
//!
//! Traces are picked once by their spans, so that large ones come often, and once each as likely as any other.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use siltstone_format::id::TraceId;
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
    let (mut by_spans, mut distinct, mut spans) = (Vec::new(), BTreeSet::new(), 0);
    for batch in Traffic::new(TrafficConfig { spans: 10_000_000, ..TrafficConfig::default() }) {
        let accepted = send(&ingest, &tenant, &batch.request).await.expect("is accepted");
        spans += accepted.spans;
        let mut sent = request_spans(&batch.request).map(|span| span.trace_id).peekable();
        by_spans.extend(sent.peek());
        distinct.extend(sent);
        if ingest.live_bytes() > BUFFERED_BYTES {
            break;
        }
    }
    println!("{} MB of {spans} spans buffered", ingest.live_bytes() >> 20);
    let live = ingest.live();
    measure("picked by spans", &live, &by_spans).await;
    let distinct: Vec<TraceId> = distinct.into_iter().collect();
    measure("each trace as likely", &live, &distinct).await;
}

#[expect(clippy::expect_used, reason = "a measurement that fails has no result")]
async fn measure(how: &str, live: &dyn LiveSource, traces: &[TraceId]) {
    let mut lookups = Vec::new();
    for number in 0..LOOKUPS {
        let trace = traces[number * 7_919 % traces.len()];
        let question = Question { tenant: Tenant::single(), wanted: Wanted::Traces(vec![trace]) };
        let began = now();
        let answer = live.ask(&question).await.expect("answers");
        let micros = now().duration_since(began).as_secs_f64() * 1e6;
        let spans: usize = answer.segments.iter().map(|segment| segment.spans.len()).sum();
        assert_ne!(spans, 0, "the trace is there");
        lookups.push((micros, spans));
    }
    lookups.sort_by(|one, other| one.0.total_cmp(&other.0));
    let at = |share: f64| {
        let (micros, spans) = lookups[((LOOKUPS - 1) as f64 * share) as usize];
        format!("{micros:.0} µs ({spans} spans)")
    };
    println!("{how}: p50 {}, p99 {}, longest {}", at(0.5), at(0.99), at(1.0));
}
