//! What a receiver hands over, and what becomes of it.

use std::time::Duration;

use bytes::Bytes;
use siltstone_format::tenant::Tenant;

use crate::limits::LimitExceeded;

/// One request: spans of one tenant as an OTLP `ExportTraceServiceRequest`, uncompressed.
#[derive(Clone, Debug)]
pub struct Export {
    pub tenant: Tenant,
    pub body: Bytes,
}

/// Why one span is not taken while its neighbours are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpanFault {
    Malformed,
    TraceId,
    SpanId,
    ParentSpanId,
    LinkId,
    NotUtf8,
    TooDeep,
    TooOld,
    TooNew,
    AttributeTooLarge,
    TooManySpans,
}

impl SpanFault {
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::TraceId,
        Self::SpanId,
        Self::ParentSpanId,
        Self::LinkId,
        Self::NotUtf8,
        Self::TooDeep,
        Self::TooOld,
        Self::TooNew,
        Self::AttributeTooLarge,
        Self::TooManySpans,
    ];

    /// The word for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TraceId => "trace_id",
            Self::SpanId => "span_id",
            Self::ParentSpanId => "parent_span_id",
            Self::LinkId => "link_id",
            Self::NotUtf8 => "not_utf8",
            Self::TooDeep => "too_deep",
            Self::TooOld => "too_old",
            Self::TooNew => "too_new",
            Self::AttributeTooLarge => "attribute_too_large",
            Self::TooManySpans => "too_many_spans",
        }
    }
}

/// How many spans were refused, by fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    counts: [u32; SpanFault::ALL.len()],
}

impl Refusals {
    pub fn add(&mut self, fault: SpanFault) {
        let count = &mut self.counts[fault as usize];
        *count = count.saturating_add(1);
    }

    pub fn total(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = (SpanFault, u32)> {
        SpanFault::ALL.into_iter().zip(self.counts).filter(|(_, count)| *count > 0)
    }
}

/// A request is durable, less the spans that were refused alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    pub spans: u64,
    pub refused: Refusals,
    /// What to tell the sender about the refused ones; empty if there are none.
    pub message: String,
}

/// Why a request is not taken as a whole: nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The sender's fault: the same request will be refused again.
    #[error("the request is not an OTLP trace export: {0}")]
    Malformed(String),
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// No room: try again.
    #[error("{what}; try again in {} s", .retry_after.as_secs().max(1))]
    Overloaded { what: String, retry_after: Duration },
    /// The log cannot be written: try again.
    #[error("{what}; try again in {} s", .retry_after.as_secs().max(1))]
    Unavailable { what: String, retry_after: Duration },
}
