//! Spans back into OTLP, so that the oracle can look at what a block gave back.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan, Status, span};
use siltstone_format::origin::{Entity, Origin};
use siltstone_format::span::{Event, Link, Span};
use siltstone_format::value::{Attribute, Value};

/// A request with one ResourceSpans for each span.
pub fn encode_request(spans: &[Span]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest { resource_spans: spans.iter().map(resource_spans).collect() }
}

fn resource_spans(span: &Span) -> ResourceSpans {
    let origin: &Origin = &span.origin;
    ResourceSpans {
        resource: Some(Resource {
            attributes: key_values(&origin.resource_attributes),
            dropped_attributes_count: origin.resource_dropped_attributes_count,
            entity_refs: origin.entities.iter().map(entity).collect(),
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: origin.scope_name.clone(),
                version: origin.scope_version.clone(),
                attributes: key_values(&origin.scope_attributes),
                dropped_attributes_count: origin.scope_dropped_attributes_count,
            }),
            spans: vec![otlp_span(span)],
            schema_url: origin.scope_schema_url.clone(),
        }],
        schema_url: origin.resource_schema_url.clone(),
    }
}

fn entity(entity: &Entity) -> EntityRef {
    EntityRef {
        schema_url: entity.schema_url.clone(),
        r#type: entity.kind.clone(),
        id_keys: entity.id_keys.clone(),
        description_keys: entity.description_keys.clone(),
    }
}

fn otlp_span(span: &Span) -> OtlpSpan {
    OtlpSpan {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        trace_state: span.trace_state.clone(),
        parent_span_id: span.parent_span_id.map_or_else(Vec::new, |id| id.0.to_vec()),
        flags: span.flags,
        name: span.name.clone(),
        kind: span.kind,
        start_time_unix_nano: span.start_unix_nano,
        end_time_unix_nano: span.end_unix_nano,
        attributes: key_values(&span.attributes),
        dropped_attributes_count: span.dropped_attributes_count,
        events: span.events.iter().map(event).collect(),
        dropped_events_count: span.dropped_events_count,
        links: span.links.iter().map(link).collect(),
        dropped_links_count: span.dropped_links_count,
        status: Some(Status { message: span.status_message.clone(), code: span.status_code }),
    }
}

fn event(event: &Event) -> span::Event {
    span::Event {
        time_unix_nano: event.time_unix_nano,
        name: event.name.clone(),
        attributes: key_values(&event.attributes),
        dropped_attributes_count: event.dropped_attributes_count,
    }
}

fn link(link: &Link) -> span::Link {
    span::Link {
        trace_id: link.trace_id.0.to_vec(),
        span_id: link.span_id.0.to_vec(),
        trace_state: link.trace_state.clone(),
        attributes: key_values(&link.attributes),
        dropped_attributes_count: link.dropped_attributes_count,
        flags: link.flags,
    }
}

fn key_values(attributes: &[Attribute]) -> Vec<KeyValue> {
    attributes
        .iter()
        .map(|attribute| KeyValue {
            key: attribute.key.clone(),
            value: Some(any_value(&attribute.value)),
            ..KeyValue::default()
        })
        .collect()
}

fn any_value(value: &Value) -> AnyValue {
    let value = match value {
        Value::Empty => None,
        Value::Str(text) => Some(any_value::Value::StringValue(text.clone())),
        Value::Int(int) => Some(any_value::Value::IntValue(*int)),
        Value::Double(double) => Some(any_value::Value::DoubleValue(*double)),
        Value::Bool(flag) => Some(any_value::Value::BoolValue(*flag)),
        Value::Bytes(bytes) => Some(any_value::Value::BytesValue(bytes.clone())),
        Value::Array(items) => {
            Some(any_value::Value::ArrayValue(ArrayValue { values: items.iter().map(any_value).collect() }))
        }
        Value::Map(items) => Some(any_value::Value::KvlistValue(KeyValueList { values: key_values(items) })),
    };
    AnyValue { value }
}
