//! A request as JSON, in whatever form, becomes the request as protobuf: written by a writer that shares no code
//! with what reads it, and read back by prost.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that fails says so by a panic")]

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use proptest::prelude::*;
use prost::Message;
use siltstone_ingest::receive::otlp::json::to_protobuf;
use siltstone_testkit::corpus::{arbitrary, nasty};
use siltstone_tests::blocks::traffic;
use siltstone_tests::otlp_json::JsonWriter;

/// JSON has one NaN; and bytes, unlike values, are equal to themselves.
fn comparable(mut request: ExportTraceServiceRequest) -> Vec<u8> {
    for resource_spans in &mut request.resource_spans {
        resource_spans.resource.iter_mut().for_each(|resource| one_nan(&mut resource.attributes));
        for scope_spans in &mut resource_spans.scope_spans {
            scope_spans.scope.iter_mut().for_each(|scope| one_nan(&mut scope.attributes));
            for span in &mut scope_spans.spans {
                one_nan(&mut span.attributes);
                span.events.iter_mut().for_each(|event| one_nan(&mut event.attributes));
                span.links.iter_mut().for_each(|link| one_nan(&mut link.attributes));
            }
        }
    }
    request.encode_to_vec()
}

fn one_nan(attributes: &mut [KeyValue]) {
    attributes.iter_mut().filter_map(|pair| pair.value.as_mut()).for_each(one_nan_of_value);
}

fn one_nan_of_value(value: &mut AnyValue) {
    match &mut value.value {
        Some(Value::DoubleValue(double)) if double.is_nan() => *double = f64::NAN,
        Some(Value::ArrayValue(array)) => array.values.iter_mut().for_each(one_nan_of_value),
        Some(Value::KvlistValue(list)) => one_nan(&mut list.values),
        _ => {}
    }
}

fn check(request: &ExportTraceServiceRequest, mut writer: JsonWriter) -> u64 {
    let json = writer.request(request);
    let transcoded = to_protobuf(json.as_bytes()).unwrap_or_else(|error| {
        let around = json.as_bytes().get(error.at.saturating_sub(60)..).unwrap_or_default();
        panic!("{error}, after {}", String::from_utf8_lossy(around).chars().take(120).collect::<String>())
    });
    assert_eq!(transcoded.refused.total(), writer.bad_spans(), "{:?}", transcoded.first_refused);
    let decoded = ExportTraceServiceRequest::decode(&*transcoded.body).expect("valid protobuf");
    assert_eq!(decoded.resource_spans.len(), request.resource_spans.len());
    // Compared as bytes; shown as messages.
    if comparable(decoded.clone()) != comparable(request.clone()) {
        assert_eq!(&decoded, request, "{}", json.chars().take(2_000).collect::<String>());
        panic!("equal messages have other bytes");
    }
    assert!(transcoded.body.len() <= json.len(), "{} from {}", transcoded.body.len(), json.len());
    writer.bad_spans()
}

#[test]
fn should_read_every_nasty_request_however_it_is_written() {
    let mut bad_spans = 0;
    for (name, request) in nasty::named() {
        println!("{name}");
        check(&request, JsonWriter::usual());
        bad_spans += (0..20).map(|seed| check(&request, JsonWriter::varied(seed))).sum::<u64>();
    }
    assert!(bad_spans > 100, "{bad_spans} bad spans prove little");
}

#[test]
fn should_read_generated_traffic_however_it_is_written() {
    for (seed, batch) in (0..).zip(traffic(20_000, 700, 11)) {
        check(&batch.request, JsonWriter::usual());
        check(&batch.request, JsonWriter::varied(seed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn should_read_arbitrary_requests(request in arbitrary::arbitrary_request(), seed in any::<u64>()) {
        check(&request, JsonWriter::varied(seed));
    }
}

/// What damage is made of.
const PIECES: [&[u8]; 24] = [
    b"",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"{}",
    b"null",
    b"true",
    b"-",
    b"1e9",
    b".5",
    b"0",
    b"\\ud83d",
    b"\\u0041",
    b"\xff",
    b"\x00",
    b"\"NaN\"",
    b"\"kind\":",
    b"{\"arrayValue\":{\"values\":[",
    b" ",
];

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 100_000, ..ProptestConfig::default() })]

    /// What is still accepted is JSON to others too, and is written as protobuf that others can read.
    #[test]
    fn should_survive_damage(
        request in arbitrary::arbitrary_request(),
        seed in any::<u64>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3_usize, prop::sample::select(&PIECES[..])), 1..4),
    ) {
        let mut json = JsonWriter::varied(seed).request(&request).into_bytes();
        for (at, cut, piece) in edits {
            let at = at.index(json.len() + 1);
            let end = json.len().min(at + cut);
            json.splice(at..end, piece.iter().copied());
        }
        if let Ok(transcoded) = to_protobuf(&json) {
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&json).is_ok());
            prop_assert!(transcoded.body.len() <= json.len());
            prop_assert!(ExportTraceServiceRequest::decode(&*transcoded.body).is_ok());
        }
    }
}
