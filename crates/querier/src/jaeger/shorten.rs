//! Spans that are larger than a message of gRPC may be: what is left of them, so that the rest of their trace can be
//! read at all.
//!
//! A shortened span keeps its ids, times, kind, status code and place. What is left out is counted as dropped, as
//! OTLP has it, and a warning says so where Jaeger shows one. Over HTTP and SQL the span is there whole.

use std::sync::Arc;

use siltstone_format::origin::Origin;
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};

use super::adjust::warn;

const WARNING: &str = "this span is larger than a message of gRPC may be: attributes, events, links or texts were \
                       left out here; it is whole over HTTP and in SQL";
/// Longest of a span's own texts.
const TEXT_BYTES: usize = 8 << 10;
/// What attributes may weigh, of the span, its resource and its scope each; and what its events and links may. As JSON
/// in a text, which is how the older API has lists, they may take six times that.
const PART_BYTES: usize = 96 << 10;
/// About what a key, a value and their lengths need beside their texts.
const ITEM_BYTES: usize = 24;
const EVENT_OR_LINK_BYTES: usize = 64;

pub(crate) fn shortened(span: &Span) -> Span {
    let mut short = Span {
        name: cut(&span.name),
        trace_state: cut(&span.trace_state),
        status_message: cut(&span.status_message),
        origin: Arc::new(short_origin(&span.origin)),
        ..span.clone()
    };
    keep_light(&mut short.attributes, &mut short.dropped_attributes_count, of_attribute);
    keep_light(&mut short.events, &mut short.dropped_events_count, |event| {
        EVENT_OR_LINK_BYTES + event.name.len() + of_attributes(&event.attributes)
    });
    keep_light(&mut short.links, &mut short.dropped_links_count, |link| {
        EVENT_OR_LINK_BYTES + link.trace_state.len() + of_attributes(&link.attributes)
    });
    warn(&mut short, WARNING.to_owned());
    short
}

fn short_origin(origin: &Origin) -> Origin {
    let mut short = Origin {
        resource_schema_url: cut(&origin.resource_schema_url),
        scope_name: cut(&origin.scope_name),
        scope_version: cut(&origin.scope_version),
        scope_schema_url: cut(&origin.scope_schema_url),
        ..origin.clone()
    };
    keep_light(&mut short.resource_attributes, &mut short.resource_dropped_attributes_count, of_attribute);
    keep_light(&mut short.scope_attributes, &mut short.scope_dropped_attributes_count, of_attribute);
    // Nothing counts these; they say which attributes are meant.
    let keys = |entity: &siltstone_format::origin::Entity| {
        let keys = entity.id_keys.iter().chain(&entity.description_keys);
        ITEM_BYTES
            + entity.schema_url.len()
            + entity.kind.len()
            + keys.map(|key| ITEM_BYTES + key.len()).sum::<usize>()
    };
    keep_light(&mut short.entities, &mut 0, keys);
    short
}

/// Keeps those that fit, in their order, and counts the others.
fn keep_light<T>(items: &mut Vec<T>, dropped: &mut u32, weight: impl Fn(&T) -> usize) {
    let mut left = PART_BYTES;
    items.retain(|item| match left.checked_sub(weight(item)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => {
            *dropped = dropped.saturating_add(1);
            false
        }
    });
}

fn of_attributes(attributes: &[Attribute]) -> usize {
    attributes.iter().map(of_attribute).sum()
}

fn of_attribute(attribute: &Attribute) -> usize {
    ITEM_BYTES + attribute.key.len() + of_value(&attribute.value)
}

fn of_value(value: &Value) -> usize {
    match value {
        Value::Str(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(items) => items.iter().map(|item| ITEM_BYTES + of_value(item)).sum(),
        Value::Map(items) => of_attributes(items),
        Value::Empty | Value::Int(_) | Value::Double(_) | Value::Bool(_) => 0,
    }
}

fn cut(text: &str) -> String {
    let end = (0..=text.len().min(TEXT_BYTES)).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use siltstone_format::span::{Event, Link};

    use super::*;
    use crate::jaeger::adjust::WARNINGS;

    fn text(key: &str, length: usize) -> Attribute {
        Attribute { key: key.to_owned(), value: Value::Str("ä".repeat(length / 2)) }
    }

    #[test]
    fn should_leave_out_what_is_heavy_and_count_it() {
        let many = || (0..100_000).map(|_| Event::default()).collect();
        let span = Span {
            name: "ä".repeat(1 << 20),
            attributes: vec![text("a", 10), text("b", 3 << 20), text("c", 10)],
            dropped_attributes_count: 5,
            events: many(),
            links: vec![Link { attributes: vec![text("l", 1 << 20)], ..Link::default() }, Link::default()],
            origin: Arc::new(Origin {
                resource_attributes: vec![text("r", 4 << 20), text("service.name", 4)],
                ..Origin::default()
            }),
            ..Span::default()
        };
        let short = shortened(&span);
        let keys: Vec<&str> = short.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
        assert_eq!(keys, ["a", "c", WARNINGS]);
        assert_eq!(short.dropped_attributes_count, 6);
        assert_eq!(short.events.len() + short.dropped_events_count as usize, 100_000);
        assert!(short.events.len() > 1_000 && short.dropped_events_count > 1_000);
        assert_eq!((short.links.len(), short.dropped_links_count), (1, 1));
        assert_eq!(short.origin.service_name(), "ää");
        assert_eq!(short.origin.resource_dropped_attributes_count, 1);
        assert_eq!(short.name, "ä".repeat(TEXT_BYTES / 2));
    }

    #[test]
    fn should_add_to_warnings_that_are_there() {
        let before = Value::Array(vec![Value::Str("clock".to_owned())]);
        let attributes = vec![Attribute { key: WARNINGS.to_owned(), value: before }];
        let short = shortened(&Span { attributes, ..Span::default() });
        let [Attribute { value: Value::Array(warnings), .. }] = &short.attributes[..] else {
            panic!("{short:?}")
        };
        assert_eq!(warnings.len(), 2);
    }
}
