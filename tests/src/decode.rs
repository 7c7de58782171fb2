//! OTLP as prost decodes it into columns: slow and simple, the yardstick for any
//! decoder that is not.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span as OtlpSpan, span};
use siltstone_format::columns::{Rejected, SpanColumns};
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::origin::{Entity, Origin};
use siltstone_format::span::{Event, Link, Span};
use siltstone_format::value::{Attribute, Value};

/// Adds all spans of a request.
pub fn decode_request(
    request: &ExportTraceServiceRequest,
    columns: &mut SpanColumns,
) -> Result<(), Rejected> {
    request_spans(request).try_for_each(|span| columns.push(&span))
}

/// The spans of a request, one by one.
pub fn request_spans(request: &ExportTraceServiceRequest) -> impl Iterator<Item = Span> {
    request.resource_spans.iter().flat_map(|resource_spans| {
        let resource = resource_spans.resource.clone().unwrap_or_default();
        resource_spans.scope_spans.iter().flat_map(move |scope_spans| {
            let scope = scope_spans.scope.clone().unwrap_or_default();
            let origin =
                Arc::new(origin(&resource, &resource_spans.schema_url, &scope, &scope_spans.schema_url));
            scope_spans.spans.iter().map(move |span| decode_span(span, origin.clone()))
        })
    })
}

fn origin(resource: &Resource, resource_url: &str, scope: &InstrumentationScope, scope_url: &str) -> Origin {
    let entities = resource.entity_refs.iter().map(|entity| Entity {
        schema_url: entity.schema_url.clone(),
        kind: entity.r#type.clone(),
        id_keys: entity.id_keys.clone(),
        description_keys: entity.description_keys.clone(),
    });
    Origin {
        resource_attributes: attributes(&resource.attributes),
        resource_dropped_attributes_count: resource.dropped_attributes_count,
        resource_schema_url: resource_url.to_owned(),
        entities: entities.collect(),
        scope_name: scope.name.clone(),
        scope_version: scope.version.clone(),
        scope_attributes: attributes(&scope.attributes),
        scope_dropped_attributes_count: scope.dropped_attributes_count,
        scope_schema_url: scope_url.to_owned(),
    }
}

fn decode_span(span: &OtlpSpan, origin: Arc<Origin>) -> Span {
    let status = span.status.clone().unwrap_or_default();
    Span {
        trace_id: TraceId(bytes(&span.trace_id)),
        span_id: SpanId(bytes(&span.span_id)),
        parent_span_id: Some(SpanId(bytes(&span.parent_span_id))).filter(|id| !id.is_zero()),
        trace_state: span.trace_state.clone(),
        flags: span.flags,
        name: span.name.clone(),
        kind: span.kind,
        start_unix_nano: span.start_time_unix_nano,
        end_unix_nano: span.end_time_unix_nano,
        status_code: status.code,
        status_message: status.message,
        attributes: attributes(&span.attributes),
        dropped_attributes_count: span.dropped_attributes_count,
        events: span.events.iter().map(event).collect(),
        dropped_events_count: span.dropped_events_count,
        links: span.links.iter().map(link).collect(),
        dropped_links_count: span.dropped_links_count,
        origin,
    }
}

fn event(event: &span::Event) -> Event {
    Event {
        time_unix_nano: event.time_unix_nano,
        name: event.name.clone(),
        attributes: attributes(&event.attributes),
        dropped_attributes_count: event.dropped_attributes_count,
    }
}

fn link(link: &span::Link) -> Link {
    Link {
        trace_id: TraceId(bytes(&link.trace_id)),
        span_id: SpanId(bytes(&link.span_id)),
        trace_state: link.trace_state.clone(),
        flags: link.flags,
        attributes: attributes(&link.attributes),
        dropped_attributes_count: link.dropped_attributes_count,
    }
}

fn attributes(pairs: &[KeyValue]) -> Vec<Attribute> {
    let of = |pair: &KeyValue| Attribute { key: pair.key.clone(), value: value(pair.value.as_ref()) };
    pairs.iter().map(of).collect()
}

fn value(any: Option<&AnyValue>) -> Value {
    match any.and_then(|any| any.value.as_ref()) {
        None => Value::Empty,
        Some(any_value::Value::StringValue(text)) => Value::Str(text.clone()),
        Some(any_value::Value::IntValue(int)) => Value::Int(*int),
        Some(any_value::Value::DoubleValue(double)) => Value::Double(*double),
        Some(any_value::Value::BoolValue(flag)) => Value::Bool(*flag),
        Some(any_value::Value::BytesValue(bytes)) => Value::Bytes(bytes.clone()),
        Some(any_value::Value::ArrayValue(array)) => {
            Value::Array(array.values.iter().map(|item| value(Some(item))).collect())
        }
        Some(any_value::Value::KvlistValue(list)) => Value::Map(attributes(&list.values)),
        // A reference into a table that only profiles have.
        Some(_) => Value::Empty,
    }
}

/// Ids of another length are the receiver's to refuse; here they become zeros.
fn bytes<const N: usize>(id: &[u8]) -> [u8; N] {
    id.try_into().unwrap_or([0; N])
}
