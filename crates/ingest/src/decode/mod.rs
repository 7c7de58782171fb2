//! OTLP from the wire straight into columns.
//!
//! ```text
//! request → ResourceSpans → ScopeSpans → Span → attributes, events, links
//!              origin: resource + scope ┘    └ one row, or nothing of it
//! ```
//!
//! A damaged span is refused alone. Damage around spans refuses the request, and the columns are as before.
//! No message is ever built: values are looked at where they lie, texts are copied once, if they are new.

// How deep messages may lie in each other.
mod depth;
// The bytes of messages, field by field.
mod wire;
// Their fields.
mod fields;
// A request and what stands around spans.
mod request;
// A resource with a scope, known again by its bytes.
mod origin;
// One span.
mod span;
// A key with its value.
mod value;
// Nested values and lists of attributes as text.
mod text;

use std::sync::Arc;

use siltstone_format::columns::SpanColumns;

pub use self::origin::OriginCache;
use self::request::{Choice, Walker};
use crate::deletions::DeletedLately;
use crate::export::{Refusals, SpanFault};

/// Which spans are taken.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Unix nanoseconds; that moment is allowed.
    pub earliest_start: u64,
    /// Unix nanoseconds; that moment is allowed.
    pub latest_start: u64,
    /// Bytes of the key and value of one attribute. A string or bytes count as they are, other values as
    /// they are sent.
    pub attribute_bytes: usize,
    /// Spans of one request; those behind are refused.
    pub spans: usize,
    /// Bytes of memory that events, links and attributes without a column may take of one request, and half as
    /// much of one span. On the wire they may be far smaller: an empty event has two bytes.
    pub listed_bytes: usize,
    /// Traces whose spans are refused, since they were deleted.
    pub deleted: Option<Arc<DeletedLately>>,
    pub now_unix_millis: u64,
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    pub accepted: u64,
    pub refused: Refusals,
    /// Positions of the refused spans in the request, ascending: what [`replay`] must be told.
    pub refused_ordinals: Vec<u32>,
}

/// Why nothing of a request is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("{message} is damaged")]
    Malformed { message: &'static str },
    #[error("the buffer holds as many spans or texts as it can number: flush it")]
    Full,
    #[error("the request repeats large resources under too many scopes")]
    OriginsTooLarge,
    /// Only [`replay`] says so.
    #[error("span {ordinal} was accepted and cannot be taken: {}", .fault.name())]
    Span { ordinal: u32, fault: SpanFault },
    /// Only [`replay`] says so.
    #[error("span {ordinal} was refused and is not there")]
    NoSuchSpan { ordinal: u32 },
}

impl Rules {
    /// Takes what can be stored at all.
    pub const NONE: Self = Self {
        earliest_start: 0,
        latest_start: u64::MAX,
        attribute_bytes: usize::MAX,
        spans: usize::MAX,
        listed_bytes: usize::MAX,
        deleted: None,
        now_unix_millis: 0,
    };
}

/// Adds the spans of a request that the rules allow. On an error the columns have the spans that they had.
///
/// `origins` must be used with these columns only.
pub fn decode(
    body: &[u8],
    rules: &Rules,
    columns: &mut SpanColumns,
    origins: &mut OriginCache,
) -> Result<Decoded, DecodeError> {
    run(body, Choice::ByRules(rules), columns, origins)
}

/// Adds exactly the spans that are not in `refused`, positions in the request in ascending order, and says
/// how many there are. It decides nothing: a span that cannot be taken is an error, and then the columns
/// have the spans that they had.
pub fn replay(
    body: &[u8],
    refused: &[u32],
    columns: &mut SpanColumns,
    origins: &mut OriginCache,
) -> Result<u64, DecodeError> {
    run(body, Choice::AllBut(refused), columns, origins).map(|decoded| decoded.accepted)
}

fn run(
    body: &[u8],
    choice: Choice<'_>,
    columns: &mut SpanColumns,
    origins: &mut OriginCache,
) -> Result<Decoded, DecodeError> {
    let rows = columns.len();
    let decoded = Walker::new(choice, columns, origins).request(body);
    if decoded.is_err() {
        columns.truncate(rows);
    }
    decoded
}

#[cfg(test)]
mod tests;
