//! HTTP, spoken by hand.

use std::net::SocketAddr;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use siltstone_format::tenant::Tenant;
use siltstone_ingest::export::{Accepted, Refusals, Refused, SpanFault};
use siltstone_ingest::receive::otlp::Settings;
use siltstone_tests::otlp_json::JsonWriter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stand_in::{
    MEMORY_BYTES, REQUEST_BYTES, Receivers, UNCOMPRESSED_BYTES, compressed, request, settings,
};

const PROTOBUF: &str = "content-type: application/x-protobuf";
const JSON: &str = "content-type: application/json; charset=utf-8";

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn status_message(&self) -> tonic_types::Status {
        assert_eq!(self.header("content-type"), Some("application/x-protobuf"));
        tonic_types::Status::decode(&*self.body).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).unwrap()
    }
}

struct Client(TcpStream);

impl Client {
    async fn to(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn send(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let length = format!("content-length: {}", body.len());
        let headers: Vec<&str> = headers.iter().copied().chain([length.as_str()]).collect();
        self.send_head(method, path, &headers).await;
        self.0.write_all(body).await.unwrap();
        self.answer().await
    }

    async fn send_head(&mut self, method: &str, path: &str, headers: &[&str]) {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n{}\r\n\r\n", headers.join("\r\n"));
        self.0.write_all(head.as_bytes()).await.unwrap();
    }

    async fn answer(&mut self) -> Answer {
        let mut bytes = Vec::new();
        let end = loop {
            assert_ne!(self.0.read_buf(&mut bytes).await.unwrap(), 0, "closed within the answer");
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut answer = Answer { status: head[9..12].parse().unwrap(), head, body: bytes.split_off(end) };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while answer.body.len() < length {
            assert_ne!(self.0.read_buf(&mut answer.body).await.unwrap(), 0, "closed within the body");
        }
        answer
    }

    async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        !matches!(self.0.read_buf(&mut rest).await, Ok(1..))
    }
}

async fn post(receivers: &Receivers, headers: &[&str], body: &[u8]) -> Answer {
    Client::to(receivers.http).await.send("POST", "/v1/traces", headers, body).await
}

#[tokio::test]
async fn should_take_protobuf_and_json_in_every_encoding() {
    let expected = request(20);
    let (protobuf, json) = (expected.encode_to_vec(), spans_as_json(20));
    let receivers = Receivers::start().await;
    let mut client = Client::to(receivers.http).await;
    for encoding in ["identity", "gzip", "zstd"] {
        for (content_type, body, empty) in
            [(PROTOBUF, protobuf.as_slice(), ""), (JSON, json.as_bytes(), "{}")]
        {
            let header = format!("content-encoding: {encoding}");
            let body = compressed(encoding, body);
            let answer = client.send("POST", "/v1/traces", &[content_type, &header], &body).await;
            let kind = content_type.trim_start_matches("content-type: ").split(';').next();
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (200, kind),
                "{encoding} {content_type}"
            );
            assert_eq!(answer.body, empty.as_bytes());
        }
    }
    let exports = receivers.core.exports.lock().unwrap();
    assert_eq!(exports.len(), 6);
    for export in exports.iter() {
        let decoded = opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest::decode(
            export.body.clone(),
        );
        assert_eq!(decoded.unwrap(), expected);
        assert_eq!(export.tenant, Tenant::single());
    }
    drop(exports);
    assert_eq!(receivers.metric("siltstone_ingest_spans_total"), 120);
    let line = "siltstone_ingest_requests_total{transport=\"http_json\",encoding=\"zstd\"}";
    assert_eq!(receivers.metric(line), 1);
    assert_eq!(receivers.core.budget.used(), 0);
}

fn spans_as_json(count: usize) -> String {
    let spans: Vec<_> = (0..count)
        .map(|index| {
            serde_json::json!({
                "traceId": "07".repeat(16),
                "spanId": format!("{:016x}", index + 1),
                "name": format!("GET /products/{index}"),
                "startTimeUnixNano": "1800000000000000000",
                "endTimeUnixNano": "1800000000000100000",
            })
        })
        .collect();
    serde_json::json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] }).to_string()
}

#[tokio::test]
async fn should_take_chunked_bodies_and_bodies_that_wait_to_be_asked_for() {
    let receivers = Receivers::start().await;
    let body = request(1_000).encode_to_vec();
    let mut client = Client::to(receivers.http).await;
    client.send_head("POST", "/v1/traces", &[PROTOBUF, "transfer-encoding: chunked"]).await;
    for chunk in body.chunks(9_999) {
        client.0.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.unwrap();
        client.0.write_all(chunk).await.unwrap();
        client.0.write_all(b"\r\n").await.unwrap();
    }
    client.0.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(client.answer().await.status, 200);
    let length = format!("content-length: {}", body.len());
    client.send_head("POST", "/v1/traces", &[PROTOBUF, &length, "expect: 100-continue"]).await;
    assert_eq!(client.answer().await.status, 100);
    client.0.write_all(&body).await.unwrap();
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(receivers.bodies(), [body.clone(), body]);
}

#[tokio::test]
async fn should_say_which_spans_were_refused_in_the_language_of_the_request() {
    let receivers = Receivers::start().await;
    let mut refused = Refusals::default();
    refused.add(SpanFault::TooOld);
    receivers.answer_with(Ok(Accepted { spans: 1, refused, message: "one is too old".to_owned() }));
    let answer = post(&receivers, &[PROTOBUF], &request(2).encode_to_vec()).await;
    let partial = ExportTraceServiceResponse::decode(&*answer.body).unwrap().partial_success.unwrap();
    assert_eq!((answer.status, partial.rejected_spans, &*partial.error_message), (200, 1, "one is too old"));
    let bad = spans_as_json(2).replacen("0707", "zzzz", 1);
    let answer = post(&receivers, &[JSON], bad.as_bytes()).await;
    let partial = &answer.json()["partialSuccess"];
    assert_eq!((answer.status, partial["rejectedSpans"].as_str()), (200, Some("2")));
    let message = partial["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("one is too old; ") && message.contains("trace_id: 1"), "{message}");
    assert_eq!(receivers.metric("siltstone_ingest_refused_spans_total{fault=\"too_old\"}"), 2);
    assert_eq!(receivers.metric("siltstone_ingest_refused_spans_total{fault=\"trace_id\"}"), 1);
}

#[tokio::test]
async fn should_refuse_what_it_cannot_read_and_keep_the_connection() {
    let receivers = Receivers::start().await;
    let body = request(3).encode_to_vec();
    let mut client = Client::to(receivers.http).await;
    for (headers, body, status, says) in [
        (&[PROTOBUF][..], &b"\xff\xff"[..], 400, "not an OTLP trace export"),
        (&[JSON], b"{\"resourceSpans\": 7}", 400, "byte 18"),
        (&[JSON, "content-encoding: gzip"], b"{}", 400, "gzip"),
        (&[PROTOBUF, "content-encoding: zstd"], &compressed("zstd", &body)[..20], 400, "zstd"),
        (&[PROTOBUF, "content-encoding: br"], &body, 415, "`br`"),
        (&["content-type: text/plain"], &body, 415, "application/x-protobuf"),
        (&["content-type: application/grpc"], &body, 415, "4317"),
        (&["x-nothing: 1"], &body, 415, "application/json"),
    ] {
        let answer = client.send("POST", "/v1/traces", headers, body).await;
        assert_eq!(answer.status, status, "{headers:?}");
        let message = match headers[0] {
            PROTOBUF => answer.status_message().message,
            _ => answer.json()["message"].as_str().unwrap().to_owned(),
        };
        assert!(message.contains(says), "{message}");
        assert_eq!(answer.header("retry-after"), None);
    }
    let answer = client.send("POST", "/v1/metrics", &[PROTOBUF], &body).await;
    assert_eq!(answer.status, 404);
    assert!(answer.status_message().message.contains("POST /v1/traces"));
    let answer = client.send("GET", "/v1/traces", &[], b"").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert!(answer.json()["message"].as_str().unwrap().contains("GET"));
    assert_eq!(client.send("POST", "/v1/traces", &[PROTOBUF], &body).await.status, 200);
    assert_eq!(receivers.bodies().len(), 1);
    assert_eq!(receivers.metric("siltstone_ingest_refused_requests_total{reason=\"unsupported\"}"), 6);
}

#[tokio::test]
async fn should_tell_senders_to_wait_when_there_is_no_room() {
    let receivers = Receivers::start().await;
    let held = receivers.core.budget.try_reserve(MEMORY_BYTES - 100).unwrap();
    let body = request(10).encode_to_vec();
    for (headers, body) in [(&[PROTOBUF][..], &body[..]), (&[JSON], b"{                        }")] {
        let answer = post(&receivers, headers, &[body, body, body, body, body].concat()).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")));
    }
    // What compressed bodies grow to counts too.
    let zeros = compressed("gzip", &vec![b' '; 100_000]);
    drop(held);
    let held = receivers.core.budget.try_reserve(MEMORY_BYTES - 50_000).unwrap();
    let answer = post(&receivers, &[JSON, "content-encoding: gzip"], &zeros).await;
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (429, Some(8)));
    assert_eq!(answer.json()["details"][0]["retryDelay"], "1s");
    drop(held);
    assert_eq!(post(&receivers, &[PROTOBUF], &body).await.status, 200);
    assert_eq!(receivers.core.budget.used(), 0);
    assert_eq!(receivers.metric("siltstone_ingest_refused_requests_total{reason=\"overloaded\"}"), 3);
}

/// A sender that is told to wait would send it for ever.
#[tokio::test]
async fn should_refuse_for_good_what_never_fits_into_memory() {
    let limits =
        Settings { request_bytes: 2 * MEMORY_BYTES, uncompressed_bytes: 2 * MEMORY_BYTES, ..settings() };
    let receivers = Receivers::with(limits, 64).await;
    let large = vec![0; MEMORY_BYTES / 2 + 1];
    let chunks = [format!("{:x}\r\n", large.len()).as_bytes(), &large, b"\r\n0\r\n\r\n"].concat();
    let mut without_length = Client::to(receivers.http).await;
    without_length.send_head("POST", "/v1/traces", &[PROTOBUF, "transfer-encoding: chunked"]).await;
    without_length.0.write_all(&chunks).await.unwrap();
    for answer in [
        post(&receivers, &[PROTOBUF], &large).await,
        post(&receivers, &[PROTOBUF, "content-encoding: gzip"], &compressed("gzip", &large)).await,
        without_length.answer().await,
    ] {
        assert_eq!((answer.status, answer.header("retry-after")), (413, None));
        let status = answer.status_message();
        assert!(status.message.contains("ingest.memory") && status.details.is_empty(), "{}", status.message);
    }
    assert_eq!(receivers.core.budget.used(), 0);
    assert_eq!(receivers.metric("siltstone_ingest_refused_requests_total{reason=\"too_large\"}"), 3);
}

/// What is asked of the memory at the start is enough for any one request.
#[tokio::test]
async fn should_take_the_largest_request_with_the_least_memory() {
    let uncompressed_bytes = MEMORY_BYTES / 2 - REQUEST_BYTES - 1;
    let limits = Settings { uncompressed_bytes, ..settings() };
    assert_eq!(limits.most_memory_bytes(), MEMORY_BYTES);
    let receivers = Receivers::with(limits, 64).await;
    // Compressed it is not far from as long as it may be either.
    let mut number = 7u64;
    let mut digit = || {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from_digit((number >> 61) as u32, 8).unwrap()
    };
    let mut large = request(1);
    let as_json = |request: &ExportTraceServiceRequest| JsonWriter::usual().request(request).into_bytes();
    let around = as_json(&large).len();
    large.resource_spans[0].scope_spans[0].spans[0].name =
        (0..uncompressed_bytes - around).map(|_| digit()).collect();
    for (kind, body) in [(JSON, as_json(&large)), (PROTOBUF, large.encode_to_vec())] {
        assert!(
            body.len() + 2_000 > uncompressed_bytes && body.len() <= uncompressed_bytes,
            "{}",
            body.len()
        );
        let compressed = compressed("zstd", &body);
        assert!(compressed.len() > REQUEST_BYTES / 2, "{}", compressed.len());
        let answer = post(&receivers, &[kind, "content-encoding: zstd"], &compressed).await;
        assert_eq!(answer.status, 200, "{kind}: {}", String::from_utf8_lossy(&answer.body));
    }
    assert_eq!(receivers.core.budget.used(), 0);
}

#[tokio::test]
async fn should_tell_senders_when_the_log_cannot_be_written() {
    let receivers = Receivers::start().await;
    let retry_after = Duration::from_secs(7);
    receivers.answer_with(Err(Refused::Unavailable { what: "the disk is full".to_owned(), retry_after }));
    let answer = post(&receivers, &[PROTOBUF], &request(1).encode_to_vec()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")));
    let status = answer.status_message();
    assert_eq!((status.code, status.details.len()), (14, 1));
    assert!(status.message.contains("the disk is full"));
}

#[tokio::test]
async fn should_refuse_bodies_that_are_too_large_and_name_the_setting() {
    let receivers = Receivers::start().await;
    let too_long = vec![0; REQUEST_BYTES + 1];
    let answer = post(&receivers, &[PROTOBUF], &too_long).await;
    assert_eq!(answer.status, 413);
    let message = answer.status_message().message;
    assert!(message.contains("ingest.request_bytes") && message.contains("204800"), "{message}");
    // Who asks first is not told to send.
    let mut client = Client::to(receivers.http).await;
    let length = format!("content-length: {}", too_long.len());
    client.send_head("POST", "/v1/traces", &[PROTOBUF, &length, "expect: 100-continue"]).await;
    assert_eq!(client.answer().await.status, 413);
    // Without a length it shows only on the way.
    let mut client = Client::to(receivers.http).await;
    client.send_head("POST", "/v1/traces", &[PROTOBUF, "transfer-encoding: chunked"]).await;
    client.0.write_all(format!("{:x}\r\n", too_long.len()).as_bytes()).await.unwrap();
    client.0.write_all(&too_long).await.unwrap();
    client.0.write_all(b"\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(client.answer().await.status, 413);
    for encoding in ["gzip", "zstd"] {
        let bomb = compressed(encoding, &vec![0; UNCOMPRESSED_BYTES + 1]);
        let header = format!("content-encoding: {encoding}");
        let answer = post(&receivers, &[PROTOBUF, &header], &bomb).await;
        assert_eq!(answer.status, 413, "{encoding}");
        assert!(answer.status_message().message.contains("ingest.uncompressed_bytes"));
    }
    assert_eq!((receivers.bodies().len(), receivers.core.budget.used()), (0, 0));
    assert_eq!(receivers.metric("siltstone_ingest_refused_requests_total{reason=\"too_large\"}"), 5);
}

#[tokio::test]
async fn should_not_wait_for_slow_senders_for_ever() {
    let receivers = Receivers::start().await;
    let mut client = Client::to(receivers.http).await;
    client.send_head("POST", "/v1/traces", &[PROTOBUF, "content-length: 1000"]).await;
    client.0.write_all(b"a beginning").await.unwrap();
    receivers.pass(Duration::from_secs(30)).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.status_message().message.contains("ingest.read_deadline"));
    assert!(client.is_closed().await);
    assert_eq!(receivers.core.budget.used(), 0);
}

#[tokio::test]
async fn should_survive_senders_that_leave_and_talk_nonsense() {
    let receivers = Receivers::start().await;
    let mut client = Client::to(receivers.http).await;
    client.send_head("POST", "/v1/traces", &[PROTOBUF, "content-length: 1000"]).await;
    client.0.write_all(b"half").await.unwrap();
    drop(client);
    for nonsense in
        [&b"\x16\x03\x01\x02\x00"[..], b"PR", b"PRI * HTTP/2.0\r\n\r\nXX", b"\r\n\r\n\r\n", b"GET"]
    {
        for address in [receivers.http, receivers.grpc] {
            let mut client = Client::to(address).await;
            client.0.write_all(nonsense).await.unwrap();
            client.0.shutdown().await.unwrap();
            let mut rest = Vec::new();
            // It answers with an error or closes.
            let _ = client.0.read_to_end(&mut rest).await;
        }
    }
    assert_eq!(post(&receivers, &[PROTOBUF], &request(1).encode_to_vec()).await.status, 200);
    while receivers.core.budget.used() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn should_close_connections_that_are_silent() {
    let receivers = Receivers::start().await;
    let mut silent = Client::to(receivers.http).await;
    receivers.pass(Duration::from_secs(120)).await;
    assert!(silent.is_closed().await);
    // Half a head, and nothing more.
    let mut stuck = Client::to(receivers.http).await;
    stuck.0.write_all(b"POST /v1/tr").await.unwrap();
    for _ in 0..2 {
        receivers.pass(Duration::from_secs(120)).await;
    }
    assert!(stuck.is_closed().await);
}

#[tokio::test]
async fn should_take_in_more_connections_only_when_others_end() {
    let receivers = Receivers::with(settings(), 1).await;
    let body = request(1).encode_to_vec();
    let mut first = Client::to(receivers.http).await;
    assert_eq!(first.send("POST", "/v1/traces", &[PROTOBUF], &body).await.status, 200);
    let mut second = Client::to(receivers.http).await;
    let length = format!("content-length: {}", body.len());
    second.send_head("POST", "/v1/traces", &[PROTOBUF, &length]).await;
    second.0.write_all(&body).await.unwrap();
    assert_eq!(first.send("POST", "/v1/traces", &[PROTOBUF], &body).await.status, 200);
    assert_eq!(receivers.metric("siltstone_ingest_connections"), 1);
    drop(first);
    assert_eq!(second.answer().await.status, 200);
}

#[tokio::test]
async fn should_ask_for_a_tenant_only_where_there_are_some() {
    let receivers = Receivers::with(Settings { tenants: true, ..settings() }, 8).await;
    let body = request(1).encode_to_vec();
    let answer = post(&receivers, &[PROTOBUF], &body).await;
    assert_eq!((answer.status, answer.status_message().code), (401, 16));
    assert!(answer.status_message().message.contains("no org id"));
    let answer = post(&receivers, &[PROTOBUF, "x-scope-orgid: a/b"], &body).await;
    assert_eq!((answer.status, answer.status_message().code), (400, 3));
    for header in ["x-scope-orgid: team-a", "x-tenant: team-a", "X-Scope-OrgID: team-a"] {
        assert_eq!(post(&receivers, &[PROTOBUF, header], &body).await.status, 200);
    }
    let tenants: Vec<_> =
        receivers.core.exports.lock().unwrap().iter().map(|export| export.tenant.to_string()).collect();
    assert_eq!(tenants, ["team-a"; 3]);
}

#[tokio::test]
async fn should_answer_web_pages_that_are_allowed() {
    let cors_origins = vec!["https://*.shop.example".to_owned()];
    let receivers = Receivers::with(Settings { cors_origins, ..settings() }, 8).await;
    let mut client = Client::to(receivers.http).await;
    let ask = ["origin: https://www.shop.example", "access-control-request-method: POST"];
    let answer = client.send("OPTIONS", "/v1/traces", &ask, b"").await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://www.shop.example"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("content-type"));
    let body = request(1).encode_to_vec();
    let answer = client.send("POST", "/v1/traces", &[PROTOBUF, ask[0]], &body).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://www.shop.example"));
    assert_eq!(answer.header("access-control-expose-headers"), Some("retry-after"));
    let strange = ["origin: https://evil.example", ask[1]];
    let answer = client.send("OPTIONS", "/v1/traces", &strange, b"").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, None));
    let off = Receivers::start().await;
    let answer = Client::to(off.http).await.send("OPTIONS", "/v1/traces", &ask, b"").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, None));
}

#[tokio::test]
async fn should_answer_what_is_under_way_before_it_ends() {
    let receivers = Receivers::start().await;
    receivers.close_gate();
    let mut idle = Client::to(receivers.http).await;
    let mut busy = Client::to(receivers.http).await;
    let body = request(1).encode_to_vec();
    let length = format!("content-length: {}", body.len());
    busy.send_head("POST", "/v1/traces", &[PROTOBUF, &length]).await;
    busy.0.write_all(&body).await.unwrap();
    receivers.request_waits().await;
    receivers.stop.gently.cancel();
    assert!(idle.is_closed().await);
    receivers.core.gate.add_permits(1);
    assert_eq!(busy.answer().await.status, 200);
    assert!(busy.is_closed().await);
    for port in receivers.ports {
        port.await.unwrap();
    }
    assert!(TcpStream::connect(receivers.http).await.is_err());
}

#[tokio::test]
async fn should_drop_everything_when_told_to_end_now() {
    let receivers = Receivers::start().await;
    receivers.close_gate();
    let mut busy = Client::to(receivers.http).await;
    let body = request(1).encode_to_vec();
    let length = format!("content-length: {}", body.len());
    busy.send_head("POST", "/v1/traces", &[PROTOBUF, &length]).await;
    busy.0.write_all(&body).await.unwrap();
    receivers.request_waits().await;
    receivers.stop.gently.cancel();
    receivers.stop.now.cancel();
    for port in receivers.ports {
        port.await.unwrap();
    }
    assert!(busy.is_closed().await);
    assert_eq!(receivers.core.budget.used(), 0);
}
