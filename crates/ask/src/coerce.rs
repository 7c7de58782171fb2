//! How a literal compares with a value of another type.
//!
//! | literal | value | equal if | order |
//! |---|---|---|---|
//! | text | string | the same text | by bytes |
//! | text | int | the text is a number, exactly this one: `72`, `72.0` = 72 | of the numbers, exactly |
//! | text | double | the text read as a double is this one: `72.50` = 72.5 | of the doubles |
//! | text | bool | the text is `true` or `false`, this one | none |
//! | str | string | the same text | by bytes |
//! | str | int, double, bool | never | none |
//! | int, double | int, double | the same number, no int rounded to a double | of the numbers, exactly |
//! | int | string | the string is a number, exactly this one | of the numbers, exactly |
//! | double | string | the string read as a double is this one | of the doubles |
//! | int, double | bool | never | none |
//! | bool | bool | the same | none |
//! | bool | string | the string is `true` or `false`, this one | none |
//! | bool | int, double | never | none |
//! | any | NaN, or NaN with any | never | none |
//! | any | array | an element is equal, by the rows above | of any element |
//! | any | array in an array, map, bytes, empty | never | none |
//!
//! Which texts are numbers is said in [`siltstone_format::number`]; `inf`, `nan` are
//! none, `0` and `-0.0` are equal. Where there is no order, no ordering comparison holds; that a
//! literal without any order is asked for one is refused when the filter is built.
//!
//! A regular expression sees the exact text of strings, ints (`72`), doubles (`72.0`),
//! bools (`true`) and of each element of an array. Other values have none.

use std::borrow::Cow;
use std::cmp::Ordering;

use siltstone_format::number::{Number, as_number};
use siltstone_format::value::{Value, write_double};

use crate::literal::{Literal, Operand};

/// A value that literals can be compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar<'a> {
    Str(&'a str),
    /// Wide enough for every int and every time.
    Int(i128),
    Double(f64),
    Bool(bool),
}

impl<'a> Scalar<'a> {
    /// The value itself if it is not composed; arrays, maps, bytes and nothing are none.
    fn of(value: &'a Value) -> Option<Self> {
        match value {
            Value::Str(text) => Some(Self::Str(text)),
            Value::Int(int) => Some(Self::Int(i128::from(*int))),
            Value::Double(double) => Some(Self::Double(*double)),
            Value::Bool(flag) => Some(Self::Bool(*flag)),
            Value::Empty | Value::Bytes(_) | Value::Array(_) | Value::Map(_) => None,
        }
    }

    /// The exact text that a regular expression sees.
    pub(crate) fn text(self) -> Cow<'a, str> {
        match self {
            Self::Str(text) => Cow::Borrowed(text),
            Self::Int(int) => Cow::Owned(int.to_string()),
            Self::Double(double) => {
                let mut text = String::new();
                write_double(double, &mut text);
                Cow::Owned(text)
            }
            Self::Bool(flag) => Cow::Borrowed(bool_text(flag)),
        }
    }
}

/// Whether the test holds for the value, or for one element of an array.
pub(crate) fn any_scalar(value: &Value, test: impl Fn(Scalar<'_>) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().filter_map(Scalar::of).any(test),
        plain => Scalar::of(plain).is_some_and(test),
    }
}

/// Whether the value equals the literal, see the module's table.
pub(crate) fn equals(value: Scalar<'_>, operand: &Operand) -> bool {
    match (operand.literal(), value) {
        (Literal::Text(text) | Literal::Str(text), Scalar::Str(value)) => text == value,
        (Literal::Text(text), Scalar::Bool(flag)) => text == bool_text(flag),
        (Literal::Bool(flag), Scalar::Str(value)) => value == bool_text(*flag),
        (Literal::Bool(flag), Scalar::Bool(value)) => *flag == value,
        _ => order(value, operand) == Some(Ordering::Equal),
    }
}

/// Where the value stands to the literal, if they have an order.
pub(crate) fn order(value: Scalar<'_>, operand: &Operand) -> Option<Ordering> {
    match (operand.literal(), value) {
        (Literal::Text(text) | Literal::Str(text), Scalar::Str(value)) => Some(value.cmp(text.as_str())),
        (Literal::Text(_), Scalar::Double(value)) => value.partial_cmp(&operand.number()?.as_double()),
        (Literal::Double(double), Scalar::Str(value)) => as_number(value)?.as_double().partial_cmp(double),
        (Literal::Int(_), Scalar::Str(value)) => as_number(value)?.compare(operand.number()?),
        (_, Scalar::Int(value)) => Number::Int(value).compare(operand.number()?),
        (_, Scalar::Double(value)) => Number::Double(value).compare(operand.number()?),
        (Literal::Bool(_), Scalar::Str(_)) | (_, Scalar::Bool(_)) => None,
    }
}

fn bool_text(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

#[cfg(test)]
mod tests;
