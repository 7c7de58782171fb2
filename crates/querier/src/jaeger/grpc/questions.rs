//! What several services are asked in the same way.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use siltstone_format::tenant::Tenant;
use tonic::Status;

use super::JaegerGrpc;
use super::call::{Messages, Reply};
use super::status::{of_query, of_question};
use crate::jaeger::adjust::Reading;
use crate::jaeger::ask::{Ask, service_meant, shown_service};
use crate::jaeger::calls::calls_between_services;
use crate::jaeger::kinds;
use crate::jaeger::otlp::MESSAGE_BYTES;
use crate::jaeger::proto::Timestamp;
use crate::jaeger::proto::api_v3::{GetOperationsRequest, Operation, ServiceSummary};
use crate::jaeger::proto::count;
use crate::jaeger::summary::{Summing, TraceSummary};
use crate::jaeger::written::{WriteTrace, Written};
use crate::names::OperationsOf;
use crate::querier::Answer;
use crate::search::Search;

/// Who counted the calls, as Jaeger's own counting calls itself.
pub(crate) const CALLS_SOURCE: &str = "jaeger";
/// Summaries of one message.
const SUMMARIES: usize = 100;

impl JaegerGrpc {
    pub(crate) async fn services(&self, tenant: &Tenant) -> Result<Reply<Vec<String>>, Status> {
        let found = self.querier.services(tenant, self.window_of_names()).await;
        let Answer { content, gaps, .. } = found.map_err(|error| of_query(&error))?;
        Ok(Reply { message: content.iter().map(|name| shown_service(name).to_owned()).collect(), gaps })
    }

    /// Each with its kind, in lower case; none for a kind that says nothing.
    pub(crate) async fn operations(
        &self,
        tenant: &Tenant,
        of: &GetOperationsRequest,
    ) -> Result<Reply<Vec<Operation>>, Status> {
        let kind = match of.span_kind.as_str() {
            "" => None,
            name => Some(kinds::number_of(name).map_err(of_question)?),
        };
        let service = Some(&of.service).filter(|name| !name.is_empty());
        let of = OperationsOf { service: service.map(|name| service_meant(name).to_owned()), kind };
        let found = self.querier.operations(tenant, &of, self.window_of_names()).await;
        let Answer { content, gaps, .. } = found.map_err(|error| of_query(&error))?;
        let mut operations: Vec<(String, String)> = content
            .into_iter()
            .map(|found| (found.name, kinds::name_of(found.kind).unwrap_or_default().to_owned()))
            .collect();
        // Of all services, or of kinds without a name, some are the same.
        operations.sort();
        operations.dedup();
        let operations = operations.into_iter().map(|(name, span_kind)| Operation { name, span_kind });
        Ok(Reply { message: operations.collect(), gaps })
    }

    /// Who called whom, how often.
    pub(crate) async fn calls(
        &self,
        tenant: &Tenant,
        start: Option<&Timestamp>,
        end: Option<&Timestamp>,
    ) -> Result<Reply<Vec<(String, String, u64)>>, Status> {
        let (Some(start), Some(end)) = (Timestamp::unix_nano(start), Timestamp::unix_nano(end)) else {
            return Err(of_question("start_time and end_time are required"));
        };
        let counted = calls_between_services(&self.querier, tenant, [start, end]).await;
        let Answer { content, gaps, .. } = counted.map_err(|error| of_query(&error))?;
        let calls = content.into_iter().map(|((caller, callee), calls)| (caller, callee, calls));
        Ok(Reply { message: calls.collect(), gaps })
    }

    pub(crate) fn search(&self, tenant: Tenant, ask: &Ask) -> Result<Search, Status> {
        ask.search(tenant, self.now_unix_nano()).map_err(of_question)
    }

    pub(crate) async fn found<W: WriteTrace>(
        &self,
        search: &Search,
        reading: Reading,
    ) -> Result<Written<W>, Status> {
        let traces = self.querier.stream_search(search).await.map_err(|error| of_query(&error))?;
        Written::begin(traces, reading).await.map_err(|error| of_query(&error))
    }

    /// Summaries of found traces, some in a message. `encode` puts one into a message, as its field 1.
    pub(crate) async fn summaries(
        &self,
        search: &Search,
        encode: fn(TraceSummary) -> Vec<u8>,
    ) -> Result<Messages, Status> {
        let traces = self.found::<Summing>(search, Reading::Raw).await?;
        let gaps = traces.gaps();
        let stream = stream::try_unfold(
            (traces.items().boxed(), None),
            move |(mut summaries, mut kept): (BoxStream<'_, _>, Option<Vec<u8>>)| async move {
                let (mut message, mut count) = (kept.take().unwrap_or_default(), 0);
                while count < SUMMARIES
                    && let Some(summary) = summaries.try_next().await.map_err(|error| of_query(&error))?
                {
                    let encoded = encode(summary);
                    if encoded.len() > MESSAGE_BYTES {
                        return Err(too_many_services(encoded.len()));
                    }
                    if message.len() + encoded.len() > MESSAGE_BYTES {
                        return Ok(Some((message.into(), (summaries, Some(encoded)))));
                    }
                    message.extend_from_slice(&encoded);
                    count += 1;
                }
                Ok::<_, Status>((!message.is_empty()).then(|| (message.into(), (summaries, None))))
            },
        );
        Ok(Messages { stream: stream.boxed(), gaps })
    }
}

fn too_many_services(bytes: usize) -> Status {
    Status::resource_exhausted(format!(
        "the summary of one trace has {bytes} bytes, for all its services, and a message may have {MESSAGE_BYTES}: \
         search for the trace itself"
    ))
}

pub(crate) fn services_of(summary: &TraceSummary) -> Vec<ServiceSummary> {
    let service = |(name, of): (&String, &crate::jaeger::summary::OfService)| ServiceSummary {
        name: name.clone(),
        span_count: count(of.spans),
        error_span_count: count(of.errors),
    };
    summary.services.iter().map(service).collect()
}

/// A message as the field 1 of another.
pub(crate) fn as_first_field(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    crate::jaeger::proto::wire::put_bytes(&mut bytes, 1, &message.encode_to_vec());
    bytes
}
