//! What must become of a request, by prost and the rules: the yardstick for the decoder that ingest has.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as OtlpValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as OtlpSpan;
use prost::Message;
use siltstone_format::columns::SpanColumns;
use siltstone_format::content::same_span;
use siltstone_format::span::Span;
use siltstone_format::value::MAX_NESTING;
use siltstone_ingest::decode::{DecodeError, Decoded, OriginCache, Rules, decode, replay};
use siltstone_ingest::export::{Refusals, SpanFault};

use crate::decode::request_spans;

/// What becomes of the spans of a request.
#[derive(Debug, Default)]
pub struct Verdict {
    pub accepted: Vec<Span>,
    pub refused: Refusals,
    pub refused_ordinals: Vec<u32>,
}

/// Judges each span by the rules; of several faults the first in their order counts.
pub fn judge(request: &ExportTraceServiceRequest, rules: &Rules) -> Verdict {
    let mut verdict = Verdict::default();
    let sent = request.resource_spans.iter().flat_map(|resource_spans| {
        let resource = resource_spans.resource.iter().flat_map(|resource| &resource.attributes);
        let of_resource = attribute_faults(resource, rules).min();
        resource_spans.scope_spans.iter().flat_map(move |scope_spans| {
            let scope = scope_spans.scope.iter().flat_map(|scope| &scope.attributes);
            let of_origin = attribute_faults(scope, rules).chain(of_resource).min();
            scope_spans.spans.iter().map(move |span| (span, of_origin))
        })
    });
    for (ordinal, ((sent, of_origin), span)) in sent.zip(request_spans(request)).enumerate() {
        let fault = if ordinal >= rules.spans {
            Some(SpanFault::TooManySpans)
        } else {
            of_origin.or_else(|| span_faults(sent, rules).into_iter().min())
        };
        match fault {
            None => verdict.accepted.push(span),
            Some(fault) => {
                verdict.refused.add(fault);
                verdict.refused_ordinals.push(ordinal as u32);
            }
        }
    }
    verdict
}

fn span_faults(span: &OtlpSpan, rules: &Rules) -> Vec<SpanFault> {
    let is_id = |id: &[u8], length: usize| id.len() == length && id.iter().any(|byte| *byte != 0);
    let parent = span.parent_span_id.len();
    let start = span.start_time_unix_nano;
    let lists = span.events.iter().map(|event| &event.attributes);
    let lists = lists.chain(span.links.iter().map(|link| &link.attributes));
    let mut faults: Vec<SpanFault> =
        attribute_faults(span.attributes.iter().chain(lists.flatten()), rules).collect();
    for (is_fault, fault) in [
        (!is_id(&span.trace_id, 16), SpanFault::TraceId),
        (!is_id(&span.span_id, 8), SpanFault::SpanId),
        (parent != 0 && parent != 8, SpanFault::ParentSpanId),
        (
            span.links.iter().any(|link| link.trace_id.len() != 16 || link.span_id.len() != 8),
            SpanFault::LinkId,
        ),
        (start < rules.earliest_start, SpanFault::TooOld),
        (start > rules.latest_start || start > i64::MAX.cast_unsigned(), SpanFault::TooNew),
    ] {
        faults.extend(is_fault.then_some(fault));
    }
    // A span is too old or too new, not both.
    if start < rules.earliest_start {
        faults.retain(|fault| *fault != SpanFault::TooNew);
    }
    faults
}

fn attribute_faults<'a>(
    attributes: impl Iterator<Item = &'a KeyValue>,
    rules: &Rules,
) -> impl Iterator<Item = SpanFault> {
    attributes.filter_map(|attribute| {
        let value = attribute.value.as_ref();
        if attribute.key.len() + value.map_or(0, value_bytes) > rules.attribute_bytes {
            Some(SpanFault::AttributeTooLarge)
        } else {
            (value.map_or(0, nesting) > MAX_NESTING).then_some(SpanFault::TooDeep)
        }
    })
}

fn value_bytes(value: &AnyValue) -> usize {
    match &value.value {
        Some(OtlpValue::StringValue(text)) => text.len(),
        Some(OtlpValue::BytesValue(bytes)) => bytes.len(),
        _ => value.encoded_len(),
    }
}

fn nesting(value: &AnyValue) -> usize {
    match &value.value {
        Some(OtlpValue::ArrayValue(array)) => 1 + array.values.iter().map(nesting).max().unwrap_or(0),
        Some(OtlpValue::KvlistValue(list)) => {
            1 + list.values.iter().filter_map(|pair| pair.value.as_ref()).map(nesting).max().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Decodes a request into columns that hold a span already, and again as a log would replay it.
///
/// Odd requests may be refused for the size of their origins; none of the tests is that large.
///
/// # Panics
///
/// If the outcome is not the one that prost and the rules give. Of what prost refuses only this is asked:
/// what was there before is there after, and all that is taken can be read and replayed.
pub fn assert_decodes_as_judged(body: &[u8], rules: &Rules) {
    let request = ExportTraceServiceRequest::decode(body).ok();
    let mut rules = rules.clone();
    if request.as_ref().is_some_and(|request| request.encode_to_vec() != body) {
        // How long an attribute was when it was sent cannot be seen in what prost made of it.
        rules.attribute_bytes = usize::MAX;
    }
    let before = Span { name: "before".to_owned(), ..Span::default() };
    let mut columns = SpanColumns::default();
    assert_eq!(columns.push(&before), Ok(()));
    let mut origins = OriginCache::default();
    let decoded = decode(body, &rules, &mut columns, &mut origins);
    let mut spans = columns.spans().unwrap_or_default();
    assert_eq!(spans.len(), columns.len(), "texts that are not values");
    assert!(same_span(&spans.remove(0), &before), "an older span has changed");
    match (&decoded, &request) {
        (Ok(decoded), Some(request)) => assert_same(decoded, &spans, &judge(request, &rules)),
        (Ok(decoded), None) => assert_eq!(decoded.accepted, spans.len() as u64),
        (Err(error), None) => {
            assert!(matches!(error, DecodeError::Malformed { .. }), "{error}");
            assert!(spans.is_empty(), "a refused request has left spans");
        }
        (Err(error), Some(_)) => panic!("refused as a whole: {error}"),
    }
    if let Ok(decoded) = decoded {
        assert_replays(body, &decoded, &spans);
    }
}

fn assert_same(decoded: &Decoded, spans: &[Span], verdict: &Verdict) {
    let faults = |refused: &Refusals| refused.iter().collect::<Vec<_>>();
    assert_eq!(faults(&decoded.refused), faults(&verdict.refused));
    assert_eq!(decoded.refused_ordinals, verdict.refused_ordinals);
    assert_eq!(decoded.accepted, verdict.accepted.len() as u64);
    assert_spans(spans, &verdict.accepted);
}

fn assert_spans(found: &[Span], wanted: &[Span]) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(same_span(found, wanted), "found {found:?}\nwanted {wanted:?}");
        // Of these the order counts too.
        assert_eq!((&found.events, &found.links), (&wanted.events, &wanted.links));
    }
}

fn assert_replays(body: &[u8], decoded: &Decoded, spans: &[Span]) {
    let mut columns = SpanColumns::default();
    let mut origins = OriginCache::default();
    let replayed = replay(body, &decoded.refused_ordinals, &mut columns, &mut origins);
    assert_eq!(replayed, Ok(decoded.accepted));
    assert_spans(&columns.spans().unwrap_or_default(), spans);
    // Once more with what is known by now.
    assert_eq!(replay(body, &decoded.refused_ordinals, &mut columns, &mut origins), Ok(decoded.accepted));
    columns.truncate(spans.len());
    assert_spans(&columns.spans().unwrap_or_default(), spans);
}
