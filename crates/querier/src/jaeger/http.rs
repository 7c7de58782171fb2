//! Jaeger over HTTP: what both generations share.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{HeaderName, HeaderValue, StatusCode};
use siltstone_ask::Window;
use siltstone_format::tenant::{Tenant, UnclearTenant};
use tokio::sync::Semaphore;

use super::adjust::Reading;
use super::answer::text_response;
use super::settings::JaegerSettings;
use super::{legacy, v3};
use crate::http::tenant_of;
use crate::querier::Querier;

/// The span of the server itself: there is none, and clients look for the header.
const OWN_SPAN: HeaderName = HeaderName::from_static("traceresponse");

/// Files that are turned into Jaeger's JSON at a time.
const TRANSFORMS: usize = 4;

/// What requests are answered with.
#[derive(Clone)]
pub(crate) struct Jaeger {
    pub(super) querier: Arc<Querier>,
    /// Requests must name their tenant.
    tenants: bool,
    pub(super) settings: Arc<JaegerSettings>,
    /// Bodies that are turned into Jaeger's JSON, at a time.
    pub(super) transforms: Arc<Semaphore>,
}

/// All paths of Jaeger's, and what no path of `/api` is.
pub(crate) fn router(jaeger: Jaeger) -> Router {
    Router::new()
        .merge(legacy::router())
        .merge(v3::router())
        .route("/api", any(nothing_there))
        .route("/api/", any(nothing_there))
        .route("/api/{*rest}", any(nothing_there))
        .layer(axum::middleware::map_response(with_own_span))
        .with_state(jaeger)
}

pub(super) async fn nothing_there() -> Response {
    text_response(StatusCode::NOT_FOUND, b"404 page not found".to_vec())
}

async fn with_own_span(mut response: Response) -> Response {
    response.headers_mut().insert(OWN_SPAN, HeaderValue::from_static(""));
    response
}

impl Jaeger {
    pub(crate) fn new(querier: Arc<Querier>, tenants: bool, settings: JaegerSettings) -> Self {
        let transforms = Arc::new(Semaphore::new(TRANSFORMS));
        Self { querier, tenants, settings: Arc::new(settings), transforms }
    }

    pub(super) fn now_unix_nano(&self) -> u64 {
        self.querier.clock.wall_millis().saturating_mul(1_000_000)
    }

    /// In which services and operations are looked for.
    pub(super) fn window_of_names(&self) -> Window {
        self.settings.window_of_names(self.now_unix_nano())
    }

    pub(super) fn reading(&self, is_raw: bool) -> Reading {
        match is_raw {
            true => Reading::Raw,
            false => Reading::Adjusted { max_clock_skew: self.settings.max_clock_skew },
        }
    }
}

/// How JSON is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Compact,
    Indented,
}

/// Who asks, and with which parameters.
pub(super) struct Asked {
    pub(super) tenant: Tenant,
    pub(super) parameters: Parameters,
}

impl FromRequestParts<Jaeger> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, jaeger: &Jaeger) -> Result<Self, Response> {
        let tenant = tenant_of(&parts.headers, jaeger.tenants).map_err(unknown_tenant)?;
        Ok(Self { tenant, parameters: Parameters::of(parts.uri.query().unwrap_or_default()) })
    }
}

fn unknown_tenant(unclear: UnclearTenant) -> Response {
    let what = match unclear {
        UnclearTenant::None => "missing tenant header",
        _ => "unknown tenant",
    };
    text_response(StatusCode::UNAUTHORIZED, format!("{what}: {unclear}").into_bytes()).into_response()
}

/// The parameters of a request. One that is empty is as good as none.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

/// Not a bool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is neither true nor false")]
pub(super) struct NotABool(String);

/// Not a whole number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a whole number, or too large")]
pub(super) struct NotAnInt(String);

impl Parameters {
    pub(super) fn of(query: &str) -> Self {
        // Whatever stands in a query is some pairs of texts.
        Self(serde_urlencoded::from_str(query).unwrap_or_default())
    }

    /// The first that says something, under any of some names.
    pub(super) fn first(&self, names: &[&str]) -> Option<&str> {
        let mut named =
            self.0.iter().filter(|(name, text)| names.contains(&name.as_str()) && !text.is_empty());
        named.next().map(|(_, text)| text.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(other, text)| name == other && !text.is_empty());
        named.map(|(_, text)| text.as_str())
    }

    /// False if nobody says anything.
    pub(super) fn flag(&self, names: &[&str]) -> Result<bool, NotABool> {
        match self.first(names) {
            None | Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(false),
            Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(true),
            Some(other) => Err(NotABool(other.chars().take(64).collect())),
        }
    }

    pub(super) fn int(&self, names: &[&str]) -> Result<Option<i64>, NotAnInt> {
        let Some(text) = self.first(names) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| NotAnInt(text.chars().take(64).collect()))
    }

    pub(super) fn layout(&self) -> Layout {
        match self.first(&["prettyPrint"]) {
            None | Some("false") => Layout::Compact,
            Some(_) => Layout::Indented,
        }
    }
}
