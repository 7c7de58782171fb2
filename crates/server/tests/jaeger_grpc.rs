//! Jaeger's gRPC services through the program's ports: of a process that does everything, and of one that only
//! answers.

#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
use prost::Message;
use serde_json::Value;
use siltstone_querier::jaeger::proto::{api_v3, storage};
use siltstone_testkit::corpus::build::{request, span, trace_id};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

const LISTENERS: [&str; 7] =
    ["otlp-grpc", "otlp-http", "live", "query", "query-grpc", "jaeger-storage", "admin"];
const GET_TRACES: &str = "/jaeger.storage.v2.TraceReader/GetTraces";
const GET_TRACE: &str = "/jaeger.api_v3.QueryService/GetTrace";
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

struct Process {
    child: Child,
    listen: Value,
}

impl Process {
    fn start(role: &str, data: &Path, store: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_siltstone"));
        command.args(["--role", role, "--log", "warn", "--ingest-tenants", "true"]);
        command.arg("--data").arg(data).arg("--store").arg(format!("file:{}", store.display()));
        for listener in LISTENERS {
            command.arg(format!("--listen-{listener}")).arg("127.0.0.1:0");
        }
        let mut child = command.env_clear().stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap();
        Self { child, listen: started["listen"].clone() }
    }

    async fn channel(&self, port: &str) -> Channel {
        let address = format!("http://{}", self.listen[port].as_str().unwrap());
        Channel::from_shared(address).unwrap().connect().await.unwrap()
    }

    fn sql(&self, statement: &str) -> String {
        let mut stream = TcpStream::connect(self.listen["query"].as_str().unwrap()).unwrap();
        let head = format!("POST /api/sql HTTP/1.0\r\nhost: x\r\ncontent-length: {}\r\n", statement.len());
        write!(stream, "{head}x-tenant: team-a\r\n\r\n{statement}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "spans of long ago would be refused, and a process has the real clock"
)]
fn now_nanos() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

fn export(spans: u64) -> ExportTraceServiceRequest {
    let start = now_nanos();
    let of =
        |id| Span { start_time_unix_nano: start, end_time_unix_nano: start + 5, ..span(7, id, "one of") };
    request("shop", (1..=spans).map(of).collect())
}

fn of_tenant<Q>(message: Q, tenant: Option<&str>) -> Request<Q> {
    let mut request = Request::new(message);
    if let Some(tenant) = tenant {
        request.metadata_mut().insert("x-tenant", tenant.parse().unwrap());
    }
    request
}

async fn call<Q, A>(channel: &Channel, path: &str, message: Q, tenant: Option<&str>) -> Result<Vec<A>, Status>
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<Q, A>::default();
    let answer = grpc.server_streaming(of_tenant(message, tenant), path.parse().unwrap(), codec).await?;
    let mut answer = answer.into_inner();
    let mut messages = Vec::new();
    while let Some(message) = answer.message().await? {
        messages.push(message);
    }
    Ok(messages)
}

fn spans(found: &[TracesData]) -> usize {
    let scopes = found.iter().flat_map(|data| &data.resource_spans).flat_map(|of| &of.scope_spans);
    scopes.map(|of| of.spans.len()).sum()
}

fn the_trace() -> storage::GetTracesRequest {
    let one = storage::GetTraceParams { trace_id: trace_id(7), ..Default::default() };
    storage::GetTracesRequest { query: vec![one] }
}

#[tokio::test(flavor = "multi_thread")]
async fn jaeger_writes_and_reads_through_its_storage_port() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let all = Process::start("all", &folder.path().join("one"), &store);
    let of_storage = all.channel("jaeger_storage").await;
    let mut sender = TraceServiceClient::new(of_storage.clone());
    let refused = sender.export(of_tenant(export(2), None)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let taken = sender.export(of_tenant(export(2), Some("team-a"))).await.unwrap().into_inner();
    assert_eq!(taken, ExportTraceServiceResponse::default());

    let other = Process::start("query", &folder.path().join("two"), &store);
    for process in [&all, &other] {
        let of_storage = process.channel("jaeger_storage").await;
        let found: Vec<TracesData> =
            call(&of_storage, GET_TRACES, the_trace(), Some("team-a")).await.unwrap();
        assert_eq!(spans(&found), 2);
        let found: Vec<TracesData> =
            call(&of_storage, GET_TRACES, the_trace(), Some("team-b")).await.unwrap();
        assert_eq!(spans(&found), 0);
        // The same services on both ports of queries, beside HTTP on one.
        for port in ["query_grpc", "query"] {
            let channel = process.channel(port).await;
            let ask = || api_v3::GetTraceRequest { trace_id: "7".to_owned(), ..Default::default() };
            let found: Vec<TracesData> = call(&channel, GET_TRACE, ask(), Some("team-a")).await.unwrap();
            assert_eq!(spans(&found), 2, "{port}");
            let refused = call::<_, TracesData>(&channel, GET_TRACE, ask(), None).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{port}");
        }
        let answer = process.sql("SELECT count(*) AS n FROM spans");
        assert!(answer.contains("{\"n\":2}"), "{answer}");
    }
    // Who only answers takes no spans.
    let of_storage = other.channel("jaeger_storage").await;
    let refused = call::<_, ExportTraceServiceResponse>(&of_storage, EXPORT, export(2), Some("team-a")).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);

    // A watch of health has no end of its own, and holds up nobody.
    for process in [all, other] {
        let mut watches = Vec::new();
        for port in ["query", "query_grpc", "jaeger_storage"] {
            let mut grpc = Grpc::new(process.channel(port).await);
            grpc.ready().await.unwrap();
            let (path, codec) = ("/grpc.health.v1.Health/Watch", ProstCodec::<(), HealthAnswer>::default());
            let watch = grpc.server_streaming(Request::new(()), path.parse().unwrap(), codec).await.unwrap();
            let mut watch = watch.into_inner();
            assert_eq!(watch.message().await.unwrap(), Some(HealthAnswer { status: 1 }));
            watches.push(watch);
        }
        process.end();
        for mut watch in watches {
            assert_eq!(watch.message().await.unwrap(), Some(HealthAnswer { status: 2 }));
        }
    }
}

/// `grpc.health.v1.HealthCheckResponse`: 1 serves, 2 does not.
#[derive(Clone, PartialEq, Message)]
struct HealthAnswer {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_the_storage_port_is_found_after_an_orderly_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let all = Process::start("all", &folder.path().join("one"), &store);
    let mut sender = TraceServiceClient::new(all.channel("jaeger_storage").await);
    sender.export(of_tenant(export(1), Some("team-a"))).await.unwrap();
    all.end();
    let later = Process::start("query", &folder.path().join("two"), &store);
    let channel = later.channel("jaeger_storage").await;
    let found: Vec<TracesData> = call(&channel, GET_TRACES, the_trace(), Some("team-a")).await.unwrap();
    assert_eq!(spans(&found), 1);
    later.end();
}
