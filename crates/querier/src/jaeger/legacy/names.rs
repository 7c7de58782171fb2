//! Services, and their operations in both forms.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::response::Response;

use super::envelope::{Failure, enveloped};
use crate::jaeger::ask::{service_meant, shown_service};
use crate::jaeger::http::{Asked, Jaeger, nothing_there};
use crate::jaeger::json::write_text;
use crate::jaeger::kinds;
use crate::names::{Operation, OperationsOf};
use crate::querier::{Answer, QueryError};

/// What stands behind a service's name in a path.
const OPERATIONS: &str = "/operations";

pub(super) async fn services(State(jaeger): State<Jaeger>, asked: Asked) -> Result<Response, Failure> {
    let found = jaeger.querier.services(&asked.tenant, jaeger.window_of_names()).await?;
    let Answer { content, gaps, .. } = found;
    let shown: BTreeSet<&str> = content.iter().map(|name| shown_service(name)).collect();
    let data = list(&shown, |name, out| write_text(name, out));
    Ok(enveloped(&data, shown.len(), &gaps, asked.parameters.layout()))
}

/// `{service}/operations`, where the service's name may have slashes.
pub(super) async fn operations_of_service(
    State(jaeger): State<Jaeger>,
    Path(rest): Path<String>,
    asked: Asked,
) -> Result<Response, Failure> {
    let Some(service) = rest.strip_suffix(OPERATIONS).filter(|service| !service.is_empty()) else {
        return Ok(nothing_there().await);
    };
    let mut found = operations_of(&jaeger, &asked, service, None).await?;
    // Clients that were made for Jaeger may have encoded the name twice.
    if found.content.is_empty()
        && let Some(decoded) = decoded_once_more(service)
    {
        found = operations_of(&jaeger, &asked, &decoded, None).await?;
    }
    let Answer { content, gaps, .. } = found;
    let names: BTreeSet<&str> = content.iter().map(|operation| operation.name.as_str()).collect();
    let data = match names.is_empty() {
        true => b"null".to_vec(),
        false => list(&names, |name, out| write_text(name, out)),
    };
    Ok(enveloped(&data, names.len(), &gaps, asked.parameters.layout()))
}

pub(super) async fn operations(State(jaeger): State<Jaeger>, asked: Asked) -> Result<Response, Failure> {
    let parameters = &asked.parameters;
    let service = parameters.first(&["service"]);
    let service = service.ok_or_else(|| Failure::bad("parameter 'service' is required"))?;
    let kind = parameters.first(&["spanKind"]).map(kinds::number_of).transpose();
    let kind = kind.map_err(|unknown| Failure::parameter("spanKind", unknown))?;
    let Answer { content, gaps, .. } = operations_of(&jaeger, &asked, service, kind).await?;
    // Several kinds have no name.
    let named: BTreeSet<(&str, &str)> = content
        .iter()
        .map(|operation| (operation.name.as_str(), kinds::name_of(operation.kind).unwrap_or_default()))
        .collect();
    let data = list(&named, |(name, kind), out| {
        out.extend_from_slice(b"{\"name\":");
        write_text(name, out);
        out.extend_from_slice(b",\"spanKind\":");
        write_text(kind, out);
        out.push(b'}');
    });
    Ok(enveloped(&data, named.len(), &gaps, parameters.layout()))
}

async fn operations_of(
    jaeger: &Jaeger,
    asked: &Asked,
    service: &str,
    kind: Option<i32>,
) -> Result<Answer<BTreeSet<Operation>>, QueryError> {
    let of = OperationsOf { service: Some(service_meant(service).to_owned()), kind };
    jaeger.querier.operations(&asked.tenant, &of, jaeger.window_of_names()).await
}

/// As a form has it: `%2F` and `+`. None if that changes nothing.
fn decoded_once_more(service: &str) -> Option<String> {
    let form = format!("s={}", service.replace('&', "%26"));
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&form).ok()?;
    pairs.into_iter().next().map(|(_, decoded)| decoded).filter(|decoded| decoded != service)
}

fn list<T>(items: &BTreeSet<T>, write: impl Fn(&T, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![b'['];
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(item, &mut out);
    }
    out.push(b']');
    out
}
