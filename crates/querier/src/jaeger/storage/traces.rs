//! `jaeger.storage.v2.TraceReader`: traces as they were sent. Jaeger adjusts them itself.

use axum::Router;
use siltstone_format::id::TraceId;
use tonic::Status;

use super::TRACE_READER;
use super::query::ask_of;
use crate::jaeger::adjust::{Piece, Reading};
use crate::jaeger::grpc::JaegerGrpc;
use crate::jaeger::grpc::call::{Asked, Messages, Methods, Reply};
use crate::jaeger::grpc::questions::{as_first_field, services_of};
use crate::jaeger::grpc::spans::{AsOtlp, messages};
use crate::jaeger::grpc::status::{of_query, of_question};
use crate::jaeger::ids::trace_id_of_bytes;
use crate::jaeger::origins::WrittenOrigins;
use crate::jaeger::proto::storage::{
    FindTraceIdsResponse, FindTracesRequest, FoundTraceId, GetOperationsRequest, GetOperationsResponse,
    GetServicesRequest, GetServicesResponse, GetTracesRequest, TraceSummary as SummaryMessage,
};
use crate::jaeger::proto::{Timestamp, count};
use crate::jaeger::summary::TraceSummary;
use crate::jaeger::written::{WriteTrace, Written};

pub(super) fn router(jaeger: &JaegerGrpc) -> Router {
    Methods::new(jaeger, TRACE_READER)
        .streaming("GetTraces", get_traces)
        .unary("GetServices", get_services)
        .unary("GetOperations", get_operations)
        .streaming("FindTraces", find_traces)
        .unary("FindTraceIDs", find_trace_ids)
        .streaming("FindTraceSummaries", find_trace_summaries)
        .router()
}

/// Those that there are. The times are hints, and not needed: where a trace lies is known.
async fn get_traces(asked: Asked<GetTracesRequest>) -> Result<Messages, Status> {
    let Asked { jaeger, tenant, message } = asked;
    let ids = message.query.iter().map(|one| trace_id_of_bytes(&one.trace_id));
    let ids: Option<Vec<TraceId>> = ids.collect();
    let ids = ids.ok_or_else(|| of_question("a trace id has 16 bytes, or 8, and one of these has not"))?;
    let traces = jaeger.querier.stream_traces(&tenant, &ids).await.map_err(|error| of_query(&error))?;
    let traces = Written::<AsOtlp>::begin(traces, Reading::Raw).await;
    Ok(messages(traces.map_err(|error| of_query(&error))?))
}

async fn get_services(asked: Asked<GetServicesRequest>) -> Result<Reply<GetServicesResponse>, Status> {
    let Reply { message, gaps } = asked.jaeger.services(&asked.tenant).await?;
    Ok(Reply { message: GetServicesResponse { services: message }, gaps })
}

async fn get_operations(asked: Asked<GetOperationsRequest>) -> Result<Reply<GetOperationsResponse>, Status> {
    let Reply { message, gaps } = asked.jaeger.operations(&asked.tenant, &asked.message).await?;
    Ok(Reply { message: GetOperationsResponse { operations: message }, gaps })
}

async fn find_traces(asked: Asked<FindTracesRequest>) -> Result<Messages, Status> {
    let Asked { jaeger, tenant, message } = asked;
    let search = jaeger.search(tenant, &ask_of(message.query)?)?;
    Ok(messages(jaeger.found::<AsOtlp>(&search, Reading::Raw).await?))
}

async fn find_trace_ids(asked: Asked<FindTracesRequest>) -> Result<Reply<FindTraceIdsResponse>, Status> {
    let Asked { jaeger, tenant, message } = asked;
    let search = jaeger.search(tenant, &ask_of(message.query)?)?;
    let mut traces = jaeger.found::<Times>(&search, Reading::Raw).await?;
    let mut trace_ids = Vec::new();
    while let Some(chunk) = traces.next().await.map_err(|error| of_query(&error))? {
        trace_ids.extend(chunk.items);
    }
    Ok(Reply { message: FindTraceIdsResponse { trace_ids }, gaps: traces.gaps() })
}

/// When the spans of a trace begin and end that came by now.
struct Times {
    trace: TraceId,
    start: u64,
    end: u64,
}

impl WriteTrace for Times {
    type Item = FoundTraceId;

    fn begin(trace: TraceId) -> Self {
        Self { trace, start: u64::MAX, end: 0 }
    }

    fn piece(&mut self, piece: Piece, _: &mut WrittenOrigins, out: &mut Vec<FoundTraceId>) {
        for span in &piece.spans {
            self.start = span.start_unix_nano.min(self.start);
            self.end = span.end_unix_nano.max(self.end);
        }
        if piece.is_last {
            out.push(FoundTraceId {
                trace_id: self.trace.0.to_vec(),
                start: Some(Timestamp::of_unix_nano(self.start)),
                end: Some(Timestamp::of_unix_nano(self.end)),
            });
        }
    }
}

async fn find_trace_summaries(asked: Asked<FindTracesRequest>) -> Result<Messages, Status> {
    let Asked { jaeger, tenant, message } = asked;
    let search = jaeger.search(tenant, &ask_of(message.query)?)?;
    jaeger.summaries(&search, |summary| as_first_field(&summary_message(summary))).await
}

fn summary_message(summary: TraceSummary) -> SummaryMessage {
    let services = services_of(&summary);
    let (root_service_name, root_operation_name) =
        summary.root.map(|root| (root.service, root.operation)).unwrap_or_default();
    SummaryMessage {
        trace_id: summary.trace.0.to_vec(),
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
