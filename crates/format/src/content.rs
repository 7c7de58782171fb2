//! When two spans are the same: all fields, all attributes as a multiset and the
//! origin's content are equal, floats by their bits.
//!
//! The canonical bytes are that rule: equal bytes, same span. They also order spans
//! that share trace, start and id, so that one set of spans has one order.

use crate::origin::{write_attribute_set, write_count, write_text};
use crate::span::Span;

/// Bytes that two spans share exactly if they are the same span.
pub fn canonical_span(span: &Span) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(&span.trace_id.0);
    out.extend_from_slice(&span.start_unix_nano.to_be_bytes());
    out.extend_from_slice(&span.span_id.0);
    out.extend_from_slice(&span.end_unix_nano.to_be_bytes());
    match span.parent_span_id {
        Some(parent) => {
            out.push(1);
            out.extend_from_slice(&parent.0);
        }
        None => out.push(0),
    }
    write_text(&span.name, &mut out);
    write_text(&span.trace_state, &mut out);
    write_text(&span.status_message, &mut out);
    for number in [
        span.kind.cast_unsigned(),
        span.status_code.cast_unsigned(),
        span.flags,
        span.dropped_attributes_count,
        span.dropped_events_count,
        span.dropped_links_count,
    ] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    write_attribute_set(&span.attributes, &mut out);
    write_count(span.events.len(), &mut out);
    for event in &span.events {
        out.extend_from_slice(&event.time_unix_nano.to_be_bytes());
        write_text(&event.name, &mut out);
        write_attribute_set(&event.attributes, &mut out);
        out.extend_from_slice(&event.dropped_attributes_count.to_be_bytes());
    }
    write_count(span.links.len(), &mut out);
    for link in &span.links {
        out.extend_from_slice(&link.trace_id.0);
        out.extend_from_slice(&link.span_id.0);
        write_text(&link.trace_state, &mut out);
        out.extend_from_slice(&link.flags.to_be_bytes());
        write_attribute_set(&link.attributes, &mut out);
        out.extend_from_slice(&link.dropped_attributes_count.to_be_bytes());
    }
    out.extend_from_slice(&span.origin.canonical());
    out
}

/// Whether two spans are one: a retried export makes same spans.
pub fn same_span(one: &Span, other: &Span) -> bool {
    // Cheap fields first: most pairs differ there.
    one.span_id == other.span_id
        && one.trace_id == other.trace_id
        && one.start_unix_nano == other.start_unix_nano
        && canonical_span(one) == canonical_span(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SpanId;
    use crate::value::{Attribute, Value};

    fn with(values: &[f64]) -> Span {
        let of = |value: &f64| Attribute { key: "k".to_owned(), value: Value::Double(*value) };
        Span { attributes: values.iter().map(of).collect(), ..Span::default() }
    }

    #[test]
    fn should_compare_attributes_as_a_multiset_and_floats_by_their_bits() {
        assert!(same_span(&with(&[1.0, 2.0]), &with(&[2.0, 1.0])));
        assert!(!same_span(&with(&[1.0, 1.0]), &with(&[1.0])));
        assert!(same_span(&with(&[f64::NAN]), &with(&[f64::NAN])));
        assert!(!same_span(&with(&[0.0]), &with(&[-0.0])));
    }

    #[test]
    fn should_tell_no_parent_from_a_parent_of_zeros() {
        let rootless = Span { parent_span_id: Some(SpanId::default()), ..Span::default() };
        assert!(!same_span(&rootless, &Span::default()));
    }
}
