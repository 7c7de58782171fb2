//! `/api/sql`: a statement in, rows out, as they come.
//!
//! The first rows are waited for before the status is sent, so that most errors have one. A later error breaks the
//! body off: what came is no whole answer, and every HTTP client says so.

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, stream};
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use siltstone_format::tenant::UnclearTenant;

use super::Service;
use super::rows::{Encoder, Format};
use super::status::{partial_header, status_of};
use super::tenant::tenant_of;
use crate::sql::{SqlAnswer, SqlError};

/// What is made before the status is sent.
const FIRST_BYTES: usize = 256 << 10;
const FORM: &str = "application/x-www-form-urlencoded";
/// How a form begins, and no statement does.
const FIELDS: [&[u8]; 2] = [b"q=", b"format="];

/// The parameters of a request.
#[derive(serde::Deserialize)]
pub(super) struct Parameters {
    /// The statement.
    q: Option<String>,
    format: Option<Format>,
}

/// Why there are no rows.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("there is no statement: give it as the parameter `q`, or as the body of a POST")]
    NoStatement,
    #[error("the body is no text: {0}")]
    NoText(String),
    #[error(transparent)]
    Tenant(#[from] UnclearTenant),
    #[error(transparent)]
    Sql(#[from] SqlError),
    #[error("the rows cannot be written in this format: {0}")]
    Format(#[from] datafusion::arrow::error::ArrowError),
}

pub(super) async fn by_get(
    State(service): State<Service>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    answer(&service, parameters, &headers).await.unwrap_or_else(IntoResponse::into_response)
}

/// The statement is the body, or the field `q` of a form. `curl --data` calls every body a form.
pub(super) async fn by_post(
    State(service): State<Service>,
    Query(in_address): Query<Parameters>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let parameters = match kind.split(';').next() {
        Some(FORM) if FIELDS.iter().any(|field| body.starts_with(field)) => of_form(&body),
        _ => String::from_utf8(body.to_vec())
            .map(|text| Parameters { q: Some(text), format: None })
            .map_err(|error| Failure::NoText(error.to_string())),
    };
    let parameters = parameters.map(|inner| Parameters {
        q: inner.q.filter(|text| !text.trim().is_empty()).or(in_address.q),
        format: inner.format.or(in_address.format),
    });
    match parameters {
        Ok(parameters) => {
            answer(&service, parameters, &headers).await.unwrap_or_else(IntoResponse::into_response)
        }
        Err(failure) => failure.into_response(),
    }
}

fn of_form(body: &Bytes) -> Result<Parameters, Failure> {
    serde_urlencoded::from_bytes(body).map_err(|error| Failure::NoText(error.to_string()))
}

async fn answer(service: &Service, parameters: Parameters, headers: &HeaderMap) -> Result<Response, Failure> {
    let statement = parameters.q.filter(|text| !text.trim().is_empty()).ok_or(Failure::NoStatement)?;
    let tenant = tenant_of(headers, service.tenants)?;
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = parameters.format.unwrap_or_else(|| Format::of_accept(accept));
    let rows = service.querier.sql(&tenant, &statement).await?;
    let (encoder, head) = Encoder::new(format, rows.schema())?;
    let mut writing = Writing { rows, encoder: Some(encoder) };
    let mut first = head;
    while first.len() < FIRST_BYTES
        && let Some(piece) = writing.next().await?
    {
        first.extend(piece);
    }
    let partial = partial_header(&writing.rows.gaps());
    let rest = stream::try_unfold(writing, |mut writing| async move {
        Ok::<_, Failure>(writing.next().await?.map(|piece| (Bytes::from(piece), writing)))
    });
    let body = stream::iter([Ok(Bytes::from(first))]).chain(rest).map_err(|failure| failure.to_string());
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.kind()));
    response.headers_mut().extend(partial);
    Ok(response)
}

/// An answer on its way into a body.
struct Writing {
    rows: SqlAnswer,
    /// None: the end is written.
    encoder: Option<Encoder>,
}

impl Writing {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(mut encoder) = self.encoder.take() else { return Ok(None) };
        match self.rows.next().await.transpose()? {
            Some(batch) => {
                let piece = encoder.rows(&batch)?;
                self.encoder = Some(encoder);
                Ok(Some(piece))
            }
            None => {
                let hints = self.rows.hints().await.map_err(SqlError::from)?;
                Ok(Some(encoder.finish(&self.rows.gaps(), &hints, &self.rows.cost())?))
            }
        }
    }
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoStatement | Self::NoText(_) | Self::Format(_) | Self::Tenant(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Sql(SqlError::Statement(_) | SqlError::NotReading { .. } | SqlError::TooDeep { .. }) => {
                StatusCode::BAD_REQUEST
            }
            Self::Sql(SqlError::Failed(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Sql(SqlError::Query(error)) => status_of(error),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = format!("{}\n", json!({"error": self.to_string()}));
        let mut response = (status, [(CONTENT_TYPE, Format::Json.kind())], body).into_response();
        if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
