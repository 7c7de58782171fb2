//! JSON token by token, by position: a caller may go back to where it was.
//!
//! [`Lexer::skip`] alone decides what is valid JSON. Invariant: what is read in any way can also be skipped,
//! and whatever is read, no byte is looked at twice unless the caller goes back.

use std::borrow::Cow;

use crate::export::SpanFault;

use super::{Problem, Step};

pub(super) struct Lexer<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(json: &'a [u8]) -> Self {
        Self { json, at: 0 }
    }

    /// Where the next value starts.
    pub(super) fn position(&mut self) -> usize {
        self.space();
        self.at
    }

    pub(super) fn go_back_to(&mut self, position: usize) {
        self.at = position;
    }

    /// The first byte of what comes next; 0 at the end.
    pub(super) fn peek(&mut self) -> u8 {
        self.space();
        self.byte()
    }

    pub(super) fn end(&mut self) -> Step {
        self.space();
        if self.at < self.json.len() { self.unexpected("the end") } else { Ok(()) }
    }

    /// Takes a `null`, if there is one.
    pub(super) fn null(&mut self) -> Result<bool, Problem> {
        let found = self.peek() == b'n';
        if found {
            self.word("null")?;
        }
        Ok(found)
    }

    pub(super) fn bool(&mut self) -> Result<bool, Problem> {
        match self.peek() {
            b't' => self.word("true").map(|()| true),
            b'f' => self.word("false").map(|()| false),
            _ => self.unexpected("true or false"),
        }
    }

    /// Enters an object or array. False: it is empty, and already left.
    pub(super) fn enter(&mut self, open: u8, what: &'static str) -> Result<bool, Problem> {
        if self.peek() != open {
            return self.unexpected(what);
        }
        self.at += 1;
        let empty = self.peek() == closing(open);
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// Between two members or elements. False: that was the last one, and the object or array is left.
    pub(super) fn more(&mut self, open: u8) -> Result<bool, Problem> {
        let found = self.peek();
        if found != b',' && found != closing(open) {
            return self.unexpected(if open == b'{' { "`,` or `}`" } else { "`,` or `]`" });
        }
        self.at += 1;
        Ok(found == b',')
    }

    /// The name of a member and the colon.
    pub(super) fn key(&mut self) -> Result<Cow<'a, str>, Problem> {
        let key = self.text("the name of a member")?;
        self.colon()?;
        Ok(key)
    }

    /// A text, borrowed unless it holds escapes.
    pub(super) fn text(&mut self, expected: &'static str) -> Result<Cow<'a, str>, Problem> {
        let start = self.position();
        let (raw, escaped) = self.raw_text(expected)?;
        if !escaped {
            return std::str::from_utf8(raw).map(Cow::Borrowed).map_err(|_| not_text(start));
        }
        let mut text = Vec::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
            let (before, escape) = rest.split_at(at);
            text.extend_from_slice(before);
            let (character, len) = unescape(escape).ok_or_else(|| not_text(start))?;
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = escape.get(len..).unwrap_or_default();
        }
        text.extend_from_slice(rest);
        String::from_utf8(text).map(Cow::Owned).map_err(|_| not_text(start))
    }

    /// The digits of a number as they stand.
    pub(super) fn number(&mut self, expected: &'static str) -> Result<&'a str, Problem> {
        let start = self.position();
        self.at += usize::from(self.byte() == b'-');
        let whole = self.at;
        if self.digits() == 0 {
            return self.unexpected(expected);
        }
        if self.json.get(whole) == Some(&b'0') && self.at > whole + 1 {
            return Err(Problem::malformed(whole, "a number without leading zeros"));
        }
        if self.byte() == b'.' {
            self.at += 1;
            if self.digits() == 0 {
                return self.unexpected("a digit");
            }
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), b'+' | b'-'));
            if self.digits() == 0 {
                return self.unexpected("a digit");
            }
        }
        let number = self.json.get(start..self.at).unwrap_or_default();
        std::str::from_utf8(number).map_err(|_| Problem::malformed(start, expected))
    }

    /// Passes over one value of any kind, however deep: open brackets are a list, not calls.
    pub(super) fn skip(&mut self) -> Step {
        let mut open = Vec::new();
        loop {
            let entered = match self.peek() {
                bracket @ (b'{' | b'[') => {
                    let entered = self.enter(bracket, "a value")?;
                    if entered {
                        open.push(bracket);
                    }
                    entered
                }
                b'"' => self.raw_text("a text").map(|_| false)?,
                b't' => self.word("true").map(|()| false)?,
                b'f' => self.word("false").map(|()| false)?,
                b'n' => self.word("null").map(|()| false)?,
                _ => self.number("a value").map(|_| false)?,
            };
            let mut more = entered;
            while let Some(innermost) = open.last().copied().filter(|_| !more) {
                more = self.more(innermost)?;
                if !more {
                    open.pop();
                }
            }
            match open.last() {
                None => return Ok(()),
                Some(b'{') => {
                    self.peek();
                    self.raw_text("the name of a member")?;
                    self.colon()?;
                }
                Some(_) => {}
            }
        }
    }

    pub(super) fn unexpected<T>(&self, expected: &'static str) -> Result<T, Problem> {
        Err(Problem::malformed(self.at, expected))
    }

    fn byte(&self) -> u8 {
        self.json.get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while matches!(self.byte(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    fn colon(&mut self) -> Step {
        if self.peek() != b':' {
            return self.unexpected("`:`");
        }
        self.at += 1;
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        self.at - start
    }

    fn word(&mut self, word: &'static str) -> Step {
        let rest = self.json.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return self.unexpected(word);
        }
        self.at += word.len();
        Ok(())
    }

    /// What stands between two quotes, and whether there are escapes in it. They are complete, not yet right.
    fn raw_text(&mut self, expected: &'static str) -> Result<(&'a [u8], bool), Problem> {
        if self.byte() != b'"' {
            return self.unexpected(expected);
        }
        let start = self.at + 1;
        let mut escaped = false;
        let mut rest = self.json.get(start..).unwrap_or_default();
        self.at = start;
        loop {
            let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
            let Some(plain) = rest.iter().position(ends) else {
                self.at = self.json.len();
                return self.unexpected("the end of the text");
            };
            self.at += plain;
            match self.byte() {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                    self.at += self.escape_len()?;
                }
                _ => return self.unexpected("no control character in a text"),
            }
            rest = self.json.get(self.at..).unwrap_or_default();
        }
        let raw = self.json.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok((raw, escaped))
    }

    /// The length of an escape after its backslash.
    fn escape_len(&self) -> Result<usize, Problem> {
        match self.byte() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(1),
            b'u' => {
                let digits = self.json.get(self.at + 1..self.at + 5);
                if digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Ok(5);
                }
                self.unexpected("four hexadecimal digits")
            }
            _ => self.unexpected("an escape"),
        }
    }
}

fn closing(open: u8) -> u8 {
    if open == b'{' { b'}' } else { b']' }
}

fn not_text(at: usize) -> Problem {
    Problem::new(at, "a text in UTF-8", SpanFault::NotUtf8)
}

/// The character of an escape, from its backslash on, and the length of both. None: half of a surrogate pair.
fn unescape(escape: &[u8]) -> Option<(char, usize)> {
    let plain = match escape.get(1)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unescape_unit(escape),
        other => char::from(*other),
    };
    Some((plain, 2))
}

fn unescape_unit(escape: &[u8]) -> Option<(char, usize)> {
    let first = code_unit(escape)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first).map(|character| (character, 6));
    }
    let second = code_unit(escape.get(6..)?)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + second).map(|character| (character, 12))
}

fn code_unit(escape: &[u8]) -> Option<u32> {
    let digits = escape.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
