//! `/api/v1/query` and `/api/v1/query_range`, as Prometheus answers them, and what editors ask beside them.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::json;
use siltstone_format::tenant::UnclearTenant;

use super::evaluate::{EvaluateError, Series, Value, evaluate};
use super::fetch::Labels;
use super::labels;
use super::text::{MOST_BYTES, TextError, millis_of, parse};
use super::times::{Times, TimesError};
use crate::http::{status_of, tenant_of};
use crate::jaeger::json::{write_list, write_quoted, write_shown, write_text};
use crate::jaeger::time::unix_nano_of_rfc3339;
use crate::querier::{Answer, Querier, QueryError};

const MILLIS_OF_SECOND: f64 = 1e3;

#[derive(Clone)]
pub(super) struct Service {
    pub(super) querier: Arc<Querier>,
    /// Requests must name their tenant.
    pub(super) tenants: bool,
}

pub(crate) fn router(querier: Arc<Querier>, tenants: bool) -> Router {
    Router::new()
        .route("/api/v1/query", get(at).post(at))
        .route("/api/v1/query_range", get(between).post(between))
        .route("/api/v1/labels", get(labels::labels).post(labels::labels))
        .route("/api/v1/label/{label}/values", get(labels::values))
        .route("/api/v1/series", get(labels::series).post(labels::series))
        .route("/api/v1/metadata", get(labels::metadata))
        .with_state(Service { querier, tenants })
}

/// Fields of the address and of a form, as clients send either.
pub(super) struct Fields(Vec<(String, String)>);

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("more than {0} selectors are given: ask one after the other")]
    TooManySelectors(usize),
    #[error("`{field}` is missing")]
    Missing { field: &'static str },
    #[error("`{field}` is `{given}`: {wanted}")]
    Field { field: &'static str, given: String, wanted: &'static str },
    #[error("the query cannot be read: {0}")]
    Text(#[from] TextError),
    #[error(transparent)]
    Times(#[from] TimesError),
    #[error(transparent)]
    Tenant(#[from] UnclearTenant),
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    #[error(transparent)]
    Query(#[from] QueryError),
}

const TIME: &str = "give seconds since 1970, or a time such as 2026-08-01T00:00:00Z";
const STEP: &str = "give seconds, or a duration such as 1m";

async fn at(State(service): State<Service>, headers: HeaderMap, fields: Fields) -> Result<Response, Failure> {
    let now = service.querier.clock.wall_millis();
    let millis = if fields.get("time").is_some() { fields.time("time")? } else { now };
    let write = move |value: Value, _: &Times, out: &mut Vec<u8>| write_at(value, millis, out);
    answer(&service, &headers, &fields, Times::at(millis), write).await
}

async fn between(
    State(service): State<Service>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failure> {
    let times = Times::between(fields.time("start")?, fields.time("end")?, fields.step()?)?;
    answer(&service, &headers, &fields, times, write_between).await
}

async fn answer(
    service: &Service,
    headers: &HeaderMap,
    fields: &Fields,
    times: Times,
    write: impl FnOnce(Value, &Times, &mut Vec<u8>) + Send + 'static,
) -> Result<Response, Failure> {
    let tenant = tenant_of(headers, service.tenants)?;
    let text = fields.required("query")?.to_owned();
    // Regular expressions take a while.
    let expr = service.querier.work(move || parse(&text)).await??;
    let Answer { content, gaps, .. } = evaluate(&service.querier, &tenant, expr, times).await?;
    let write = move || {
        let mut out = b"{\"status\":\"success\",".to_vec();
        if !gaps.is_empty() {
            out.extend_from_slice(b"\"warnings\":");
            write_list(&gaps, &mut out, |gap, out| write_text(gap, out));
            out.push(b',');
        }
        out.extend_from_slice(b"\"data\":{\"resultType\":");
        write(content.plain(), &times, &mut out);
        out.extend_from_slice(b"}}");
        out
    };
    Ok(json_of(StatusCode::OK, service.querier.work(write).await?))
}

pub(super) fn json_of(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// The values of one point.
fn write_at(value: Value, millis: u64, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) => {
            out.extend_from_slice(b"\"scalar\",\"result\":");
            write_point(millis, number, out);
        }
        Value::Series(mut series) => {
            out.extend_from_slice(b"\"vector\",\"result\":");
            let value = |series: &Series| series.points.first().copied().flatten();
            series.retain(|series| value(series).is_some());
            write_list(&series, out, |series, out| {
                write_labels(&series.labels, out);
                out.extend_from_slice(b"\"value\":");
                write_point(millis, value(series).unwrap_or(f64::NAN), out);
                out.push(b'}');
            });
        }
        Value::Spread(_) => out.extend_from_slice(b"\"vector\",\"result\":[]"),
    }
}

/// The values of all points.
fn write_between(value: Value, times: &Times, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"matrix\",\"result\":");
    let series = match value {
        Value::Number(number) => {
            vec![Series { labels: Labels::new(), points: vec![Some(number); times.count()] }]
        }
        Value::Series(series) => series,
        Value::Spread(_) => Vec::new(),
    };
    write_list(&series, out, |series, out| {
        write_labels(&series.labels, out);
        out.extend_from_slice(b"\"values\":");
        let points = times.millis().zip(&series.points).filter_map(|(at, point)| Some((at, (*point)?)));
        let points: Vec<(u64, f64)> = points.collect();
        write_list(&points, out, |(at, value), out| write_point(*at, *value, out));
        out.push(b'}');
    });
}

/// Begins an object.
fn write_labels(labels: &Labels, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"metric\":{");
    for (place, (label, value)) in labels.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_text(label, out);
        out.push(b':');
        write_text(value, out);
    }
    out.extend_from_slice(b"},");
}

fn write_point(millis: u64, value: f64, out: &mut Vec<u8>) {
    out.push(b'[');
    write_shown(millis as f64 / MILLIS_OF_SECOND, out);
    out.push(b',');
    match value {
        f64::INFINITY => write_quoted("+Inf", out),
        f64::NEG_INFINITY => write_quoted("-Inf", out),
        value => write_quoted(value, out),
    }
    out.push(b']');
}

impl FromRequest<Service> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, service: &Service) -> Result<Self, Response> {
        let address = request.uri().query().unwrap_or_default().to_owned();
        let form = Bytes::from_request(request, service).await.map_err(IntoResponse::into_response)?;
        Ok(Self::of(&address, &form))
    }
}

impl Fields {
    fn of(address: &str, form: &[u8]) -> Self {
        // Whatever stands there is some pairs of texts. Nothing is longer than a query.
        let some = |text: &[u8]| -> Vec<(String, String)> {
            let is_short = text.len() <= 4 * MOST_BYTES;
            if is_short { serde_urlencoded::from_bytes(text).unwrap_or_default() } else { Vec::new() }
        };
        Self(some(form).into_iter().chain(some(address.as_bytes())).collect())
    }

    pub(super) fn all<'a, 'f>(&'a self, field: &'f str) -> impl Iterator<Item = &'a str> + use<'a, 'f> {
        let found = self.0.iter().filter(move |(name, text)| name == field && !text.is_empty());
        found.map(|(_, text)| text.as_str())
    }

    pub(super) fn get(&self, field: &str) -> Option<&str> {
        self.all(field).next()
    }

    fn required(&self, field: &'static str) -> Result<&str, Failure> {
        self.get(field).ok_or(Failure::Missing { field })
    }

    pub(super) fn time(&self, field: &'static str) -> Result<u64, Failure> {
        let text = self.required(field)?;
        let millis = millis_of_seconds(text)
            .or_else(|| unix_nano_of_rfc3339(text).ok().map(|nanos| nanos / 1_000_000));
        millis.ok_or_else(|| wrong(field, text, TIME))
    }

    fn step(&self) -> Result<u64, Failure> {
        let text = self.required("step")?;
        millis_of_seconds(text).or_else(|| millis_of(text)).ok_or_else(|| wrong("step", text, STEP))
    }
}

fn wrong(field: &'static str, given: &str, wanted: &'static str) -> Failure {
    Failure::Field { field, given: given.chars().take(64).collect(), wanted }
}

/// Within the times that spans may start at.
fn millis_of_seconds(text: &str) -> Option<u64> {
    const LATEST: f64 = i64::MAX as f64 / 1e6;
    let millis = text.parse::<f64>().ok()? * MILLIS_OF_SECOND;
    (0.0..=LATEST).contains(&millis).then(|| millis.round() as u64)
}

impl Failure {
    fn status(&self) -> (StatusCode, &'static str) {
        let query = match self {
            Self::Evaluate(EvaluateError::Query(error)) | Self::Query(error) => error,
            _ => return (StatusCode::BAD_REQUEST, "bad_data"),
        };
        match status_of(query) {
            status @ StatusCode::GATEWAY_TIMEOUT => (status, "timeout"),
            status => (status, "execution"),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, kind) = self.status();
        let body = json!({"status": "error", "errorType": kind, "error": self.to_string()});
        json_of(status, body.to_string().into_bytes())
    }
}
