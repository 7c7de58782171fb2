//! OTLP as JSON into OTLP as protobuf, in one pass and without a tree between them: one decoder and one log
//! encoding serve both.
//!
//! Reading and writing go hand in hand. What is wrong with a span refuses that span: its bytes are taken back,
//! and reading goes on behind it. Broken JSON, and a wrong shape outside of spans, refuse the request.
//! Invariant: what is accepted is a valid `ExportTraceServiceRequest`, at most about as long as its JSON.

mod lexer;
mod messages;
mod scalars;
mod wire;

#[cfg(test)]
mod tests;

use crate::export::{Refusals, SpanFault};

use self::lexer::Lexer;
use self::wire::Wire;

/// A request in the protobuf encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcoded {
    /// An OTLP `ExportTraceServiceRequest`, without the spans that were refused.
    pub body: Vec<u8>,
    pub refused: Refusals,
    /// What is wrong with the first span that was refused.
    pub first_refused: Option<JsonError>,
}

/// Something else stands where it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: expected {expected}")]
pub struct JsonError {
    /// Counted from 0.
    pub at: usize,
    pub expected: &'static str,
}

/// A [`JsonError`], and what it is called if it hits a span.
#[derive(Clone, Copy, Debug)]
struct Problem {
    error: JsonError,
    fault: SpanFault,
}

type Step = Result<(), Problem>;

impl Problem {
    fn new(at: usize, expected: &'static str, fault: SpanFault) -> Self {
        Self { error: JsonError { at, expected }, fault }
    }

    fn malformed(at: usize, expected: &'static str) -> Self {
        Self::new(at, expected, SpanFault::Malformed)
    }
}

/// Where reading and writing stand.
struct Transcoder<'a> {
    json: Lexer<'a>,
    out: Wire,
    refused: Refusals,
    first_refused: Option<JsonError>,
}

/// Turns a request in the JSON encoding into one in the protobuf encoding.
pub fn to_protobuf(json: &[u8]) -> Result<Transcoded, JsonError> {
    let mut transcoder = Transcoder {
        json: Lexer::new(json),
        out: Wire::with_capacity(json.len() / 2),
        refused: Refusals::default(),
        first_refused: None,
    };
    let read = transcoder.request().and_then(|()| transcoder.json.end());
    read.map_err(|problem| problem.error)?;
    let Transcoder { out, refused, first_refused, .. } = transcoder;
    Ok(Transcoded { body: out.into_bytes(), refused, first_refused })
}
