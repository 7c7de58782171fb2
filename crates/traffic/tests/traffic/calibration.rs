//! 26 stored bytes a span must not be a gift, and not out of reach through noise that nobody sends.

use prost::Message;
use siltstone_traffic::measure::Measured;
use siltstone_traffic::{Profile, Traffic, TrafficConfig};

use crate::{batches, sent};

#[test]
fn should_be_as_hard_to_compress_as_promised() {
    let mut measured = Measured::default();
    let mut compressed = 0;
    for batch in batches(200_000) {
        measured.count(&batch);
        compressed += zstd::bulk::compress(&batch.request.encode_to_vec(), 3).unwrap().len();
    }
    let zstd_bytes = compressed as f64 / measured.spans as f64;
    assert!((48.0..56.0).contains(&zstd_bytes), "zstd-3: {zstd_bytes} bytes a span");
}

/// Pools of users and products are drawn on again and again, so this falls with the length of the run.
#[test]
fn should_have_enough_distinct_values_in_a_million_spans() {
    let mut measured = Measured::default();
    for batch in batches(1_000_000) {
        measured.count(&batch);
    }
    let distinct = measured.distinct_values_per_span();
    assert!((0.34..0.40).contains(&distinct), "{distinct} distinct attribute values a span");
}

#[test]
fn should_have_eight_random_bytes_in_every_span_id() {
    let sent = sent(batches(200_000));
    let mut ids: Vec<[u8; 8]> =
        sent.iter().map(|sent| sent.span.span_id.as_slice().try_into().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), sent.len(), "an id came twice");
    for place in 0..8 {
        let mut counts = [0_f64; 256];
        for id in &ids {
            counts[usize::from(id[place])] += 1.0;
        }
        let expected = ids.len() as f64 / 256.0;
        let chi_square: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
        // 255 degrees of freedom: mean 255, standard deviation 22.6.
        assert!((120.0..390.0).contains(&chi_square), "byte {place}: {chi_square}");
    }
}

#[test]
fn should_meet_the_bytes_a_span_that_are_asked_for() {
    for target in [280, 500, 1_000, 1_500] {
        let config = TrafficConfig {
            spans: 100_000,
            profile: Profile::with_bytes_per_span(target),
            ..TrafficConfig::default()
        };
        let mut measured = Measured::default();
        Traffic::new(config).for_each(|batch| measured.count(&batch));
        let ratio = measured.bytes_per_span() / f64::from(target);
        assert!((0.9..1.1).contains(&ratio), "{target} asked for, got {}", measured.bytes_per_span());
    }
}

#[test]
fn should_have_traces_of_every_size() {
    let mut measured = Measured::default();
    batches(300_000).for_each(|batch| measured.count(&batch));
    let sizes = measured.trace_sizes();
    let share = |from: usize, to: usize| {
        sizes.iter().filter(|size| (from..=to).contains(size)).count() as f64 / sizes.len() as f64
    };
    assert_eq!(sizes.first(), Some(&1));
    assert_eq!(sizes.last(), Some(&10_000));
    assert!((0.15..0.60).contains(&share(1, 3)), "1-3 spans: {}", share(1, 3));
    assert!((0.25..0.70).contains(&share(5, 20)), "5-20 spans: {}", share(5, 20));
    assert!((0.0005..0.02).contains(&share(100, 999)), "hundreds: {}", share(100, 999));
    let mean = measured.spans as f64 / sizes.len() as f64;
    assert!((9.0..11.5).contains(&mean), "{mean} spans a trace");
}

#[test]
fn should_have_as_many_keys_attributes_and_failures_as_promised() {
    let mut measured = Measured::default();
    batches(300_000).for_each(|batch| measured.count(&batch));
    let keys = measured.distinct_by_key().len();
    assert!((32..=42).contains(&keys), "{keys} keys");
    let attributes = measured.attributes as f64 / measured.spans as f64;
    assert!((5.8..7.0).contains(&attributes), "{attributes} attributes a span");
    let events = measured.events as f64 / measured.spans as f64;
    assert!((0.03..0.09).contains(&events), "{events} events a span");
    let failed = measured.traces_with_500.len() as f64 / measured.traces() as f64;
    assert!((0.003..0.008).contains(&failed), "{failed} of the traces have an HTTP 500");
    assert!(measured.pods() >= 500, "{} pods", measured.pods());
}
