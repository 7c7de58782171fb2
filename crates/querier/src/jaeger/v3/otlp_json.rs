//! Spans as OTLP's JSON: ids in hex, names of enums as numbers, large numbers as texts. What is zero or empty is left
//! out, but for what readers take for granted.

use std::sync::Arc;

use siltstone_format::id::TraceId;
use siltstone_format::origin::{Entity, Origin};
use siltstone_format::span::{Event, Link, Span};
use siltstone_format::value::{Attribute, Value};

use crate::jaeger::adjust::Piece;
use crate::jaeger::answer::{SPAN_BYTES, TraceList};
use crate::jaeger::json::{
    write_base64, write_double, write_hex, write_list, write_quoted, write_shown, write_text,
};
use crate::jaeger::origins::WrittenOrigins;
use crate::jaeger::written::WriteTrace;

/// All traces, one after the other, in one list.
pub(super) struct OtlpJson;

impl TraceList for OtlpJson {
    type Trace = ResourceSpans;
    const HEAD: &'static [u8] = b"{\"result\":{\"resourceSpans\":[";

    fn end(&mut self, _: &[String], out: &mut Vec<u8>) {
        out.extend_from_slice(b"]}}");
    }
}

/// Nothing tells where a trace ends.
pub(super) struct ResourceSpans;

impl WriteTrace for ResourceSpans {
    type Item = u8;
    const OF_A_SPAN: usize = SPAN_BYTES;

    fn begin(_: TraceId) -> Self {
        Self
    }

    fn piece(&mut self, piece: Piece, origins: &mut WrittenOrigins, out: &mut Vec<u8>) {
        for spans in by_origin(&piece.spans) {
            let Some(first) = spans.first() else { continue };
            out.push(b',');
            out.extend_from_slice(origins.of(&first.origin, write_before_spans));
            write_list(&spans, out, |span, out| write_span(span, out));
            write_behind_spans(&first.origin, out);
        }
    }
}

/// Spans of one origin together, in the order in which origins come.
fn by_origin(spans: &[Span]) -> Vec<Vec<&Span>> {
    let mut places = std::collections::HashMap::new();
    let mut groups: Vec<Vec<&Span>> = Vec::new();
    for span in spans {
        let place = *places.entry(Arc::as_ptr(&span.origin)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(span),
            None => groups.push(vec![span]),
        }
    }
    groups
}

/// A resource with one scope, as far as the list of its spans.
fn write_before_spans(origin: &Origin, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"resource\":");
    write_resource(origin, out);
    out.extend_from_slice(b",\"scopeSpans\":[{\"scope\":");
    write_scope(origin, out);
    out.extend_from_slice(b",\"spans\":");
}

fn write_behind_spans(origin: &Origin, out: &mut Vec<u8>) {
    let mut scope = Object { out, has_members: true };
    scope.text("schemaUrl", &origin.scope_schema_url);
    scope.end();
    out.push(b']');
    let mut resource = Object { out, has_members: true };
    resource.text("schemaUrl", &origin.resource_schema_url);
    resource.end();
}

fn write_resource(origin: &Origin, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.attributes(&origin.resource_attributes);
    object.count("droppedAttributesCount", origin.resource_dropped_attributes_count);
    object.list("entityRefs", &origin.entities, write_entity);
    object.end();
}

fn write_entity(entity: &Entity, out: &mut Vec<u8>) {
    let text = |key: &String, out: &mut Vec<u8>| write_text(key, out);
    let mut object = Object::begin(out);
    object.text("schemaUrl", &entity.schema_url);
    object.text("type", &entity.kind);
    object.list("idKeys", &entity.id_keys, text);
    object.list("descriptionKeys", &entity.description_keys, text);
    object.end();
}

fn write_scope(origin: &Origin, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.text("name", &origin.scope_name);
    object.text("version", &origin.scope_version);
    object.attributes(&origin.scope_attributes);
    object.count("droppedAttributesCount", origin.scope_dropped_attributes_count);
    object.end();
}

fn write_span(span: &Span, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.member("traceId", |out| write_hex(&span.trace_id.0, out));
    object.member("spanId", |out| write_hex(&span.span_id.0, out));
    object.text("traceState", &span.trace_state);
    if let Some(parent) = span.parent_span_id {
        object.member("parentSpanId", |out| write_hex(&parent.0, out));
    }
    object.count("flags", span.flags);
    object.member("name", |out| write_text(&span.name, out));
    object.number("kind", span.kind);
    object.member("startTimeUnixNano", |out| write_quoted(span.start_unix_nano, out));
    object.member("endTimeUnixNano", |out| write_quoted(span.end_unix_nano, out));
    object.attributes(&span.attributes);
    object.count("droppedAttributesCount", span.dropped_attributes_count);
    object.list("events", &span.events, write_event);
    object.count("droppedEventsCount", span.dropped_events_count);
    object.list("links", &span.links, write_link);
    object.count("droppedLinksCount", span.dropped_links_count);
    object.member("status", |out| {
        let mut object = Object::begin(out);
        object.text("message", &span.status_message);
        object.number("code", span.status_code);
        object.end();
    });
    object.end();
}

fn write_event(event: &Event, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.member("timeUnixNano", |out| write_quoted(event.time_unix_nano, out));
    object.text("name", &event.name);
    object.attributes(&event.attributes);
    object.count("droppedAttributesCount", event.dropped_attributes_count);
    object.end();
}

fn write_link(link: &Link, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.member("traceId", |out| write_hex(&link.trace_id.0, out));
    object.member("spanId", |out| write_hex(&link.span_id.0, out));
    object.text("traceState", &link.trace_state);
    object.attributes(&link.attributes);
    object.count("droppedAttributesCount", link.dropped_attributes_count);
    object.count("flags", link.flags);
    object.end();
}

fn write_attribute(attribute: &Attribute, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"key\":");
    write_text(&attribute.key, out);
    out.extend_from_slice(b",\"value\":");
    write_value(&attribute.value, out);
    out.push(b'}');
}

/// Values are nested 40 deep at most, so this ends soon.
fn write_value(value: &Value, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    match value {
        Value::Empty => {}
        Value::Str(text) => {
            // Nearly all values are texts.
            object.out.extend_from_slice(b"\"stringValue\":");
            write_text(text, object.out);
        }
        Value::Int(int) => object.member("intValue", |out| write_quoted(int, out)),
        Value::Double(double) => object.member("doubleValue", |out| write_double(*double, out)),
        Value::Bool(flag) => object.member("boolValue", |out| write_shown(flag, out)),
        Value::Bytes(bytes) => object.member("bytesValue", |out| write_base64(bytes, out)),
        Value::Array(items) => object.member("arrayValue", |out| {
            let mut list = Object::begin(out);
            list.list("values", items, write_value);
            list.end();
        }),
        Value::Map(entries) => object.member("kvlistValue", |out| {
            let mut list = Object::begin(out);
            list.list("values", entries, write_attribute);
            list.end();
        }),
    }
    object.end();
}

/// An object, member by member.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    has_members: bool,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, has_members: false }
    }

    fn end(self) {
        self.out.push(b'}');
    }

    fn member(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.extend_from_slice(if std::mem::replace(&mut self.has_members, true) {
            b",\""
        } else {
            b"\""
        });
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        write(self.out);
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.member(name, |out| write_text(text, out));
        }
    }

    fn count(&mut self, name: &str, count: u32) {
        if count > 0 {
            self.member(name, |out| write_shown(count, out));
        }
    }

    fn number(&mut self, name: &str, number: i32) {
        if number != 0 {
            self.member(name, |out| write_shown(number, out));
        }
    }

    fn attributes(&mut self, attributes: &[Attribute]) {
        self.list("attributes", attributes, write_attribute);
    }

    fn list<T>(&mut self, name: &str, items: &[T], write: impl Fn(&T, &mut Vec<u8>)) {
        if items.is_empty() {
            return;
        }
        self.member(name, |out| write_list(items, out, write));
    }
}
