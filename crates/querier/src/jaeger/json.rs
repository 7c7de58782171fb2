//! JSON, written straight into bytes: texts, numbers and base64, and layout for people.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The largest whole number that every reader of JSON keeps.
const SAFE_INT: u64 = (1 << 53) - 1;

pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    if !is_plain(text) {
        // Writing a text into memory cannot fail.
        let _ = serde_json::to_writer(out, text);
        return;
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Whether nothing in it is escaped, as in most texts: eight bytes at a time, as most texts are short.
fn is_plain(text: &str) -> bool {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().chain([&last]).all(|word| are_plain(u64::from_le_bytes(*word)))
}

/// Of eight bytes. Where a byte is not plain, a bit of it or of one above it stands out.
fn are_plain(bytes: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    let is_zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let is_control = bytes.wrapping_sub(ONES * 0x20) & !bytes;
    let is_quote = is_zero(bytes ^ (ONES * u64::from(b'"')));
    let is_backslash = is_zero(bytes ^ (ONES * u64::from(b'\\')));
    (is_control | is_quote | is_backslash) & (ONES * 0x80) == 0
}

pub(crate) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(BASE64.encode(bytes).as_bytes());
    out.push(b'"');
}

/// An answer has more ids than anything else.
pub(crate) fn write_hex(id: &[u8], out: &mut Vec<u8>) {
    out.reserve(2 * id.len() + 2);
    out.push(b'"');
    id.iter().for_each(|byte| out.extend_from_slice(&HEX[usize::from(*byte)]));
    out.push(b'"');
}

/// Both digits of each byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

pub(crate) fn write_list<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

pub(crate) fn write_shown(shown: impl std::fmt::Display, out: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing into memory cannot fail.
    let _ = write!(out, "{shown}");
}

pub(crate) fn write_quoted(shown: impl std::fmt::Display, out: &mut Vec<u8>) {
    out.push(b'"');
    write_shown(shown, out);
    out.push(b'"');
}

/// As a number if every reader keeps it, else as a text.
pub(crate) fn write_safe_int(int: i64, out: &mut Vec<u8>) {
    if int.unsigned_abs() <= SAFE_INT { write_shown(int, out) } else { write_quoted(int, out) }
}

/// As Go writes it: the shortest decimal that gives the same number, with an exponent if that is far from 0. What
/// JSON lacks is a text, as protobuf's JSON has it.
pub(crate) fn write_double(double: f64, out: &mut Vec<u8>) {
    let size = double.abs();
    if !double.is_finite() {
        let name = match double {
            _ if double.is_nan() => "NaN",
            _ if double > 0.0 => "Infinity",
            _ => "-Infinity",
        };
        write_quoted(name, out);
    } else if size == 0.0 || (1e-6..1e21).contains(&size) {
        write_shown(double, out);
    } else {
        let text = format!("{double:e}");
        let text = if size >= 1.0 { text.replace('e', "e+") } else { text };
        out.extend_from_slice(text.as_bytes());
    }
}

/// Turns compact JSON into lines, piece by piece: four spaces for each level, as Jaeger does.
#[derive(Debug, Default)]
pub(crate) struct Indented {
    depth: usize,
    is_text: bool,
    is_escaped: bool,
    /// A bracket was opened, and nothing has come since.
    is_fresh: bool,
}

impl Indented {
    pub(crate) fn write(&mut self, compact: &[u8], out: &mut Vec<u8>) {
        for byte in compact {
            self.write_byte(*byte, out);
        }
    }

    fn write_byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.is_text {
            out.push(byte);
            self.is_text = self.is_escaped || byte != b'"';
            self.is_escaped = !self.is_escaped && byte == b'\\';
            return;
        }
        let closes = matches!(byte, b'}' | b']');
        self.depth -= usize::from(closes && self.depth > 0);
        let was_fresh = std::mem::take(&mut self.is_fresh);
        if was_fresh != closes {
            self.new_line(out);
        }
        out.push(byte);
        match byte {
            b'{' | b'[' => {
                self.depth += 1;
                self.is_fresh = true;
            }
            b',' => self.new_line(out),
            b':' => out.push(b' '),
            b'"' => self.is_text = true,
            _ => {}
        }
    }

    fn new_line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        (0..self.depth).for_each(|_| out.extend_from_slice(b"    "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn should_write_doubles_as_go_does() {
        for (double, expected) in [
            (2.0, "2"),
            (-0.0, "-0"),
            (72.5, "72.5"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (f64::NAN, "\"NaN\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(written(|out| write_double(double, out)), expected);
        }
    }

    #[test]
    fn should_know_each_byte_that_is_escaped_in_any_place() {
        for length in 1..20 {
            for place in 0..length {
                for byte in 0..=0x7f_u8 {
                    let mut text = vec![b'a'; length];
                    text[place] = byte;
                    let plain = byte >= b' ' && byte != b'"' && byte != b'\\';
                    assert_eq!(is_plain(std::str::from_utf8(&text).unwrap()), plain, "{text:?}");
                }
            }
        }
        assert!(is_plain("\u{80}\u{a0}\u{ff}\u{2028}\u{1f600}") && is_plain(""));
    }

    #[test]
    fn should_write_ids_in_lower_case() {
        assert_eq!(written(|out| write_hex(&[0, 0x1f, 0xa0, 0xff], out)), "\"001fa0ff\"");
    }

    #[test]
    fn should_write_texts_as_a_json_library_does() {
        let long = "a long text that is plain but for its end: \u{7f} \u{e9} \u{2028} ".repeat(3);
        for end in ["", "\"", "\\", "\n", "\u{0}", "\u{1f}", " ", "\u{7f}", "\u{80}"] {
            for text in [end.to_owned(), format!("{long}{end}"), format!("{end}{long}")] {
                assert_eq!(written(|out| write_text(&text, out)), serde_json::to_string(&text).unwrap());
            }
        }
    }

    #[test]
    fn should_write_as_texts_what_readers_would_round() {
        for (int, expected) in [
            (9_007_199_254_740_991, "9007199254740991"),
            (-9_007_199_254_740_991, "-9007199254740991"),
            (9_007_199_254_740_992, "\"9007199254740992\""),
            (i64::MIN, "\"-9223372036854775808\""),
        ] {
            assert_eq!(written(|out| write_safe_int(int, out)), expected);
        }
    }

    #[test]
    fn should_indent_whatever_the_pieces() {
        let compact = r#"{"a":[],"b":{"c":[1,{"d\\\"[{":null}],"e":{}}}"#;
        let expected = "{\n    \"a\": [],\n    \"b\": {\n        \"c\": [\n            1,\n            {\n                \
                        \"d\\\\\\\"[{\": null\n            }\n        ],\n        \"e\": {}\n    }\n}";
        for size in [1, 3, 100] {
            let mut indented = Indented::default();
            let text =
                written(|out| compact.as_bytes().chunks(size).for_each(|piece| indented.write(piece, out)));
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn should_remember_an_open_bracket_when_its_piece_went_away() {
        let mut indented = Indented::default();
        let parts = [written(|out| indented.write(b"[", out)), written(|out| indented.write(b"]", out))];
        assert_eq!(parts.concat(), "[]");
    }
}
