//! Why there is no answer: an object with the status and what happened, as text.

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::http::status_of;
use crate::jaeger::answer::text_response;
use crate::jaeger::json::{write_shown, write_text};
use crate::querier::QueryError;

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
        Self::bad(format_args!("malformed parameter {name}: {problem}"))
    }

    /// Of what was asked for; it may be in what could not be asked.
    pub(super) fn nothing(what: &str, gaps: &[String]) -> Self {
        let message = match gaps {
            [] => what.to_owned(),
            gaps => format!("{what}, but the answer is not complete: {}", gaps.join("; ")),
        };
        Self { status: StatusCode::NOT_FOUND, message }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self { status: status_of(&error), message: error.to_string() }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut body = b"{\"error\":{\"httpCode\":".to_vec();
        write_shown(self.status.as_u16(), &mut body);
        body.extend_from_slice(b",\"message\":");
        write_text(&self.message, &mut body);
        body.extend_from_slice(b"}}");
        text_response(self.status, body)
    }
}
