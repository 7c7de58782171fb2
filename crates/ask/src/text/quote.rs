//! Texts in quotes.
//!
//! In single quotes every character is itself, and `''` is one quote, as in SQL: best for patterns. In double quotes
//! there are the escapes `\\`, `\"`, `\'`, `\n`, `\r`, `\t`, `\0` and `\u{…}` of one to six hex digits.

use std::fmt::{self, Write};

use super::token::Misread;

/// The text whose quotes begin here, and how long it is with them.
pub(super) fn read(text: &str) -> Result<(String, usize), Misread> {
    let is_raw = text.starts_with('\'');
    let special: &[char] = if is_raw { &['\''] } else { &['"', '\\'] };
    let mut read = String::new();
    let mut rest = text.get(1..).unwrap_or_default();
    loop {
        let offset = text.len() - rest.len();
        let Some((plain, behind)) = rest.find(special).and_then(|end| rest.split_at_checked(end)) else {
            return Err(Misread { offset: 0, message: "a quote has no end".to_owned() });
        };
        read.push_str(plain);
        let (character, length) = match behind.strip_prefix(['\'', '"']) {
            Some(next) if is_raw && next.starts_with('\'') => ('\'', 2),
            Some(next) => return Ok((read, text.len() - next.len())),
            None => escape(behind)
                .ok_or_else(|| Misread { offset: offset + plain.len(), message: no_escape(behind) })?,
        };
        read.push(character);
        rest = behind.get(length..).unwrap_or_default();
    }
}

/// The character that an escape stands for, and the escape's length.
fn escape(text: &str) -> Option<(char, usize)> {
    Some(match text.chars().nth(1)? {
        'n' => ('\n', 2),
        'r' => ('\r', 2),
        't' => ('\t', 2),
        '0' => ('\0', 2),
        itself @ ('\\' | '"' | '\'') => (itself, 2),
        'u' => {
            let (digits, _) = text.strip_prefix("\\u{")?.split_once('}')?;
            let is_hex = digits.len() <= 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let code = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
            (char::from_u32(code)?, digits.len() + "\\u{}".len())
        }
        _ => return None,
    })
}

fn no_escape(text: &str) -> String {
    let escape: String = text.chars().take(2).collect();
    format!("`{escape}` is no escape; write `\\{escape}`, or the text in single quotes, where `\\` is itself")
}

/// Writes a text in the quotes in which more of it is itself.
pub(super) fn write(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let is_quote = |character| matches!(character, '\'' | '"' | '\\');
    let is_plain = |character: char| is_quote(character) || character.escape_debug().len() == 1;
    if text.contains(['\\', '"']) && text.chars().all(is_plain) {
        return write!(f, "'{}'", text.replace('\'', "''"));
    }
    f.write_char('"')?;
    for character in text.chars() {
        if character == '\'' { f.write_char(character)? } else { write!(f, "{}", character.escape_debug())? }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Written<'a>(&'a str);

    impl fmt::Display for Written<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write(self.0, f)
        }
    }

    #[test]
    fn should_write_what_can_be_read_with_few_escapes() {
        for (text, expected) in [
            ("", r#""""#),
            ("GET /", r#""GET /""#),
            ("don't", r#""don't""#),
            (r"\d+", r"'\d+'"),
            (r#"a "b" 'c'"#, r#"'a "b" ''c'''"#),
            ("\\\n", r#""\\\n""#),
            ("\0\u{7}\u{202e}ä", r#""\0\u{7}\u{202e}ä""#),
            ("'", r#""'""#),
            ("\"", r#"'"'"#),
        ] {
            let written = Written(text).to_string();
            assert_eq!(written, expected);
            assert_eq!(read(&format!("{written} = 'x'")), Ok((text.to_owned(), written.len())), "{written}");
        }
    }

    #[test]
    fn should_read_every_escape() {
        let read = |text| read(text).map(|(text, _)| text);
        assert_eq!(read(r#""\\\"\'\n\r\t\0\u{1F600}\u{0}""#), Ok("\\\"'\n\r\t\0\u{1F600}\0".to_owned()));
        assert_eq!(read("'a\nb'"), Ok("a\nb".to_owned()));
    }

    #[test]
    fn should_refuse_quotes_without_end_and_unknown_escapes() {
        for text in ["'", "\"", "'a''", "\"a\\\"", "'a\""] {
            assert_eq!(read(text).unwrap_err().message, "a quote has no end", "{text}");
        }
        for escape in [r"\d", r"\u", r"\u{}", r"\u{110000}", r"\u{d800}", r"\u{+1}", r"\u{0000001}", r"\ä"] {
            let refused = read(&format!("\"ä{escape}\"")).unwrap_err();
            assert!(refused.offset == 3 && refused.message.contains("is no escape"), "{escape} {refused:?}");
        }
        assert_eq!(
            read(r#""\d""#).unwrap_err().message,
            r"`\d` is no escape; write `\\d`, or the text in single quotes, where `\` is itself"
        );
    }
}
