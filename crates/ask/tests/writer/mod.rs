//! The terms that a writer of blocks inserts for spans.

use std::collections::HashSet;

use siltstone_format::span::Span;
use siltstone_format::term::{
    NAME_FIELD, SERVICE_FIELD, STATUS_MESSAGE_FIELD, TermScope, TermValue, term, uncovered,
};
use siltstone_format::value::{Attribute, Value};

/// `left_out` picks keys whose values have no terms, as if they took too much room.
pub(crate) fn terms(spans: &[Span], left_out: &[u8]) -> HashSet<u64> {
    let mut terms = HashSet::new();
    let mut insert = |scope: TermScope, key: &str, value: &Value| {
        let pick = 7 * scope as usize + key.len() + usize::from(key.bytes().next().unwrap_or(0));
        let left_out = !left_out.is_empty() && left_out[pick % left_out.len()] == 0;
        terms.insert(match value {
            _ if left_out => uncovered(scope, key),
            Value::Str(text) => term(scope, key, TermValue::Str(text)),
            Value::Int(int) => term(scope, key, TermValue::Int(*int)),
            Value::Double(double) => term(scope, key, TermValue::Double(*double)),
            Value::Bool(flag) => term(scope, key, TermValue::Bool(*flag)),
            Value::Empty | Value::Bytes(_) | Value::Array(_) | Value::Map(_) => uncovered(scope, key),
        });
    };
    for span in spans {
        let mut set = |scope, attributes: &[Attribute]| {
            attributes.iter().for_each(|attribute| insert(scope, &attribute.key, &attribute.value));
        };
        set(TermScope::Span, &span.attributes);
        set(TermScope::Resource, &span.origin.resource_attributes);
        set(TermScope::Scope, &span.origin.scope_attributes);
        span.events.iter().for_each(|event| set(TermScope::Event, &event.attributes));
        span.links.iter().for_each(|link| set(TermScope::Link, &link.attributes));
        for (key, text) in [
            (SERVICE_FIELD, span.origin.service_name()),
            (NAME_FIELD, span.name.clone()),
            (STATUS_MESSAGE_FIELD, span.status_message.clone()),
        ] {
            if !text.is_empty() {
                insert(TermScope::Field, key, &Value::Str(text));
            }
        }
    }
    terms
}
