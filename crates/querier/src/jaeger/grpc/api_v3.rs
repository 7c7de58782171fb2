//! `jaeger.api_v3.QueryService`.

use axum::Router;
use tonic::Status;

use super::api_v2::found;
use super::call::{Asked, Messages, Methods, Reply};
use super::questions::{as_first_field, services_of};
use super::spans::{AsOtlp, messages};
use super::status::{of_query, of_question};
use super::{API_V3, JaegerGrpc};
use crate::jaeger::ask::Ask;
use crate::jaeger::expression::filter_of;
use crate::jaeger::ids::trace_id_of;
use crate::jaeger::proto::api_v3::{
    DependenciesResponse, Dependency, FindTracesRequest, GetDependenciesRequest, GetOperationsRequest,
    GetOperationsResponse, GetServicesRequest, GetServicesResponse, GetTraceRequest, TraceQueryParameters,
    TraceSummary as SummaryMessage,
};
use crate::jaeger::proto::{Duration, Timestamp, count};
use crate::jaeger::summary::TraceSummary;
use crate::jaeger::written::Written;

pub(super) fn router(jaeger: &JaegerGrpc) -> Router {
    Methods::new(jaeger, API_V3)
        .streaming("GetTrace", get_trace)
        .streaming("FindTraces", find_traces)
        .streaming("FindTraceSummaries", find_trace_summaries)
        .unary("GetServices", get_services)
        .unary("GetOperations", get_operations)
        .unary("GetDependencies", get_dependencies)
        .router()
}

/// The times are hints, and not needed: where a trace lies is known.
async fn get_trace(asked: Asked<GetTraceRequest>) -> Result<Messages, Status> {
    let Asked { jaeger, tenant, message } = asked;
    let id = trace_id_of(&message.trace_id).map_err(of_question)?;
    let traces = jaeger.querier.stream_traces(&tenant, &[id]).await.map_err(|error| of_query(&error))?;
    let traces = Written::<AsOtlp>::begin(traces, jaeger.reading(message.raw_traces)).await;
    found(traces.map_err(|error| of_query(&error))?).map(messages)
}

async fn find_traces(asked: Asked<FindTracesRequest>) -> Result<Messages, Status> {
    let Asked { jaeger, tenant, message } = asked;
    let query = message.query.ok_or_else(no_query)?;
    let reading = jaeger.reading(query.raw_traces);
    let search = jaeger.search(tenant, &ask_of(query)?)?;
    Ok(messages(jaeger.found::<AsOtlp>(&search, reading).await?))
}

async fn find_trace_summaries(asked: Asked<FindTracesRequest>) -> Result<Messages, Status> {
    let Asked { jaeger, tenant, message } = asked;
    let search = jaeger.search(tenant, &ask_of(message.query.ok_or_else(no_query)?)?)?;
    jaeger.summaries(&search, |summary| as_first_field(&summary_message(summary))).await
}

fn no_query() -> Status {
    of_question("the request has no query")
}

fn ask_of(query: TraceQueryParameters) -> Result<Ask, Status> {
    let required = |time: &Option<Timestamp>, name: &str| {
        let time = Timestamp::unix_nano(time.as_ref());
        time.ok_or_else(|| of_question(format!("{name} is required")))
    };
    Ok(Ask {
        start_unix_nano: Some(required(&query.start_time_min, "start_time_min")?),
        end_unix_nano: Some(required(&query.start_time_max, "start_time_max")?),
        service: query.service_name,
        operation: query.operation_name,
        attributes: query.attributes.into_iter().collect(),
        min_duration_nano: Duration::nanos(query.duration_min.as_ref()),
        max_duration_nano: Duration::nanos(query.duration_max.as_ref()),
        limit: usize::try_from(query.search_depth).unwrap_or(0),
        filter: query.filter.as_ref().map(filter_of).transpose().map_err(of_question)?,
    })
}

fn summary_message(summary: TraceSummary) -> SummaryMessage {
    let services = services_of(&summary);
    let (root_service_name, root_operation_name) =
        summary.root.map(|root| (root.service, root.operation)).unwrap_or_default();
    SummaryMessage {
        trace_id: summary.trace.to_string(),
        root_service_name,
        root_operation_name,
        min_start_time_unix_nano: summary.min_start_unix_nano,
        max_end_time_unix_nano: summary.max_end_unix_nano,
        span_count: count(summary.spans),
        error_span_count: count(summary.errors),
        orphan_span_count: count(summary.orphans),
        services,
    }
}

async fn get_services(asked: Asked<GetServicesRequest>) -> Result<Reply<GetServicesResponse>, Status> {
    let Reply { message, gaps } = asked.jaeger.services(&asked.tenant).await?;
    Ok(Reply { message: GetServicesResponse { services: message }, gaps })
}

async fn get_operations(asked: Asked<GetOperationsRequest>) -> Result<Reply<GetOperationsResponse>, Status> {
    let Reply { message, gaps } = asked.jaeger.operations(&asked.tenant, &asked.message).await?;
    Ok(Reply { message: GetOperationsResponse { operations: message }, gaps })
}

async fn get_dependencies(
    asked: Asked<GetDependenciesRequest>,
) -> Result<Reply<DependenciesResponse>, Status> {
    let Asked { jaeger, tenant, message } = asked;
    let calls = jaeger.calls(&tenant, message.start_time.as_ref(), message.end_time.as_ref()).await?;
    let dependency = |(parent, child, call_count)| Dependency { parent, child, call_count };
    let dependencies = calls.message.into_iter().map(dependency).collect();
    Ok(Reply { message: DependenciesResponse { dependencies }, gaps: calls.gaps })
}
