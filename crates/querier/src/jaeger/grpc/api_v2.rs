//! `jaeger.api_v2.QueryService`.

use axum::Router;
use siltstone_format::id::TraceId;
use tonic::Status;

use super::call::{Asked, Messages, Methods, Reply};
use super::questions::CALLS_SOURCE;
use super::spans::{AsModel, messages};
use super::status::{of_archive, of_query, of_question};
use super::{API_V2, JaegerGrpc};
use crate::jaeger::ask::Ask;
use crate::jaeger::ids::trace_id_of_bytes;
use crate::jaeger::proto::api_v2::{
    ArchiveTraceRequest, ArchiveTraceResponse, DependencyLink, FindTracesRequest, GetDependenciesRequest,
    GetDependenciesResponse, GetOperationsRequest, GetOperationsResponse, GetServicesRequest,
    GetServicesResponse, GetTraceRequest, TraceQueryParameters,
};
use crate::jaeger::proto::{Duration, Timestamp};
use crate::jaeger::written::{WriteTrace, Written};

pub(super) fn router(jaeger: &JaegerGrpc) -> Router {
    Methods::new(jaeger, API_V2)
        .streaming("GetTrace", get_trace)
        .unary("ArchiveTrace", archive_trace)
        .streaming("FindTraces", find_traces)
        .unary("GetServices", get_services)
        .unary("GetOperations", get_operations)
        .unary("GetDependencies", get_dependencies)
        .router()
}

/// The times are hints, and not needed: where a trace lies is known.
async fn get_trace(asked: Asked<GetTraceRequest>) -> Result<Messages, Status> {
    let Asked { jaeger, tenant, message } = asked;
    let id = trace_id(&message.trace_id)?;
    let traces = jaeger.querier.stream_traces(&tenant, &[id]).await.map_err(|error| of_query(&error))?;
    let traces = Written::<AsModel>::begin(traces, jaeger.reading(message.raw_traces)).await;
    found(traces.map_err(|error| of_query(&error))?).map(messages)
}

async fn archive_trace(asked: Asked<ArchiveTraceRequest>) -> Result<Reply<ArchiveTraceResponse>, Status> {
    let Asked { jaeger, tenant, message } = asked;
    let id = trace_id(&message.trace_id)?;
    jaeger.querier.archive(&tenant, id).await.map_err(|error| of_archive(&error))?;
    Ok(Reply { message: ArchiveTraceResponse {}, gaps: Vec::new() })
}

async fn find_traces(asked: Asked<FindTracesRequest>) -> Result<Messages, Status> {
    let Asked { jaeger, tenant, message } = asked;
    let query = message.query.ok_or_else(|| of_question("the request has no query"))?;
    let reading = jaeger.reading(query.raw_traces);
    let search = jaeger.search(tenant, &ask_of(query))?;
    Ok(messages(jaeger.found::<AsModel>(&search, reading).await?))
}

fn ask_of(query: TraceQueryParameters) -> Ask {
    Ask {
        service: query.service_name,
        operation: query.operation_name,
        attributes: query.tags.into_iter().collect(),
        start_unix_nano: Timestamp::unix_nano(query.start_time_min.as_ref()),
        end_unix_nano: Timestamp::unix_nano(query.start_time_max.as_ref()),
        min_duration_nano: Duration::nanos(query.duration_min.as_ref()),
        max_duration_nano: Duration::nanos(query.duration_max.as_ref()),
        limit: usize::try_from(query.search_depth).unwrap_or(0),
        filter: None,
    }
}

async fn get_services(asked: Asked<GetServicesRequest>) -> Result<Reply<GetServicesResponse>, Status> {
    let Reply { message, gaps } = asked.jaeger.services(&asked.tenant).await?;
    Ok(Reply { message: GetServicesResponse { services: message }, gaps })
}

async fn get_operations(asked: Asked<GetOperationsRequest>) -> Result<Reply<GetOperationsResponse>, Status> {
    let Reply { message: operations, gaps } = asked.jaeger.operations(&asked.tenant, &asked.message).await?;
    let mut operation_names: Vec<String> = operations.iter().map(|found| found.name.clone()).collect();
    // They are sorted by name.
    operation_names.dedup();
    Ok(Reply { message: GetOperationsResponse { operation_names, operations }, gaps })
}

async fn get_dependencies(
    asked: Asked<GetDependenciesRequest>,
) -> Result<Reply<GetDependenciesResponse>, Status> {
    let Asked { jaeger, tenant, message } = asked;
    let calls = jaeger.calls(&tenant, message.start_time.as_ref(), message.end_time.as_ref()).await?;
    let link = |(parent, child, call_count)| DependencyLink {
        parent,
        child,
        call_count,
        source: CALLS_SOURCE.to_owned(),
    };
    let dependencies = calls.message.into_iter().map(link).collect();
    Ok(Reply { message: GetDependenciesResponse { dependencies }, gaps: calls.gaps })
}

fn trace_id(bytes: &[u8]) -> Result<TraceId, Status> {
    let id = trace_id_of_bytes(bytes);
    id.ok_or_else(|| of_question(format!("a trace id has 16 bytes, or 8, and this one has {}", bytes.len())))
}

/// A trace that there is.
pub(super) fn found<W: WriteTrace>(traces: Written<W>) -> Result<Written<W>, Status> {
    match (traces.is_empty(), traces.gaps().is_empty()) {
        (false, _) => Ok(traces),
        (true, true) => Err(Status::not_found("trace not found")),
        (true, false) => Err(Status::not_found(format!(
            "trace not found, but not all was asked: {}",
            traces.gaps().join("; ")
        ))),
    }
}
