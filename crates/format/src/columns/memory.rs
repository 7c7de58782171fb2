//! How much memory columns take: the sum of what their parts fill. What is reserved beyond that was never
//! written, so that the system has given no memory for it.
//!
//! Asked after every request, so nothing is walked but the list of attribute columns; what the allocator
//! adds to each block of memory is left out.

use super::{RareCounts, RareTexts, SpanColumns};
use crate::id::{SpanId, TraceId};
use crate::origin::Origin;
use crate::value::{Attribute, Value, ValueType};

/// A system gives memory in pages of that size or more.
const PAGE: usize = 4096;

pub(super) fn of_vec<T>(vec: &Vec<T>) -> usize {
    let (filled, reserved) = (vec.len() * size_of::<T>(), vec.capacity() * size_of::<T>());
    reserved.min(filled.max(PAGE))
}

impl SpanColumns {
    /// Bytes of memory that are filled, about.
    pub fn memory_bytes(&self) -> usize {
        let columns: usize =
            self.attributes.iter().map(|column| of_vec(&column.rows) + column.values.memory_bytes()).sum();
        self.fixed_bytes()
            + columns
            + of_vec(&self.attributes)
            + self.keys.memory_bytes()
            + self.list_bytes()
            + of_vec(&self.origins)
            + of_vec(&self.canonical_origins)
            + self.origin_numbers.allocation_size()
            + self.origin_places.allocation_size()
            + self.origin_bytes
    }

    /// Bytes that attributes without a column, events and links fill. Quick, to be asked for every span.
    pub fn listed_bytes(&self) -> usize {
        // Per text: where it ends, and its slot in a table that is not quite full.
        let of_texts = |texts: &super::Dictionary| texts.text_bytes() + texts.len() * 24;
        let (overflow, events, links) = (&self.overflow.rows, &self.events.rows, &self.links.rows);
        of_texts(&self.list_texts.keys)
            + of_texts(&self.list_texts.texts)
            + overflow.len() * 13
            + events.len() * 24
            + links.len() * 44
    }

    fn fixed_bytes(&self) -> usize {
        of_vec::<TraceId>(&self.trace_ids)
            + of_vec::<SpanId>(&self.span_ids)
            + of_vec::<Option<SpanId>>(&self.parents)
            + of_vec(&self.starts)
            + of_vec(&self.durations)
            + of_vec(&self.kinds)
            + of_vec(&self.status_codes)
            + of_vec(&self.flags)
            + self.names.memory_bytes()
            + of_vec(&self.names_of_rows)
            + of_vec(&self.origins_of_rows)
            + of_vec(&self.touched)
    }

    fn list_bytes(&self) -> usize {
        let texts = |rare: &RareTexts| of_vec(&rare.rows) + of_vec(&rare.numbers) + rare.texts.memory_bytes();
        let counts = |rare: &RareCounts| of_vec(&rare.rows) + of_vec(&rare.counts);
        let (overflow, events, links) = (&self.overflow, &self.events, &self.links);
        let entries = &overflow.entries;
        texts(&self.status_messages)
            + texts(&self.trace_states)
            + counts(&self.dropped_attributes)
            + counts(&self.dropped_events)
            + counts(&self.dropped_links)
            + self.list_texts.memory_bytes()
            + of_vec(&overflow.rows)
            + of_vec(&entries.keys)
            + of_vec::<ValueType>(&entries.types)
            + of_vec(&entries.texts)
            + of_vec(&events.rows)
            + of_vec(&events.times)
            + of_vec(&events.names)
            + of_vec(&events.dropped)
            + of_vec(&events.attributes)
            + of_vec(&links.rows)
            + of_vec(&links.trace_ids)
            + of_vec(&links.span_ids)
            + of_vec(&links.trace_states)
            + of_vec(&links.flags)
            + of_vec(&links.dropped)
            + of_vec(&links.attributes)
    }
}

/// Counted once, when an origin comes.
pub(super) fn of_origin(origin: &Origin, canonical: &[u8]) -> usize {
    let entities = origin.entities.iter().map(|entity| {
        let keys = entity.id_keys.iter().chain(&entity.description_keys).map(String::capacity).sum::<usize>();
        entity.schema_url.capacity()
            + entity.kind.capacity()
            + of_vec(&entity.id_keys)
            + of_vec(&entity.description_keys)
            + keys
    });
    // Two counters stand before what each Arc holds.
    4 * size_of::<usize>()
        + canonical.len()
        + size_of::<Origin>()
        + of_attributes(&origin.resource_attributes)
        + origin.resource_schema_url.capacity()
        + of_vec(&origin.entities)
        + entities.sum::<usize>()
        + origin.scope_name.capacity()
        + origin.scope_version.capacity()
        + of_attributes(&origin.scope_attributes)
        + origin.scope_schema_url.capacity()
}

fn of_attributes(attributes: &Vec<Attribute>) -> usize {
    let each = attributes.iter().map(|attribute| attribute.key.capacity() + of_value(&attribute.value));
    of_vec(attributes) + each.sum::<usize>()
}

fn of_value(value: &Value) -> usize {
    match value {
        Value::Empty | Value::Int(_) | Value::Double(_) | Value::Bool(_) => 0,
        Value::Str(text) => text.capacity(),
        Value::Bytes(bytes) => bytes.capacity(),
        Value::Array(items) => of_vec(items) + items.iter().map(of_value).sum::<usize>(),
        Value::Map(items) => of_attributes(items),
    }
}
