//! Traces: those that are found, and one by its id.

use axum::extract::{Path, State};
use axum::response::Response;

use super::failure::Failure;
use super::otlp_json::OtlpJson;
use super::parameters::{flag, query, time};
use crate::jaeger::answer::traces_response;
use crate::jaeger::http::{Asked, Jaeger};
use crate::jaeger::ids::trace_id_of;
use crate::jaeger::written::Written;

const NOTHING_FOUND: &str = "No traces found";
const START: [&str; 2] = ["startTime", "start_time"];
const END: [&str; 2] = ["endTime", "end_time"];
const RAW: [&str; 2] = ["rawTraces", "raw_traces"];

pub(super) async fn search(State(jaeger): State<Jaeger>, asked: Asked) -> Result<Response, Failure> {
    let Asked { tenant, parameters } = asked;
    let (ask, is_raw) = query(&parameters)?;
    let search = ask.search(tenant, jaeger.now_unix_nano()).map_err(Failure::bad)?;
    let stream = jaeger.querier.stream_search(&search).await?;
    let traces = Written::begin(stream, jaeger.reading(is_raw)).await?;
    if traces.is_empty() {
        return Err(Failure::nothing(NOTHING_FOUND, &traces.gaps()));
    }
    Ok(traces_response(traces, OtlpJson, parameters.layout()).await?)
}

/// The times that may be said are hints, and nobody needs them.
pub(super) async fn by_id(
    State(jaeger): State<Jaeger>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, Failure> {
    let Asked { tenant, parameters } = asked;
    let trace = trace_id_of(&id).map_err(|error| Failure::parameter("trace_id", error))?;
    time(&parameters, &START)?;
    time(&parameters, &END)?;
    let is_raw = flag(&parameters, &RAW)?;
    let stream = jaeger.querier.stream_traces(&tenant, &[trace]).await?;
    let traces = Written::begin(stream, jaeger.reading(is_raw)).await?;
    if traces.is_empty() {
        return Err(Failure::nothing(NOTHING_FOUND, &traces.gaps()));
    }
    Ok(traces_response(traces, OtlpJson, parameters.layout()).await?)
}
