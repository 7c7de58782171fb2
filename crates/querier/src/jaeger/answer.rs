//! Bodies: small ones at once, whole traces piece by piece as they are read.
//!
//! The first pieces are waited for before the status is sent, so that most errors have one. A later error breaks the
//! body off: what came is no whole answer, and every HTTP client says so.

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, stream};
use http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};

use super::adjust::{Piece, Traces};
use super::http::Layout;
use super::json::Indented;
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

/// A span seldom takes more.
const SPAN_BYTES: usize = 1_536;

/// Writes whole traces, of which it keeps only what it still needs.
pub(super) trait Encode: Send + 'static {
    fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>);

    /// What stands behind all traces. `gaps`: what they lack.
    fn end(&mut self, gaps: &[String], out: &mut Vec<u8>);
}

/// An answer with whole traces. `first` was taken from them already.
pub(super) async fn traces_response(
    traces: Traces,
    first: Option<Piece>,
    encode: impl Encode,
    layout: Layout,
) -> Result<Response, QueryError> {
    let mut writing = Writing { traces, encode, layout: Laying::new(layout), is_done: first.is_none() };
    let mut bytes = match &first {
        Some(piece) => writing.encoded(piece),
        None => writing.end(),
    };
    drop(first);
    while bytes.len() < FIRST_BYTES
        && let Some(piece) = writing.next().await?
    {
        bytes.extend(piece);
    }
    let partial = partial_header(&writing.traces.gaps());
    let rest = stream::try_unfold(writing, |mut writing| async move {
        Ok::<_, QueryError>(writing.next().await?.map(|piece| (Bytes::from(piece), writing)))
    });
    let body = stream::iter([Ok(Bytes::from(bytes))]).chain(rest).map_err(|error| error.to_string());
    let mut response = json_body(Body::from_stream(body));
    response.headers_mut().extend(partial);
    Ok(response)
}

/// An answer on its way into a body.
struct Writing<E> {
    traces: Traces,
    encode: E,
    layout: Laying,
    /// The end is written.
    is_done: bool,
}

impl<E: Encode> Writing<E> {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, QueryError> {
        if self.is_done {
            return Ok(None);
        }
        Ok(Some(match self.traces.next().await? {
            Some(piece) => self.encoded(&piece),
            None => self.end(),
        }))
    }

    fn encoded(&mut self, piece: &Piece) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(piece.spans.len() * SPAN_BYTES);
        self.encode.piece(piece, &mut bytes);
        self.layout.lay(bytes)
    }

    fn end(&mut self) -> Vec<u8> {
        self.is_done = true;
        let mut bytes = Vec::new();
        self.encode.end(&self.traces.gaps(), &mut bytes);
        self.layout.lay(bytes)
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
