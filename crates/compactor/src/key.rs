//! Where a span stands among others: blocks are sorted by it.

use siltstone_format::columns::SpanColumns;
use siltstone_format::id::{SpanId, TraceId};

/// Trace, start, id. Spans that share all three stand in the order of their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    trace: TraceId,
    start: i64,
    span: SpanId,
    /// Behind all that the rest says.
    after: bool,
}

impl Key {
    pub(crate) const FIRST: Self =
        Self { trace: TraceId([0; 16]), start: i64::MIN, span: SpanId([0; 8]), after: false };

    pub(crate) fn of(columns: &SpanColumns, row: usize) -> Self {
        Self {
            trace: columns.trace_ids[row],
            start: columns.starts[row],
            span: columns.span_ids[row],
            after: false,
        }
    }

    /// Behind all spans of a trace, and before any of the next.
    pub(crate) fn after_trace(trace: &TraceId) -> Self {
        Self { trace: *trace, start: i64::MAX, span: SpanId([u8::MAX; 8]), after: true }
    }

    /// Before all spans of a trace.
    pub(crate) fn before_trace(trace: &TraceId) -> Self {
        Self { trace: *trace, ..Self::FIRST }
    }

    /// Whether a row comes before it.
    pub(crate) fn is_behind(&self, columns: &SpanColumns, row: usize) -> bool {
        Self::of(columns, row) < *self
    }

    /// Whether it lies between two traces.
    pub(crate) fn is_between_traces(&self) -> bool {
        self.after || (self.start, self.span) == (Self::FIRST.start, Self::FIRST.span)
    }
}
