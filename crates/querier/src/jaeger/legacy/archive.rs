//! Archiving: a trace is kept from now on.

use axum::extract::{Path, State};
use axum::response::Response;

use super::envelope::Failure;
use super::parameters::hints;
use crate::archive::ArchiveError;
use crate::jaeger::answer::json_response;
use crate::jaeger::http::{Asked, Jaeger};
use crate::jaeger::ids::trace_id_of;

const DONE: &[u8] = br#"{"data":[],"total":0,"limit":0,"offset":0,"errors":[]}"#;

pub(super) async fn archive(
    State(jaeger): State<Jaeger>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, Failure> {
    let trace = trace_id_of(&id)?;
    hints(&asked.parameters)?;
    jaeger.querier.archive(&asked.tenant, trace).await.map_err(|error| match error {
        ArchiveError::NoTrace { gaps, .. } => Failure::not_found(&gaps),
        ArchiveError::Query(error) => error.into(),
        ArchiveError::Publish(error) => Failure::of_store(error),
    })?;
    Ok(json_response(DONE.to_vec(), asked.parameters.layout()))
}
