//! The naive oracle: what the right answer to a question is, by brute force over decoded OTLP spans.
//!
//! It keeps a flat list of the spans it was given, each with its resource, its scope and their schema urls,
//! and looks at every one of them for every question. It uses nothing of the crates that it judges. Where
//! the two disagree, one of them is wrong, and this one is short enough to be read.
//!
//! It refuses nothing: a test gives it what was accepted, and only that.

// What a span is, whatever way it was written down; when two spans are the same.
pub mod canonical;
// Where two sets of spans differ, for people.
pub mod diff;
// Numbers compared exactly.
pub mod number;
// When a value of a filter matches a value of a span: the only place that knows types.
pub mod coercion;
// Filters on one span.
pub mod filter;
// Find traces.
pub mod find;
// Find spans.
pub mod find_spans;
// Counting questions.
pub mod count;
// Who calls whom.
pub mod dependencies;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

pub use canonical::{CanonicalOrigin, CanonicalSpan, CanonicalValue, HexBytes, canonical_spans};
pub use coercion::{Comparison, FilterValue};
pub use diff::{Difference, assert_same_spans, diff};
pub use filter::{Field, Level, Nested, OracleFilter, Predicate, Subject, Test};
pub use find::{FoundTrace, FoundTraces, Order, Search, TimeWindow};

/// Everything that was accepted, in the order of acceptance.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    accepted: Vec<CanonicalSpan>,
}

impl Oracle {
    pub fn accept(&mut self, request: &ExportTraceServiceRequest) {
        self.accepted.extend(canonical_spans(request));
    }

    /// A trace was deleted.
    pub fn forget(&mut self, trace_id: &[u8]) {
        self.accepted.retain(|span| span.trace_id.0 != trace_id);
    }

    /// How many spans were accepted, same spans counted each time.
    pub fn accepted(&self) -> usize {
        self.accepted.len()
    }

    /// All spans, sorted, same spans once. Every other answer is an answer about this list.
    pub fn spans(&self) -> Vec<CanonicalSpan> {
        let mut spans = self.accepted.clone();
        spans.sort();
        spans.dedup();
        spans
    }

    /// The ids of all traces, sorted.
    pub fn trace_ids(&self) -> Vec<HexBytes> {
        let mut ids: Vec<HexBytes> = self.accepted.iter().map(|span| span.trace_id.clone()).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// All spans of one trace, sorted, same spans once; empty when there is no such trace.
    pub fn trace(&self, trace_id: &[u8]) -> Vec<CanonicalSpan> {
        let of_trace = self.accepted.iter().filter(|span| span.trace_id.0 == trace_id);
        let mut spans: Vec<CanonicalSpan> = of_trace.cloned().collect();
        spans.sort();
        spans.dedup();
        spans
    }
}

#[cfg(test)]
mod tests;
