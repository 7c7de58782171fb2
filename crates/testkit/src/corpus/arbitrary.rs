//! Small random requests, drawn from so few keys, ids, texts and times that they collide: same spans, same
//! ids with other content, keys with several types, parents in other requests.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::select;

use super::build::{START, attribute_of, map, span_id, text, trace_id};

/// What keys are drawn from.
pub const KEYS: [&str; 7] = ["", "a", "b", "http.route", "name", "service.name", "żółć"];
/// What texts are drawn from: values, names, messages, trace states.
pub const TEXTS: [&str; 10] =
    ["", "a", "b", "true", "72", "72.0", "72.50", "NaN", "9007199254740993", "\0'\"é"];
/// How many trace ids there are: 1 up to this.
pub const TRACES: u64 = 4;
/// How many span ids there are: 1 up to this.
pub const SPANS: u64 = 5;

/// A request of at most a few dozen spans.
pub fn arbitrary_request() -> BoxedStrategy<ExportTraceServiceRequest> {
    vec(resource_spans(), 0..3)
        .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
        .boxed()
}

/// Some such requests, sharing their ids. One in three lists ends with a retry of its first request.
pub fn arbitrary_requests() -> BoxedStrategy<Vec<ExportTraceServiceRequest>> {
    let retried = prop_oneof![2 => Just(false), 1 => Just(true)];
    (vec(arbitrary_request(), 0..4), retried)
        .prop_map(|(mut requests, retried)| {
            let retry = requests.first().filter(|_| retried).cloned();
            requests.extend(retry);
            requests
        })
        .boxed()
}

fn resource_spans() -> impl Strategy<Value = ResourceSpans> {
    (option::weighted(0.9, resource()), vec(scope_spans(), 0..3), schema_url())
        .prop_map(|(resource, scope_spans, schema_url)| ResourceSpans { resource, scope_spans, schema_url })
}

fn resource() -> impl Strategy<Value = Resource> {
    let service_name = option::weighted(0.8, select(vec!["shop", "cart"]));
    (service_name, attributes(), few_counts()).prop_map(|(service_name, mut attributes, dropped)| {
        attributes.extend(service_name.map(|name| some_attribute("service.name", text(name))));
        Resource { attributes, dropped_attributes_count: dropped, entity_refs: Vec::new() }
    })
}

fn scope_spans() -> impl Strategy<Value = ScopeSpans> {
    let spans = vec(prop_oneof![4 => span(), 1 => plain_span()], 0..6);
    (option::weighted(0.9, scope()), spans, schema_url()).prop_map(|(scope, spans, schema_url)| ScopeSpans {
        scope,
        spans,
        schema_url,
    })
}

fn scope() -> impl Strategy<Value = InstrumentationScope> {
    (few_texts(), few_texts(), vec(some_key_value(), 0..2), few_counts()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn schema_url() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => Just("https://example.org/1".to_owned())]
}

/// So plain that the same span comes again often.
fn plain_span() -> impl Strategy<Value = Span> {
    (1..=2_u64, 1..=2_u64).prop_map(|(trace, id)| Span {
        trace_id: trace_id(trace),
        span_id: span_id(id),
        start_time_unix_nano: START,
        end_time_unix_nano: START,
        ..Span::default()
    })
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (1..=TRACES, 1..=SPANS, parent_id());
    let heads = (few_texts(), few_texts(), kind(), few_counts(), option::of(status()));
    let times = (start(), end());
    let members = (attributes(), vec(event(), 0..3), vec(link(), 0..2));
    let dropped = (few_counts(), few_counts(), few_counts());
    (ids, heads, times, members, dropped).prop_map(
        |(
            (trace, id, parent_span_id),
            (name, trace_state, kind, flags, status),
            (start, end),
            members,
            dropped,
        )| {
            let (attributes, events, links) = members;
            Span {
                trace_id: trace_id(trace),
                span_id: span_id(id),
                trace_state,
                parent_span_id,
                flags,
                name,
                kind,
                start_time_unix_nano: start,
                end_time_unix_nano: end,
                attributes,
                dropped_attributes_count: dropped.0,
                events,
                dropped_events_count: dropped.1,
                links,
                dropped_links_count: dropped.2,
                status,
            }
        },
    )
}

fn parent_id() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => Just(Vec::new()),
        1 => Just(vec![0; 8]),
        4 => (1..=SPANS).prop_map(span_id),
        1 => Just(span_id(u64::MAX)),
    ]
}

fn kind() -> impl Strategy<Value = i32> {
    prop_oneof![6 => 0..=5, 1 => select(vec![-1, 77, i32::MAX])]
}

fn status() -> impl Strategy<Value = Status> {
    (prop_oneof![6 => 0..=2, 1 => Just(9)], few_texts()).prop_map(|(code, message)| Status { message, code })
}

fn start() -> impl Strategy<Value = u64> {
    prop_oneof![6 => START..START + 4, 1 => Just(0), 1 => Just(i64::MAX.unsigned_abs())]
}

fn end() -> impl Strategy<Value = u64> {
    prop_oneof![6 => START - 1..START + 8, 1 => Just(0), 1 => Just(i64::MAX.unsigned_abs())]
}

fn event() -> impl Strategy<Value = Event> {
    let time = prop_oneof![4 => START..START + 4, 1 => Just(0), 1 => Just(u64::MAX)];
    (time, few_texts(), attributes(), few_counts()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (1..=TRACES, 1..=SPANS, few_texts(), attributes(), few_counts(), few_counts()).prop_map(
        |(trace, id, trace_state, attributes, dropped_attributes_count, flags)| Link {
            trace_id: trace_id(trace),
            span_id: span_id(id),
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

fn few_texts() -> impl Strategy<Value = String> {
    select(TEXTS.to_vec()).prop_map(str::to_owned)
}

fn few_counts() -> impl Strategy<Value = u32> {
    prop_oneof![6 => Just(0), 1 => Just(1), 1 => Just(u32::MAX)]
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(some_key_value(), 0..4)
}

fn some_key_value() -> impl Strategy<Value = KeyValue> {
    (select(KEYS.to_vec()), option::weighted(0.95, arbitrary_value()))
        .prop_map(|(key, value)| attribute_of(key, value))
}

fn some_attribute(key: &str, value: Value) -> KeyValue {
    attribute_of(key, Some(AnyValue { value: Some(value) }))
}

/// A value of any type, two levels deep at most.
pub fn arbitrary_value() -> BoxedStrategy<AnyValue> {
    let leaf = option::weighted(0.95, flat_value()).prop_map(|value| AnyValue { value });
    leaf.prop_recursive(2, 8, 3, |inner| {
        let array = vec(inner.clone(), 0..3).prop_map(|values| Value::ArrayValue(ArrayValue { values }));
        let pair = (select(KEYS.to_vec()), option::weighted(0.9, inner));
        let pairs = vec(pair.prop_map(|(key, value)| attribute_of(key, value)), 0..3);
        prop_oneof![array, pairs.prop_map(map)].prop_map(|value| AnyValue { value: Some(value) })
    })
    .boxed()
}

fn flat_value() -> impl Strategy<Value = Value> {
    let ints = prop_oneof![4 => select(vec![0, 1, 72, 9_007_199_254_740_993, i64::MIN, i64::MAX]), 1 => any::<i64>()];
    let doubles = prop_oneof![
        4 => select(vec![0.0, -0.0, 72.0, 72.5, 9_007_199_254_740_992.0, f64::NAN, f64::INFINITY]),
        1 => any::<u64>().prop_map(f64::from_bits),
    ];
    prop_oneof![
        3 => few_texts().prop_map(Value::StringValue),
        2 => ints.prop_map(Value::IntValue),
        2 => doubles.prop_map(Value::DoubleValue),
        1 => any::<bool>().prop_map(Value::BoolValue),
        1 => vec(any::<u8>(), 0..3).prop_map(Value::BytesValue),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::oracle::{CanonicalValue, Oracle};

    #[test]
    fn should_collide_and_hold_every_type_of_value() {
        let mut runner = TestRunner::deterministic();
        let (mut collapsed, mut shared_ids) = (0, 0);
        let mut types = BTreeSet::new();
        for _ in 0..300 {
            let mut oracle = Oracle::default();
            for request in arbitrary_requests().new_tree(&mut runner).unwrap().current() {
                oracle.accept(&request);
            }
            let spans = oracle.spans();
            let ids: BTreeSet<_> = spans.iter().map(|span| (&span.trace_id, &span.span_id)).collect();
            collapsed += oracle.accepted() - spans.len();
            shared_ids += spans.len() - ids.len();
            for (_, value) in spans.iter().flat_map(|span| &span.attributes.0) {
                types.insert(match value {
                    CanonicalValue::Empty => "empty",
                    CanonicalValue::String(_) => "string",
                    CanonicalValue::Bool(_) => "bool",
                    CanonicalValue::Int(_) => "int",
                    CanonicalValue::Double(_) => "double",
                    CanonicalValue::Bytes(_) => "bytes",
                    CanonicalValue::Array(_) => "array",
                    CanonicalValue::Map(_) => "map",
                });
            }
        }
        assert!(collapsed > 20, "{collapsed}");
        assert!(shared_ids > 200, "{shared_ids}");
        assert_eq!(types.len(), 8, "{types:?}");
    }
}
