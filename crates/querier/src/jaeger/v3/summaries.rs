//! What a list of traces says of each, instead of its spans.

use axum::extract::State;
use axum::response::Response;
use siltstone_format::id::TraceId;

use super::failure::Failure;
use super::parameters::query;
use crate::jaeger::adjust::{Piece, Reading};
use crate::jaeger::answer::{TraceList, traces_response};
use crate::jaeger::http::{Asked, Jaeger};
use crate::jaeger::json::{write_quoted, write_shown, write_text};
use crate::jaeger::origins::WrittenOrigins;
use crate::jaeger::summary::{Summing, TraceSummary};
use crate::jaeger::written::{WriteTrace, Written};

pub(super) async fn search(State(jaeger): State<Jaeger>, asked: Asked) -> Result<Response, Failure> {
    let Asked { tenant, parameters } = asked;
    let (ask, _) = query(&parameters)?;
    let search = ask.search(tenant, jaeger.now_unix_nano()).map_err(Failure::bad)?;
    // Nothing that would be adjusted is in a summary.
    let traces = Written::begin(jaeger.querier.stream_search(&search).await?, Reading::Raw).await?;
    Ok(traces_response(traces, Summaries, parameters.layout()).await?)
}

struct Summaries;

impl TraceList for Summaries {
    type Trace = SummaryJson;
    const HEAD: &'static [u8] = b"{\"summaries\":[";

    fn end(&mut self, _: &[String], out: &mut Vec<u8>) {
        out.extend_from_slice(b"]}");
    }
}

struct SummaryJson(Summing);

impl WriteTrace for SummaryJson {
    type Item = u8;

    fn begin(trace: TraceId) -> Self {
        Self(Summing::begin(trace))
    }

    fn piece(&mut self, piece: Piece, origins: &mut WrittenOrigins, out: &mut Vec<u8>) {
        let mut summaries = Vec::new();
        self.0.piece(piece, origins, &mut summaries);
        for summary in summaries {
            out.push(b',');
            write_summary(&summary, out);
        }
    }
}

/// What is zero or empty is left out, as JSON of protobuf has it.
fn write_summary(summary: &TraceSummary, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"traceId\":");
    write_quoted(summary.trace, out);
    if let Some(root) = &summary.root {
        write_text_field("rootServiceName", &root.service, out);
        write_text_field("rootOperationName", &root.operation, out);
    }
    out.extend_from_slice(b",\"minStartTimeUnixNano\":");
    write_quoted(summary.min_start_unix_nano, out);
    out.extend_from_slice(b",\"maxEndTimeUnixNano\":");
    write_quoted(summary.max_end_unix_nano, out);
    write_count_field("spanCount", summary.spans, out);
    write_count_field("errorSpanCount", summary.errors, out);
    write_count_field("orphanSpanCount", summary.orphans, out);
    out.extend_from_slice(b",\"services\":[");
    for (place, (name, of_service)) in summary.services.iter().enumerate() {
        out.extend_from_slice(if place > 0 { b",{\"name\":" } else { b"{\"name\":" });
        write_text(name, out);
        write_count_field("spanCount", of_service.spans, out);
        write_count_field("errorSpanCount", of_service.errors, out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

fn write_text_field(name: &str, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        write_name(name, out);
        write_text(text, out);
    }
}

fn write_count_field(name: &str, count: u64, out: &mut Vec<u8>) {
    if count > 0 {
        write_name(name, out);
        write_shown(count, out);
    }
}

fn write_name(name: &str, out: &mut Vec<u8>) {
    out.push(b',');
    write_quoted(name, out);
    out.push(b':');
}
