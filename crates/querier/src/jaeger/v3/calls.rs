//! Dependencies, as Jaeger's description of its own interface has them.

use axum::extract::State;
use axum::response::Response;

use super::failure::Failure;
use super::names::answered;
use super::parameters::required_time;
use crate::jaeger::calls::calls_between_services;
use crate::jaeger::http::{Asked, Jaeger};
use crate::jaeger::json::{write_quoted, write_text};

const START: [&str; 2] = ["startTime", "start_time"];
const END: [&str; 2] = ["endTime", "end_time"];

pub(super) async fn dependencies(State(jaeger): State<Jaeger>, asked: Asked) -> Result<Response, Failure> {
    let times = [required_time(&asked.parameters, &START)?, required_time(&asked.parameters, &END)?];
    let found = calls_between_services(&jaeger.querier, &asked.tenant, times).await?;
    let mut out = b"{\"dependencies\":[".to_vec();
    for (place, ((parent, child), calls)) in found.content.iter().enumerate() {
        out.extend_from_slice(if place > 0 { b",{\"parent\":" } else { b"{\"parent\":" });
        write_text(parent, &mut out);
        out.extend_from_slice(b",\"child\":");
        write_text(child, &mut out);
        // JSON of protobuf has such numbers as texts.
        out.extend_from_slice(b",\"callCount\":");
        write_quoted(calls, &mut out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Ok(answered(out, &found.gaps, &asked))
}
