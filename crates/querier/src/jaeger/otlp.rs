//! Spans as OTLP's protobuf: messages `TracesData`, written straight from spans, each below a length.
//!
//! Within a message spans stand by resource and scope, in the order in which these occur; spans of one resource
//! and scope stay in their order.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use siltstone_format::origin::{Entity, Origin};
use siltstone_format::span::{Event, Link, Span};
use siltstone_format::value::{Attribute, Value};

use super::proto::wire::{
    put_bytes, put_fixed64, put_message, put_number, set_fixed32, set_fixed64, set_int32, set_number,
    set_text,
};
use super::shorten::shortened;

/// Longest message: below the 4 MiB that gRPC's clients take, with room for frames.
pub(crate) const MESSAGE_BYTES: usize = 7 << 19;
/// What lengths and keys around the spans of a message may need.
const FRAMES: usize = 32;

/// The spans in as many messages as they need, never an empty one. A span that fits into none is shortened, and
/// says so.
pub(crate) fn traces_data(spans: &[Span]) -> Vec<Bytes> {
    let mut groups = Groups::default();
    spans.iter().for_each(|span| groups.add(span));
    groups.messages()
}

/// Encoded spans by their origins.
#[derive(Default)]
struct Groups {
    /// Spans as they stand in a `ScopeSpans`.
    encoded: Vec<u8>,
    resources: Vec<Resource>,
    by_resource: HashMap<Vec<u8>, usize>,
    by_scope: HashMap<(usize, Vec<u8>), usize>,
    /// By the address of an origin that is held here: of many spans only the first must be looked up by content.
    by_address: HashMap<*const Origin, Place>,
    held: Vec<Arc<Origin>>,
}

/// A resource with what stands in front of its scopes and behind them.
struct Resource {
    head: Vec<u8>,
    tail: Vec<u8>,
    scopes: Vec<Scope>,
}

struct Scope {
    head: Vec<u8>,
    tail: Vec<u8>,
    spans: Vec<Range<usize>>,
}

#[derive(Clone, Copy)]
struct Place {
    resource: usize,
    scope: usize,
}

/// A run of spans that goes into one message.
struct Run {
    place: Place,
    spans: Range<usize>,
}

impl Groups {
    fn add(&mut self, span: &Span) {
        let (place, range) = self.encode(span);
        if range.len() + self.frame_bytes(place) > MESSAGE_BYTES {
            self.encoded.truncate(range.start);
            let (place, range) = self.encode(&shortened(span));
            self.scope(place).spans.push(range);
        } else {
            self.scope(place).spans.push(range);
        }
    }

    fn encode(&mut self, span: &Span) -> (Place, Range<usize>) {
        let place = self.place(&span.origin);
        let start = self.encoded.len();
        put_message(&mut self.encoded, 2, |out| write_span(span, out));
        (place, start..self.encoded.len())
    }

    fn scope(&mut self, place: Place) -> &mut Scope {
        &mut self.resources[place.resource].scopes[place.scope]
    }

    /// What must stand around spans of one origin.
    fn frame_bytes(&self, place: Place) -> usize {
        let resource = &self.resources[place.resource];
        let scope = &resource.scopes[place.scope];
        [&resource.head, &resource.tail, &scope.head, &scope.tail]
            .iter()
            .map(|part| part.len())
            .sum::<usize>()
            + FRAMES
    }

    fn place(&mut self, origin: &Arc<Origin>) -> Place {
        if let Some(place) = self.by_address.get(&Arc::as_ptr(origin)) {
            return *place;
        }
        let resource = *self.by_resource.entry(origin.canonical_resource()).or_insert_with(|| {
            self.resources.push(Resource::of(origin));
            self.resources.len() - 1
        });
        let scopes = &mut self.resources[resource].scopes;
        let scope = *self.by_scope.entry((resource, origin.canonical_scope())).or_insert_with(|| {
            scopes.push(Scope::of(origin));
            scopes.len() - 1
        });
        let place = Place { resource, scope };
        self.by_address.insert(Arc::as_ptr(origin), place);
        self.held.push(Arc::clone(origin));
        place
    }

    fn messages(&self) -> Vec<Bytes> {
        let (mut messages, mut runs, mut length) = (Vec::new(), Vec::<Run>::new(), 0);
        for place in self.places() {
            let scope = &self.resources[place.resource].scopes[place.scope];
            let frame = self.frame_bytes(place);
            let mut first = 0;
            for (number, span) in scope.spans.iter().enumerate() {
                let is_first_of_message = runs.is_empty() && first == number;
                let added = span.len() + if first == number { frame } else { 0 };
                if length + added > MESSAGE_BYTES && !is_first_of_message {
                    runs.push(Run { place, spans: first..number });
                    messages.push(self.message(&runs));
                    runs.clear();
                    (first, length) = (number, span.len() + frame);
                } else {
                    length += added;
                }
            }
            runs.push(Run { place, spans: first..scope.spans.len() });
        }
        runs.retain(|run| !run.spans.is_empty());
        if !runs.is_empty() {
            messages.push(self.message(&runs));
        }
        messages
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        let resources = self.resources.iter().enumerate();
        resources.flat_map(|(resource, of)| (0..of.scopes.len()).map(move |scope| Place { resource, scope }))
    }

    fn message(&self, runs: &[Run]) -> Bytes {
        let mut out = Vec::new();
        let runs: Vec<&Run> = runs.iter().filter(|run| !run.spans.is_empty()).collect();
        for of_resource in runs.chunk_by(|one, next| one.place.resource == next.place.resource) {
            let Some(first) = of_resource.first() else { continue };
            let resource = &self.resources[first.place.resource];
            put_message(&mut out, 1, |out| {
                out.extend_from_slice(&resource.head);
                for run in of_resource {
                    let scope = &resource.scopes[run.place.scope];
                    put_message(out, 2, |out| {
                        out.extend_from_slice(&scope.head);
                        let spans = &scope.spans[run.spans.clone()];
                        spans.iter().for_each(|span| out.extend_from_slice(&self.encoded[span.clone()]));
                        out.extend_from_slice(&scope.tail);
                    });
                }
                out.extend_from_slice(&resource.tail);
            });
        }
        out.into()
    }
}

impl Resource {
    fn of(origin: &Origin) -> Self {
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        put_message(&mut head, 1, |out| {
            write_attributes(&origin.resource_attributes, 1, out);
            set_number(out, 2, origin.resource_dropped_attributes_count.into());
            origin.entities.iter().for_each(|entity| put_message(out, 3, |out| write_entity(entity, out)));
        });
        set_text(&mut tail, 3, &origin.resource_schema_url);
        Self { head, tail, scopes: Vec::new() }
    }
}

impl Scope {
    fn of(origin: &Origin) -> Self {
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        put_message(&mut head, 1, |out| {
            set_text(out, 1, &origin.scope_name);
            set_text(out, 2, &origin.scope_version);
            write_attributes(&origin.scope_attributes, 3, out);
            set_number(out, 4, origin.scope_dropped_attributes_count.into());
        });
        set_text(&mut tail, 3, &origin.scope_schema_url);
        Self { head, tail, spans: Vec::new() }
    }
}

fn write_entity(entity: &Entity, out: &mut Vec<u8>) {
    set_text(out, 1, &entity.schema_url);
    set_text(out, 2, &entity.kind);
    entity.id_keys.iter().for_each(|key| put_bytes(out, 3, key.as_bytes()));
    entity.description_keys.iter().for_each(|key| put_bytes(out, 4, key.as_bytes()));
}

fn write_span(span: &Span, out: &mut Vec<u8>) {
    put_bytes(out, 1, &span.trace_id.0);
    put_bytes(out, 2, &span.span_id.0);
    set_text(out, 3, &span.trace_state);
    if let Some(parent) = span.parent_span_id {
        put_bytes(out, 4, &parent.0);
    }
    set_text(out, 5, &span.name);
    set_int32(out, 6, span.kind);
    set_fixed64(out, 7, span.start_unix_nano);
    set_fixed64(out, 8, span.end_unix_nano);
    write_attributes(&span.attributes, 9, out);
    set_number(out, 10, span.dropped_attributes_count.into());
    span.events.iter().for_each(|event| put_message(out, 11, |out| write_event(event, out)));
    set_number(out, 12, span.dropped_events_count.into());
    span.links.iter().for_each(|link| put_message(out, 13, |out| write_link(link, out)));
    set_number(out, 14, span.dropped_links_count.into());
    if span.status_code != 0 || !span.status_message.is_empty() {
        put_message(out, 15, |out| {
            set_text(out, 2, &span.status_message);
            set_int32(out, 3, span.status_code);
        });
    }
    set_fixed32(out, 16, span.flags);
}

fn write_event(event: &Event, out: &mut Vec<u8>) {
    set_fixed64(out, 1, event.time_unix_nano);
    set_text(out, 2, &event.name);
    write_attributes(&event.attributes, 3, out);
    set_number(out, 4, event.dropped_attributes_count.into());
}

fn write_link(link: &Link, out: &mut Vec<u8>) {
    if !link.trace_id.is_zero() {
        put_bytes(out, 1, &link.trace_id.0);
    }
    if !link.span_id.is_zero() {
        put_bytes(out, 2, &link.span_id.0);
    }
    set_text(out, 3, &link.trace_state);
    write_attributes(&link.attributes, 4, out);
    set_number(out, 5, link.dropped_attributes_count.into());
    set_fixed32(out, 6, link.flags);
}

fn write_attributes(attributes: &[Attribute], field: u32, out: &mut Vec<u8>) {
    for attribute in attributes {
        put_message(out, field, |out| {
            set_text(out, 1, &attribute.key);
            put_message(out, 2, |out| write_value(&attribute.value, out));
        });
    }
}

/// The one that it is: a value is there even if it is zero, or empty.
fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Empty => {}
        Value::Str(text) => put_bytes(out, 1, text.as_bytes()),
        Value::Bool(flag) => put_number(out, 2, u64::from(*flag)),
        Value::Int(int) => put_number(out, 3, int.cast_unsigned()),
        Value::Double(double) => put_fixed64(out, 4, double.to_bits()),
        Value::Array(items) => put_message(out, 5, |out| {
            items.iter().for_each(|item| put_message(out, 1, |out| write_value(item, out)));
        }),
        Value::Map(items) => put_message(out, 6, |out| write_attributes(items, 1, out)),
        Value::Bytes(bytes) => put_bytes(out, 7, bytes),
    }
}

#[cfg(test)]
mod tests;
