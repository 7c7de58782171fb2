//! OTLP over gRPC: one unary call, and the health of the service.
//!
//! The message is taken from its frame here and not by tonic, which would hold and decompress bodies that
//! nobody has reserved memory for, and copy them twice. tonic writes statuses and serves health.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body as TonicBody;
use tonic::codegen::Service;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::answer::{Failure, taken_protobuf};
use super::body::{Gathered, encoding_of, next_chunk, too_large, within};
use super::tenant::tenant_of;
use super::{Otlp, TRACE_SERVICE};
use crate::export::{Accepted, Admission};
use crate::metrics::Transport;
use crate::receive::connections::Answer;
use crate::receive::decompress::Encoding;

const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const HEALTH_PATH: &str = "/grpc.health.v1.Health/";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const ENCODINGS: HeaderValue = HeaderValue::from_static("identity,gzip,zstd,deflate");
const UNAVAILABLE: HeaderValue = HeaderValue::from_static("14");
/// Whether the message is compressed, and its length.
const FRAME_HEAD_BYTES: usize = 5;

/// The service on the gRPC port.
pub struct GrpcReceiver {
    otlp: Arc<Otlp>,
    health: HealthServer<HealthService>,
    reporter: HealthReporter,
    stopping: CancellationToken,
}

impl GrpcReceiver {
    /// Healthy from the start: it is made when requests can be taken.
    pub async fn new(otlp: Arc<Otlp>) -> Self {
        let reporter = HealthReporter::new();
        reporter.set_service_status(TRACE_SERVICE, ServingStatus::Serving).await;
        let health = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        Self { otlp, health, reporter, stopping: CancellationToken::new() }
    }

    /// Tells who watches that no more should be sent, and watches no more.
    pub async fn stops(&self) {
        for service in ["", TRACE_SERVICE] {
            self.reporter.set_service_status(service, ServingStatus::NotServing).await;
        }
        self.stopping.cancel();
    }

    async fn export(&self, request: Request<Incoming>) -> Result<Accepted, Failure> {
        let (head, mut body) = request.into_parts();
        let Otlp { accept, metrics, clock, settings } = &*self.otlp;
        let tenant = tenant_of(&head.headers, settings.tenants)?;
        let encoding = encoding_of(head.headers.get("grpc-encoding"))?;
        let deadline = settings.read_deadline;
        let reading = async {
            let (first, length, encoding) = self.frame_head(&mut body, encoding).await?;
            let mut admission = accept.admit(&tenant, length).await?;
            let message = rest_of_message(&mut body, first, length, &mut admission).await?;
            metrics.received(Transport::Grpc, encoding, FRAME_HEAD_BYTES + length);
            Ok((message, encoding, admission))
        };
        let (message, encoding, admission) = within(deadline, &**clock, reading).await?;
        self.otlp.accept_protobuf(tenant, message, encoding, admission).await
    }

    /// The first bytes of the message, its length and whether it is compressed.
    async fn frame_head(
        &self,
        body: &mut Incoming,
        encoding: Encoding,
    ) -> Result<(Bytes, usize, Encoding), Failure> {
        let mut start = next_chunk(body).await?.unwrap_or_default();
        while start.len() < FRAME_HEAD_BYTES {
            let Some(more) = next_chunk(body).await? else {
                return Err(Failure::Broken("the call ended before its message".to_owned()));
            };
            let mut joined = BytesMut::with_capacity(start.len() + more.len());
            joined.put(start);
            joined.put(more);
            start = joined.freeze();
        }
        let head = start.split_to(FRAME_HEAD_BYTES);
        let (is_compressed, length) = match *head {
            [flag @ (0 | 1), a, b, c, d] => (flag == 1, u32::from_be_bytes([a, b, c, d]) as usize),
            _ => return Err(Failure::Broken("the message's frame has an unknown flag".to_owned())),
        };
        if is_compressed && encoding == Encoding::Identity {
            let text = "the message is compressed, and grpc-encoding does not say how";
            return Err(Failure::Broken(text.to_owned()));
        }
        if length > self.otlp.settings.request_bytes {
            return Err(too_large("the message is longer", self.otlp.settings.request_bytes));
        }
        Ok((start, length, if is_compressed { encoding } else { Encoding::Identity }))
    }
}

/// The message and the end of the call after it.
async fn rest_of_message(
    body: &mut Incoming,
    first: Bytes,
    length: usize,
    admission: &mut Admission,
) -> Result<Bytes, Failure> {
    let mut gathered = Gathered::with_capacity(length, length);
    let more_than_one = || Failure::Broken("the call has more than one message".to_owned());
    let mut next = Some(first);
    while let Some(chunk) = next {
        if gathered.len() + chunk.len() > length {
            return Err(more_than_one());
        }
        gathered.push(&chunk, admission)?;
        next = next_chunk(body).await?;
    }
    if gathered.len() < length {
        return Err(Failure::Broken("the call ended within its message".to_owned()));
    }
    Ok(gathered.finish())
}

impl Answer for GrpcReceiver {
    type Body = TonicBody;

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<TonicBody> {
        let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let is_grpc = content_type.is_some_and(|value| value.starts_with(b"application/grpc"));
        if !is_grpc || request.method() != Method::POST {
            return not_grpc();
        }
        let path = request.uri().path();
        if path.starts_with(HEALTH_PATH) {
            let answered: Result<_, Infallible> = self.health.clone().call(request).await;
            let response = match answered {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let stops = Box::pin(self.stopping.clone().cancelled_owned());
            return response.map(|body| TonicBody::new(UntilItStops { body: Some(body), stops }));
        }
        let outcome = if path == EXPORT_PATH {
            self.export(request).await
        } else {
            Err(Failure::UnknownPath(format!("there is no {path} here; {EXPORT_PATH} is")))
        };
        let mut response = match outcome {
            Ok(accepted) => {
                self.otlp.metrics.accepted(&accepted);
                taken(&accepted)
            }
            Err(failure) => {
                self.otlp.note(&failure);
                failure.grpc_status().into_http()
            }
        };
        response.headers_mut().insert("grpc-accept-encoding", ENCODINGS);
        response
    }

    fn opened(&self) {
        self.otlp.metrics.connection_opened();
    }

    fn closed(&self) {
        self.otlp.metrics.connection_closed();
    }
}

fn not_grpc() -> Response<TonicBody> {
    let text = "this port speaks gRPC (HTTP/2, application/grpc); OTLP over HTTP has a port of its own, \
                usually 4318\n";
    let mut response =
        Response::new(TonicBody::new(http_body_util::Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn taken(accepted: &Accepted) -> Response<TonicBody> {
    let message = taken_protobuf(accepted);
    let mut frame = BytesMut::with_capacity(FRAME_HEAD_BYTES + message.len());
    frame.put_u8(0);
    // The longest part is a message of ours.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put(message);
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = MessageAndTrailers { message: Some(frame.freeze()), trailers: Some(trailers) };
    let mut response = Response::new(TonicBody::new(body));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// An answer of the health service, which for a watch has no end of its own.
struct UntilItStops {
    body: Option<TonicBody>,
    stops: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Body for UntilItStops {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        // That it stops has been said by then.
        if self.stops.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.body = None;
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert("grpc-status", UNAVAILABLE);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }
}

/// The body of a successful unary answer.
struct MessageAndTrailers {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for MessageAndTrailers {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let message = self.message.take().map(Frame::data);
        let frame = message.or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.trailers.is_none()
    }
}
