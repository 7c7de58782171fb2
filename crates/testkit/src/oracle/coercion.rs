//! When a value of a filter matches a value of a span.
//!
//! Values reach a query as text, whatever type the span has, so types bend. One comparison, row = value of
//! the filter, column = value of the span:
//!
//! | filter \ span | string           | int              | double           | bool             |
//! |---------------|------------------|------------------|------------------|------------------|
//! | text          | bytes            | number if text is one | number if text is one | `true`/`false`, = only |
//! | string        | bytes            | no               | no               | no               |
//! | int, double   | number if the string is one | number | number           | no               |
//! | bool          | `true`/`false`, = only | no         | no               | = only           |
//!
//! - *bytes*: texts are equal or ordered by their bytes. *number*: equal or ordered numerically and exactly,
//!   never through a lossy conversion; see [`read_beside`](super::number::read_beside) for what text is as a
//!   number. NaN equals nothing and is before and after nothing; -0.0 equals 0.0.
//! - An array matches when any of its elements matches; an empty one matches nothing. An element that is an
//!   array itself matches nothing.
//! - Maps, bytes and an attribute without a value match nothing.
//! - A pattern sees the exact text of a string, a number or a truth value, see [`SeenValue::text`].
//!
//! "Matches nothing" is about one comparison. That an attribute is there, and what `!=` means, is decided in
//! [`filter`](super::filter).

use std::borrow::Cow;
use std::cmp::Ordering;

use super::canonical::CanonicalValue;
use super::number::{self, Number};

/// A value in a filter: text of unknown type, as it stands in a URL, or a value with a type.
#[derive(Clone, Debug, PartialEq)]
pub enum FilterValue {
    Text(String),
    String(String),
    Int(i64),
    Double(f64),
    Bool(bool),
}

/// The comparisons that look at one pair of values. `!=` is not one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// One value of a span, attribute or field, as a comparison sees it.
#[derive(Clone, Debug)]
pub enum SeenValue<'a> {
    String(Cow<'a, str>),
    Number(Number),
    /// A number that has a name: a comparison sees the number, a pattern the name.
    Named(Number, &'static str),
    Bool(bool),
    /// Something that is there and that no comparison matches.
    Opaque,
}

impl SeenValue<'_> {
    /// What a pattern sees: `text`, `72`, `72.0`, `1e300`, `true`; a number's name if it has one. Infinities are
    /// `inf` and `-inf`, and a NaN with unusual bits shows them.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        const USUAL_NAN: u64 = 0x7ff8_0000_0000_0000;
        match self {
            SeenValue::String(text) => Some(Cow::Borrowed(text)),
            SeenValue::Number(Number::Int(int)) => Some(int.to_string().into()),
            SeenValue::Number(Number::Double(double)) if double.is_nan() => match double.to_bits() {
                USUAL_NAN => Some("NaN".into()),
                bits => Some(format!("NaN(0x{bits:016x})").into()),
            },
            // The fewest digits that give the same double, with a point or an exponent.
            SeenValue::Number(Number::Double(double)) => Some(format!("{double:?}").into()),
            SeenValue::Named(_, name) => Some(Cow::Borrowed(name)),
            SeenValue::Bool(true) => Some("true".into()),
            SeenValue::Bool(false) => Some("false".into()),
            SeenValue::Opaque => None,
        }
    }
}

/// Does the comparison hold for this value of an attribute, or for any element of it if it is an array?
pub fn attribute_matches(value: &CanonicalValue, comparison: Comparison, wanted: &FilterValue) -> bool {
    seen_values(value).into_iter().any(|seen| matches(&seen, comparison, wanted))
}

/// `seen comparison wanted`, for example `seen < wanted`.
pub fn matches(seen: &SeenValue<'_>, comparison: Comparison, wanted: &FilterValue) -> bool {
    // Truth values have no order.
    if let Some((seen, wanted)) = as_bools(seen, wanted) {
        return comparison == Comparison::Equal && seen == wanted;
    }
    let Some(order) = order(seen, wanted) else { return false };
    match comparison {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
    }
}

/// An attribute as the values that a comparison tries: itself, or the elements of an array.
pub fn seen_values(value: &CanonicalValue) -> Vec<SeenValue<'_>> {
    match value {
        CanonicalValue::Array(elements) => elements.iter().map(seen_value).collect(),
        plain => vec![seen_value(plain)],
    }
}

fn seen_value(value: &CanonicalValue) -> SeenValue<'_> {
    match value {
        CanonicalValue::String(text) => SeenValue::String(Cow::Borrowed(text)),
        CanonicalValue::Bool(bool) => SeenValue::Bool(*bool),
        CanonicalValue::Int(int) => SeenValue::Number(Number::Int(i128::from(*int))),
        CanonicalValue::Double(bits) => SeenValue::Number(Number::Double(bits.value())),
        CanonicalValue::Empty
        | CanonicalValue::Bytes(_)
        | CanonicalValue::Array(_)
        | CanonicalValue::Map(_) => SeenValue::Opaque,
    }
}

/// Both sides as truth values, where the table compares them as such.
fn as_bools(seen: &SeenValue<'_>, wanted: &FilterValue) -> Option<(bool, bool)> {
    match (seen, wanted) {
        (SeenValue::Bool(seen), FilterValue::Bool(wanted)) => Some((*seen, *wanted)),
        (SeenValue::Bool(seen), FilterValue::Text(text)) => Some((*seen, text.parse().ok()?)),
        (SeenValue::String(text), FilterValue::Bool(wanted)) => Some((text.parse().ok()?, *wanted)),
        _ => None,
    }
}

/// How the value of the span lies to the one of the filter; None where the table says no.
fn order(seen: &SeenValue<'_>, wanted: &FilterValue) -> Option<Ordering> {
    match (seen, wanted) {
        (SeenValue::String(seen), FilterValue::Text(wanted) | FilterValue::String(wanted)) => {
            Some(seen.as_bytes().cmp(wanted.as_bytes()))
        }
        (SeenValue::String(seen), FilterValue::Int(_) | FilterValue::Double(_)) => {
            let wanted = typed_number(wanted)?;
            number::compare(number::read_beside(wanted, seen)?, wanted)
        }
        (SeenValue::Number(seen) | SeenValue::Named(seen, _), FilterValue::Text(wanted)) => {
            number::compare(*seen, number::read_beside(*seen, wanted)?)
        }
        (
            SeenValue::Number(seen) | SeenValue::Named(seen, _),
            FilterValue::Int(_) | FilterValue::Double(_),
        ) => number::compare(*seen, typed_number(wanted)?),
        (SeenValue::String(_), FilterValue::Bool(_))
        | (SeenValue::Number(_) | SeenValue::Named(..), FilterValue::String(_) | FilterValue::Bool(_))
        | (SeenValue::Bool(_) | SeenValue::Opaque, _) => None,
    }
}

fn typed_number(value: &FilterValue) -> Option<Number> {
    match value {
        FilterValue::Int(int) => Some(Number::Int(i128::from(*int))),
        FilterValue::Double(double) => Some(Number::Double(*double)),
        FilterValue::Text(_) | FilterValue::String(_) | FilterValue::Bool(_) => None,
    }
}

#[cfg(test)]
mod tests;
