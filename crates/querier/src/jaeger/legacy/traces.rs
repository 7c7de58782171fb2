//! Traces: those that are found, and those that are named.

use axum::extract::{Path, State};
use axum::response::Response;

use super::envelope::Failure;
use super::parameters::{Wanted, hints, wanted};
use super::trace::TracesJson;
use crate::jaeger::adjust::Reading;
use crate::jaeger::answer::traces_response;
use crate::jaeger::http::{Asked, Jaeger, Parameters};
use crate::jaeger::ids::trace_id_of;
use crate::jaeger::written::Written;

pub(super) async fn search(State(jaeger): State<Jaeger>, asked: Asked) -> Result<Response, Failure> {
    let Asked { tenant, parameters } = asked;
    let reading = reading(&jaeger, &parameters)?;
    let querier = &jaeger.querier;
    let (stream, list) = match wanted(&parameters)? {
        Wanted::Named(traces) => {
            (querier.stream_traces(&tenant, &traces).await?, TracesJson::expecting(traces))
        }
        Wanted::Found(ask) => {
            let search = ask.search(tenant, jaeger.now_unix_nano()).map_err(Failure::bad)?;
            (querier.stream_search(&search).await?, TracesJson::default())
        }
    };
    let traces = Written::begin(stream, reading).await?;
    Ok(traces_response(traces, list, parameters.layout()).await?)
}

/// The times that may be said are hints, and nobody needs them; some clients write them in another unit.
pub(super) async fn by_id(
    State(jaeger): State<Jaeger>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, Failure> {
    let Asked { tenant, parameters } = asked;
    let trace = trace_id_of(&id)?;
    hints(&parameters)?;
    let reading = reading(&jaeger, &parameters)?;
    let traces = Written::begin(jaeger.querier.stream_traces(&tenant, &[trace]).await?, reading).await?;
    if traces.is_empty() {
        return Err(Failure::not_found(&traces.gaps()));
    }
    Ok(traces_response(traces, TracesJson::default(), parameters.layout()).await?)
}

fn reading(jaeger: &Jaeger, parameters: &Parameters) -> Result<Reading, Failure> {
    let is_raw = parameters.flag(&["raw"]).map_err(|error| Failure::parameter("raw", error))?;
    Ok(jaeger.reading(is_raw))
}
