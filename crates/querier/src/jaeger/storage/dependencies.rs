//! `jaeger.storage.v2.DependencyReader`.

use axum::Router;
use tonic::Status;

use super::DEPENDENCY_READER;
use crate::jaeger::grpc::JaegerGrpc;
use crate::jaeger::grpc::call::{Asked, Methods, Reply};
use crate::jaeger::grpc::questions::CALLS_SOURCE;
use crate::jaeger::proto::storage::{Dependency, GetDependenciesRequest, GetDependenciesResponse};

pub(super) fn router(jaeger: &JaegerGrpc) -> Router {
    Methods::new(jaeger, DEPENDENCY_READER).unary("GetDependencies", get_dependencies).router()
}

async fn get_dependencies(
    asked: Asked<GetDependenciesRequest>,
) -> Result<Reply<GetDependenciesResponse>, Status> {
    let Asked { jaeger, tenant, message } = asked;
    let calls = jaeger.calls(&tenant, message.start_time.as_ref(), message.end_time.as_ref()).await?;
    let source = || CALLS_SOURCE.to_owned();
    let dependency = |(parent, child, call_count)| Dependency { parent, child, call_count, source: source() };
    let dependencies = calls.message.into_iter().map(dependency).collect();
    Ok(Reply { message: GetDependenciesResponse { dependencies }, gaps: calls.gaps })
}
