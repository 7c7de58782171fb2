//! Whatever was stored by OTLP comes back, and no message is too long.

use std::cell::RefCell;
use std::collections::BTreeSet;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use prost::Message;
use siltstone_format::tenant::Tenant;
use siltstone_ingest::decode::Rules;
use siltstone_querier::jaeger::proto::{api_v3, storage};
use siltstone_testkit::corpus::build::{START, attribute, request, span, text, trace_id};
use siltstone_testkit::oracle::{CanonicalSpan, canonical_spans};
use siltstone_testkit::{Oracle, arbitrary, nasty};
use siltstone_tests::ingest_world::{World, send};
use siltstone_tests::verdict::judge;

use super::client::Client;
use super::world::{Served, world_of};

/// What clients take unless they are told otherwise.
const MOST_BYTES: usize = 4 << 20;

fn canonical(messages: &[bytes::Bytes]) -> Vec<CanonicalSpan> {
    let read = |message: &bytes::Bytes| ExportTraceServiceRequest::decode(message.clone()).unwrap();
    let mut spans: Vec<CanonicalSpan> =
        messages.iter().flat_map(|message| canonical_spans(&read(message))).collect();
    spans.sort();
    spans
}

/// All spans that there are, by id through the query API and as Jaeger's store.
async fn read_back(served: &Served, traces: &BTreeSet<Vec<u8>>) -> [Vec<CanonicalSpan>; 2] {
    let mut by_id = Vec::new();
    for id in traces {
        let trace_id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let request = api_v3::GetTraceRequest { trace_id, raw_traces: true, ..Default::default() };
        by_id.extend(all(&served.queries, "/jaeger.api_v3.QueryService/GetTrace", &request).await);
    }
    let query =
        traces.iter().map(|id| storage::GetTraceParams { trace_id: id.clone(), ..Default::default() });
    let request = storage::GetTracesRequest { query: query.collect() };
    let stored = all(&served.storage, "/jaeger.storage.v2.TraceReader/GetTraces", &request).await;
    [canonical(&by_id), canonical(&stored)]
}

async fn all(client: &Client, path: &str, request: &impl Message) -> Vec<bytes::Bytes> {
    let messages = client.bytes(path, request.encode_to_vec().into()).await.unwrap();
    assert!(messages.iter().all(|message| message.len() <= MOST_BYTES && !message.is_empty()));
    messages
}

/// No span starts in times that an ingester refuses, and what it refuses for other reasons is left out.
fn taken(request: &ExportTraceServiceRequest) -> ExportTraceServiceRequest {
    let rules = Rules {
        earliest_start: 0,
        latest_start: START + (1 << 54),
        attribute_bytes: 256 << 10,
        spans: usize::MAX,
        listed_bytes: usize::MAX,
        deleted: None,
        now_unix_millis: 0,
    };
    let mut taken = request.clone();
    for of_scope in taken.resource_spans.iter_mut().flat_map(|of| &mut of.scope_spans) {
        of_scope.spans.iter_mut().for_each(|span| span.start_time_unix_nano %= rules.latest_start);
    }
    let (refused, mut ordinal) = (judge(&taken, &rules).refused_ordinals, 0);
    for of_scope in taken.resource_spans.iter_mut().flat_map(|of| &mut of.scope_spans) {
        of_scope.spans.retain(|_| {
            ordinal += 1;
            !refused.contains(&(ordinal - 1))
        });
    }
    taken
}

async fn stored_and_read(
    requests: &[ExportTraceServiceRequest],
) -> ([Vec<CanonicalSpan>; 2], Vec<CanonicalSpan>) {
    let world = World::new();
    let (ingest, _) = world.ingest(1, 1 << 30, world.config()).await;
    let mut oracle = Oracle::default();
    for request in requests {
        let request = taken(request);
        let accepted = send(&ingest, &Tenant::single(), &request).await.unwrap();
        assert_eq!(accepted.refused.total(), 0, "{}", accepted.message);
        oracle.accept(&request);
    }
    let mut expected = oracle.spans();
    expected.sort();
    let served = Served::new(world.querier(2, &ingest), false).await;
    let traces: BTreeSet<Vec<u8>> = expected.iter().map(|span| span.trace_id.0.clone()).collect();
    let read = read_back(&served, &traces).await;
    assert!(ingest.shutdown(std::time::Duration::from_secs(60)).await);
    (read, expected)
}

const CASES: u32 = 24;

#[test]
fn any_spans_that_were_stored_come_back_equal() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let spans = RefCell::new(0);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
    let checked = TestRunner::new(config).run(&arbitrary::arbitrary_requests(), |requests| {
        let ([by_id, stored], expected) = runtime.block_on(stored_and_read(&requests));
        *spans.borrow_mut() += expected.len();
        prop_assert_eq!(&by_id, &expected);
        prop_assert_eq!(&stored, &expected);
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
    let spans = spans.into_inner();
    assert!(spans > CASES as usize, "{spans} spans in {CASES} cases");
}

#[tokio::test(flavor = "multi_thread")]
async fn nasty_spans_that_were_stored_come_back_equal() {
    let requests: Vec<ExportTraceServiceRequest> =
        nasty::named().into_iter().map(|(_, request)| request).collect();
    let ([by_id, stored], expected) = stored_and_read(&requests).await;
    assert!(by_id == expected && stored == expected);
    assert!(expected.len() > 50, "{} spans", expected.len());
}

#[tokio::test]
async fn large_traces_come_in_messages_that_clients_take() {
    let large = |trace: u64, id: u64, bytes: usize| {
        let attributes = (0..bytes.div_ceil(200_000))
            .map(|part| attribute(&format!("part-{part}"), text(&"x".repeat(200_000))))
            .collect();
        opentelemetry_proto::tonic::trace::v1::Span { attributes, ..span(trace, id, "large") }
    };
    let exports = vec![
        request("shop", (1..=20).map(|id| large(1, id, 1 << 20)).collect()),
        // More than a message may have.
        request("shop", vec![large(2, 1, 5 << 20), span(2, 2, "small")]),
    ];
    let (_world, served) = world_of(&exports, false).await;
    let traces: BTreeSet<Vec<u8>> = [1, 2].map(trace_id).into();
    for spans in read_back(&served, &traces).await {
        assert_eq!(spans.len(), 22);
        let short: Vec<&CanonicalSpan> = spans.iter().filter(|span| span.dropped_attributes > 0).collect();
        assert_eq!(short.len(), 1);
        assert!(format!("{:?}", short[0].attributes).contains("@jaeger@warnings"));
    }
    let request = siltstone_querier::jaeger::proto::api_v2::GetTraceRequest {
        trace_id: trace_id(1),
        raw_traces: true,
        ..Default::default()
    };
    let chunks = all(&served.queries, "/jaeger.api_v2.QueryService/GetTrace", &request).await;
    assert!(chunks.len() >= 6, "{} messages", chunks.len());
}
