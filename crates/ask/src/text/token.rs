//! The words, numbers, texts and signs of a question, one after the other.

use std::fmt;
use std::mem::{replace, take};

use super::error::{ParseError, shown};
use super::quote;
use crate::wire::MAX_FILTER_BYTES;

/// What a text is made of. White space parts it and says nothing else.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    Word(&'a str),
    /// Begins as a number, be it a duration or a time.
    Number(&'a str),
    /// What stood in quotes.
    Quoted(String),
    Sign(&'static str),
    End,
}

/// A text, read up to one token.
#[derive(Debug)]
pub(crate) struct Tokens<'a> {
    text: &'a str,
    current: Token<'a>,
    /// Bytes before the current token, and before what follows it.
    start: usize,
    end: usize,
}

/// Where the rest of a text cannot be read, in bytes, and why.
#[derive(Debug, PartialEq)]
pub(super) struct Misread {
    pub(super) offset: usize,
    pub(super) message: String,
}

/// A sign that begins another stands behind it.
const SIGNS: [&str; 14] = ["!=", "!~", "=~", "<=", ">=", "=", "<", ">", "(", ")", "[", "]", ",", ";"];

impl<'a> Tokens<'a> {
    pub(super) fn of(text: &'a str) -> Result<Self, ParseError> {
        let mut tokens = Self { text, current: Token::End, start: 0, end: 0 };
        if text.len() > MAX_FILTER_BYTES {
            let length = text.len();
            return Err(
                tokens.error_at(0, format!("{length} bytes are over the limit of {MAX_FILTER_BYTES}"))
            );
        }
        tokens.take()?;
        Ok(tokens)
    }

    pub(crate) fn current(&self) -> &Token<'a> {
        &self.current
    }

    /// Where the current token stands.
    pub(crate) fn place(&self) -> usize {
        self.start
    }

    /// The current token; the next one takes its place.
    pub(crate) fn take(&mut self) -> Result<Token<'a>, ParseError> {
        let rest = self.text.get(self.end..).unwrap_or_default().trim_start();
        let start = self.text.len() - rest.len();
        let (token, length) =
            read(rest).map_err(|misread| self.error_at(start + misread.offset, misread.message))?;
        (self.start, self.end) = (start, start + length);
        Ok(replace(&mut self.current, token))
    }

    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(self.current, Token::Word(current) if current.eq_ignore_ascii_case(word))
    }

    pub(crate) fn is_sign(&self, sign: &str) -> bool {
        matches!(self.current, Token::Sign(current) if current == sign)
    }

    /// Whether this word was there, and is taken now.
    pub(crate) fn take_word(&mut self, word: &str) -> Result<bool, ParseError> {
        let is_there = self.is_word(word);
        if is_there {
            self.take()?;
        }
        Ok(is_there)
    }

    pub(crate) fn take_sign(&mut self, sign: &str) -> Result<bool, ParseError> {
        let is_there = self.is_sign(sign);
        if is_there {
            self.take()?;
        }
        Ok(is_there)
    }

    pub(super) fn take_quoted(&mut self) -> Result<Option<String>, ParseError> {
        let Token::Quoted(text) = &mut self.current else { return Ok(None) };
        let text = take(text);
        self.take()?;
        Ok(Some(text))
    }

    pub(super) fn expect_sign(&mut self, sign: &str, expected: &str) -> Result<(), ParseError> {
        if self.take_sign(sign)? { Ok(()) } else { Err(self.expected(expected)) }
    }

    pub(crate) fn expect_end(&self, expected: &str) -> Result<(), ParseError> {
        if self.current == Token::End { Ok(()) } else { Err(self.expected(expected)) }
    }

    /// The current token is none of what may stand there.
    pub(crate) fn expected(&self, what: &str) -> ParseError {
        self.error_at(self.start, format!("expected {what}, found {}", self.current))
    }

    pub(crate) fn error_at(&self, place: usize, message: impl ToString) -> ParseError {
        ParseError::at(self.text, place, message.to_string())
    }
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(source) | Self::Number(source) => write!(f, "`{}`", shown(source)),
            Self::Quoted(text) => write!(f, "the text `{}`", shown(text)),
            Self::Sign(sign) => write!(f, "`{sign}`"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// What the text begins with, and its length.
fn read(text: &str) -> Result<(Token<'_>, usize), Misread> {
    if let Some(sign) = SIGNS.into_iter().find(|sign| text.starts_with(sign)) {
        return Ok((Token::Sign(sign), sign.len()));
    }
    let Some(first) = text.chars().next() else { return Ok((Token::End, 0)) };
    if matches!(first, '"' | '\'') {
        let (quoted, length) = quote::read(text)?;
        return Ok((Token::Quoted(quoted), length));
    }
    let (word, number) = (word_of(text), number_of(text));
    if !number.is_empty() {
        Ok((Token::Number(number), number.len()))
    } else if !word.is_empty() {
        Ok((Token::Word(word), word.len()))
    } else {
        let instead = match first {
            '&' => "; write `and`",
            '|' => "; write `or`",
            '!' => "; write `not`",
            '{' | '}' => "; write parentheses",
            _ => "",
        };
        Err(Misread { offset: 0, message: format!("`{first}` means nothing here{instead}") })
    }
}

/// A name, with what people take for a part of one; or a NaN with its bits.
fn word_of(text: &str) -> &str {
    if !text.starts_with(|first: char| first.is_alphabetic() || first == '_') {
        return "";
    }
    let is_part = |character: char| character.is_alphanumeric() || matches!(character, '_' | '.' | '-');
    let word = prefix(text, is_part);
    let bits = text.strip_prefix("NaN(").and_then(|bits| bits.find(')'));
    bits.and_then(|end| text.get(..end + "NaN()".len())).unwrap_or(word)
}

/// Digits with a sign, and all that a number, a duration or a time may have.
fn number_of(text: &str) -> &str {
    let unsigned = text.strip_prefix(['+', '-']);
    let is_first =
        |first: char| first.is_ascii_digit() || first == '.' || unsigned.is_some() && first.is_alphabetic();
    if !unsigned.unwrap_or(text).starts_with(is_first) {
        return "";
    }
    let is_date = text.as_bytes().get(4) == Some(&b'-');
    let mut before = 'e';
    prefix(text, |character| {
        let is_sign = matches!(character, '+' | '-') && (is_date || matches!(before, 'e' | 'E'));
        before = character;
        is_sign
            || character.is_alphanumeric()
            || matches!(character, '.' | '_')
            || is_date && character == ':'
    })
}

fn prefix(text: &str, mut is_part: impl FnMut(char) -> bool) -> &str {
    let length = text.find(|character| !is_part(character)).unwrap_or(text.len());
    text.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Vec<Token<'_>>, ParseError> {
        let mut tokens = Tokens::of(text)?;
        let mut all = Vec::new();
        while tokens.current != Token::End {
            all.push(tokens.take()?);
        }
        Ok(all)
    }

    #[test]
    fn should_part_words_numbers_texts_and_signs_with_and_without_space() {
        let text = "span['k']>=1.5ms and(kind!=server)or a=~\"b\"";
        let spaced = "\n span\t[ 'k' ]\u{a0}>= 1.5ms  and ( kind != server ) or a =~ \"b\" ";
        let expected = [
            Token::Word("span"),
            Token::Sign("["),
            Token::Quoted("k".to_owned()),
            Token::Sign("]"),
            Token::Sign(">="),
            Token::Number("1.5ms"),
            Token::Word("and"),
            Token::Sign("("),
            Token::Word("kind"),
            Token::Sign("!="),
            Token::Word("server"),
            Token::Sign(")"),
            Token::Word("or"),
            Token::Word("a"),
            Token::Sign("=~"),
            Token::Quoted("b".to_owned()),
        ];
        assert_eq!(tokens(text).unwrap(), expected);
        assert_eq!(tokens(spaced).unwrap(), expected);
    }

    #[test]
    fn should_keep_a_number_in_one_piece() {
        for number in ["72", "-72", "+1.5e-7", ".5", "1E+9", "-inf", "2026-08-01T12:00:00.5Z", "1h30m", "2µs"]
        {
            assert_eq!(tokens(number).unwrap(), [Token::Number(number)], "{number}");
        }
        for word in ["NaN", "NaN(0x7ff8000000000001)", "http.route", "cart-service", "ünde"] {
            assert_eq!(tokens(word).unwrap(), [Token::Word(word)], "{word}");
        }
        let listed =
            [Token::Sign("("), Token::Word("NaN"), Token::Sign(","), Token::Number("1"), Token::Sign(")")];
        assert_eq!(tokens("(NaN,1)").unwrap(), listed);
        assert_eq!(tokens("NaN(").unwrap(), [Token::Word("NaN"), Token::Sign("(")]);
    }

    #[test]
    fn should_say_what_to_write_for_signs_of_other_languages() {
        let refused = |text| tokens(text).unwrap_err().to_string();
        assert_eq!(refused("ä && b"), "column 3: `&` means nothing here; write `and`");
        assert_eq!(refused("!a"), "column 1: `!` means nothing here; write `not`");
        assert_eq!(refused("a = #"), "column 5: `#` means nothing here");
    }

    #[test]
    fn should_refuse_a_text_that_is_too_long_before_it_is_read() {
        let refused = tokens(&"&".repeat(MAX_FILTER_BYTES + 1)).unwrap_err();
        assert_eq!(refused.to_string(), "column 1: 1048577 bytes are over the limit of 1048576");
    }
}
