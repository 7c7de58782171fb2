//! The order, spread and pace of requests.

use std::collections::{HashMap, HashSet};

use prost::Message;
use siltstone_traffic::{Batch, Profile, Shares, Traffic, TrafficConfig};

use crate::{batches, sent, string};

fn encoded(config: TrafficConfig) -> Vec<(usize, u64, Vec<u8>)> {
    Traffic::new(config)
        .map(|batch| (batch.writer, batch.sent_unix_nano, batch.request.encode_to_vec()))
        .collect()
}

#[test]
fn should_give_the_same_bytes_for_the_same_config() {
    for profile in [Profile::LEAN, Profile::RICH] {
        let config = TrafficConfig { spans: 30_000, profile, ..TrafficConfig::default() };
        assert!(encoded(config.clone()) == encoded(config.clone()), "two runs differ");
        let other = TrafficConfig { seed: 2, ..config.clone() };
        assert!(encoded(config) != encoded(other), "the seed decides nothing");
    }
}

#[test]
fn should_send_in_order_and_in_full_requests() {
    let all: Vec<Batch> = batches(50_000).collect();
    assert!(all.is_sorted_by_key(|batch| batch.sent_unix_nano));
    let spans = |batch: &Batch| -> usize {
        batch
            .request
            .resource_spans
            .iter()
            .flat_map(|resource| &resource.scope_spans)
            .map(|scope| scope.spans.len())
            .sum()
    };
    let full = all.iter().filter(|batch| spans(batch) == 1_000).count();
    let total: usize = all.iter().map(spans).sum();
    // What comes late, after all else, is not kept waiting for more.
    assert!(full * 1_000 >= total * 9 / 10, "{full} of {} requests are full", all.len());
    assert!((50_000..52_000).contains(&total), "{total} spans");
}

#[test]
fn should_spread_spans_and_traces_over_the_writers() {
    let sent = sent(batches(100_000));
    let mut by_writer = HashMap::new();
    let mut writers_of_trace: HashMap<_, HashSet<_>> = HashMap::new();
    for sent in &sent {
        *by_writer.entry(sent.writer).or_insert(0) += 1;
        writers_of_trace.entry(&sent.span.trace_id).or_default().insert(sent.writer);
    }
    assert_eq!(by_writer.len(), 4);
    assert!(by_writer.values().all(|spans| *spans > sent.len() / 8), "{by_writer:?}");
    let on_all = writers_of_trace.values().filter(|writers| writers.len() == 4).count();
    assert!(on_all > 100, "only {on_all} traces are spread over all four writers");
}

#[test]
fn should_mix_resources_and_scopes_in_a_request() {
    let batch = batches(20_000).nth(5).unwrap();
    let services: HashSet<_> = batch
        .request
        .resource_spans
        .iter()
        .filter_map(|resource| string(&resource.resource.as_ref()?.attributes, "service.name"))
        .collect();
    assert!(services.len() >= 3, "{services:?}");
    let scopes: HashSet<_> = batch
        .request
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .filter_map(|scope| scope.scope.as_ref().map(|scope| (&scope.name, &scope.version)))
        .collect();
    assert!(scopes.len() >= 5, "{scopes:?}");
}

#[test]
fn should_send_within_seconds_except_for_the_late() {
    let sent = sent(batches(100_000));
    let delay = |sent: &crate::Sent| sent.sent_unix_nano as i64 - sent.span.end_time_unix_nano as i64;
    let prompt = sent.iter().filter(|sent| delay(sent) < 15_000_000_000).count();
    let late = sent.iter().filter(|sent| delay(sent) > 55_000_000_000).count();
    assert!(prompt as f64 > sent.len() as f64 * 0.97, "{prompt} of {} in time", sent.len());
    assert!((0.003..0.03).contains(&(late as f64 / sent.len() as f64)), "{late} of {} late", sent.len());
}

#[test]
fn should_keep_to_the_rate_and_to_the_size_when_slow() {
    let config = TrafficConfig {
        spans: 30_000,
        span_rate: 100.0,
        shares: Shares { late_exports: 0.0, skewed_pods: 0.0, ..Shares::default() },
        ..TrafficConfig::default()
    };
    let start = config.start_unix_nano;
    let batches: Vec<Batch> = Traffic::new(config).collect();
    let bytes: usize = batches.iter().map(|batch| batch.request.encoded_len()).sum();
    let sent = sent(batches.into_iter());
    let last = sent.iter().map(|sent| sent.span.start_time_unix_nano).max().unwrap();
    let seconds = (last - start) as f64 / 1e9;
    assert!((180.0..420.0).contains(&seconds), "300 s asked for, took {seconds}");
    assert!(sent.iter().all(|sent| sent.span.start_time_unix_nano >= start));
    let bytes_per_span = bytes as f64 / sent.len() as f64;
    assert!(bytes_per_span < 420.0, "{bytes_per_span} bytes a span");
}
