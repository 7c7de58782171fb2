//! Limits of tenants through the whole ingester: what is over them is refused with the limit's name, value and
//! place, and the rest is taken.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use siltstone_format::tenant::Tenant;
use siltstone_ingest::config::IngestConfig;
use siltstone_ingest::export::{Refused, SpanFault};
use siltstone_ingest::limits::{Limits, TenantLimits};
use siltstone_ingest::service::Ingest;
use siltstone_tests::ingest_world::{World, live_of, send};
use siltstone_traffic::{Traffic, TrafficConfig};

const SECOND: u64 = 1_000_000_000;

async fn ingest(world: &World, everybody: Limits, own: &[(&Tenant, Limits)]) -> Ingest {
    let own: BTreeMap<_, _> =
        own.iter().map(|(tenant, limits)| ((*tenant).clone(), limits.clone())).collect();
    // Nothing is flushed by age while a test looks.
    let config = IngestConfig {
        limits: TenantLimits { everybody, own },
        small_tenant_age: Duration::from_secs(600),
        large_tenant_age: Duration::from_secs(600),
        ..world.config()
    };
    world.ingest(1, 1 << 30, config).await.0
}

/// Ten spans that start so many seconds from now.
fn spans(world: &World, seconds_from_now: i64, seed: u64) -> ExportTraceServiceRequest {
    let config = TrafficConfig { seed, spans: 10, request_spans: 10, writers: 1, ..TrafficConfig::default() };
    let mut request = Traffic::new(config).next().map(|batch| batch.request).unwrap_or_default();
    let now = world.clock.wall_millis() * 1_000_000;
    for span in request
        .resource_spans
        .iter_mut()
        .flat_map(|resource| resource.scope_spans.iter_mut())
        .flat_map(|scope| scope.spans.iter_mut())
    {
        span.start_time_unix_nano = now.saturating_add_signed(seconds_from_now * SECOND as i64);
        span.end_time_unix_nano = span.start_time_unix_nano + 1;
    }
    request
}

fn count(request: &ExportTraceServiceRequest) -> u64 {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.map(|scope| scope.spans.len() as u64).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_refuse_spans_by_their_time_and_say_so() {
    let world = World::new();
    let limits = Limits { longest_keep: Some(Duration::from_secs(3_600)), ..Limits::default() };
    let ingest = ingest(&world, limits, &[]).await;
    let tenant = Tenant::single();
    for (seconds, fault, words) in [
        (-3_700, SpanFault::TooOld, "limits.default.longest_keep"),
        (90_000, SpanFault::TooNew, "more than a day"),
        (-1_795_000_000, SpanFault::TooOld, "longest_keep"),
    ] {
        let request = spans(&world, seconds, 1);
        let accepted = send(&ingest, &tenant, &request).await.expect("is answered");
        assert_eq!(accepted.spans, 0);
        let faults: Vec<_> = accepted.refused.iter().collect();
        assert_eq!(faults, [(fault, count(&request) as u32)]);
        assert!(accepted.message.contains(words), "{}", accepted.message);
    }
    for seconds in [-3_500, 0, 80_000] {
        let request = spans(&world, seconds, 1);
        let accepted = send(&ingest, &tenant, &request).await.expect("is answered");
        assert_eq!((accepted.spans, accepted.refused.total()), (count(&request), 0), "{seconds}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_refuse_one_large_attribute_alone_and_surplus_spans_alone() {
    let world = World::new();
    let limits = Limits { attribute_bytes: 1_000, spans_per_request: 8, ..Limits::default() };
    let ingest = ingest(&world, limits, &[]).await;
    let tenant = Tenant::single();
    let mut request = spans(&world, 0, 2);
    let large = AnyValue { value: Some(any_value::Value::StringValue("x".repeat(2_000))) };
    let first = request
        .resource_spans
        .iter_mut()
        .flat_map(|resource| resource.scope_spans.iter_mut())
        .flat_map(|scope| scope.spans.iter_mut())
        .next()
        .expect("has spans");
    first.attributes.push(KeyValue { key: "large".to_owned(), value: Some(large), ..KeyValue::default() });
    let accepted = send(&ingest, &tenant, &request).await.expect("is answered");
    let sent = count(&request);
    assert_eq!(accepted.spans, 7);
    let faults: Vec<_> = accepted.refused.iter().collect();
    assert_eq!(
        faults,
        [(SpanFault::AttributeTooLarge, 1), (SpanFault::TooManySpans, (sent - 8) as u32)],
        "{}",
        accepted.message
    );
    assert!(accepted.message.contains("attribute_bytes = 1000"), "{}", accepted.message);
    assert!(accepted.message.contains("spans_per_request = 8"), "{}", accepted.message);
    let seen = world.read(&world.catalog(2), &[live_of(&ingest)], &tenant).await;
    assert_eq!(seen.spans.len(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_hold_one_tenant_to_its_rate_and_memory_and_leave_others_alone() {
    let world = World::new();
    let (slow, small): (Tenant, Tenant) = ("slow".parse().expect("a name"), "small".parse().expect("a name"));
    let rate = Limits { bytes_per_second: 1_000, burst_bytes: 1_000, ..Limits::default() };
    let memory = Limits { live_bytes: 1_000, ..Limits::default() };
    let ingest = ingest(&world, Limits::default(), &[(&slow, rate), (&small, memory)]).await;
    for (tenant, limit) in [(&slow, "bytes_per_second"), (&small, "live_bytes")] {
        send(&ingest, tenant, &spans(&world, 0, 3)).await.expect("the first is taken");
        let refused = send(&ingest, tenant, &spans(&world, 0, 4)).await.expect_err("the second is not");
        let Refused::Limit(exceeded) = &refused else { panic!("{refused}") };
        assert_eq!((exceeded.limit, exceeded.value), (limit, 1_000));
        assert!(exceeded.retry_after.is_some_and(|after| !after.is_zero()), "{exceeded:?}");
        let place = format!("limits.tenants.{tenant}.{limit}");
        assert!(refused.to_string().contains(&place), "{refused}");
    }
    for seed in 5..10 {
        send(&ingest, &Tenant::single(), &spans(&world, 0, seed)).await.expect("others are taken");
    }
    // Once its spans are in a block, there is room again.
    ingest.flush().await;
    siltstone_tests::ingest_world::until("flushed", async || ingest.live_segments().is_empty()).await;
    send(&ingest, &small, &spans(&world, 0, 4)).await.expect("is taken");
}
