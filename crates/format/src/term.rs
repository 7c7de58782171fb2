//! Terms: hashes of what a span says, for the filters that tell which blocks may
//! hold a value.
//!
//! A term is a hash of scope, key and value. Numbers that are equal share a term
//! whatever their type: the double 72.0 has that of the integer 72, and so has the
//! text "72", because a literal in a query is coerced to every type. Values that have
//! no term (bytes, arrays, maps, nothing) and keys whose values were left out for
//! size are *uncovered*: the block then holds the key's uncovered term, and no block
//! that holds it may be skipped for a value of that key.

use crate::number::term_value;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TermScope {
    Span,
    Resource,
    Scope,
    Event,
    Link,
    /// A field of the span itself, see [`SERVICE_FIELD`] and its neighbours.
    Field,
}

/// Key of a span's service in [`TermScope::Field`].
pub const SERVICE_FIELD: &str = "service_name";
/// Key of a span's name in [`TermScope::Field`].
pub const NAME_FIELD: &str = "name";
/// Key of a span's status message in [`TermScope::Field`].
pub const STATUS_MESSAGE_FIELD: &str = "status_message";

/// A value that has a term.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TermValue<'a> {
    Str(&'a str),
    Int(i64),
    Double(f64),
    Bool(bool),
}

/// A scope and a key, hashed once for many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TermKey(u64);

impl TermKey {
    pub fn new(scope: TermScope, key: &str) -> Self {
        Self(xxh3_64_with_seed(key.as_bytes(), scope as u64))
    }

    /// The term of one value.
    pub fn term(self, value: TermValue<'_>) -> u64 {
        match value {
            TermValue::Str(text) => match term_value(text) {
                TermValue::Str(text) => xxh3_64_with_seed(text.as_bytes(), self.0 ^ STR),
                number_or_bool => self.term(number_or_bool),
            },
            TermValue::Int(int) => self.number(int),
            TermValue::Double(double) => match whole(double) {
                Some(int) => self.number(int),
                // One NaN for all: none of them equals anything.
                None if double.is_nan() => xxh3_64_with_seed(&f64::NAN.to_le_bytes(), self.0 ^ DOUBLE),
                None => xxh3_64_with_seed(&double.to_le_bytes(), self.0 ^ DOUBLE),
            },
            TermValue::Bool(flag) => xxh3_64_with_seed(&[u8::from(flag)], self.0 ^ BOOL),
        }
    }

    /// The term that says: some value of this key has no term here.
    pub fn uncovered(self) -> u64 {
        xxh3_64_with_seed(&[], self.0 ^ UNCOVERED)
    }

    fn number(self, int: i64) -> u64 {
        xxh3_64_with_seed(&int.to_le_bytes(), self.0 ^ INT)
    }
}

// What keeps the types apart.
const STR: u64 = 0x51;
const INT: u64 = 0x52;
const DOUBLE: u64 = 0x53;
const BOOL: u64 = 0x54;
const UNCOVERED: u64 = 0x55;

/// The term of one value of a key.
pub fn term(scope: TermScope, key: &str, value: TermValue<'_>) -> u64 {
    TermKey::new(scope, key).term(value)
}

/// The term that says: some value of this key has no term here.
pub fn uncovered(scope: TermScope, key: &str) -> u64 {
    TermKey::new(scope, key).uncovered()
}

/// The integer that a double equals, if it does.
fn whole(double: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    // Below the limit a whole double converts without loss.
    ((-LIMIT..LIMIT).contains(&double) && double.trunc() == double).then_some(double as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_give_equal_numbers_one_term() {
        let of = |value| term(TermScope::Span, "k", value);
        assert_eq!(of(TermValue::Int(72)), of(TermValue::Double(72.0)));
        assert_eq!(of(TermValue::Double(0.0)), of(TermValue::Double(-0.0)));
        assert_eq!(of(TermValue::Int(i64::MIN)), of(TermValue::Double(i64::MIN as f64)));
        assert_ne!(of(TermValue::Int(i64::MAX)), of(TermValue::Double(i64::MAX as f64)));
        assert_ne!(of(TermValue::Double(72.5)), of(TermValue::Int(72)));
    }

    #[test]
    fn should_give_texts_the_term_of_the_number_or_bool_that_they_say() {
        let of = |value| term(TermScope::Span, "k", value);
        assert_eq!(of(TermValue::Str("072")), of(TermValue::Int(72)));
        assert_eq!(of(TermValue::Str("72.50")), of(TermValue::Double(72.5)));
        assert_eq!(of(TermValue::Str("true")), of(TermValue::Bool(true)));
        assert_ne!(of(TermValue::Str("True")), of(TermValue::Bool(true)));
    }

    #[test]
    fn should_tell_scopes_keys_and_types_apart() {
        let terms = [
            term(TermScope::Span, "k", TermValue::Str("a")),
            term(TermScope::Resource, "k", TermValue::Str("a")),
            term(TermScope::Span, "l", TermValue::Str("a")),
            term(TermScope::Span, "k", TermValue::Int(1)),
            term(TermScope::Span, "k", TermValue::Bool(true)),
            term(TermScope::Span, "k", TermValue::Str("")),
            uncovered(TermScope::Span, "k"),
        ];
        let distinct: std::collections::BTreeSet<u64> = terms.into_iter().collect();
        assert_eq!(distinct.len(), terms.len());
    }
}
