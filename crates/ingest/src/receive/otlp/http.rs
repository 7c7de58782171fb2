//! OTLP over HTTP: `POST /v1/traces`, protobuf and JSON. Every answer, an error too, is of the request's kind.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;

use super::answer::{Failure, taken_json, taken_protobuf};
use super::body::{FIRST_GUESS_BYTES, discard, encoding_of, read, too_large, within};
use super::tenant::tenant_of;
use super::{Otlp, cors};
use crate::export::Accepted;
use crate::metrics::Transport;
use crate::receive::connections::Answer;

const PATH: &str = "/v1/traces";
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// How long a sender who was refused may go on sending before the connection is closed.
const LINGER: Duration = Duration::from_secs(2);

/// The service on the HTTP port.
pub struct HttpReceiver {
    otlp: Arc<Otlp>,
}

/// What a body is, and what its answer will be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Protobuf,
    Json,
}

impl HttpReceiver {
    pub fn new(otlp: Arc<Otlp>) -> Self {
        Self { otlp }
    }

    async fn export(
        &self,
        head: &http::request::Parts,
        body: &mut Incoming,
        kind: Option<Kind>,
    ) -> Result<Accepted, Failure> {
        route(head)?;
        let Some(kind) = kind else { return Err(unknown_kind(&head.headers)) };
        let Otlp { accept, metrics, clock, settings } = &*self.otlp;
        let tenant = tenant_of(&head.headers, settings.tenants)?;
        let encoding = encoding_of(head.headers.get(CONTENT_ENCODING))?;
        let length = length_of(&head.headers);
        if length.is_some_and(|length| length > settings.request_bytes) {
            return Err(too_large("its Content-Length says more", settings.request_bytes));
        }
        let mut admission = accept.admit(&tenant, length.unwrap_or(FIRST_GUESS_BYTES)).await?;
        let reading = read(body, length, settings.request_bytes, &mut admission);
        let bytes = within(settings.read_deadline, &**clock, reading).await?;
        match kind {
            Kind::Protobuf => {
                metrics.received(Transport::HttpProtobuf, encoding, bytes.len());
                self.otlp.accept_protobuf(tenant, bytes, encoding, admission).await
            }
            Kind::Json => {
                metrics.received(Transport::HttpJson, encoding, bytes.len());
                self.otlp.accept_json(tenant, bytes, encoding, admission).await
            }
        }
    }

    /// A sender over HTTP/1 that is still sending would see a reset instead of the answer.
    async fn linger(&self, head: &http::request::Parts, body: &mut Incoming) {
        // Who asks before sending would be told to send by the reading.
        if head.version >= Version::HTTP_2 || head.headers.contains_key(EXPECT) {
            return;
        }
        let rest = async {
            discard(body, self.otlp.settings.request_bytes).await;
            Ok(())
        };
        // That it takes too long changes nothing: the answer is sent and the connection closed.
        let _ = within(LINGER, &*self.otlp.clock, rest).await;
    }
}

fn route(head: &http::request::Parts) -> Result<(), Failure> {
    let path = head.uri.path();
    if path != PATH {
        return Err(Failure::UnknownPath(format!("there is no {path} here; traces go to POST {PATH}")));
    }
    if head.method != Method::POST {
        return Err(Failure::Method(format!(
            "{} is not possible here; traces go to POST {PATH}",
            head.method
        )));
    }
    Ok(())
}

fn length_of(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Parameters, such as a charset, do not matter: JSON is UTF-8, and protobuf has no charset.
fn kind_of(headers: &HeaderMap) -> Option<Kind> {
    let value = headers.get(CONTENT_TYPE)?.as_bytes();
    let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    match media_type {
        _ if media_type.eq_ignore_ascii_case(b"application/x-protobuf") => Some(Kind::Protobuf),
        _ if media_type.eq_ignore_ascii_case(b"application/protobuf") => Some(Kind::Protobuf),
        _ if media_type.eq_ignore_ascii_case(b"application/json") => Some(Kind::Json),
        _ => None,
    }
}

fn unknown_kind(headers: &HeaderMap) -> Failure {
    let found = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if found.starts_with(b"application/grpc") {
        let text = "this port speaks OTLP over HTTP; gRPC has a port of its own, usually 4317";
        return Failure::UnknownMediaType(text.to_owned());
    }
    let found = String::from_utf8_lossy(found.get(..64).unwrap_or(found));
    Failure::UnknownMediaType(format!(
        "the content type `{found}` is not known: send application/x-protobuf or application/json"
    ))
}

impl Answer for HttpReceiver {
    type Body = Full<Bytes>;

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, mut body) = request.into_parts();
        let page = cors::headers_for(&head.headers, &self.otlp.settings.cors_origins);
        if head.method == Method::OPTIONS && head.uri.path() == PATH && page.is_some() {
            return preflight(page);
        }
        let kind = kind_of(&head.headers);
        let mut response = match self.export(&head, &mut body, kind).await {
            Ok(accepted) => {
                self.otlp.metrics.accepted(&accepted);
                taken(&accepted, kind)
            }
            Err(failure) => {
                self.otlp.note(&failure);
                // Who is too slow already would only be so again.
                if matches!(failure, Failure::TooSlow(_)) {
                    refused_and_closed(&failure, kind, head.version)
                } else {
                    self.linger(&head, &mut body).await;
                    refused(&failure, kind)
                }
            }
        };
        if let Some(page) = page {
            response.headers_mut().extend(page);
        }
        response
    }

    fn opened(&self) {
        self.otlp.metrics.connection_opened();
    }

    fn closed(&self) {
        self.otlp.metrics.connection_closed();
    }
}

fn preflight(page: Option<HeaderMap>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().extend(page.unwrap_or_default());
    cors::add_preflight(response.headers_mut());
    response
}

fn taken(accepted: &Accepted, kind: Option<Kind>) -> Response<Full<Bytes>> {
    let (content_type, body) = match kind {
        Some(Kind::Json) => (JSON, taken_json(accepted)),
        Some(Kind::Protobuf) | None => (PROTOBUF, taken_protobuf(accepted)),
    };
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// JSON for who sent neither: people read it more easily.
fn refused(failure: &Failure, kind: Option<Kind>) -> Response<Full<Bytes>> {
    let (content_type, body) = match kind {
        Some(Kind::Protobuf) => (PROTOBUF, failure.protobuf()),
        Some(Kind::Json) | None => (JSON, failure.json()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = failure.http_status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    if let Some(after) = failure.retry_after_header() {
        headers.insert(RETRY_AFTER, after);
    }
    if matches!(failure, Failure::Method(_)) {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

fn refused_and_closed(failure: &Failure, kind: Option<Kind>, version: Version) -> Response<Full<Bytes>> {
    let mut response = refused(failure, kind);
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
