//! A span as Jaeger's JSON has it. Dropped counts, flags, schema URLs, and attributes of scopes and links have no
//! place in it.

use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::span::{Event, Link, Span};
use siltstone_format::value::{Attribute, Value};

use super::value::Tags;
use crate::jaeger::adjust::{WARNINGS, is_warnings};
use crate::jaeger::ids::short_bytes;
use crate::jaeger::json::{write_hex, write_list, write_shown, write_text};
use crate::jaeger::kinds;

const OK: i32 = 1;
const ERROR: i32 = 2;
/// The name of an event among its fields.
const EVENT: &str = "event";
/// The attribute of a link that says what it is.
const REFERENCE_TYPE: &str = "opentracing.ref_type";
const NANOS_PER_MICRO: u64 = 1_000;

/// `process`: the number of its process.
pub(super) fn write_span(span: &Span, process: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"traceID\":");
    write_hex(short_bytes(&span.trace_id), out);
    out.extend_from_slice(b",\"spanID\":");
    write_hex(&span.span_id.0, out);
    out.extend_from_slice(b",\"operationName\":");
    write_text(&span.name, out);
    out.extend_from_slice(b",\"references\":");
    write_references(span, out);
    out.extend_from_slice(b",\"startTime\":");
    write_shown(span.start_unix_nano / NANOS_PER_MICRO, out);
    out.extend_from_slice(b",\"duration\":");
    // One that ended before it began took no time.
    write_shown(span.end_unix_nano.saturating_sub(span.start_unix_nano) / NANOS_PER_MICRO, out);
    out.extend_from_slice(b",\"tags\":");
    write_tags(span, out);
    out.extend_from_slice(b",\"logs\":");
    write_list(&span.events, out, write_log);
    out.extend_from_slice(b",\"processID\":\"p");
    write_shown(process, out);
    out.extend_from_slice(b"\",\"warnings\":");
    write_warnings(&span.attributes, out);
    out.push(b'}');
}

#[derive(Clone, Copy)]
enum Reference {
    ChildOf,
    FollowsFrom,
}

/// The parent first, because readers look for it there. A link to the parent says what kind of parent it is.
fn write_references(span: &Span, out: &mut Vec<u8>) {
    let is_parent =
        |link: &&Link| Some(link.span_id) == span.parent_span_id && link.trace_id == span.trace_id;
    out.push(b'[');
    if let Some(parent) = span.parent_span_id {
        let kind = span.links.iter().rfind(is_parent).map_or(Reference::ChildOf, reference_type);
        write_reference(kind, span.trace_id, parent, out);
    }
    let mut is_first = span.parent_span_id.is_none();
    for link in span.links.iter().filter(|link| !is_parent(link)) {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        write_reference(reference_type(link), link.trace_id, link.span_id, out);
    }
    out.push(b']');
}

fn reference_type(link: &Link) -> Reference {
    let says = |attribute: &Attribute| matches!(&attribute.value, Value::Str(text) if text == "child_of");
    match link.attributes.iter().find(|attribute| attribute.key == REFERENCE_TYPE) {
        Some(attribute) if says(attribute) => Reference::ChildOf,
        _ => Reference::FollowsFrom,
    }
}

fn write_reference(kind: Reference, trace: TraceId, span: SpanId, out: &mut Vec<u8>) {
    out.extend_from_slice(match kind {
        Reference::ChildOf => b"{\"refType\":\"CHILD_OF\",\"traceID\":".as_slice(),
        Reference::FollowsFrom => b"{\"refType\":\"FOLLOWS_FROM\",\"traceID\":",
    });
    write_hex(short_bytes(&trace), out);
    out.extend_from_slice(b",\"spanID\":");
    write_hex(&span.0, out);
    out.push(b'}');
}

/// First the scope, then the attributes, then what else a span says.
fn write_tags(span: &Span, out: &mut Vec<u8>) {
    let mut tags = Tags::begin(out);
    tags.text_if_any("otel.scope.name", &span.origin.scope_name);
    tags.text_if_any("otel.scope.version", &span.origin.scope_version);
    let attributes = span.attributes.iter().filter(|attribute| !is_warnings(attribute));
    attributes.for_each(|attribute| tags.attribute(attribute));
    if let Some(kind) = kinds::name_of(span.kind) {
        tags.text("span.kind", kind);
    }
    match span.status_code {
        OK => tags.text("otel.status_code", "OK"),
        ERROR => {
            tags.text("otel.status_code", "ERROR");
            tags.flag("error", true);
        }
        _ => {}
    }
    tags.text_if_any("otel.status_description", &span.status_message);
    tags.text_if_any("w3c.tracestate", &span.trace_state);
    tags.end();
}

fn write_log(event: &Event, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"timestamp\":");
    write_shown(event.time_unix_nano / NANOS_PER_MICRO, out);
    out.extend_from_slice(b",\"fields\":");
    let mut fields = Tags::begin(out);
    if !event.name.is_empty() && !event.attributes.iter().any(|attribute| attribute.key == EVENT) {
        fields.text(EVENT, &event.name);
    }
    event.attributes.iter().for_each(|attribute| fields.attribute(attribute));
    fields.end();
    out.push(b'}');
}

/// Those that senders, or the reading of the span, have left in an attribute.
fn write_warnings(attributes: &[Attribute], out: &mut Vec<u8>) {
    let of_key = attributes.iter().filter(|attribute| attribute.key == WARNINGS);
    let lists = of_key.filter_map(|attribute| match &attribute.value {
        Value::Array(items) => Some(items),
        _ => None,
    });
    let warnings: Vec<&Value> = lists.flatten().collect();
    if warnings.is_empty() {
        out.extend_from_slice(b"null");
        return;
    }
    write_list(&warnings, out, |warning, out| match warning {
        Value::Str(text) => write_text(text, out),
        other => write_text(&super::value::json_text(other), out),
    });
}
