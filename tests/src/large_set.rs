//! Large sets of believable spans that have all at once what is hard to answer about: several row groups and pages,
//! more keys than a block has columns for, traces in many blocks, spans that start hours after their trace and on
//! another day, parents that never come, ids that several senders use.
//!
//! Each costs seconds. `SILTSTONE_LARGE_SETS=n` for more.

use std::collections::HashMap;
use std::ops::Range;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as OtlpSpan;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siltstone_format::block::{MAX_ATTRIBUTE_COLUMNS, ROW_GROUP_ROWS};
use siltstone_format::span::Span;
use siltstone_traffic::{Shares, Traffic, TrafficConfig};

use crate::scene::{Layout, Numbers, Scene};

const SETS: u64 = 1;
const SPANS: usize = 180_000;
/// Of a second: the traffic takes an hour.
const SPAN_RATE: f64 = 50.0;
const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;
/// 2026-01-06 00:00:00 UTC, and how much of the traffic comes before.
const MIDNIGHT: u64 = 1_767_657_600 * SECOND;
const BEFORE_MIDNIGHT: u64 = 240 * SECOND;
const EXTRA_KEYS: usize = 181;
/// One span in so many goes elsewhere than most.
const ELSEWHERE: usize = 8;
const NUMBERS: Numbers = Numbers { flushes: 5, merges: 4 };
/// In the order in which sets have them.
const LAYOUTS: [Layout; 4] = [Layout::Mixed, Layout::MergedOnly, Layout::FlushesOnly, Layout::LiveOnly];

/// The seeds of one run.
pub fn seeds() -> Range<u64> {
    let asked = std::env::var("SILTSTONE_LARGE_SETS").ok();
    0..asked.map_or(SETS, |sets| sets.parse().expect("SILTSTONE_LARGE_SETS is a number"))
}

/// The set of a seed, in its places: most of it in one, the rest in all.
pub async fn large_scene(seed: u64) -> Scene {
    let layout = LAYOUTS[seed as usize % LAYOUTS.len()];
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let requests = requests(seed, &mut dice);
    let places = layout.places(NUMBERS);
    let scene = Scene::among(&requests, &places, usize::MAX, |sides| {
        if dice.random_ratio(1, ELSEWHERE as u32) { dice.random_range(0..sides) } else { sides - 1 }
    });
    let scene = scene.await;
    assert_is_hard(&scene, layout).await;
    scene
}

/// A set that is not what it is meant to be proves nothing.
async fn assert_is_hard(scene: &Scene, layout: Layout) {
    let blocks = scene.world.blocks().await;
    let rows = blocks.iter().map(|block| block.summary.spans.rows as usize).max().unwrap_or(0);
    let keys = common_keys(&scene.spans);
    let scattered = scene.scattered.len();
    println!(
        "{layout:?}: {} spans, {} blocks, {rows} rows in one; {keys} common keys; {scattered} traces in more than three",
        scene.spans.len(),
        blocks.len()
    );
    assert!(keys > MAX_ATTRIBUTE_COLUMNS, "each of {keys} keys gets a column");
    if layout != Layout::LiveOnly {
        assert!(rows > ROW_GROUP_ROWS, "no block has a second row group");
        assert!(scattered > 100, "{scattered} traces in more than three blocks");
    }
}

/// Keys that so many spans have that a block would keep each as a column.
fn common_keys(spans: &[Span]) -> usize {
    let mut counts = HashMap::<&str, usize>::new();
    for attribute in spans.iter().flat_map(|span| &span.attributes) {
        *counts.entry(&attribute.key).or_default() += 1;
    }
    counts.values().filter(|count| **count > spans.len() / 500).count()
}

fn requests(seed: u64, dice: &mut ChaCha8Rng) -> Vec<ExportTraceServiceRequest> {
    let config = TrafficConfig {
        seed,
        spans: SPANS,
        start_unix_nano: MIDNIGHT - BEFORE_MIDNIGHT,
        span_rate: SPAN_RATE,
        shares: Shares { missing_parents: 0.1, ..Shares::default() },
        ..TrafficConfig::default()
    };
    let mut requests: Vec<_> = Traffic::new(config).map(|batch| batch.request).collect();
    let resources = requests.iter_mut().flat_map(|request| &mut request.resource_spans);
    let scopes = resources.flat_map(|resource| &mut resource.scope_spans);
    scopes.flat_map(|scope| &mut scope.spans).for_each(|span| harden(span, dice));
    requests
}

fn harden(span: &mut OtlpSpan, dice: &mut ChaCha8Rng) {
    share_ids(span, dice);
    if dice.random_ratio(1, 50) {
        let late = dice.random_range(0..8 * HOUR);
        span.start_time_unix_nano += late;
        span.end_time_unix_nano += late;
    }
    for _ in 0..dice.random_range(0..4) {
        span.attributes.push(extra(dice));
    }
}

/// Some traces have the id of others, and some spans that of their parent, as both ends of a call may.
fn share_ids(span: &mut OtlpSpan, dice: &mut ChaCha8Rng) {
    if let [first, second, rest @ ..] = &mut span.trace_id[..]
        && *first < 4
    {
        *second %= 4;
        rest.fill(1);
    }
    if !span.parent_span_id.is_empty() && dice.random_ratio(1, 200) {
        span.span_id.clone_from(&span.parent_span_id);
    }
}

/// An attribute under one of many keys, of which the first are common and the last rare; mostly of the key's type.
fn extra(dice: &mut ChaCha8Rng) -> KeyValue {
    let place = dice.random_range(0..EXTRA_KEYS).min(dice.random_range(0..EXTRA_KEYS * 2));
    let key = match place {
        0 => "a".to_owned(),
        place if place == EXTRA_KEYS - 1 => "b".to_owned(),
        place => format!("extra.{place:03}"),
    };
    let kind = if dice.random_ratio(1, 20) { dice.random_range(0..6) } else { place % 6 };
    let number = dice.random_range(-1..90_i64);
    let value = match kind {
        0 => Value::IntValue(number),
        1 => Value::StringValue(number.to_string()),
        2 => Value::DoubleValue(number as f64 + 0.5),
        3 => Value::BoolValue(number % 2 == 0),
        4 => Value::StringValue(format!("value {number}")),
        _ => Value::BytesValue(vec![number as u8; 3]),
    };
    KeyValue { key, value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
