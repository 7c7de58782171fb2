//! Whole traces as Jaeger's JSON has them: spans as they come, then the processes that they needed.

use siltstone_format::id::TraceId;

use super::envelope::{NOT_FOUND, Problem, write_end};
use super::process::Processes;
use super::span::write_span;
use crate::jaeger::adjust::Piece;
use crate::jaeger::answer::Encode;
use crate::jaeger::ids::{ShortTraceId, short_bytes};
use crate::jaeger::json::{write_hex, write_text};

/// Writes the envelope and all traces in it.
#[derive(Debug, Default)]
pub(super) struct TracesJson {
    has_begun: bool,
    open: Option<OpenTrace>,
    /// Traces that were asked for by name, and did not come yet.
    missing: Vec<TraceId>,
}

#[derive(Debug, Default)]
struct OpenTrace {
    processes: Processes,
    has_spans: bool,
    warnings: Vec<String>,
}

impl Encode for TracesJson {
    fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        self.write(piece, out);
    }

    fn end(&mut self, gaps: &[String], out: &mut Vec<u8>) {
        let missing = self.missing.iter().map(|trace| Problem {
            message: NOT_FOUND.to_owned(),
            trace: ShortTraceId(*trace).to_string(),
            ..Problem::default()
        });
        let problems: Vec<Problem> = missing.chain(gaps.iter().map(|gap| Problem::lacks(gap))).collect();
        self.finish(&problems, out);
    }
}

impl TracesJson {
    /// Says of those that do not come that they are not there.
    pub(super) fn expecting(traces: Vec<TraceId>) -> Self {
        Self { missing: traces, ..Self::default() }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            out.extend_from_slice(b"{\"data\":[");
        }
    }

    pub(super) fn write(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        let is_first = !self.has_begun;
        self.begin(out);
        let mut open = self.open.take().unwrap_or_else(|| {
            if !is_first {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"traceID\":");
            write_hex(short_bytes(&piece.trace), out);
            out.extend_from_slice(b",\"spans\":[");
            self.missing.retain(|missing| *missing != piece.trace);
            OpenTrace::default()
        });
        open.add(piece, out);
        if piece.is_last {
            open.end(out);
        } else {
            self.open = Some(open);
        }
    }

    pub(super) fn finish(&mut self, problems: &[Problem], out: &mut Vec<u8>) {
        self.begin(out);
        out.push(b']');
        write_end(0, problems, out);
    }
}

impl OpenTrace {
    fn add(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        self.processes.next_piece();
        self.warnings.extend(piece.warnings.iter().cloned());
        for span in &piece.spans {
            if std::mem::replace(&mut self.has_spans, true) {
                out.push(b',');
            }
            write_span(span, self.processes.number(&span.origin), out);
        }
    }

    fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"],\"processes\":");
        self.processes.write(out);
        out.extend_from_slice(b",\"warnings\":");
        if self.warnings.is_empty() {
            out.extend_from_slice(b"null}");
            return;
        }
        for (place, warning) in self.warnings.iter().enumerate() {
            out.push(if place == 0 { b'[' } else { b',' });
            write_text(warning, out);
        }
        out.extend_from_slice(b"]}");
    }
}
