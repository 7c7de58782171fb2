//! The values that a question gives, as it gives them: a text, or a typed value.

use std::fmt;

use siltstone_format::number::{Number, as_number};

/// What an attribute or a field is compared with. A text is of no type yet: most
/// users type into a box that knows only text. A string is one by its type, and equals
/// strings only.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Text(String),
    Str(String),
    Int(i64),
    Double(f64),
    Bool(bool),
}

/// A literal that was checked for its place, with what it says as a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    literal: Literal,
    number: Option<Number>,
}

impl Operand {
    pub(crate) fn new(literal: Literal) -> Self {
        let number = match &literal {
            Literal::Text(text) => as_number(text),
            Literal::Int(int) => Some(Number::Int(i128::from(*int))),
            Literal::Double(double) => Some(Number::Double(*double)),
            Literal::Str(_) | Literal::Bool(_) => None,
        };
        Self { literal, number }
    }

    /// The literal as it is compared: an id in lower case, a kind by its number.
    pub fn literal(&self) -> &Literal {
        &self.literal
    }

    /// What the literal says as a number, if it does.
    pub fn number(&self) -> Option<Number> {
        self.number
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Str(text) => f.write_str(text),
            Self::Int(int) => int.fmt(f),
            Self::Double(double) => write!(f, "{double:?}"),
            Self::Bool(flag) => flag.fmt(f),
        }
    }
}

impl From<&str> for Literal {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Literal {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Literal {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<f64> for Literal {
    fn from(double: f64) -> Self {
        Self::Double(double)
    }
}

impl From<bool> for Literal {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}
