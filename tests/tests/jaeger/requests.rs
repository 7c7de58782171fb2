//! Requests to the query port, without a port.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use siltstone_format::columns::SpanColumns;
use siltstone_ingest::decode::{OriginCache, Rules, decode};
use siltstone_ingest::receive::otlp::json::to_protobuf;
use siltstone_querier::http::{HttpConfig, router};
use siltstone_querier::jaeger::settings::{JaegerSettings, ReadOtlpJson, ReadSpans};
use siltstone_querier::querier::Querier;
use tower::ServiceExt;

pub(crate) struct Http {
    router: Router,
}

/// An answer as its client sees it.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

struct IngestersJson;

impl ReadOtlpJson for IngestersJson {
    fn read(&self, json: &[u8]) -> Result<ReadSpans, String> {
        let transcoded = to_protobuf(json).map_err(|error| error.to_string())?;
        let (mut columns, mut origins) = (SpanColumns::default(), OriginCache::default());
        decode(&transcoded.body, &Rules::NONE, &mut columns, &mut origins).unwrap();
        let refused = match transcoded.refused.total() {
            0 => String::new(),
            count => format!("{count} spans are left out"),
        };
        Ok(ReadSpans { spans: columns.spans().unwrap(), refused })
    }
}

impl Http {
    pub(crate) fn new(querier: Arc<Querier>) -> Self {
        Self::with(querier, false, JaegerSettings::default())
    }

    pub(crate) fn with(querier: Arc<Querier>, tenants: bool, settings: JaegerSettings) -> Self {
        let jaeger = JaegerSettings { otlp_json: Some(Arc::new(IngestersJson)), ..settings };
        Self { router: router(querier, HttpConfig { tenants, jaeger }) }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Reply {
        self.send(Request::post(path).body(body.into()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Reply { status: head.status.as_u16(), headers: head.headers, body }
    }
}

impl Reply {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What golden tests compare.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.header("content-type").unwrap_or("no content type");
        let sniff = if self.header("x-content-type-options") == Some("nosniff") { ", nosniff" } else { "" };
        let own_span = if self.header("traceresponse").is_some() { "" } else { ", NO traceresponse" };
        writeln!(f, "{} {kind}{sniff}{own_span}", self.status)?;
        f.write_str(&self.body)
    }
}
