//! Short ways to write OTLP messages, so that a test shows only what it is about.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

/// 2023-11-14T22:13:20Z in unix nanoseconds: when spans start unless they say otherwise.
pub const START: u64 = 1_700_000_000_000_000_000;
pub const MILLISECOND: u64 = 1_000_000;

pub fn trace_id(number: u64) -> Vec<u8> {
    u128::from(number).to_be_bytes().to_vec()
}

pub fn span_id(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// A root span of 5 ms.
pub fn span(trace: u64, id: u64, name: &str) -> Span {
    Span {
        trace_id: trace_id(trace),
        span_id: span_id(id),
        name: name.to_owned(),
        kind: 1,
        start_time_unix_nano: START,
        end_time_unix_nano: START + 5 * MILLISECOND,
        ..Span::default()
    }
}

pub fn child(trace: u64, id: u64, parent: u64, name: &str) -> Span {
    Span { parent_span_id: span_id(parent), ..span(trace, id, name) }
}

pub fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

pub fn bytes(bytes: &[u8]) -> Value {
    Value::BytesValue(bytes.to_vec())
}

pub fn array(elements: Vec<Value>) -> Value {
    let values = elements.into_iter().map(|element| AnyValue { value: Some(element) }).collect();
    Value::ArrayValue(ArrayValue { values })
}

pub fn map(pairs: Vec<KeyValue>) -> Value {
    Value::KvlistValue(KeyValueList { values: pairs })
}

pub fn attribute(key: &str, value: Value) -> KeyValue {
    attribute_of(key, Some(AnyValue { value: Some(value) }))
}

/// An attribute that may lack its value in either of the two ways.
pub fn attribute_of(key: &str, value: Option<AnyValue>) -> KeyValue {
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

pub fn service(name: &str) -> Resource {
    resource(vec![attribute("service.name", text(name))])
}

pub fn resource(attributes: Vec<KeyValue>) -> Resource {
    Resource { attributes, ..Resource::default() }
}

pub fn scope(name: &str, version: &str) -> InstrumentationScope {
    InstrumentationScope {
        name: name.to_owned(),
        version: version.to_owned(),
        ..InstrumentationScope::default()
    }
}

/// Spans of one service, under a scope without anything special.
pub fn request(service_name: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    request_of(Some(service(service_name)), Some(scope("hand", "1")), spans)
}

pub fn request_of(
    resource: Option<Resource>,
    scope: Option<InstrumentationScope>,
    spans: Vec<Span>,
) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { scope, spans, schema_url: String::new() }];
    let resource_spans = vec![ResourceSpans { resource, scope_spans, schema_url: String::new() }];
    ExportTraceServiceRequest { resource_spans }
}
