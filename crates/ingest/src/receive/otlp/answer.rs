//! How a request ended, and what its sender is told: status codes and messages of OTLP's specification.
//!
//! A sender tries again exactly when it is told to wait: 429 or 503 with Retry-After, or a gRPC status with
//! RetryInfo. All else would be refused again.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use prost::Message;
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt};

use super::setting;
use crate::budget::NoRoom;
use crate::export::{Accepted, Refused};
use crate::metrics::Reason;
use crate::receive::decompress::DecompressError;

/// How soon a sender may try again whose request did not arrive in time.
const AFTER_A_SLOW_REQUEST: Duration = Duration::from_secs(1);

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the body is too large: {what}, and {setting} allows {limit} bytes; send fewer spans at once")]
    TooLarge { what: &'static str, setting: &'static str, limit: usize },
    #[error(
        "the request did not arrive within {} s ({})",
        .0.as_secs(),
        setting::READ_DEADLINE
    )]
    TooSlow(Duration),
    /// What arrived is not what was announced: a length, a compression, a frame.
    #[error("{0}")]
    Broken(String),
    /// The body cannot be read for want of knowing how.
    #[error("{0}")]
    UnknownEncoding(String),
    #[error("{0}")]
    UnknownMediaType(String),
    #[error("{0}")]
    UnknownPath(String),
    #[error("{0}")]
    Method(String),
    #[error("{0}")]
    NoTenant(String),
    #[error("{0}")]
    BadTenant(String),
}

impl From<NoRoom> for Failure {
    fn from(no_room: NoRoom) -> Self {
        Self::Refused(no_room.into())
    }
}

impl From<DecompressError> for Failure {
    fn from(error: DecompressError) -> Self {
        match error {
            DecompressError::UnknownEncoding(_) => Self::UnknownEncoding(error.to_string()),
            DecompressError::Truncated(_) | DecompressError::Damaged { .. } => {
                Self::Broken(error.to_string())
            }
            DecompressError::NoRoom(no_room) => no_room.into(),
            DecompressError::TooLarge { cap } => Self::TooLarge {
                what: "it is larger once it is decompressed",
                setting: setting::UNCOMPRESSED_BYTES,
                limit: cap,
            },
        }
    }
}

impl Failure {
    pub(super) fn http_status(&self) -> StatusCode {
        match self {
            Self::Refused(Refused::Malformed(_)) | Self::Broken(_) | Self::BadTenant(_) => {
                StatusCode::BAD_REQUEST
            }
            // Not 429: waiting does not help.
            Self::Refused(Refused::Limit(limit)) if limit.retry_after.is_none() => StatusCode::BAD_REQUEST,
            Self::Refused(Refused::Limit(_) | Refused::Overloaded { .. }) => StatusCode::TOO_MANY_REQUESTS,
            // A request that was slow may be quick the next time: 408 would have it thrown away.
            Self::Refused(Refused::Unavailable { .. }) | Self::TooSlow(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge { .. } | Self::Refused(Refused::TooLarge(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownEncoding(_) | Self::UnknownMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UnknownPath(_) => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoTenant(_) => StatusCode::UNAUTHORIZED,
        }
    }

    pub(super) fn code(&self) -> Code {
        match self {
            Self::Refused(Refused::Malformed(_))
            | Self::Broken(_)
            | Self::BadTenant(_)
            | Self::UnknownMediaType(_) => Code::InvalidArgument,
            Self::Refused(Refused::Limit(_) | Refused::Overloaded { .. } | Refused::TooLarge(_))
            | Self::TooLarge { .. } => Code::ResourceExhausted,
            Self::Refused(Refused::Unavailable { .. }) | Self::TooSlow(_) => Code::Unavailable,
            Self::UnknownEncoding(_) | Self::UnknownPath(_) | Self::Method(_) => Code::Unimplemented,
            Self::NoTenant(_) => Code::Unauthenticated,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(Refused::Limit(limit)) => limit.retry_after,
            Self::Refused(
                Refused::Overloaded { retry_after, .. } | Refused::Unavailable { retry_after, .. },
            ) => Some(*retry_after),
            Self::TooSlow(_) => Some(AFTER_A_SLOW_REQUEST),
            _ => None,
        }
    }

    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Refused(refused) => Reason::from(refused),
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::TooSlow(_) => Reason::TooSlow,
            Self::Broken(_) => Reason::Broken,
            Self::UnknownEncoding(_) | Self::UnknownMediaType(_) | Self::UnknownPath(_) | Self::Method(_) => {
                Reason::Unsupported
            }
            Self::NoTenant(_) | Self::BadTenant(_) => Reason::Tenant,
        }
    }

    /// The header Retry-After: whole seconds, at least one.
    pub(super) fn retry_after_header(&self) -> Option<HeaderValue> {
        self.retry_after().map(|after| HeaderValue::from(seconds_up(after)))
    }

    pub(super) fn grpc_status(&self) -> tonic::Status {
        let Some(after) = self.retry_after() else {
            return tonic::Status::new(self.code(), self.to_string());
        };
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(seconds_up(after))));
        tonic::Status::with_error_details(self.code(), self.to_string(), details)
    }

    /// A `google.rpc.Status`.
    pub(super) fn protobuf(&self) -> Bytes {
        let status = self.grpc_status();
        // The details are such a message already, as gRPC has it in its trailer.
        if !status.details().is_empty() {
            return Bytes::copy_from_slice(status.details());
        }
        let code = i32::from(self.code());
        tonic_types::Status { code, message: self.to_string(), details: Vec::new() }.encode_to_vec().into()
    }

    /// The same, as protobuf's JSON has it.
    pub(super) fn json(&self) -> Bytes {
        let mut status = serde_json::json!({ "code": i32::from(self.code()), "message": self.to_string() });
        if let (Some(after), Some(fields)) = (self.retry_after(), status.as_object_mut()) {
            let retry = serde_json::json!({
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": format!("{}s", seconds_up(after)),
            });
            fields.insert("details".to_owned(), serde_json::Value::Array(vec![retry]));
        }
        status.to_string().into()
    }
}

fn seconds_up(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1_000).clamp(1, u128::from(u32::MAX)) as u64
}

/// OTLP's answer to a request that was taken.
#[derive(Clone, PartialEq, prost::Message)]
struct ExportTraceServiceResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<ExportTracePartialSuccess>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExportTracePartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// Empty when all was taken, as the specification wants it.
fn response_to(accepted: &Accepted) -> ExportTraceServiceResponse {
    let rejected_spans = i64::try_from(accepted.refused.total()).unwrap_or(i64::MAX);
    let is_whole = rejected_spans == 0 && accepted.message.is_empty();
    let partial = || ExportTracePartialSuccess { rejected_spans, error_message: accepted.message.clone() };
    ExportTraceServiceResponse { partial_success: (!is_whole).then(partial) }
}

pub(super) fn taken_protobuf(accepted: &Accepted) -> Bytes {
    response_to(accepted).encode_to_vec().into()
}

pub(super) fn taken_json(accepted: &Accepted) -> Bytes {
    let Some(partial) = response_to(accepted).partial_success else { return Bytes::from_static(b"{}") };
    // 64-bit integers are strings in protobuf's JSON.
    let body = serde_json::json!({ "partialSuccess": {
        "rejectedSpans": partial.rejected_spans.to_string(),
        "errorMessage": partial.error_message,
    }});
    body.to_string().into()
}

#[cfg(test)]
mod tests;
