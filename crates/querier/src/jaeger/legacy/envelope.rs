//! What stands around every answer, and what an error looks like: the same envelope, as text.

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::http::status_of;
use crate::jaeger::answer::{json_response, text_response};
use crate::jaeger::http::Layout;
use crate::jaeger::ids::TraceIdError;
use crate::jaeger::json::{write_shown, write_text};
use crate::querier::QueryError;

pub(super) const NOT_FOUND: &str = "trace not found";

/// One thing that an answer lacks, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Problem {
    /// An HTTP status; 0 for none.
    pub(super) code: u16,
    pub(super) message: String,
    /// As it was asked for; empty if it is about none.
    pub(super) trace: String,
}

impl Problem {
    pub(super) fn lacks(gap: &str) -> Self {
        Self { message: format!("the answer is not complete: {gap}"), ..Self::default() }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if self.code != 0 {
            out.extend_from_slice(b"\"code\":");
            write_shown(self.code, out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"msg\":");
        write_text(&self.message, out);
        if !self.trace.is_empty() {
            out.extend_from_slice(b",\"traceID\":");
            write_text(&self.trace, out);
        }
        out.push(b'}');
    }
}

/// What stands behind the data.
pub(super) fn write_end(total: usize, problems: &[Problem], out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"total\":");
    write_shown(total, out);
    out.extend_from_slice(b",\"limit\":0,\"offset\":0,\"errors\":");
    if problems.is_empty() {
        out.extend_from_slice(b"null}");
        return;
    }
    for (place, problem) in problems.iter().enumerate() {
        out.push(if place == 0 { b'[' } else { b',' });
        problem.write(out);
    }
    out.extend_from_slice(b"]}");
}

/// An answer that is small: its data as JSON, and what it lacks.
pub(super) fn enveloped(data: &[u8], total: usize, gaps: &[String], layout: Layout) -> Response {
    let mut out = b"{\"data\":".to_vec();
    out.extend_from_slice(data);
    let problems: Vec<Problem> = gaps.iter().map(|gap| Problem::lacks(gap)).collect();
    write_end(total, &problems, &mut out);
    json_response(out, layout)
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    status: StatusCode,
    message: String,
}

impl Failure {
    pub(super) fn bad(message: impl std::fmt::Display) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.to_string() }
    }

    pub(super) fn parameter(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::bad(format_args!("unable to parse param '{name}': {problem}"))
    }

    /// Of a trace; it may be in what could not be asked.
    pub(super) fn not_found(gaps: &[String]) -> Self {
        let message = match gaps {
            [] => NOT_FOUND.to_owned(),
            gaps => format!("{NOT_FOUND}, but the answer is not complete: {}", gaps.join("; ")),
        };
        Self { status: StatusCode::NOT_FOUND, message }
    }

    pub(super) fn of_store(error: impl std::fmt::Display) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: error.to_string() }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self { status: status_of(&error), message: error.to_string() }
    }
}

impl From<TraceIdError> for Failure {
    fn from(error: TraceIdError) -> Self {
        Self::parameter("traceID", error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut body = b"{\"data\":null".to_vec();
        let problem = Problem { code: self.status.as_u16(), message: self.message, ..Problem::default() };
        write_end(0, &[problem], &mut body);
        text_response(self.status, body)
    }
}
