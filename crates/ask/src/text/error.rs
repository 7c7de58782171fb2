//! Why a text says nothing, and where.

/// The text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct ParseError {
    /// The character at which it goes wrong, counted from 1.
    pub column: usize,
    pub message: String,
}

impl ParseError {
    /// Of a place in bytes.
    pub(super) fn at(text: &str, place: usize, message: String) -> Self {
        let before = text.get(..place).unwrap_or(text);
        Self { column: before.chars().count() + 1, message }
    }
}

/// What is shown of somebody's text in a message.
pub(super) fn shown(text: &str) -> String {
    const SHOWN: usize = 64;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
