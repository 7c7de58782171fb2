//! From text to the tree, by descent: each rule of the grammar is a function. What the filter's constructors bound is
//! counted here too where it would be kept before they see it.

use super::error::ParseError;
use super::measure::{Measure, double_of};
use super::names::{field_of, level_of, without_field, without_level};
use super::token::{Token, Tokens};
use crate::error::FilterError;
use crate::filter::{Comparison, Filter, MAX_DEPTH, MAX_NODES, MAX_PATTERNS, Nested, Target};
use crate::literal::Literal;

/// A text that is being read.
#[derive(Debug)]
pub(crate) struct Parser<'a> {
    pub(crate) tokens: Tokens<'a>,
    /// Parentheses and `not` that are open: how deep the stack is.
    depth: usize,
    /// Predicates and values so far.
    nodes: usize,
    patterns: usize,
}

/// What is asked of a target.
#[derive(Clone, Copy)]
enum Operator {
    Compare(Comparison),
    In,
    Matches,
    MatchesNot,
    Exists,
}

const COMPARISONS: [Comparison; 6] =
    [Comparison::Eq, Comparison::Ne, Comparison::Lt, Comparison::Le, Comparison::Gt, Comparison::Ge];

impl<'a> Parser<'a> {
    pub(crate) fn of(text: &'a str) -> Result<Self, ParseError> {
        Ok(Self { tokens: Tokens::of(text)?, depth: 0, nodes: 0, patterns: 0 })
    }

    pub(crate) fn filter(&mut self) -> Result<Filter, ParseError> {
        self.joined("or", Self::all, Filter::or)
    }

    fn all(&mut self) -> Result<Filter, ParseError> {
        self.joined("and", Self::part, Filter::and)
    }

    /// One part, or several with a word between them.
    fn joined(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Filter, ParseError>,
        join: fn(Vec<Filter>) -> Result<Filter, FilterError>,
    ) -> Result<Filter, ParseError> {
        let place = self.tokens.place();
        let first = part(self)?;
        if !self.tokens.is_word(word) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.tokens.take_word(word)? {
            parts.push(part(self)?);
        }
        self.built(place, join(parts))
    }

    fn part(&mut self) -> Result<Filter, ParseError> {
        let place = self.tokens.place();
        if self.tokens.is_sign("(") {
            return self.enclosed();
        }
        if self.tokens.take_word("not")? {
            let inner = self.deeper(place, Self::part)?;
            return self.built(place, Filter::negate(inner));
        }
        for (word, join) in [("and", Filter::and as fn(_) -> _), ("or", Filter::or)] {
            if self.tokens.take_word(word)? {
                let only = self.enclosed()?;
                return self.built(place, join(vec![only]));
            }
        }
        if self.tokens.take_word("some")? {
            let of = self.nested()?;
            let inner = self.enclosed()?;
            return self.built(place, Filter::some(of, inner));
        }
        self.count_node(place)?;
        if self.tokens.take_word("true")? {
            Ok(Filter::all())
        } else if self.tokens.take_word("false")? {
            Ok(Filter::none())
        } else {
            self.test()
        }
    }

    fn enclosed(&mut self) -> Result<Filter, ParseError> {
        let place = self.tokens.place();
        self.tokens.expect_sign("(", "`(`")?;
        let inner = self.deeper(place, Self::filter)?;
        self.tokens.expect_sign(")", "`and`, `or` or `)`")?;
        Ok(inner)
    }

    fn nested(&mut self) -> Result<Nested, ParseError> {
        if self.tokens.take_word("event")? {
            Ok(Nested::Event)
        } else if self.tokens.take_word("link")? {
            Ok(Nested::Link)
        } else {
            Err(self.tokens.expected("`event` or `link`"))
        }
    }

    fn test(&mut self) -> Result<Filter, ParseError> {
        let target = self.target()?;
        let operator = self.operator()?;
        let place = self.tokens.place();
        let built = match operator {
            Operator::Compare(comparison) => {
                let literal = self.literal(&target)?;
                Filter::compare(target, comparison, literal)
            }
            Operator::In => {
                let literals = self.literals(&target)?;
                Filter::one_of(target, literals)
            }
            Operator::Matches => Filter::regex(target, &self.pattern()?),
            Operator::MatchesNot => without_match(target, &self.pattern()?),
            Operator::Exists => Ok(Filter::exists(target)),
        };
        self.built(place, built)
    }

    fn target(&mut self) -> Result<Target, ParseError> {
        let place = self.tokens.place();
        let Token::Word(word) = *self.tokens.current() else {
            return Err(self
                .tokens
                .expected("a field, an attribute such as span[\"http.route\"], `not` or `(`"));
        };
        self.tokens.take()?;
        let (field, level) = (field_of(word), level_of(word));
        if self.tokens.take_sign("[")? {
            let level = level.ok_or_else(|| self.tokens.error_at(place, without_level(word)))?;
            let key = self.text("a key in quotes")?;
            self.tokens.expect_sign("]", "`]`")?;
            return Ok(Target::attribute(level, key));
        }
        match (field, level) {
            (Some(field), _) => Ok(field.into()),
            (None, Some(_)) => Err(self.tokens.expected("`[` and a key in quotes")),
            (None, None) => Err(self.tokens.error_at(place, without_field(word))),
        }
    }

    fn operator(&mut self) -> Result<Operator, ParseError> {
        let comparison = |sign: &str| COMPARISONS.into_iter().find(|known| known.to_string() == sign);
        let operator = match *self.tokens.current() {
            Token::Sign("=~") => Some(Operator::Matches),
            Token::Sign("!~") => Some(Operator::MatchesNot),
            Token::Sign(sign) => comparison(sign).map(Operator::Compare),
            _ if self.tokens.is_word("in") => Some(Operator::In),
            _ if self.tokens.is_word("exists") => Some(Operator::Exists),
            _ => None,
        };
        let expected =
            || self.tokens.expected("`=`, `!=`, `<`, `<=`, `>`, `>=`, `=~`, `!~`, `in` or `exists`");
        let operator = operator.ok_or_else(expected)?;
        self.tokens.take()?;
        Ok(operator)
    }

    fn literals(&mut self, target: &Target) -> Result<Vec<Literal>, ParseError> {
        self.tokens.expect_sign("(", "`(` and values")?;
        let mut literals = Vec::new();
        if self.tokens.take_sign(")")? {
            return Ok(literals);
        }
        loop {
            self.count_node(self.tokens.place())?;
            literals.push(self.literal(target)?);
            if self.tokens.take_sign(")")? {
                return Ok(literals);
            }
            self.tokens.expect_sign(",", "`,` or `)`")?;
        }
    }

    fn literal(&mut self, target: &Target) -> Result<Literal, ParseError> {
        let (place, measure) = (self.tokens.place(), Measure::of(target));
        if let Some(text) = self.tokens.take_quoted()? {
            return Ok(Literal::Text(text));
        }
        match *self.tokens.current() {
            Token::Number(number) => {
                let literal = measure.read(number).map_err(|why| self.tokens.error_at(place, why))?;
                self.tokens.take()?;
                Ok(literal)
            }
            Token::Word(word) => {
                self.tokens.take()?;
                self.literal_of_word(place, word, measure)
            }
            _ => Err(self.tokens.expected("a value")),
        }
    }

    /// The literal that a word is, or begins.
    fn literal_of_word(&mut self, place: usize, word: &str, measure: Measure) -> Result<Literal, ParseError> {
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        if is("str")
            && let Some(text) = self.tokens.take_quoted()?
        {
            return Ok(Literal::Str(text));
        }
        if is("true") || is("false") {
            return Ok(Literal::Bool(is("true")));
        }
        match (double_of(word), measure) {
            (Some(double), _) => Ok(Literal::Double(double)),
            (None, Measure::Name(_)) => Ok(Literal::Text(word.to_owned())),
            (None, _) => {
                let found = Token::Word(word);
                Err(self
                    .tokens
                    .error_at(place, format!("expected a value, found {found}; texts stand in quotes")))
            }
        }
    }

    fn pattern(&mut self) -> Result<String, ParseError> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(self.tokens.error_at(self.tokens.place(), FilterError::TooManyPatterns));
        }
        self.text("a regular expression in quotes")
    }

    fn text(&mut self, expected: &str) -> Result<String, ParseError> {
        self.tokens.take_quoted()?.ok_or_else(|| self.tokens.expected(expected))
    }

    fn count_node(&mut self, place: usize) -> Result<(), ParseError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES { self.built(place, Err(FilterError::TooManyNodes)) } else { Ok(()) }
    }

    fn deeper(
        &mut self,
        place: usize,
        inner: fn(&mut Self) -> Result<Filter, ParseError>,
    ) -> Result<Filter, ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.built(place, Err(FilterError::TooDeep));
        }
        let inner = inner(self)?;
        self.depth -= 1;
        Ok(inner)
    }

    /// What was built of the text from a place on.
    fn built<T>(&self, place: usize, built: Result<T, FilterError>) -> Result<T, ParseError> {
        built.map_err(|error| self.tokens.error_at(place, error))
    }
}

/// There is a value, and none matches; as `!=` is to `=`.
fn without_match(target: Target, pattern: &str) -> Result<Filter, FilterError> {
    let matches = Filter::regex(target.clone(), pattern)?;
    Filter::and(vec![Filter::exists(target), Filter::negate(matches)?])
}
