//! Columns of which only some parts were read.

use siltstone_format::block::parts::Parts;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::TraceId;

/// The columns without what was not asked for. Trace ids tell the number of rows, so they are only wrong.
pub(super) fn only(parts: &Parts, columns: &SpanColumns) -> SpanColumns {
    let mut some = columns.clone();
    if !parts.trace_ids {
        some.trace_ids.fill(TraceId([0xee; 16]));
    }
    macro_rules! clear {
        ($($part:ident: $($column:ident),*;)*) => {
            $($(if !parts.$part { some.$column = Default::default(); })*)*
        };
    }
    clear! {
        span_ids: span_ids;
        parents: parents;
        starts: starts;
        durations: durations;
        names: names, names_of_rows;
        kinds: kinds;
        status_codes: status_codes;
        status_messages: status_messages;
        trace_states: trace_states;
        flags: flags;
        dropped_counts: dropped_attributes, dropped_events, dropped_links;
        origins: origins, origins_of_rows;
        events: events;
        links: links;
    }
    only_attributes(parts, &mut some);
    some
}

fn only_attributes(parts: &Parts, columns: &mut SpanColumns) {
    let SpanColumns { attributes, keys, overflow, list_texts, .. } = columns;
    attributes.retain(|column| parts.attributes.holds(keys.name(column.key)));
    let entries = std::mem::take(overflow);
    for (index, row) in entries.rows.into_iter().enumerate() {
        let key = entries.entries.keys[index];
        if parts.attributes.holds(list_texts.keys.get(key)) {
            overflow.rows.push(row);
            overflow.entries.keys.push(key);
            overflow.entries.types.push(entries.entries.types[index]);
            overflow.entries.texts.push(entries.entries.texts[index]);
        }
    }
    if parts.attributes.is_empty() {
        *keys = Default::default();
        if !parts.events && !parts.links {
            *list_texts = Default::default();
        }
    }
}
