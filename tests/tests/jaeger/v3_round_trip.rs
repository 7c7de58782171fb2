//! What is stored comes back as OTLP: read by whoever reads what senders send.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use siltstone_ask::collapse;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::TraceId;
use siltstone_format::span::Span;
use siltstone_ingest::decode::{OriginCache, Rules, decode};
use siltstone_ingest::receive::otlp::json::to_protobuf;
use siltstone_querier::limits::QueryLimits;
use siltstone_testkit::oracle::canonical::{Attributes, CanonicalSpan, CanonicalValue, FloatBits};
use siltstone_testkit::{arbitrary, nasty};
use siltstone_tests::scene::{LAYOUTS, Layout, Scene, canonical};

use crate::requests::{Http, Reply};

fn spans_of(reply: &Reply) -> Vec<Span> {
    let export = reply.body.strip_prefix("{\"result\":").unwrap().strip_suffix('}').unwrap();
    let transcoded = to_protobuf(export.as_bytes()).unwrap_or_else(|error| panic!("{error}: {export}"));
    assert_eq!(transcoded.refused.total(), 0, "{:?}: {export}", transcoded.first_refused);
    let (mut columns, mut origins) = (SpanColumns::default(), OriginCache::default());
    let decoded = decode(&transcoded.body, &Rules::NONE, &mut columns, &mut origins).unwrap();
    assert_eq!(decoded.refused.total(), 0, "{export}");
    columns.spans().unwrap()
}

/// JSON has one NaN.
fn with_one_nan(spans: &[Span]) -> Vec<CanonicalSpan> {
    let mut spans = canonical(spans);
    for span in &mut spans {
        one_nan(&mut span.attributes);
        span.events.iter_mut().for_each(|event| one_nan(&mut event.attributes));
        span.links.iter_mut().for_each(|link| one_nan(&mut link.attributes));
        let mut origin = (*span.origin).clone();
        one_nan(&mut origin.resource_attributes);
        one_nan(&mut origin.scope_attributes);
        span.origin = origin.into();
    }
    spans.sort();
    spans
}

fn one_nan(attributes: &mut Attributes) {
    attributes.0.iter_mut().for_each(|(_, value)| one_nan_of(value));
    attributes.0.sort();
}

fn one_nan_of(value: &mut CanonicalValue) {
    match value {
        CanonicalValue::Double(bits) if bits.value().is_nan() => *bits = FloatBits(f64::NAN.to_bits()),
        CanonicalValue::Array(items) => items.iter_mut().for_each(one_nan_of),
        CanonicalValue::Map(entries) => entries.iter_mut().for_each(|(_, value)| one_nan_of(value)),
        _ => {}
    }
}

/// How many traces there were.
async fn check(scene: &Scene) -> Result<usize, TestCaseError> {
    let http = Http::new(scene.world.querier(QueryLimits::default()));
    let mut traces: Vec<TraceId> = scene.spans.iter().map(|span| span.trace_id).collect();
    traces.sort();
    traces.dedup();
    for trace in &traces {
        let of_trace = scene.spans.iter().filter(|span| span.trace_id == *trace).cloned();
        let reply = http.get(&format!("/api/v3/traces/{trace}?rawTraces=true")).await;
        prop_assert_eq!(reply.status, 200);
        prop_assert_eq!(with_one_nan(&spans_of(&reply)), with_one_nan(&collapse(of_trace.collect())));
    }
    Ok(traces.len())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn any_trace_comes_back_as_it_was_sent() {
    let runtime = runtime();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) };
    let cases = (arbitrary::arbitrary_requests(), select(LAYOUTS.to_vec()), vec(any::<usize>(), 64));
    let traces = std::cell::Cell::new(0);
    let checked = TestRunner::new(config).run(&cases, |(requests, layout, dice)| {
        runtime.block_on(async {
            let mut rolls = dice.iter().cycle();
            let scene = Scene::of(&requests, layout, 3, |sides| rolls.next().unwrap() % sides).await;
            traces.set(traces.get() + check(&scene).await?);
            Ok(())
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{} traces", traces.get());
    assert!(traces.get() > 300);
}

#[test]
fn every_nasty_trace_comes_back_as_it_was_sent() {
    let runtime = runtime();
    for (name, request) in nasty::named() {
        runtime.block_on(async {
            let (requests, mut roll) = ([request], 0_usize);
            let scene = Scene::of(&requests, Layout::Mixed, 100_000, |sides| {
                roll += 1;
                roll % sides
            });
            check(&scene.await).await.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        });
    }
}
