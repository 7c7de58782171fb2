//! Regular expressions from untrusted hands: they match a whole text, as `^(?:…)$`
//! does, and their memory is bounded. The `regex` crate's time is linear in the text.

use regex::{Regex, RegexBuilder};

use crate::error::FilterError;

/// Longest pattern that is read.
pub const MAX_PATTERN_BYTES: usize = 4096;

/// Memory of a compiled pattern, and of what matching remembers.
const MAX_COMPILED_BYTES: usize = 2 << 20;
const MAX_NESTING: u32 = 64;

/// Characters that mean more than themselves outside of brackets.
const META: [char; 14] = ['\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$'];

/// A pattern that a whole text must match.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    regex: Regex,
}

impl Pattern {
    pub fn new(source: &str) -> Result<Self, FilterError> {
        if source.len() > MAX_PATTERN_BYTES {
            return Err(FilterError::PatternTooLong { length: source.len() });
        }
        // By itself first: `a)|(b` must not break out of the group.
        compile(source, source)?;
        let regex = compile(&format!("^(?:{source})$"), source)?;
        Ok(Self { source: source.to_owned(), regex })
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The pattern as it was asked.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// The only texts that match, if the pattern is plain text or several joined by `|`.
    pub fn literals(&self) -> Option<Vec<&str>> {
        let texts: Vec<&str> = self.source.split('|').collect();
        texts.iter().all(|text| !text.contains(META)).then_some(texts)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

fn compile(regex: &str, source: &str) -> Result<Regex, FilterError> {
    let built = RegexBuilder::new(regex)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .nest_limit(MAX_NESTING)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => FilterError::PatternTooLarge { pattern: source.to_owned() },
        other => FilterError::Pattern { pattern: source.to_owned(), reason: other.to_string() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literals(source: &str) -> Option<Vec<String>> {
        let pattern = Pattern::new(source).unwrap();
        pattern.literals().map(|texts| texts.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn should_match_whole_texts_only() {
        let pattern = Pattern::new("a|ab").unwrap();
        assert_eq!(
            ["a", "ab", "abc", "xa", "", "a\n"].map(|text| pattern.is_match(text)),
            [true, true, false, false, false, false]
        );
        assert!(Pattern::new("").unwrap().is_match(""));
        assert!(Pattern::new("(?i)CART.*").unwrap().is_match("cart-service"));
    }

    #[test]
    fn should_not_let_a_pattern_out_of_its_group() {
        for source in ["a)|(b", "a)|(?:b", "(?x)a # b"] {
            assert!(matches!(Pattern::new(source), Err(FilterError::Pattern { .. })), "{source}");
        }
    }

    #[test]
    fn should_refuse_hostile_patterns_with_a_clear_error() {
        let error = Pattern::new("(").unwrap_err().to_string();
        assert!(error.contains("`(` is not a regular expression") && error.contains("unclosed"), "{error}");
        let error = Pattern::new(r"((\w{99}){99}){99}").unwrap_err();
        assert_eq!(error, FilterError::PatternTooLarge { pattern: r"((\w{99}){99}){99}".to_owned() });
        assert_eq!(Pattern::new(&"a".repeat(4097)), Err(FilterError::PatternTooLong { length: 4097 }));
        assert!(Pattern::new(&format!("{}{}", "(".repeat(100), ")".repeat(100))).is_err());
    }

    #[test]
    fn should_allow_what_people_write() {
        for source in [r"\w{1,32}", r"(?i)get|post /api/v\d+/users/\p{L}{1,8}", r"[^/]+/.*(a|b){3,5}"] {
            Pattern::new(source).unwrap();
        }
    }

    #[test]
    fn should_tell_patterns_that_are_plain_texts() {
        assert_eq!(literals("cart-service"), Some(vec!["cart-service".to_owned()]));
        assert_eq!(literals("a|b|"), Some(vec!["a".to_owned(), "b".to_owned(), String::new()]));
        for source in ["a.b", r"a\.b", "a+", "(a)", "[a]", "a{2}", "^a", "a$", "(?i)a|b"] {
            assert_eq!(literals(source), None, "{source}");
        }
    }
}
