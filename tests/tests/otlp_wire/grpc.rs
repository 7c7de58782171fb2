//! gRPC: by tonic's client as senders use it, and frame by frame where that is too polite.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use siltstone_ingest::export::{Accepted, Refusals, Refused, SpanFault};
use siltstone_ingest::receive::otlp::{Settings, TRACE_SERVICE};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_types::StatusExt;

use crate::stand_in::{
    MEMORY_BYTES, REQUEST_BYTES, Receivers, UNCOMPRESSED_BYTES, compressed, request, settings,
};

/// For what must come about at once, on a busy machine.
const LONG_ENOUGH: Duration = Duration::from_secs(20);
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

async fn channel(receivers: &Receivers) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", receivers.grpc)).unwrap();
    endpoint.connect().await.unwrap()
}

struct Raw(SendRequest<Full<Bytes>>);

/// What came back: the status and its message, from the trailers or the head, and the body.
struct Outcome {
    code: Code,
    message: String,
    body: Bytes,
}

impl Raw {
    async fn to(receivers: &Receivers) -> Self {
        let stream = TcpStream::connect(receivers.grpc).await.unwrap();
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn raw(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Response<hyper::body::Incoming> {
        let mut request = Request::post(format!("http://test{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.0.ready().await.unwrap();
        self.0.send_request(request.body(Full::new(body.into())).unwrap()).await.unwrap()
    }

    async fn call(&mut self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Outcome {
        let headers = [&[("content-type", "application/grpc"), ("te", "trailers")], headers].concat();
        let response = self.raw(path, &headers, body).await;
        assert_eq!(response.status(), 200);
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or(head.headers);
        let status = tonic::Status::from_header_map(&trailers).unwrap();
        Outcome { code: status.code(), message: status.message().to_owned(), body: body.to_bytes() }
    }
}

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = BytesMut::new();
    frame.put_u8(flag);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.to_vec()
}

#[tokio::test]
async fn should_take_what_an_exporter_sends() {
    let receivers = Receivers::start().await;
    let mut client = TraceServiceClient::new(channel(&receivers).await);
    for spans in [1, 2_000] {
        let response = client.export(request(spans)).await.unwrap().into_inner();
        assert_eq!(response, ExportTraceServiceResponse::default());
    }
    assert_eq!(receivers.bodies(), [request(1).encode_to_vec(), request(2_000).encode_to_vec()]);
    assert_eq!(receivers.metric("siltstone_ingest_spans_total"), 2_001);
    assert_eq!(receivers.core.budget.used(), 0);
}

#[tokio::test]
async fn should_take_every_encoding() {
    let receivers = Receivers::start().await;
    let mut client = Raw::to(&receivers).await;
    let message = request(900).encode_to_vec();
    for (encoding, flag) in [("identity", 0), ("gzip", 1), ("zstd", 1), ("gzip", 0)] {
        let sent = if flag == 1 { compressed(encoding, &message) } else { message.clone() };
        let outcome = client.call(EXPORT, &[("grpc-encoding", encoding)], frame(flag, &sent)).await;
        assert_eq!(
            (outcome.code, &*outcome.body),
            (Code::Ok, &[0_u8; 5][..]),
            "{encoding}: {}",
            outcome.message
        );
    }
    assert_eq!(receivers.bodies(), vec![message; 4]);
    let line = "siltstone_ingest_requests_total{transport=\"grpc\",encoding=\"zstd\"}";
    assert_eq!(receivers.metric(line), 1);
}

#[tokio::test]
async fn should_say_which_spans_were_refused() {
    let receivers = Receivers::start().await;
    let mut refused = Refusals::default();
    refused.add(SpanFault::TraceId);
    receivers.answer_with(Ok(Accepted { spans: 1, refused, message: "one has no trace id".to_owned() }));
    let mut client = TraceServiceClient::new(channel(&receivers).await);
    let partial = client.export(request(2)).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!((partial.rejected_spans, &*partial.error_message), (1, "one has no trace id"));
}

#[tokio::test]
async fn should_tell_senders_when_to_come_again() {
    let receivers = Receivers::start().await;
    let mut client = TraceServiceClient::new(channel(&receivers).await);
    let held = receivers.core.budget.try_reserve(MEMORY_BYTES).unwrap();
    let status = client.export(request(2)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let retry = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
    assert_eq!(retry, Some(Duration::from_secs(1)));
    drop(held);
    let retry_after = Duration::from_secs(9);
    receivers.answer_with(Err(Refused::Unavailable { what: "the disk is full".to_owned(), retry_after }));
    let status = client.export(request(2)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let retry = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
    assert_eq!(retry, Some(retry_after));
    assert_eq!(receivers.core.budget.used(), 0);
}

#[tokio::test]
async fn should_refuse_what_it_cannot_read() {
    let receivers = Receivers::start().await;
    let mut client = Raw::to(&receivers).await;
    let message = request(3).encode_to_vec();
    let two = [frame(0, &message), frame(0, &message)].concat();
    let gzip = [("grpc-encoding", "gzip")];
    for (headers, body, code, says) in [
        (&[][..], frame(0, b"\xff\xff"), Code::InvalidArgument, "not an OTLP trace export"),
        (&[], Vec::new(), Code::InvalidArgument, "before its message"),
        (&[], vec![0, 0, 0], Code::InvalidArgument, "before its message"),
        (&[], frame(0, &message)[..20].to_vec(), Code::InvalidArgument, "within its message"),
        (&[], two, Code::InvalidArgument, "more than one"),
        (&[], frame(7, &message), Code::InvalidArgument, "flag"),
        (&[], frame(1, &message), Code::InvalidArgument, "grpc-encoding"),
        (&gzip, frame(1, &message), Code::InvalidArgument, "gzip"),
        (&[("grpc-encoding", "br")], frame(1, &message), Code::Unimplemented, "`br`"),
        (&[], vec![0, 255, 255, 255, 255], Code::ResourceExhausted, "ingest.request_bytes"),
        (&[], frame(0, &vec![0; REQUEST_BYTES + 1]), Code::ResourceExhausted, "ingest.request_bytes"),
        (
            &gzip,
            frame(1, &compressed("gzip", &vec![0; UNCOMPRESSED_BYTES + 1])),
            Code::ResourceExhausted,
            "ingest.uncompressed_bytes",
        ),
    ] {
        let outcome = client.call(EXPORT, headers, body).await;
        assert_eq!(outcome.code, code, "{says}");
        assert!(outcome.message.contains(says), "{}", outcome.message);
    }
    let path = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    let outcome = client.call(path, &[], frame(0, b"")).await;
    assert_eq!(outcome.code, Code::Unimplemented);
    let json = [("content-type", "application/json")];
    assert_eq!(client.raw("/v1/traces", &json, b"{}".to_vec()).await.status(), 415);
    assert!(receivers.bodies().is_empty());
    assert_eq!(client.call(EXPORT, &[], frame(0, &message)).await.code, Code::Ok);
    assert_eq!(receivers.core.budget.used(), 0);
}

#[tokio::test]
async fn should_read_the_tenant_from_metadata() {
    let receivers = Receivers::with(Settings { tenants: true, ..settings() }, 8).await;
    let mut client = Raw::to(&receivers).await;
    let body = frame(0, &request(1).encode_to_vec());
    assert_eq!(client.call(EXPORT, &[], body.clone()).await.code, Code::Unauthenticated);
    let outcome = client.call(EXPORT, &[("x-scope-orgid", "a/b")], body.clone()).await;
    assert_eq!(outcome.code, Code::InvalidArgument);
    let outcome = client.call(EXPORT, &[("x-scope-orgid", "team-a")], body).await;
    assert_eq!(outcome.code, Code::Ok);
    assert_eq!(receivers.core.exports.lock().unwrap()[0].tenant.as_str(), "team-a");
}

#[tokio::test]
async fn should_not_wait_for_slow_senders_for_ever() {
    let receivers = Receivers::start().await;
    let stream = TcpStream::connect(receivers.grpc).await.unwrap();
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let start =
        Ok::<_, std::convert::Infallible>(hyper::body::Frame::data(Bytes::from_static(&[0, 0, 0, 9, 0])));
    let endless = futures::StreamExt::chain(futures::stream::iter([start]), futures::stream::pending());
    let request = Request::post(format!("http://test{EXPORT}")).header("content-type", "application/grpc");
    let request = request.body(http_body_util::StreamBody::new(endless)).unwrap();
    let answering = tokio::spawn(async move { sender.send_request(request).await.unwrap() });
    receivers.pass(Duration::from_secs(30)).await;
    let response = answering.await.unwrap();
    let status = tonic::Status::from_header_map(response.headers()).unwrap();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("ingest.read_deadline"));
    while receivers.core.budget.used() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn should_say_how_it_is() {
    let receivers = Receivers::start().await;
    let mut client = HealthClient::new(channel(&receivers).await);
    for service in ["", TRACE_SERVICE] {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(client.check(request).await.unwrap().into_inner().status, 1);
    }
    let unknown = HealthCheckRequest { service: "x".to_owned() };
    assert_eq!(client.check(unknown).await.unwrap_err().code(), Code::NotFound);
    receivers.grpc_receiver.stops().await;
    let request = HealthCheckRequest { service: TRACE_SERVICE.to_owned() };
    assert_eq!(client.check(request).await.unwrap().into_inner().status, 2);
}

/// What a watch says next.
async fn said(watch: &mut Streaming<HealthCheckResponse>) -> Result<Option<i32>, Code> {
    let said = tokio::time::timeout(LONG_ENOUGH, watch.message()).await.unwrap();
    said.map(|said| said.map(|said| said.status)).map_err(|status| status.code())
}

/// A watch on a connection of its own, which has said that all is well.
async fn watch(receivers: &Receivers) -> Streaming<HealthCheckResponse> {
    let mut client = HealthClient::new(channel(receivers).await);
    let request = HealthCheckRequest { service: TRACE_SERVICE.to_owned() };
    let mut watch = client.watch(request).await.unwrap().into_inner();
    assert_eq!(said(&mut watch).await, Ok(Some(1)));
    watch
}

/// The idle rule strikes at the second look, and once more for those that do not go.
async fn pass_while_idle(receivers: &Receivers) {
    let idle_times = async {
        for _ in 0..4 {
            receivers.pass(Duration::from_secs(120)).await;
        }
    };
    // It never ends if no connection is left.
    tokio::time::timeout(LONG_ENOUGH, idle_times).await.unwrap();
}

#[tokio::test]
async fn should_not_take_a_connection_for_idle_on_which_somebody_watches() {
    let receivers = Receivers::start().await;
    let mut watch = watch(&receivers).await;
    pass_while_idle(&receivers).await;
    receivers.grpc_receiver.stops().await;
    assert_eq!(said(&mut watch).await, Ok(Some(2)));
}

#[tokio::test]
async fn should_leave_half_of_the_places_to_those_who_send() {
    let receivers = Receivers::with(settings(), 3).await;
    let mut watches = Vec::new();
    for _ in 0..3 {
        watches.push(watch(&receivers).await);
    }
    pass_while_idle(&receivers).await;
    let mut client = TraceServiceClient::new(channel(&receivers).await);
    client.export(request(1)).await.unwrap();
    receivers.grpc_receiver.stops().await;
    let mut told = 0;
    for mut watch in watches {
        told += usize::from(said(&mut watch).await == Ok(Some(2)));
    }
    assert_eq!(told, 2);
}

/// Nothing is lost by ending a watch, so nothing waits for it.
#[tokio::test]
async fn should_end_although_somebody_watches() {
    let receivers = Receivers::start().await;
    let mut watch = watch(&receivers).await;
    receivers.grpc_receiver.stops().await;
    receivers.stop.gently.cancel();
    assert_eq!(said(&mut watch).await, Ok(Some(2)));
    assert_eq!(said(&mut watch).await, Err(Code::Unavailable));
    for port in receivers.ports {
        port.await.unwrap();
    }
}

#[tokio::test]
async fn should_answer_calls_under_way_before_it_ends() {
    let receivers = Receivers::start().await;
    receivers.close_gate();
    let mut client = TraceServiceClient::new(channel(&receivers).await);
    let call = tokio::spawn(async move { client.export(request(5)).await });
    receivers.request_waits().await;
    receivers.stop.gently.cancel();
    receivers.core.gate.add_permits(1);
    call.await.unwrap().unwrap();
    for port in receivers.ports {
        port.await.unwrap();
    }
}
