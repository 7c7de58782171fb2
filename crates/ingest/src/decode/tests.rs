use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use siltstone_format::columns::attributes::MAX_COLUMNS;
use siltstone_testkit::corpus::build::{attribute, map, request, service, span, text};

use super::*;

fn body(request: &ExportTraceServiceRequest) -> Vec<u8> {
    request.encode_to_vec()
}

/// A length-delimited field; numbers below 16.
fn message(field: u8, inner: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    prost::encoding::encode_varint(inner.len() as u64, &mut out);
    out.extend_from_slice(inner);
    out
}

/// A request of one ResourceSpans with a resource, and one ScopeSpans with messages of spans.
fn request_of(resource: &[u8], spans: &[Vec<u8>]) -> Vec<u8> {
    let spans: Vec<u8> = spans.iter().flat_map(|span| message(2, span)).collect();
    message(1, &[message(1, resource), message(2, &spans)].concat())
}

fn good(id: u64) -> Vec<u8> {
    Span { attributes: vec![attribute("k", text("v"))], ..span(1, id, "good") }.encode_to_vec()
}

fn decode_alone(body: &[u8]) -> (Result<Decoded, DecodeError>, SpanColumns) {
    let mut columns = SpanColumns::default();
    let decoded = decode(body, &Rules::NONE, &mut columns, &mut OriginCache::default());
    (decoded, columns)
}

fn assert_refuses_the_middle_one(bad: Vec<u8>, fault: SpanFault) {
    let (decoded, columns) = decode_alone(&request_of(&[], &[good(1), bad, good(2)]));
    let decoded = decoded.unwrap();
    assert_eq!(decoded.accepted, 2);
    assert_eq!(decoded.refused.iter().collect::<Vec<_>>(), [(fault, 1)]);
    assert_eq!(decoded.refused_ordinals, [1]);
    assert_eq!(columns.spans().unwrap().len(), 2);
    assert_eq!(columns.attributes[0].rows, [0, 1]);
}

#[test]
fn should_refuse_a_damaged_span_alone() {
    let cut = |bytes: usize| good(3)[..good(3).len() - bytes].to_vec();
    for bad in [
        cut(1),
        cut(4),
        // A known field of another wire type, field 0, an end of no group, a group that ends as another.
        [good(3), vec![0x08, 0x01]].concat(),
        [good(3), vec![0x02, 0x00]].concat(),
        [good(3), vec![0x9c, 0x06]].concat(),
        [good(3), vec![0x9b, 0x06, 0xa4, 0x06]].concat(),
        // A number over 64 bits, and a key over 32.
        [good(3), vec![0x30], vec![0xff; 9], vec![0x02]].concat(),
        [good(3), vec![0x80, 0x80, 0x80, 0x80, 0x10, 0x00]].concat(),
    ] {
        assert_refuses_the_middle_one(bad, SpanFault::Malformed);
    }
}

#[test]
fn should_refuse_a_span_with_a_text_that_is_not_utf8_alone() {
    let not_utf8: &[u8] = &[0xff, 0xfe];
    for (field, value) in [
        (5, not_utf8.to_vec()),
        (3, not_utf8.to_vec()),
        (15, message(2, not_utf8)),
        (9, message(1, not_utf8)),
        (9, message(2, &message(1, not_utf8))),
        (9, message(2, &message(5, &message(1, &message(1, not_utf8))))),
        (11, message(2, not_utf8)),
        (11, message(3, &message(1, not_utf8))),
        (13, [message(1, &[1; 16]), message(2, &[1; 8]), message(3, not_utf8)].concat()),
    ] {
        assert_refuses_the_middle_one([good(3), message(field, &value)].concat(), SpanFault::NotUtf8);
    }
}

#[test]
fn should_refuse_a_span_that_is_deeper_than_protobuf_allows_alone() {
    let deep = (0..33).fold(map(vec![]), |inner, _| map(vec![attribute("k", inner)]));
    let bad = Span { attributes: vec![attribute("deep", deep)], ..span(1, 3, "bad") };
    assert_refuses_the_middle_one(bad.encode_to_vec(), SpanFault::TooDeep);
    let groups = [[0x9b, 0x06].repeat(200), [0x9c, 0x06].repeat(200)].concat();
    assert_refuses_the_middle_one([good(3), groups].concat(), SpanFault::Malformed);
}

#[test]
fn should_refuse_only_the_spans_of_an_origin_with_a_bad_text() {
    let bad = message(1, &message(1, &[0xff]));
    let sent = [request_of(&bad, &[good(1), good(2)]), request_of(&[], &[good(3)])].concat();
    let (decoded, columns) = decode_alone(&sent);
    let decoded = decoded.unwrap();
    assert_eq!(decoded.refused.iter().collect::<Vec<_>>(), [(SpanFault::NotUtf8, 2)]);
    assert_eq!(decoded.refused_ordinals, [0, 1]);
    assert_eq!(columns.len(), 1);
}

#[test]
fn should_leave_columns_as_they_were_if_a_request_is_damaged_around_its_spans() {
    let (decoded, mut columns) = decode_alone(&body(&request("shop", vec![span(1, 1, "a")])));
    decoded.unwrap();
    let before = columns.spans().unwrap();
    let begun = request_of(&service("shop").encode_to_vec(), &[good(1), good(2)]);
    for (damage, name) in [
        (vec![0x0a, 0x05], "ExportTraceServiceRequest"),
        (vec![0x08, 0x00], "ExportTraceServiceRequest"),
        (message(1, &[0x12, 0x7f]), "ResourceSpans"),
        (message(1, &message(2, &[0x12, 0x7f])), "ScopeSpans"),
        (request_of(&[0x08, 0x00], &[good(3)]), "Resource"),
        (request_of(&message(1, &[0x0a, 0x09]), &[good(3)]), "Resource"),
        (
            message(1, &message(2, &[message(1, &[0x0a, 0x09]), message(2, &good(3))].concat())),
            "Instrumentation",
        ),
    ] {
        let sent = [begun.as_slice(), &damage].concat();
        let mut origins = OriginCache::default();
        let error = decode(&sent, &Rules::NONE, &mut columns, &mut origins).unwrap_err();
        assert!(error.to_string().starts_with(name), "{error}");
        assert_eq!(columns.spans().unwrap(), before);
    }
    // And what follows is as if nothing had been.
    let mut origins = OriginCache::default();
    assert_eq!(decode(&begun, &Rules::NONE, &mut columns, &mut origins).unwrap().accepted, 2);
    assert_eq!(columns.spans().unwrap()[..1], before);
    assert_eq!(columns.get(2).unwrap().attributes.len(), 1);
}

#[test]
fn should_take_exactly_the_spans_that_a_replay_is_told() {
    let sent = request_of(&[], &[good(1), vec![0xff], good(2), good(3)]);
    let mut columns = SpanColumns::default();
    let mut origins = OriginCache::default();
    let mut replay = |refused: &[u32]| replay(&sent, refused, &mut columns, &mut origins);
    assert_eq!(replay(&[1, 2]), Ok(2));
    // What was accepted must be there, what was refused too.
    assert_eq!(replay(&[0]), Err(DecodeError::Span { ordinal: 1, fault: SpanFault::Malformed }));
    assert_eq!(replay(&[1, 4]), Err(DecodeError::NoSuchSpan { ordinal: 4 }));
    let ids: Vec<u8> = columns.span_ids.iter().map(|id| id.0[7]).collect();
    assert_eq!(ids, [1, 3]);
}

/// Beside what refuses an origin there may be damage that nobody has seen: here in a map that is too large.
#[test]
fn should_replay_what_was_accepted_beside_an_origin_that_was_refused() {
    let too_large = message(2, &message(6, &[0xff; 40]));
    let resource = message(1, &[message(1, b"k"), too_large].concat());
    let body = [request_of(&[], &[good(1)]), request_of(&resource, &[good(2)])].concat();
    let rules = Rules { attribute_bytes: 20, ..Rules::NONE };
    let decoded = decode(&body, &rules, &mut SpanColumns::default(), &mut OriginCache::default()).unwrap();
    assert_eq!((decoded.accepted, decoded.refused_ordinals.as_slice()), (1, &[1][..]));
    assert_eq!(decoded.refused.iter().collect::<Vec<_>>(), [(SpanFault::AttributeTooLarge, 1)]);
    let mut columns = SpanColumns::default();
    let replayed = replay(&body, &decoded.refused_ordinals, &mut columns, &mut OriginCache::default());
    assert_eq!(replayed, Ok(1));
    assert_eq!(columns.len(), 1);
}

#[test]
fn should_not_take_origins_of_other_columns_for_its_own() {
    let mut origins = OriginCache::default();
    for name in ["cart", "shop"] {
        let mut columns = SpanColumns::default();
        let both = [request(name, vec![span(1, 1, "a")]), request("cart", vec![span(1, 2, "b")])];
        for request in &both {
            decode(&body(request), &Rules::NONE, &mut columns, &mut origins).unwrap();
        }
        assert_eq!(columns.get(0).unwrap().origin.service_name(), name);
        assert_eq!(columns.get(1).unwrap().origin.service_name(), "cart");
    }
}

#[test]
fn should_know_origins_again_when_there_are_more_than_it_remembers() {
    let mut origins = OriginCache::default();
    let mut columns = SpanColumns::default();
    let long = "x".repeat(100_000);
    for round in 0..2 {
        for number in 0..200 {
            let sent = request(&format!("{number}{long}"), vec![span(1, 1, "a")]);
            decode(&body(&sent), &Rules::NONE, &mut columns, &mut origins).unwrap();
            assert_eq!(columns.origins.len(), if round == 0 { number + 1 } else { 200 });
        }
    }
    let services: Vec<_> = columns.spans().unwrap().iter().map(|span| span.origin.service_name()).collect();
    assert!(services.iter().zip((0..200).chain(0..200)).all(|(name, n)| *name == format!("{n}{long}")));
}

#[test]
fn should_take_memory_in_proportion_to_the_body_whatever_keys_it_has() {
    let attributes = (0..300_000).map(|number| attribute(&format!("key-{number}"), text("v"))).collect();
    let sent = body(&request("shop", vec![Span { attributes, ..span(1, 1, "many") }]));
    let (decoded, columns) = decode_alone(&sent);
    assert_eq!(decoded.unwrap().accepted, 1);
    assert_eq!(columns.attributes.len(), MAX_COLUMNS);
    assert_eq!(columns.get(0).unwrap().attributes.len(), 300_000);
    // A column costs some hundred bytes, an entry of the overflow some ten besides its texts.
    let most = 8 * sent.len() + 600 * MAX_COLUMNS;
    assert!(columns.memory_bytes() < most, "{} of {most}", columns.memory_bytes());
}

#[test]
fn should_refuse_spans_with_more_parts_than_one_request_may_have() {
    let with_events = |id, count: usize| [good(id), [0x5a, 0].repeat(count)].concat();
    let rules = Rules { listed_bytes: 100_000, ..Rules::NONE };
    let mut columns = SpanColumns::default();
    let mut origins = OriginCache::default();
    let mut decode = |spans: &[Vec<u8>]| {
        let decoded = decode(&request_of(&[], spans), &rules, &mut columns, &mut origins).unwrap();
        (decoded.accepted, decoded.refused_ordinals)
    };
    // One has too many, and its neighbours have what is left.
    let spans = [with_events(1, 100), with_events(2, 3_000), with_events(3, 1_000)];
    assert_eq!(decode(&spans), (2, vec![1]));
    // None has too many, and together they have. The next request has as much as this one.
    let spans = [with_events(4, 2_000), with_events(5, 2_000), with_events(6, 2_000), good(7)];
    assert_eq!(decode(&spans), (3, vec![2]));
    assert_eq!(decode(&[with_events(8, 2_000)]), (1, vec![]));
    assert_eq!(columns.events.rows.len(), 7_100);
}

#[test]
fn should_refuse_a_large_resource_that_is_repeated_under_many_scopes() {
    let resource = service(&"x".repeat(100_000)).encode_to_vec();
    let scope = |number: u32| message(1, &message(1, number.to_string().as_bytes()));
    let with_scopes = |scopes: u32| {
        let scopes =
            (0..scopes).flat_map(|number| message(2, &[scope(number), message(2, &good(1))].concat()));
        message(1, &[message(1, &resource), scopes.collect()].concat())
    };
    let (decoded, columns) = decode_alone(&with_scopes(20));
    assert_eq!((decoded.unwrap().accepted, columns.origins.len()), (20, 20));
    let many = with_scopes(500);
    let (decoded, columns) = decode_alone(&many);
    assert_eq!(decoded.unwrap_err(), DecodeError::OriginsTooLarge);
    assert!(columns.is_empty() && columns.origins.len() < 100);
    // Replay decides nothing: what was accepted while the origins were known is taken.
    let mut columns = SpanColumns::default();
    assert_eq!(replay(&many, &[], &mut columns, &mut OriginCache::default()), Ok(500));
}

#[test]
fn should_count_the_bytes_by_which_origins_are_known_again() {
    let mut buffer = crate::buffer::Buffer::default();
    let mut before = 0;
    // More than are remembered at once.
    for number in 0..100 {
        let value = text(&format!("{number} {}", "x".repeat(200_000)));
        let resource = message(1, &attribute("k", value).encode_to_vec());
        buffer.decode(&request_of(&resource, &[good(number)]), &Rules::NONE).unwrap();
        let known = buffer.memory_bytes() - buffer.columns().memory_bytes();
        let sent = 200_000 * (number as usize + 1);
        assert!(known >= sent.min(7 << 20) && known <= 9 << 20, "{number}: {known}");
        assert!(known >= before, "what is counted as growth must not shrink");
        before = known;
    }
}
