//! Whole traces as Jaeger's JSON has them: spans as they come, then the processes that they needed.

use siltstone_format::id::TraceId;

use super::envelope::{NOT_FOUND, Problem, write_end};
use super::process::Processes;
use super::span::write_span;
use crate::jaeger::adjust::Piece;
use crate::jaeger::answer::{SPAN_BYTES, TraceList};
use crate::jaeger::ids::{ShortTraceId, short_bytes};
use crate::jaeger::json::{write_hex, write_text};
use crate::jaeger::origins::WrittenOrigins;
use crate::jaeger::written::WriteTrace;

/// The envelope with all traces in it.
#[derive(Debug, Default)]
pub(super) struct TracesJson {
    /// Traces that were asked for by name, and did not come yet.
    missing: Vec<TraceId>,
}

impl TracesJson {
    /// Says of those that do not come that they are not there.
    pub(super) fn expecting(traces: Vec<TraceId>) -> Self {
        Self { missing: traces }
    }
}

impl TraceList for TracesJson {
    type Trace = TraceJson;
    const HEAD: &'static [u8] = b"{\"data\":[";

    fn come(&mut self, traces: &[TraceId]) {
        self.missing.retain(|missing| !traces.contains(missing));
    }

    fn end(&mut self, gaps: &[String], out: &mut Vec<u8>) {
        let missing = self.missing.iter().map(|trace| Problem {
            message: NOT_FOUND.to_owned(),
            trace: ShortTraceId(*trace).to_string(),
            ..Problem::default()
        });
        let problems: Vec<Problem> = missing.chain(gaps.iter().map(|gap| Problem::lacks(gap))).collect();
        write_end_of_traces(&problems, out);
    }
}

pub(super) fn write_end_of_traces(problems: &[Problem], out: &mut Vec<u8>) {
    out.push(b']');
    write_end(0, problems, out);
}

/// One trace.
#[derive(Debug, Default)]
pub(super) struct TraceJson {
    has_begun: bool,
    processes: Processes,
    warnings: Vec<String>,
}

impl WriteTrace for TraceJson {
    type Item = u8;
    const OF_A_SPAN: usize = SPAN_BYTES;

    fn begin(_: TraceId) -> Self {
        Self::default()
    }

    fn piece(&mut self, piece: Piece, origins: &mut WrittenOrigins, out: &mut Vec<u8>) {
        self.processes.next_piece();
        self.warnings.extend(piece.warnings);
        for span in &piece.spans {
            if std::mem::replace(&mut self.has_begun, true) {
                out.push(b',');
            } else {
                out.extend_from_slice(b",{\"traceID\":");
                write_hex(short_bytes(&piece.trace), out);
                out.extend_from_slice(b",\"spans\":[");
            }
            write_span(span, self.processes.number(&span.origin, origins), out);
        }
        if piece.is_last {
            self.write_end(out);
        }
    }
}

impl TraceJson {
    fn write_end(&self, out: &mut Vec<u8>) {
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
