//! Calls, errors and latencies of services over time, computed from the spans themselves.
//!
//! A point is about the time before it, as long as `ratePer`. Spans are counted in steps of which both `step` and
//! `ratePer` are multiples, so that every point is exact; the newest point is the end that is asked for, or up to one
//! such step before it.

mod asked;
mod series;

use axum::extract::State;
use axum::response::Response;

use self::asked::{MetricsAsked, quantile};
use self::series::{Measure, Series};
use super::envelope::{Failure, enveloped};
use crate::http::partial_header;
use crate::jaeger::answer::json_response;
use crate::jaeger::http::{Asked, Jaeger};
use crate::jaeger::json::write_text;
use crate::querier::Answer;

/// The shortest step that may be asked for, in milliseconds.
const SHORTEST_STEP: &[u8] = b"1";

pub(super) async fn latencies(State(jaeger): State<Jaeger>, asked: Asked) -> Result<Response, Failure> {
    let share = quantile(&asked.parameters)?;
    metrics(&jaeger, &asked, Measure::Latency { share }).await
}

pub(super) async fn calls(State(jaeger): State<Jaeger>, asked: Asked) -> Result<Response, Failure> {
    metrics(&jaeger, &asked, Measure::Calls).await
}

pub(super) async fn errors(State(jaeger): State<Jaeger>, asked: Asked) -> Result<Response, Failure> {
    metrics(&jaeger, &asked, Measure::Errors).await
}

pub(super) async fn minstep(asked: Asked) -> Response {
    enveloped(SHORTEST_STEP, 0, &[], asked.parameters.layout())
}

async fn metrics(jaeger: &Jaeger, asked: &Asked, measure: Measure) -> Result<Response, Failure> {
    let wanted = MetricsAsked::of(&asked.parameters, jaeger.now_unix_nano())?;
    let of = wanted.of_spans(asked.tenant.clone())?;
    let Answer { content, gaps, .. } = jaeger.querier.red(&of, wanted.times.bucket_nanos()).await?;
    let by_operation = wanted.by_operation;
    let write = move || {
        let mut out = b"{\"name\":".to_vec();
        write_text(&measure.name(by_operation), &mut out);
        out.extend_from_slice(b",\"type\":\"GAUGE\",\"help\":");
        write_text(&measure.help(by_operation), &mut out);
        out.extend_from_slice(b",\"metrics\":[");
        for (place, series) in Series::of(content, by_operation).iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            series.write(measure, &wanted.times, &mut out);
        }
        out.extend_from_slice(b"]}");
        out
    };
    let mut response = json_response(jaeger.querier.work(write).await?, asked.parameters.layout());
    response.headers_mut().extend(partial_header(&gaps));
    Ok(response)
}
