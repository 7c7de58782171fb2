//! Ingest's decoder does what prost and the rules say: on the corpora, on traffic, on requests that are
//! written oddly, and on damaged ones.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use proptest::prelude::*;
use prost::Message;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siltstone_ingest::decode::Rules;
use siltstone_ingest::export::SpanFault;
use siltstone_testkit::corpus::build::{START, array, attribute, map, request, span, text};
use siltstone_testkit::corpus::{arbitrary, nasty};
use siltstone_tests::blocks::traffic;
use siltstone_tests::shake::shaken;
use siltstone_tests::verdict::{assert_decodes_as_judged, judge};

/// Rules that refuse some spans of every corpus.
fn strict() -> Rules {
    Rules {
        earliest_start: START - 1_000,
        latest_start: START + 1_000,
        attribute_bytes: 9,
        spans: 7,
        ..Rules::NONE
    }
}

#[test]
fn should_decode_every_nasty_request_as_judged() {
    for (name, request) in nasty::named() {
        println!("{name}");
        let body = request.encode_to_vec();
        assert_decodes_as_judged(&body, &Rules::NONE);
        assert_decodes_as_judged(&body, &strict());
    }
}

#[test]
fn should_decode_generated_traffic_as_judged() {
    for batch in traffic(20_000, 280, 11) {
        assert_decodes_as_judged(&batch.request.encode_to_vec(), &Rules::NONE);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn should_decode_arbitrary_requests_as_judged(request in arbitrary::arbitrary_request(), limit in 0..40usize) {
        let body = request.encode_to_vec();
        assert_decodes_as_judged(&body, &Rules::NONE);
        assert_decodes_as_judged(&body, &Rules { attribute_bytes: limit, ..strict() });
    }

    #[test]
    fn should_read_odd_writing_as_prost_does(request in arbitrary::arbitrary_request(), seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut body = request.encode_to_vec();
        for _ in 0..3 {
            body = shaken(&body, &mut rng).unwrap_or(body);
            assert_decodes_as_judged(&body, &Rules::NONE);
            assert_decodes_as_judged(&body, &strict());
        }
    }

    #[test]
    fn should_survive_damage(request in arbitrary::arbitrary_request(), seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let body = request.encode_to_vec();
        for _ in 0..20 {
            assert_decodes_as_judged(&damaged(&body, &mut rng), &Rules::NONE);
        }
    }
}

#[test]
fn should_read_oddly_written_nasty_requests_as_prost_does() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut still_requests = 0;
    for (name, request) in nasty::named() {
        println!("{name}");
        let body = request.encode_to_vec();
        for _ in 0..(1 + 200_000 / (body.len() + 1_000)) {
            let odd = shaken(&body, &mut rng).expect("was a request");
            still_requests += u32::from(ExportTraceServiceRequest::decode(odd.as_slice()).is_ok());
            assert_decodes_as_judged(&odd, &Rules::NONE);
            assert_decodes_as_judged(&damaged(&odd, &mut rng), &strict());
        }
    }
    assert!(still_requests > 500, "{still_requests}");
}

/// A few changes of single bytes, cuts and repeats.
fn damaged(body: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut body = body.to_vec();
    for _ in 0..rng.random_range(1..4) {
        if body.is_empty() {
            break;
        }
        let at = rng.random_range(0..body.len());
        match rng.random_range(0..6) {
            0 => body[at] ^= 1 << rng.random_range(0..8),
            1 => body[at] = rng.random(),
            2 => drop(body.remove(at)),
            3 => body.insert(at, rng.random()),
            4 => body.truncate(at),
            _ => {
                let end = (at + rng.random_range(1..40)).min(body.len());
                let again = body[at..end].to_vec();
                body.splice(at..at, again);
            }
        }
    }
    body
}

/// A span with one thing wrong, under rules that allow attributes of 20 bytes.
fn faulty() -> Vec<(SpanFault, Span)> {
    let good = || span(1, 1, "good");
    let deep = |levels| (0..levels).fold(text("x"), |inner, _| array(vec![inner]));
    let long = || vec![attribute("key", text("a value that is long"))];
    let linked = |trace_id: usize, span_id: usize| {
        let link = Link { trace_id: vec![1; trace_id], span_id: vec![1; span_id], ..Link::default() };
        Span { links: vec![link], ..good() }
    };
    vec![
        (SpanFault::TraceId, Span { trace_id: vec![1; 15], ..good() }),
        (SpanFault::TraceId, Span { trace_id: vec![0; 16], ..good() }),
        (SpanFault::TraceId, Span { trace_id: vec![], ..good() }),
        (SpanFault::SpanId, Span { span_id: vec![1; 9], ..good() }),
        (SpanFault::SpanId, Span { span_id: vec![0; 8], ..good() }),
        (SpanFault::ParentSpanId, Span { parent_span_id: vec![1; 7], ..good() }),
        (SpanFault::LinkId, linked(8, 8)),
        (SpanFault::LinkId, linked(16, 0)),
        (SpanFault::TooOld, Span { start_time_unix_nano: START - 1, ..good() }),
        (SpanFault::TooNew, Span { start_time_unix_nano: START + 2, ..good() }),
        (SpanFault::TooNew, Span { start_time_unix_nano: u64::MAX, ..good() }),
        (SpanFault::AttributeTooLarge, Span { attributes: long(), ..good() }),
        (
            SpanFault::AttributeTooLarge,
            Span { events: vec![Event { attributes: long(), ..Event::default() }], ..good() },
        ),
        (
            SpanFault::AttributeTooLarge,
            Span {
                attributes: vec![attribute("k", map(vec![attribute("", text("0123456789abcdef"))]))],
                ..good()
            },
        ),
        (SpanFault::TooDeep, Span { attributes: vec![attribute("", deep(41))], ..good() }),
    ]
}

#[test]
fn should_name_the_fault_of_each_span_and_keep_its_neighbours() {
    for (fault, bad) in faulty() {
        let deep = fault == SpanFault::TooDeep;
        let rules = Rules {
            earliest_start: START,
            latest_start: START + 1,
            attribute_bytes: if deep { 1_000 } else { 20 },
            spans: 100,
            ..Rules::NONE
        };
        let neighbour = |id| Span { attributes: vec![attribute("k", text("v"))], ..span(1, id, "n") };
        let sent = request("shop", vec![neighbour(1), bad.clone(), neighbour(2), bad]);
        let verdict = judge(&sent, &rules);
        assert_eq!(verdict.refused.iter().collect::<Vec<_>>(), [(fault, 2)]);
        assert_eq!(verdict.refused_ordinals, [1, 3]);
        assert_decodes_as_judged(&sent.encode_to_vec(), &rules);
    }
}
