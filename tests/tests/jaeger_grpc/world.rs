//! Spans in blocks and in memory, and Jaeger's services over them on ports.

use std::net::SocketAddr;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use siltstone_querier::jaeger::grpc::{GrpcServices, JaegerGrpc};
use siltstone_querier::jaeger::settings::JaegerSettings;
use siltstone_querier::limits::QueryLimits;
use siltstone_querier::querier::Querier;
use siltstone_testkit::corpus::build::{START, attribute, child, request, span, text};
use siltstone_tests::decode::request_spans;
use siltstone_tests::query_world::QueryWorld;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::client::Client;

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: i32 = 2;
pub(crate) const SECOND: u64 = 1_000_000_000;

/// Ports that are served until this is dropped.
pub(crate) struct Served {
    servers: Vec<tokio::task::JoinHandle<()>>,
    pub(crate) queries: Client,
    pub(crate) storage: Client,
    pub(crate) of_queries: GrpcServices,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.servers.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Served {
    pub(crate) async fn new(querier: Arc<Querier>, tenants: bool) -> Self {
        let jaeger = JaegerGrpc { querier, tenants, settings: Arc::new(JaegerSettings::default()) };
        let (of_queries, of_storage) = (jaeger.queries().await.unwrap(), jaeger.storage(true).await.unwrap());
        let (one, queries) = serve(&of_queries).await;
        let (other, storage) = serve(&of_storage).await;
        Self { servers: vec![one, other], queries, storage, of_queries }
    }
}

async fn serve(services: &GrpcServices) -> (tokio::task::JoinHandle<()>, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let routes = Routes::from(services.whole_router());
    let serving = Server::builder().add_routes(routes).serve_with_incoming(TcpIncoming::from(listener));
    (tokio::spawn(async { serving.await.unwrap() }), Client::connect(address).await)
}

/// A trace of two services in a block, of which a later part is in memory; one of a third service; and one of 25
/// spans.
pub(crate) fn exports() -> Vec<ExportTraceServiceRequest> {
    let root = Span {
        kind: CLIENT,
        attributes: vec![attribute("http.status_code", Value::IntValue(500))],
        ..span(1, 1, "GET /shop")
    };
    let called = Span {
        kind: SERVER,
        status: Some(Status { code: ERROR, message: "boom".to_owned() }),
        events: vec![Event { name: "exception".to_owned(), time_unix_nano: START + 7, ..Event::default() }],
        ..child(1, 2, 1, "charge")
    };
    let late = Span { start_time_unix_nano: START + 1, ..child(1, 3, 2, "late") };
    let alone = Span {
        start_time_unix_nano: START + 60 * SECOND,
        end_time_unix_nano: START + 63 * SECOND,
        attributes: vec![attribute("region", text("east"))],
        ..span(2, 1, "compact")
    };
    let at = |start: u64, span: Span| Span {
        start_time_unix_nano: start,
        end_time_unix_nano: start + 5_000_000,
        ..span
    };
    let mut many = vec![at(START - 60 * SECOND, span(3, 1, "many"))];
    many.extend((2..=25).map(|id| at(START - 59 * SECOND, child(3, id, 1, "one of"))));
    vec![
        request("shop", vec![root]),
        request("billing", vec![called]),
        request("billing", vec![late]),
        request("store", vec![alone]),
        request("shop", many),
    ]
}

pub(crate) async fn world() -> (QueryWorld, Served) {
    world_of(&exports(), false).await
}

/// Every second export is in memory, the others in blocks; of tenants all, as what is in memory here is anybody's.
pub(crate) async fn world_of(exports: &[ExportTraceServiceRequest], tenants: bool) -> (QueryWorld, Served) {
    let world = QueryWorld::new().await;
    for (number, export) in exports.iter().enumerate() {
        let spans: Vec<_> = request_spans(export).collect();
        match number % 2 == 0 || tenants {
            true => world.flush(&spans).await,
            false => world.live.accept(spans),
        }
    }
    let served = Served::new(world.querier(QueryLimits::default()), tenants).await;
    (world, served)
}
