//! Rules of retention as text.
//!
//! ```text
//! rules = rule { ";" rule } [ ";" ]
//! rule  = "keep" ( duration | "forever" ) [ "where" ( "archived" | filter ) ]
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Keep, MAX_RULES, Of, Retention, RetentionError, Rule, check};
use crate::text::{ParseError, Parser, Token, nanos_of, write_nanos};

const NANOS_PER_SECOND: i128 = 1_000_000_000;

impl FromStr for Retention {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser::of(text)?;
        let (mut rules, mut places) = (Vec::new(), Vec::new());
        while *parser.tokens.current() != Token::End {
            places.push(parser.tokens.place());
            if rules.len() == MAX_RULES {
                return Err(parser.tokens.error_at(parser.tokens.place(), RetentionError::TooManyRules));
            }
            rules.push(rule(&mut parser)?);
            if !parser.tokens.take_sign(";")? {
                parser.tokens.expect_end("`;` or the end")?;
            }
        }
        check(&rules).map_err(|fault| {
            let place = places.get(fault.rule).copied().unwrap_or(parser.tokens.place());
            parser.tokens.error_at(place, fault.error)
        })?;
        Ok(Self { rules })
    }
}

fn rule(parser: &mut Parser<'_>) -> Result<Rule, ParseError> {
    if !parser.tokens.take_word("keep")? {
        return Err(parser.tokens.expected("`keep`"));
    }
    let keep = keep(parser)?;
    let of = if !parser.tokens.take_word("where")? {
        Of::All
    } else if parser.tokens.take_word("archived")? {
        Of::Archived
    } else {
        Of::Spans(parser.filter()?)
    };
    Ok(Rule { keep, of })
}

fn keep(parser: &mut Parser<'_>) -> Result<Keep, ParseError> {
    if parser.tokens.take_word("forever")? {
        return Ok(Keep::Forever);
    }
    let duration = match parser.tokens.current() {
        Token::Number(number) => nanos_of(number).and_then(duration_of),
        _ => None,
    };
    let expected = || parser.tokens.expected("`forever` or hours or days, such as `36h` or `90d`");
    let duration = duration.ok_or_else(expected)?;
    parser.tokens.take()?;
    Ok(Keep::For(duration))
}

fn duration_of(nanos: i128) -> Option<Duration> {
    let (seconds, nanos) = (nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND);
    Some(Duration::new(seconds.try_into().ok()?, nanos.try_into().ok()?))
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, rule) in self.rules.iter().enumerate() {
            f.write_str(if number > 0 { "; " } else { "" })?;
            rule.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keep {}", self.keep)?;
        match &self.of {
            Of::All => Ok(()),
            Of::Archived => f.write_str(" where archived"),
            Of::Spans(filter) => write!(f, " where {filter}"),
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // No duration has more than 96 bits of nanoseconds.
            Self::For(duration) => write_nanos(duration.as_nanos() as i128, f),
            Self::Forever => f.write_str("forever"),
        }
    }
}
