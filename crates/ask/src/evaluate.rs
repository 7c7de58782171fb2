//! Whether a span matches.
//!
//! A predicate is put to *holders*: the span itself, its resource, its scope, each
//! event, each link. It holds for the span if it holds for one holder of its level;
//! at any level, for one of all. So `!=` says of one holder that it has the key and
//! no equal value; that nothing has an equal value is `not(=)`. Within a `some` there is
//! one holder of its level: the event, or the link, that it is about.
//!
//! A field always has a value, be it an empty text, except the parent of a root, the
//! fields of events and links that are not there, and the ids of a link that are zero.

use std::cmp::Ordering;

use siltstone_format::span::{Event, Link, Span};
use siltstone_format::value::{Attribute, Value};

use crate::coerce::{Scalar, any_scalar, equals, order};
use crate::field::{Field, FieldType};
use crate::filter::{Comparison, Filter, Level, Nested, Node, Predicate, Target, Test};

impl Filter {
    /// Whether all that is asked holds on this span.
    pub fn matches(&self, span: &Span) -> bool {
        self.holds(span, None)
    }

    /// `one` is the event or link that a `some` around this filter is about.
    fn holds(&self, span: &Span, one: Option<One<'_>>) -> bool {
        match self.node() {
            Node::And(parts) => parts.iter().all(|part| part.holds(span, one)),
            Node::Or(parts) => parts.iter().any(|part| part.holds(span, one)),
            Node::Not(inner) => !inner.holds(span, one),
            Node::Some(Nested::Event, inner) => {
                span.events.iter().any(|event| inner.holds(span, Some(One::Event(event))))
            }
            Node::Some(Nested::Link, inner) => {
                span.links.iter().any(|link| inner.holds(span, Some(One::Link(link))))
            }
            Node::Predicate(predicate) => predicate.holds(span, one),
        }
    }

    /// Whether all that is asked holds on one span of the trace.
    pub fn matches_trace(&self, spans: &[Span]) -> bool {
        spans.iter().any(|span| self.matches(span))
    }
}

/// One of those that a span has several of.
#[derive(Clone, Copy)]
enum One<'a> {
    Event(&'a Event),
    Link(&'a Link),
}

impl Predicate {
    fn holds(&self, span: &Span, one: Option<One<'_>>) -> bool {
        match (one, self.target().nested()) {
            (Some(One::Event(event)), Some(Nested::Event)) => match self.target() {
                Target::Field(field) => event_matches(*field, self.test(), span, event),
                Target::Attribute { key, .. } => self.test().matches_holder(key, &event.attributes),
            },
            (Some(One::Link(link)), Some(Nested::Link)) => match self.target() {
                Target::Field(field) => link_matches(*field, self.test(), link),
                Target::Attribute { key, .. } => self.test().matches_holder(key, &link.attributes),
            },
            _ => self.matches(span),
        }
    }

    pub fn matches(&self, span: &Span) -> bool {
        match self.target() {
            Target::Field(field) => field_matches(*field, self.test(), span),
            Target::Attribute { level, key } => {
                any_holder(*level, span, &|attributes| self.test().matches_holder(key, attributes))
            }
        }
    }
}

impl Test {
    /// Whether the test holds for all values that one holder has for one key.
    pub fn matches<'a>(&self, mut values: impl Iterator<Item = &'a Value>) -> bool {
        match self {
            Self::Exists => values.next().is_some(),
            Self::Compare(Comparison::Ne, operand) => {
                let mut exists = false;
                let equal = values.any(|value| {
                    exists = true;
                    any_scalar(value, |scalar| equals(scalar, operand))
                });
                exists && !equal
            }
            _ => values.any(|value| any_scalar(value, |scalar| self.matches_scalar(scalar))),
        }
    }

    /// Whether the test holds for one holder, by its attributes.
    pub(crate) fn matches_holder(&self, key: &str, attributes: &[Attribute]) -> bool {
        let values = attributes.iter().filter(|attribute| attribute.key == key);
        self.matches(values.map(|attribute| &attribute.value))
    }

    pub(crate) fn matches_scalar(&self, value: Scalar<'_>) -> bool {
        match self {
            Self::Compare(comparison, operand) => {
                let order = || order(value, operand);
                match comparison {
                    Comparison::Eq => equals(value, operand),
                    Comparison::Ne => !equals(value, operand),
                    Comparison::Lt => order().is_some_and(Ordering::is_lt),
                    Comparison::Le => order().is_some_and(Ordering::is_le),
                    Comparison::Gt => order().is_some_and(Ordering::is_gt),
                    Comparison::Ge => order().is_some_and(Ordering::is_ge),
                }
            }
            Self::In(operands) => operands.iter().any(|operand| equals(value, operand)),
            Self::Regex(pattern) => pattern.is_match(&value.text()),
            Self::Exists => true,
        }
    }
}

fn any_holder(level: Level, span: &Span, test: &dyn Fn(&[Attribute]) -> bool) -> bool {
    match level {
        Level::Span => test(&span.attributes),
        Level::Resource => test(&span.origin.resource_attributes),
        Level::Scope => test(&span.origin.scope_attributes),
        Level::Event => span.events.iter().any(|event| test(&event.attributes)),
        Level::Link => span.links.iter().any(|link| test(&link.attributes)),
        Level::Any => [Level::Span, Level::Resource, Level::Scope, Level::Event, Level::Link]
            .into_iter()
            .any(|level| any_holder(level, span, test)),
    }
}

fn field_matches(field: Field, test: &Test, span: &Span) -> bool {
    let text = |text: &str| test.matches_scalar(Scalar::Str(text));
    let int = |int: i128| test.matches_scalar(Scalar::Int(int));
    match field {
        Field::Name => text(&span.name),
        Field::ServiceName => text(&span.origin.service_name()),
        Field::StatusMessage => text(&span.status_message),
        Field::ScopeName => text(&span.origin.scope_name),
        Field::ScopeVersion => text(&span.origin.scope_version),
        Field::ScopeSchemaUrl => text(&span.origin.scope_schema_url),
        Field::ResourceSchemaUrl => text(&span.origin.resource_schema_url),
        Field::EventName | Field::EventTime | Field::EventOffset => {
            span.events.iter().any(|event| event_matches(field, test, span, event))
        }
        Field::TraceState => text(&span.trace_state),
        Field::Kind => named_matches(field, span.kind, test),
        Field::StatusCode => named_matches(field, span.status_code, test),
        // Exact, even where it does not fit an i64.
        Field::Duration => int(i128::from(span.end_unix_nano) - i128::from(span.start_unix_nano)),
        Field::Start => int(i128::from(span.start_unix_nano)),
        Field::End => int(i128::from(span.end_unix_nano)),
        Field::TraceId => hex_matches(&span.trace_id.0, test),
        Field::SpanId => hex_matches(&span.span_id.0, test),
        Field::ParentSpanId => span.parent_span_id.is_some_and(|parent| hex_matches(&parent.0, test)),
        Field::LinkTraceId | Field::LinkSpanId | Field::LinkTraceState => {
            span.links.iter().any(|link| link_matches(field, test, link))
        }
        Field::Root => test.matches_scalar(Scalar::Bool(span.parent_span_id.is_none())),
    }
}

fn event_matches(field: Field, test: &Test, span: &Span, event: &Event) -> bool {
    let int = |int: i128| test.matches_scalar(Scalar::Int(int));
    let time = i128::from(event.time_unix_nano);
    match field {
        Field::EventTime => int(time),
        Field::EventOffset => int(time - i128::from(span.start_unix_nano)),
        _ => test.matches_scalar(Scalar::Str(&event.name)),
    }
}

fn link_matches(field: Field, test: &Test, link: &Link) -> bool {
    match field {
        Field::LinkTraceId => !link.trace_id.is_zero() && hex_matches(&link.trace_id.0, test),
        Field::LinkSpanId => !link.span_id.is_zero() && hex_matches(&link.span_id.0, test),
        _ => test.matches_scalar(Scalar::Str(&link.trace_state)),
    }
}

/// Kinds and status codes compare by their number; a regular expression sees the name
/// where there is one.
pub(crate) fn named_matches(field: Field, number: i32, test: &Test) -> bool {
    match (test, field.field_type()) {
        (Test::Regex(_), FieldType::Named(names)) if names.name(number).is_some() => {
            names.name(number).is_some_and(|name| test.matches_scalar(Scalar::Str(name)))
        }
        _ => test.matches_scalar(Scalar::Int(i128::from(number))),
    }
}

/// Ids compare as hex text in lower case, without an allocation for each span.
pub(crate) fn hex_matches(id: &[u8], test: &Test) -> bool {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [0; 32];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(id) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    let text = str::from_utf8(&hex[..(2 * id.len()).min(32)]);
    text.is_ok_and(|text| test.matches_scalar(Scalar::Str(text)))
}

#[cfg(test)]
mod tests;
