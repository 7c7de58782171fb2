//! Spans as `jaeger.api_v2` has them: messages `SpansResponseChunk`, written straight from spans.
//!
//! What that model has no place for stands in tags, or is left out, as Jaeger's own translation does it:
//!
//! | a span's | becomes |
//! |---|---|
//! | service name, attributes of the resource | the process: its name, its tags |
//! | name, version of the scope | tags `otel.scope.name`, `otel.scope.version` |
//! | attributes | tags; lists and maps as JSON |
//! | kind, status, status message, trace state | tags `span.kind`, `otel.status_code` and `error`, `otel.status_description`, `w3c.tracestate` |
//! | parent, links | references: `CHILD_OF`; `FOLLOWS_FROM`, unless a link's `opentracing.ref_type` says `child_of` |
//! | events | logs, with the name under `event` |
//! | `@jaeger@warnings` | warnings |
//! | attributes of the scope, schemas, dropped counts, flags, other attributes and states of links | – |

use bytes::Bytes;
use siltstone_ask::Field;
use siltstone_ask::red::ERROR;
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::origin::{Origin, SERVICE_NAME};
use siltstone_format::span::{Event, Span};
use siltstone_format::value::{Attribute, Value};

use crate::jaeger::adjust::WARNINGS;
use crate::jaeger::ask::shown_service;
use crate::jaeger::otlp::MESSAGE_BYTES;
use crate::jaeger::proto::wire::{
    put_bytes, put_fixed64, put_message, set_bytes, set_int32, set_number, set_text,
};
use crate::jaeger::shorten::shortened;

/// Spans of one message.
const CHUNK_SPANS: usize = 10;
const OK: i32 = 1;

// Numbers of `ValueType`.
const BOOL: i32 = 1;
const INT64: i32 = 2;
const FLOAT64: i32 = 3;
const BINARY: i32 = 4;

const FOLLOWS_FROM: i32 = 1;
const REF_TYPE: &str = "opentracing.ref_type";

/// The spans in as many messages as they need. A span that fits into none is shortened, and says so.
pub(crate) fn chunks(spans: &[Span]) -> Vec<Bytes> {
    let (mut chunks, mut chunk, mut count) = (Vec::new(), Vec::new(), 0);
    for span in spans {
        let mut encoded = Vec::new();
        put_message(&mut encoded, 1, |out| write_span(span, out));
        if encoded.len() > MESSAGE_BYTES {
            encoded.clear();
            put_message(&mut encoded, 1, |out| write_span(&shortened(span), out));
        }
        if count == CHUNK_SPANS || (count > 0 && chunk.len() + encoded.len() > MESSAGE_BYTES) {
            chunks.push(std::mem::take(&mut chunk).into());
            count = 0;
        }
        chunk.extend_from_slice(&encoded);
        count += 1;
    }
    if count > 0 {
        chunks.push(chunk.into());
    }
    chunks
}

fn write_span(span: &Span, out: &mut Vec<u8>) {
    put_bytes(out, 1, &span.trace_id.0);
    put_bytes(out, 2, &span.span_id.0);
    set_text(out, 3, &span.name);
    write_references(span, out);
    put_message(out, 6, |out| write_seconds(i128::from(span.start_unix_nano), out));
    let duration = i128::from(span.end_unix_nano) - i128::from(span.start_unix_nano);
    put_message(out, 7, |out| write_seconds(duration, out));
    write_tags(span, out);
    span.events.iter().for_each(|event| put_message(out, 9, |out| write_log(event, out)));
    put_message(out, 10, |out| write_process(&span.origin, out));
    for warning in span.attributes.iter().filter_map(warnings_of).flatten() {
        put_bytes(out, 12, warning.as_bytes());
    }
}

/// A timestamp, or a duration: both parts of one sign.
fn write_seconds(nanos: i128, out: &mut Vec<u8>) {
    const PER_SECOND: i128 = 1_000_000_000;
    set_number(out, 1, ((nanos / PER_SECOND) as i64).cast_unsigned());
    set_int32(out, 2, (nanos % PER_SECOND) as i32);
}

fn write_references(span: &Span, out: &mut Vec<u8>) {
    let is_parent = |trace: TraceId, id: SpanId| trace == span.trace_id && Some(id) == span.parent_span_id;
    if let Some(parent) = span.parent_span_id {
        // A link to the parent says what kind of parent it is.
        let link = span.links.iter().find(|link| is_parent(link.trace_id, link.span_id));
        let kind = link.map_or(0, |link| reference_kind(&link.attributes));
        put_message(out, 4, |out| write_reference(span.trace_id, parent, kind, out));
    }
    for link in span.links.iter().filter(|link| !is_parent(link.trace_id, link.span_id)) {
        let kind = reference_kind(&link.attributes);
        put_message(out, 4, |out| write_reference(link.trace_id, link.span_id, kind, out));
    }
}

fn reference_kind(attributes: &[Attribute]) -> i32 {
    let said = attributes.iter().find(|attribute| attribute.key == REF_TYPE);
    match said.map(|attribute| &attribute.value) {
        Some(Value::Str(text)) if text == "child_of" => 0,
        _ => FOLLOWS_FROM,
    }
}

fn write_reference(trace: TraceId, span: SpanId, kind: i32, out: &mut Vec<u8>) {
    put_bytes(out, 1, &trace.0);
    put_bytes(out, 2, &span.0);
    set_int32(out, 3, kind);
}

fn write_tags(span: &Span, out: &mut Vec<u8>) {
    put_text_tag("otel.scope.name", &span.origin.scope_name, out);
    put_text_tag("otel.scope.version", &span.origin.scope_version, out);
    for attribute in span.attributes.iter().filter(|attribute| warnings_of(attribute).is_none()) {
        put_tag(&attribute.key, &attribute.value, out);
    }
    if span.kind != 0 {
        put_text_tag("span.kind", Field::Kind.name_of(span.kind).unwrap_or_default(), out);
    }
    match span.status_code {
        OK => put_text_tag("otel.status_code", "OK", out),
        ERROR => {
            put_text_tag("otel.status_code", "ERROR", out);
            put_tag("error", &Value::Bool(true), out);
        }
        _ => {}
    }
    put_text_tag("otel.status_description", &span.status_message, out);
    put_text_tag("w3c.tracestate", &span.trace_state, out);
}

fn put_tag(key: &str, value: &Value, out: &mut Vec<u8>) {
    put_message(out, 8, |out| write_tag(key, value, out));
}

/// None for an empty text.
fn put_text_tag(key: &str, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        put_tag(key, &Value::Str(text.to_owned()), out);
    }
}

/// The texts of an attribute that holds warnings.
fn warnings_of(attribute: &Attribute) -> Option<impl Iterator<Item = &str>> {
    match &attribute.value {
        Value::Array(items) if attribute.key == WARNINGS => {
            Some(items.iter().filter_map(|item| match item {
                Value::Str(text) => Some(text.as_str()),
                _ => None,
            }))
        }
        _ => None,
    }
}

fn write_log(event: &Event, out: &mut Vec<u8>) {
    put_message(out, 1, |out| write_seconds(i128::from(event.time_unix_nano), out));
    let has_name = event.attributes.iter().any(|attribute| attribute.key == "event");
    if !has_name && !event.name.is_empty() {
        put_message(out, 2, |out| write_tag("event", &Value::Str(event.name.clone()), out));
    }
    for attribute in &event.attributes {
        put_message(out, 2, |out| write_tag(&attribute.key, &attribute.value, out));
    }
}

fn write_process(origin: &Origin, out: &mut Vec<u8>) {
    set_text(out, 1, shown_service(&origin.service_name()));
    for attribute in origin.resource_attributes.iter().filter(|attribute| attribute.key != SERVICE_NAME) {
        put_message(out, 2, |out| write_tag(&attribute.key, &attribute.value, out));
    }
}

fn write_tag(key: &str, value: &Value, out: &mut Vec<u8>) {
    set_text(out, 1, key);
    match value {
        Value::Empty => {}
        Value::Str(text) => set_text(out, 3, text),
        Value::Bool(flag) => {
            set_int32(out, 2, BOOL);
            set_number(out, 4, u64::from(*flag));
        }
        Value::Int(int) => {
            set_int32(out, 2, INT64);
            set_number(out, 5, int.cast_unsigned());
        }
        Value::Double(double) => {
            set_int32(out, 2, FLOAT64);
            put_fixed64(out, 6, double.to_bits());
        }
        Value::Bytes(bytes) => {
            set_int32(out, 2, BINARY);
            set_bytes(out, 7, bytes);
        }
        Value::Array(_) | Value::Map(_) => set_text(out, 3, &value.text()),
    }
}

#[cfg(test)]
mod tests;
