//! Services and operations. Both lists are always there, and both fields of an operation: the UI checks that.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;

use super::failure::Failure;
use crate::http::partial_header;
use crate::jaeger::answer::json_response;
use crate::jaeger::ask::{service_meant, shown_service};
use crate::jaeger::http::{Asked, Jaeger};
use crate::jaeger::json::write_text;
use crate::jaeger::kinds;
use crate::names::OperationsOf;

/// What the UI is told of a span that does not say its kind.
const NO_KIND: &str = "internal";
const KIND: [&str; 2] = ["spanKind", "span_kind"];

pub(super) async fn services(State(jaeger): State<Jaeger>, asked: Asked) -> Result<Response, Failure> {
    let found = jaeger.querier.services(&asked.tenant, jaeger.window_of_names()).await?;
    let shown: BTreeSet<&str> = found.content.iter().map(|name| shown_service(name)).collect();
    let mut out = b"{\"services\":[".to_vec();
    for (place, service) in shown.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_text(service, &mut out);
    }
    out.extend_from_slice(b"]}");
    Ok(answered(out, &found.gaps, &asked))
}

pub(super) async fn operations(State(jaeger): State<Jaeger>, asked: Asked) -> Result<Response, Failure> {
    let parameters = &asked.parameters;
    let service = parameters.first(&["service"]);
    let service = service.ok_or_else(|| Failure::parameter("service", "it is required"))?;
    let kind = parameters.first(&KIND).map(kinds::number_of).transpose();
    let kind = kind.map_err(|unknown| Failure::parameter(KIND[0], unknown))?;
    let of = OperationsOf { service: Some(service_meant(service).to_owned()), kind };
    let found = jaeger.querier.operations(&asked.tenant, &of, jaeger.window_of_names()).await?;
    let shown = found
        .content
        .iter()
        .map(|operation| (operation.name.as_str(), kinds::name_of(operation.kind).unwrap_or(NO_KIND)));
    let shown: BTreeSet<(&str, &str)> = shown.collect();
    let mut out = b"{\"operations\":[".to_vec();
    for (place, (name, kind)) in shown.into_iter().enumerate() {
        out.extend_from_slice(if place > 0 { b",{\"name\":" } else { b"{\"name\":" });
        write_text(name, &mut out);
        out.extend_from_slice(b",\"spanKind\":");
        write_text(kind, &mut out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Ok(answered(out, &found.gaps, &asked))
}

pub(super) fn answered(json: Vec<u8>, gaps: &[String], asked: &Asked) -> Response {
    let mut response = json_response(json, asked.parameters.layout());
    response.headers_mut().extend(partial_header(gaps));
    response
}
