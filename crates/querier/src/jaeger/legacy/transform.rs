//! OTLP as JSON into Jaeger's JSON, for files that somebody opens in the UI. Nothing is stored, nothing adjusted.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::response::Response;
use futures::future::{Either, select};
use siltstone_format::id::TraceId;
use siltstone_format::span::Span;

use super::envelope::{Failure, Problem};
use super::trace::{TraceJson, TracesJson, write_end_of_traces};
use crate::jaeger::adjust::Piece;
use crate::jaeger::answer::{TraceList, json_response};
use crate::jaeger::http::{Asked, Jaeger, nothing_there};
use crate::jaeger::origins::WrittenOrigins;
use crate::jaeger::settings::ReadSpans;
use crate::jaeger::written::WriteTrace;
use crate::metrics::Outcome;

/// How long a body may take to come.
const READ_DEADLINE: Duration = Duration::from_secs(30);

pub(super) async fn transform(
    State(jaeger): State<Jaeger>,
    asked: Asked,
    body: Body,
) -> Result<Response, Failure> {
    let Some(reader) = jaeger.settings.otlp_json.clone() else {
        return Ok(nothing_there().await);
    };
    // Bodies are in memory whole: few at a time.
    let _place = jaeger.transforms.acquire().await.map_err(Failure::of_store)?;
    let body = read(&jaeger, body).await?;
    let turn = jaeger.querier.turn(&asked.tenant).await?;
    let written = jaeger.querier.work(move || reader.read(&body).map(written));
    let written = jaeger.querier.within_turn(&turn, written).await?;
    turn.ends(Outcome::Answered);
    let written =
        written.map_err(|wrong| Failure::bad(format_args!("the body is no OTLP as JSON: {wrong}")))?;
    Ok(json_response(written, asked.parameters.layout()))
}

async fn read(jaeger: &Jaeger, body: Body) -> Result<Bytes, Failure> {
    let most = jaeger.settings.transform_bytes;
    let late = jaeger.querier.clock.sleep(READ_DEADLINE);
    match select(Box::pin(to_bytes(body, most)), late).await {
        Either::Left((Ok(bytes), _)) => Ok(bytes),
        Either::Left((Err(error), _)) => {
            Err(Failure::bad(format_args!("the body cannot be read, or has more than {most} bytes: {error}")))
        }
        Either::Right(_) => {
            Err(Failure::bad(format_args!("the body took longer than {READ_DEADLINE:?} to come")))
        }
    }
}

/// Each trace once, in the order of their first spans.
fn written(read: ReadSpans) -> Vec<u8> {
    let mut places: HashMap<TraceId, usize> = HashMap::new();
    let mut traces: Vec<(TraceId, Vec<Span>)> = Vec::new();
    for span in read.spans {
        let place = *places.entry(span.trace_id).or_insert(traces.len());
        match traces.get_mut(place) {
            Some((_, spans)) => spans.push(span),
            None => traces.push((span.trace_id, vec![span])),
        }
    }
    let (mut list, mut origins) = (Vec::new(), WrittenOrigins::default());
    for (trace, spans) in traces {
        let whole = Piece { trace, spans, is_last: true, ..Piece::default() };
        TraceJson::begin(trace).piece(whole, &mut origins, &mut list);
    }
    let mut out = TracesJson::HEAD.to_vec();
    // Each trace has a comma before it.
    out.extend_from_slice(list.get(1..).unwrap_or_default());
    let refused = Problem { message: read.refused, ..Problem::default() };
    let problems = if refused.message.is_empty() { Vec::new() } else { vec![refused] };
    write_end_of_traces(&problems, &mut out);
    out
}
