//! A span as a row of values: what the format must give back exactly.

use std::sync::Arc;

use crate::id::{SpanId, TraceId};
use crate::origin::Origin;
use crate::value::Attribute;

/// One span. The order of `attributes` carries no meaning; all else does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent_span_id: Option<SpanId>,
    pub trace_state: String,
    pub flags: u32,
    pub name: String,
    /// OTLP's number; a number that OTLP does not name is kept.
    pub kind: i32,
    /// Nanoseconds since 1970, at most `i64::MAX`.
    pub start_unix_nano: u64,
    pub end_unix_nano: u64,
    /// OTLP's number; a number that OTLP does not name is kept.
    pub status_code: i32,
    pub status_message: String,
    pub attributes: Vec<Attribute>,
    pub dropped_attributes_count: u32,
    pub events: Vec<Event>,
    pub dropped_events_count: u32,
    pub links: Vec<Link>,
    pub dropped_links_count: u32,
    pub origin: Arc<Origin>,
}

/// Something that happened during a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub time_unix_nano: u64,
    pub name: String,
    pub attributes: Vec<Attribute>,
    pub dropped_attributes_count: u32,
}

/// A pointer to a span of this or another trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub trace_state: String,
    pub flags: u32,
    pub attributes: Vec<Attribute>,
    pub dropped_attributes_count: u32,
}

impl Span {
    /// End less start; negative if the span ended before it began. Wraps, so that
    /// start and duration give back any end.
    pub fn duration_nano(&self) -> i64 {
        self.end_unix_nano.wrapping_sub(self.start_unix_nano).cast_signed()
    }
}
