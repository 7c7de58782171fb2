//! What Jaeger changes in traces that it reads, unless they are wanted raw: so that they look as its users know them.
//!
//! Most of it looks at one span. What looks at whole traces (ids that two halves of a call share, clocks
//! that differ) waits until a trace is there; traces that are too large for that go by without it, and say so.

mod clock_skew;
mod shared_ids;
mod spans;

use std::time::Duration;

use siltstone_format::id::TraceId;
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};

use self::spans::Spans;
use crate::stream::TracePiece;

/// The attribute in which warnings about a span stand, as a list of texts.
pub const WARNINGS: &str = "@jaeger@warnings";
/// A trace that has more is not looked at as a whole.
const MOST_SPANS: usize = 5_000;
/// The same in bytes of texts.
const MOST_BYTES: usize = 16 << 20;

/// How spans are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As they were sent.
    Raw,
    /// As Jaeger shows them. Clocks that differ by more are not brought together; by nothing: none are.
    Adjusted { max_clock_skew: Duration },
}

/// A part of a trace.
#[derive(Debug, Default)]
pub struct Piece {
    pub trace: TraceId,
    pub spans: Vec<Span>,
    /// No more spans of this trace follow.
    pub is_last: bool,
    /// About the trace.
    pub warnings: Vec<String>,
}

impl From<TracePiece> for Piece {
    fn from(piece: TracePiece) -> Self {
        let TracePiece { trace, spans, is_last } = piece;
        Self { trace, spans, is_last, warnings: Vec::new() }
    }
}

/// Pieces in, adjusted pieces out.
pub(super) struct Adjuster {
    reading: Reading,
    /// Of a trace that may still be looked at as a whole.
    held: Vec<Piece>,
    held_spans: usize,
    held_bytes: usize,
    /// The trace that comes is too large for that.
    is_passing: bool,
}

impl Adjuster {
    pub(super) fn new(reading: Reading) -> Self {
        Self { reading, held: Vec::new(), held_spans: 0, held_bytes: 0, is_passing: false }
    }

    /// The pieces that are ready with it.
    pub(super) fn add(&mut self, piece: impl Into<Piece>) -> Vec<Piece> {
        let mut piece = piece.into();
        let Reading::Adjusted { max_clock_skew } = self.reading else { return vec![piece] };
        let is_last = piece.is_last;
        Spans::default().adjust(&mut piece.spans);
        if self.is_passing {
            self.is_passing = !is_last;
            return vec![piece];
        }
        self.held_spans += piece.spans.len();
        self.held_bytes += piece.spans.iter().map(text_bytes).sum::<usize>();
        self.held.push(piece);
        if self.held_spans > MOST_SPANS || self.held_bytes > MOST_BYTES {
            self.is_passing = !is_last;
            if let Some(first) = self.held.first_mut() {
                first.warnings.push(format!(
                    "the trace has more than {MOST_SPANS} spans or {} MiB, too much to be looked at as a whole: \
                     neither span ids that a client and a server share nor clocks that differ are adjusted",
                    MOST_BYTES >> 20
                ));
            }
        } else if is_last {
            adjust_trace(&mut self.held, max_clock_skew);
        } else {
            return Vec::new();
        }
        (self.held_spans, self.held_bytes) = (0, 0);
        std::mem::take(&mut self.held)
    }
}

fn adjust_trace(pieces: &mut [Piece], max_clock_skew: Duration) {
    let mut spans: Vec<&mut Span> = pieces.iter_mut().flat_map(|piece| &mut piece.spans).collect();
    shared_ids::adjust(&mut spans);
    if !max_clock_skew.is_zero() {
        clock_skew::adjust(&mut spans, max_clock_skew);
    }
}

/// Leaves a warning about a span with it.
pub(super) fn warn(span: &mut Span, warning: String) {
    let warning = Value::Str(warning);
    let list = span.attributes.iter_mut().find_map(|attribute| match &mut attribute.value {
        Value::Array(items) if attribute.key == WARNINGS => Some(items),
        _ => None,
    });
    match list {
        Some(items) => items.push(warning),
        None => {
            span.attributes.push(Attribute { key: WARNINGS.to_owned(), value: Value::Array(vec![warning]) })
        }
    }
}

/// Whether it is no attribute but a list of warnings.
pub(crate) fn is_warnings(attribute: &Attribute) -> bool {
    attribute.key == WARNINGS && matches!(attribute.value, Value::Array(_))
}

/// About what a span holds of memory beside its own size.
fn text_bytes(span: &Span) -> usize {
    let of_list = |attributes: &[Attribute]| -> usize {
        attributes.iter().map(|attribute| attribute.key.len() + value_bytes(&attribute.value)).sum()
    };
    let events = span.events.iter().map(|event| event.name.len() + of_list(&event.attributes));
    let links = span.links.iter().map(|link| link.trace_state.len() + of_list(&link.attributes));
    let own = span.name.len() + span.status_message.len() + span.trace_state.len();
    own + of_list(&span.attributes) + events.sum::<usize>() + links.sum::<usize>()
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Str(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(items) => items.iter().map(|item| 8 + value_bytes(item)).sum(),
        Value::Map(entries) => {
            entries.iter().map(|entry| entry.key.len() + 8 + value_bytes(&entry.value)).sum()
        }
        Value::Empty | Value::Int(_) | Value::Double(_) | Value::Bool(_) => 0,
    }
}

#[cfg(test)]
mod tests;
