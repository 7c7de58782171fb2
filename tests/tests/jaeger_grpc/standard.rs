//! Health, reflection, tenants, and methods that there are not.

use prost::Message;
use siltstone_querier::jaeger::proto::api_v3;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use super::client::Client;
use super::world::{exports, world, world_of};

async fn health(client: &Client, service: &str) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer: HealthCheckResponse = client.one("/grpc.health.v1.Health/Check", &request).await?;
    Ok(answer.status())
}

#[tokio::test]
async fn should_be_healthy_by_every_name_until_it_stops() {
    let (_world, served) = world().await;
    for service in ["", "jaeger.api_v2.QueryService", "jaeger.api_v3.QueryService"] {
        assert_eq!(health(&served.queries, service).await.unwrap(), ServingStatus::Serving, "{service}");
    }
    for name in ["TraceReader", "DependencyReader", "TraceWriter", "Capabilities"] {
        let service = format!("jaeger.storage.v2.{name}");
        assert_eq!(health(&served.storage, &service).await.unwrap(), ServingStatus::Serving, "{service}");
    }
    assert_eq!(health(&served.queries, "nobody").await.unwrap_err().code(), Code::NotFound);
    let watching = {
        let (client, request) = (served.queries.clone(), HealthCheckRequest::default().encode_to_vec());
        tokio::spawn(async move { client.bytes("/grpc.health.v1.Health/Watch", request.into()).await })
    };
    served.of_queries.stops().await;
    assert_eq!(health(&served.queries, "").await.unwrap(), ServingStatus::NotServing);
    // A watch has no end of its own.
    assert_eq!(watching.await.unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn should_take_compressed_requests_within_their_bound() {
    let (_world, served) = world().await;
    let path = "/jaeger.api_v3.QueryService/GetOperations";
    let asked = api_v3::GetOperationsRequest { service: "shop".to_owned(), ..Default::default() };
    let plain: api_v3::GetOperationsResponse = served.queries.one(path, &asked).await.unwrap();
    assert!(!plain.operations.is_empty());
    // A few kilobytes of nothing, which would be 5 MiB.
    let bomb = api_v3::GetOperationsRequest { service: "x".repeat(5 << 20), ..Default::default() };
    let mut client = served.queries.clone();
    client.compression = Some(CompressionEncoding::Gzip);
    assert_eq!(client.one::<api_v3::GetOperationsResponse>(path, &asked).await.unwrap(), plain);
    assert_eq!(client.code(path, &bomb).await, Code::ResourceExhausted);
}

/// The older form of reflection has the same messages.
async fn reflected(client: &Client, version: &str, ask: MessageRequest) -> MessageResponse {
    let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
    let answer: ServerReflectionResponse = client.one(&path, &request).await.unwrap();
    answer.message_response.unwrap()
}

#[tokio::test]
async fn should_describe_all_its_services() {
    let (_world, served) = world().await;
    for version in ["v1", "v1alpha"] {
        let list = || MessageRequest::ListServices(String::new());
        for (client, own) in [
            (&served.queries, &["jaeger.api_v2.QueryService", "jaeger.api_v3.QueryService"][..]),
            (
                &served.storage,
                &[
                    "jaeger.storage.v2.TraceReader",
                    "jaeger.storage.v2.DependencyReader",
                    "jaeger.storage.v2.Capabilities",
                    "opentelemetry.proto.collector.trace.v1.TraceService",
                ],
            ),
        ] {
            let MessageResponse::ListServicesResponse(found) = reflected(client, version, list()).await
            else {
                panic!("no list")
            };
            let names: Vec<&str> = found.service.iter().map(|service| service.name.as_str()).collect();
            let standard = [
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
            ];
            let expected: Vec<&str> = own.iter().chain(&standard).copied().collect();
            assert_eq!(names, expected);
            for symbol in expected.iter().chain(&["opentelemetry.proto.trace.v1.Span", "jaeger.api_v2.Span"])
            {
                let ask = MessageRequest::FileContainingSymbol((*symbol).to_owned());
                let MessageResponse::FileDescriptorResponse(file) = reflected(client, version, ask).await
                else {
                    panic!("no file for {symbol}")
                };
                assert_eq!(file.file_descriptor_proto.len(), 1, "{symbol}");
            }
        }
    }
}

#[tokio::test]
async fn should_say_which_methods_there_are_not() {
    let (_world, served) = world().await;
    let request = api_v3::GetServicesRequest {};
    for path in
        ["/jaeger.api_v3.QueryService/FindSpans", "/jaeger.api_v3.QueryService", "/nobody.Service/Method"]
    {
        assert_eq!(served.queries.code(path, &request).await, Code::Unimplemented, "{path}");
    }
    // Writing is the server's.
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    assert_eq!(served.storage.code(path, &request).await, Code::Unimplemented);
}

#[tokio::test]
async fn should_ask_whose_spans_are_wanted() {
    let (_world, served) = world_of(&exports(), true).await;
    let services = async |pairs: &[(&'static str, &str)]| -> Result<Vec<String>, Code> {
        let (path, request) = ("/jaeger.api_v3.QueryService/GetServices", api_v3::GetServicesRequest {});
        let found = served.queries.with(pairs).one::<api_v3::GetServicesResponse>(path, &request).await;
        found.map(|found| found.services).map_err(|status| status.code())
    };
    let all = ["billing", "shop", "store"].map(str::to_owned).to_vec();
    assert_eq!(services(&[("x-tenant", "default")]).await, Ok(all.clone()));
    assert_eq!(services(&[("x-scope-orgid", "default"), ("x-tenant", "default")]).await, Ok(all));
    assert_eq!(services(&[("x-tenant", "team-a")]).await, Ok(Vec::new()));
    assert_eq!(services(&[]).await, Err(Code::Unauthenticated));
    assert_eq!(services(&[("x-tenant", "a"), ("x-scope-orgid", "b")]).await, Err(Code::PermissionDenied));
    assert_eq!(services(&[("x-tenant", "a/b")]).await, Err(Code::InvalidArgument));
    let path = "/jaeger.storage.v2.TraceReader/GetTraces";
    let request = siltstone_querier::jaeger::proto::storage::GetTracesRequest::default();
    assert_eq!(served.storage.code(path, &request).await, Code::Unauthenticated);
    assert_eq!(served.storage.with(&[("x-tenant", "a")]).code(path, &request).await, Code::Ok);
}
