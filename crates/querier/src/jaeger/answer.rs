//! Bodies: small ones at once, whole traces piece by piece as they are read.
//!
//! The first pieces are waited for before the status is sent, so that most errors have one. A later error breaks the
//! body off: what came is no whole answer, and every HTTP client says so.

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, stream};
use http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use siltstone_format::id::TraceId;

use super::http::Layout;
use super::json::Indented;
use super::written::{WriteTrace, Written};
use crate::http::partial_header;
use crate::querier::QueryError;

/// What is made before the status is sent.
const FIRST_BYTES: usize = 256 << 10;

pub(super) fn json_response(compact: Vec<u8>, layout: Layout) -> Response {
    let mut layout = Laying::new(layout);
    json_body(Body::from(layout.lay(compact)))
}

fn json_body(body: Body) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// As Go's servers write errors: plain text, whatever it says.
pub(super) fn text_response(status: StatusCode, mut text: Vec<u8>) -> Response {
    text.push(b'\n');
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    let mut response = (status, headers, text).into_response();
    if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A span seldom takes more, with its share of what is said of its resource.
pub(super) const SPAN_BYTES: usize = 2_560;

/// A list of traces, and what stands around it.
pub(super) trait TraceList: Send + 'static {
    /// What it writes begins with a comma.
    type Trace: WriteTrace<Item = u8>;
    const HEAD: &'static [u8];

    /// These begin in what comes next.
    fn come(&mut self, _traces: &[TraceId]) {}

    /// What stands behind all traces. `gaps`: what they lack.
    fn end(&mut self, gaps: &[String], out: &mut Vec<u8>);
}

/// An answer with whole traces.
pub(super) async fn traces_response<L: TraceList>(
    traces: Written<L::Trace>,
    list: L,
    layout: Layout,
) -> Result<Response, QueryError> {
    let mut body = ListBody { traces, list, layout: Laying::new(layout), place: Place::Head };
    let mut bytes = Vec::new();
    while bytes.len() < FIRST_BYTES
        && let Some(more) = body.next().await?
    {
        bytes.extend(more);
    }
    let partial = partial_header(&body.traces.gaps());
    let rest = stream::try_unfold(body, |mut body| async move {
        Ok::<_, QueryError>(body.next().await?.map(|more| (Bytes::from(more), body)))
    });
    let body = stream::iter([Ok(Bytes::from(bytes))]).chain(rest).map_err(|error| error.to_string());
    let mut response = json_body(Body::from_stream(body));
    response.headers_mut().extend(partial);
    Ok(response)
}

/// A list on its way into a body.
struct ListBody<L: TraceList> {
    traces: Written<L::Trace>,
    list: L,
    layout: Laying,
    place: Place,
}

/// Where in a list the next bytes stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    FirstTrace,
    Traces,
    Behind,
}

impl<L: TraceList> ListBody<L> {
    /// Never empty.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, QueryError> {
        let bytes = match self.place {
            Place::Head => {
                self.place = Place::FirstTrace;
                L::HEAD.to_vec()
            }
            Place::FirstTrace | Place::Traces => match self.traces.next().await? {
                Some(chunk) => {
                    self.list.come(&chunk.traces);
                    let is_first = std::mem::replace(&mut self.place, Place::Traces) == Place::FirstTrace;
                    let mut bytes = chunk.items;
                    // There is nothing before it that a comma would part it from.
                    bytes.drain(..usize::from(is_first));
                    bytes
                }
                None => {
                    self.place = Place::Behind;
                    let mut bytes = Vec::new();
                    self.list.end(&self.traces.gaps(), &mut bytes);
                    bytes
                }
            },
            Place::Behind => return Ok(None),
        };
        Ok(Some(self.layout.lay(bytes)))
    }
}

/// A layout on its way.
struct Laying(Option<Indented>);

impl Laying {
    fn new(layout: Layout) -> Self {
        Self((layout == Layout::Indented).then(Indented::default))
    }

    fn lay(&mut self, compact: Vec<u8>) -> Vec<u8> {
        let Some(indented) = &mut self.0 else { return compact };
        let mut lines = Vec::with_capacity(compact.len() * 2);
        indented.write(&compact, &mut lines);
        lines
    }
}
