//! A filter as text, as people write it and read it again.
//!
//! ```text
//! filter  = all { "or" all }                    all = part { "and" part }
//! part    = "not" part | "(" filter ")" | "some" ( "event" | "link" ) "(" filter ")" | test
//!         | "true" | "false" | ( "and" | "or" ) "(" filter ")"
//! test    = target ( sign value | "in" "(" [ value { "," value } ] ")" | ( "=~" | "!~" ) text | "exists" )
//! target  = field | level "[" text "]"          sign = "=" | "!=" | "<" | "<=" | ">" | ">="
//! value   = text | "str" text | integer | double | "true" | "false" | duration | time | name
//! ```
//!
//! `docs/filters.md` says what they mean. What is written gives the same filter back, down to the parentheses and
//! the bits of doubles. Texts are stored: a later release must read them as this one does.
//!
//! Reading is bounded: length, nesting, predicates and patterns, the last two before anything is kept of them.

mod duration;
mod error;
mod measure;
mod names;
mod parse;
mod quote;
#[cfg(test)]
mod tests;
mod time;
mod token;
mod write;

use std::str::FromStr;

use crate::filter::Filter;

pub(crate) use self::duration::{nanos_of, write_nanos};
pub use self::error::ParseError;
pub(crate) use self::parse::Parser;
pub(crate) use self::token::Token;

impl FromStr for Filter {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser::of(text)?;
        let filter = parser.filter()?;
        parser.tokens.expect_end("`and`, `or` or the end")?;
        Ok(filter)
    }
}
