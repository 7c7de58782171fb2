//! The query APIs of both generations.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::TracesData;
use siltstone_querier::jaeger::proto::api_v2 as v2;
use siltstone_querier::jaeger::proto::api_v3 as v3;
use siltstone_querier::jaeger::proto::expression::{Call, Expression, FieldReference, Scalar, Term};
use siltstone_querier::jaeger::proto::{Duration, Timestamp};
use siltstone_querier::limits::QueryLimits;
use siltstone_testkit::corpus::build::{START, trace_id};
use tonic::Code;

use super::world::{SECOND, Served, world};

const V2: &str = "/jaeger.api_v2.QueryService";
const V3: &str = "/jaeger.api_v3.QueryService";

/// As far as these tests look into spans of the older API.
#[derive(Clone, PartialEq, prost::Message)]
struct Chunk {
    #[prost(message, repeated, tag = "1")]
    spans: Vec<ChunkSpan>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ChunkSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(string, tag = "3")]
    operation_name: String,
}

pub(crate) fn time(unix_nano: u64) -> Option<Timestamp> {
    let (seconds, nanos) = ((unix_nano / SECOND) as i64, (unix_nano % SECOND) as i32);
    Some(Timestamp { seconds, nanos })
}

/// Everything that there is.
fn around() -> v3::TraceQueryParameters {
    v3::TraceQueryParameters {
        start_time_min: time(START - 3_600 * SECOND),
        start_time_max: time(START + 3_600 * SECOND),
        ..v3::TraceQueryParameters::default()
    }
}

pub(crate) fn names(data: &[TracesData]) -> Vec<String> {
    let spans = data
        .iter()
        .flat_map(|data| &data.resource_spans)
        .flat_map(|of| &of.scope_spans)
        .flat_map(|of| &of.spans);
    let mut names: Vec<String> = spans.map(|span| span.name.clone()).collect();
    names.sort();
    names
}

async fn find(served: &Served, query: v3::TraceQueryParameters) -> Vec<String> {
    let request = v3::FindTracesRequest { query: Some(query) };
    names(&served.queries.stream(&format!("{V3}/FindTraces"), &request).await.unwrap())
}

#[tokio::test]
async fn should_list_services_and_operations() {
    let (_world, served) = world().await;
    for api in [V2, V3] {
        let services: v3::GetServicesResponse =
            served.queries.one(&format!("{api}/GetServices"), &v3::GetServicesRequest {}).await.unwrap();
        assert_eq!(services.services, ["billing", "shop", "store"]);
    }
    let ask = |service: &str, kind: &str| v3::GetOperationsRequest {
        service: service.to_owned(),
        span_kind: kind.to_owned(),
    };
    let operations = async |service, kind| -> Vec<(String, String)> {
        let path = format!("{V3}/GetOperations");
        let found: v3::GetOperationsResponse = served.queries.one(&path, &ask(service, kind)).await.unwrap();
        found.operations.into_iter().map(|found| (found.name, found.span_kind)).collect()
    };
    let of = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    assert_eq!(operations("billing", "").await, [of("charge", "server"), of("late", "internal")]);
    assert_eq!(operations("billing", "Server").await, [of("charge", "server")]);
    assert_eq!(operations("nobody", "").await, []);
    let path = format!("{V3}/GetOperations");
    assert_eq!(served.queries.code(&path, &ask("billing", "sever")).await, Code::InvalidArgument);
    let older: v2::GetOperationsResponse =
        served.queries.one(&format!("{V2}/GetOperations"), &ask("shop", "")).await.unwrap();
    assert_eq!(older.operation_names, ["GET /shop", "many", "one of"]);
    assert_eq!(older.operations.len(), 3);
}

#[tokio::test]
async fn should_give_a_trace_by_id_whole() {
    let (_world, served) = world().await;
    let path = format!("{V3}/GetTrace");
    for id in ["1", "00000000000000000000000000000001", "AAAAAAAAAAAAAAAAAAAAAQ=="] {
        let request = v3::GetTraceRequest { trace_id: id.to_owned(), ..v3::GetTraceRequest::default() };
        let found: Vec<TracesData> = served.queries.stream(&path, &request).await.unwrap();
        assert_eq!(names(&found), ["GET /shop", "charge", "late"], "{id}");
    }
    for (id, code) in [
        ("f", Code::NotFound),
        ("", Code::InvalidArgument),
        ("xyz", Code::InvalidArgument),
        ("0123456789abcdef0123456789abcdef0", Code::InvalidArgument),
    ] {
        let request = v3::GetTraceRequest { trace_id: id.to_owned(), ..v3::GetTraceRequest::default() };
        assert_eq!(served.queries.code(&path, &request).await, code, "{id}");
    }
    let path = format!("{V2}/GetTrace");
    for (id, spans) in [(trace_id(3), 25), (trace_id(3)[8..].to_vec(), 25)] {
        let request =
            v2::GetTraceRequest { trace_id: id, raw_traces: true, ..v2::GetTraceRequest::default() };
        let chunks: Vec<Chunk> = served.queries.stream(&path, &request).await.unwrap();
        let counts: Vec<usize> = chunks.iter().map(|chunk| chunk.spans.len()).collect();
        assert_eq!((counts.iter().sum::<usize>(), counts), (spans, vec![10, 10, 5]));
        assert!(chunks.iter().flat_map(|chunk| &chunk.spans).all(|span| span.trace_id == trace_id(3)));
    }
    for (id, code) in [(trace_id(9), Code::NotFound), (Vec::new(), Code::InvalidArgument)] {
        let request = v2::GetTraceRequest { trace_id: id, ..v2::GetTraceRequest::default() };
        assert_eq!(served.queries.code(&path, &request).await, code);
    }
}

#[tokio::test]
async fn should_find_traces_by_all_that_can_be_asked() {
    let (_world, served) = world().await;
    let first = ["GET /shop", "charge", "late"];
    let by = |change: fn(&mut v3::TraceQueryParameters)| {
        let mut query = around();
        change(&mut query);
        query
    };
    let all = find(&served, around()).await;
    assert_eq!(all.len(), 29);
    assert_eq!(find(&served, by(|query| query.service_name = "billing".to_owned())).await, first);
    assert_eq!(find(&served, by(|query| query.operation_name = "compact".to_owned())).await, ["compact"]);
    let tagged = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
        v3::TraceQueryParameters { attributes: pairs.collect(), ..around() }
    };
    for pairs in [
        &[("http.status_code", "500")][..],
        &[("error", "true"), ("span.kind", "server")],
        &[("event", "exception")],
    ] {
        assert_eq!(find(&served, tagged(pairs)).await, first, "{pairs:?}");
    }
    // Both hold in the trace, and not on one span.
    assert_eq!(find(&served, tagged(&[("error", "true"), ("http.status_code", "500")])).await.len(), 0);
    let long = by(|query| query.duration_min = Some(Duration { seconds: 1, nanos: 0 }));
    assert_eq!(find(&served, long).await, ["compact"]);
    let newest = by(|query| query.search_depth = 1);
    assert_eq!(find(&served, newest).await, ["compact"]);
    let earlier = v3::TraceQueryParameters { start_time_max: time(START - SECOND), ..around() };
    assert_eq!(find(&served, earlier).await.len(), 25);
    let filter = Call {
        op: "eq".to_owned(),
        args: [
            Term::Field(FieldReference { name: "name".to_owned(), level: "event".to_owned() }),
            Term::Scalar(Scalar { value: "exception".to_owned(), r#type: String::new() }),
        ]
        .map(|term| Expression { term: Some(term) })
        .to_vec(),
    };
    let filtered = v3::TraceQueryParameters { filter: Some(filter.clone()), ..around() };
    assert_eq!(find(&served, filtered.clone()).await, first);
    for wrong in [
        v3::TraceQueryParameters { service_name: "shop".to_owned(), ..filtered.clone() },
        v3::TraceQueryParameters { start_time_min: None, ..around() },
        v3::TraceQueryParameters {
            start_time_max: Some(Timestamp { seconds: -62_135_596_800, nanos: 0 }),
            ..around()
        },
        v3::TraceQueryParameters { filter: Some(Call { op: "like".to_owned(), ..filter }), ..around() },
        v3::TraceQueryParameters {
            duration_min: Some(Duration { seconds: 2, nanos: 0 }),
            duration_max: Some(Duration { seconds: 1, nanos: 0 }),
            ..around()
        },
    ] {
        let request = v3::FindTracesRequest { query: Some(wrong) };
        for method in ["FindTraces", "FindTraceSummaries"] {
            let code = served.queries.code(&format!("{V3}/{method}"), &request).await;
            assert_eq!(code, Code::InvalidArgument, "{request:?}");
        }
    }
    let none = v3::FindTracesRequest { query: None };
    assert_eq!(served.queries.code(&format!("{V3}/FindTraces"), &none).await, Code::InvalidArgument);
}

#[tokio::test]
async fn should_find_traces_for_the_older_api() {
    let (_world, served) = world().await;
    let query = v2::TraceQueryParameters {
        service_name: "shop".to_owned(),
        tags: BTreeMap::from([("http.status_code".to_owned(), "500".to_owned())]),
        start_time_min: time(START - SECOND),
        start_time_max: time(START + SECOND),
        ..v2::TraceQueryParameters::default()
    };
    let path = format!("{V2}/FindTraces");
    let found: Vec<Chunk> =
        served.queries.stream(&path, &v2::FindTracesRequest { query: Some(query.clone()) }).await.unwrap();
    let mut names: Vec<&str> =
        found.iter().flat_map(|chunk| &chunk.spans).map(|span| span.operation_name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["GET /shop", "charge", "late"]);
    // Without times it is about the last two days.
    let query = v2::TraceQueryParameters { start_time_min: None, start_time_max: None, ..query };
    let found: Vec<Chunk> =
        served.queries.stream(&path, &v2::FindTracesRequest { query: Some(query) }).await.unwrap();
    assert_eq!(found, []);
}

#[tokio::test]
async fn should_sum_traces_up() {
    let (_world, served) = world().await;
    let request = v3::FindTracesRequest { query: Some(around()) };
    let found: Vec<v3::FindTraceSummariesResponse> =
        served.queries.stream(&format!("{V3}/FindTraceSummaries"), &request).await.unwrap();
    let summaries: Vec<v3::TraceSummary> = found.into_iter().flat_map(|found| found.summaries).collect();
    let ids: Vec<&str> = summaries.iter().map(|summary| &summary.trace_id[30..]).collect();
    assert_eq!(ids, ["02", "01", "03"]);
    let service = |name: &str, span_count, error_span_count| v3::ServiceSummary {
        name: name.to_owned(),
        span_count,
        error_span_count,
    };
    let expected = v3::TraceSummary {
        trace_id: "00000000000000000000000000000001".to_owned(),
        root_service_name: "shop".to_owned(),
        root_operation_name: "GET /shop".to_owned(),
        min_start_time_unix_nano: START,
        max_end_time_unix_nano: START + 5_000_000,
        span_count: 3,
        error_span_count: 1,
        orphan_span_count: 0,
        services: vec![service("billing", 2, 1), service("shop", 1, 0)],
    };
    assert_eq!(summaries[1], expected);
}

#[tokio::test]
async fn should_count_calls_between_services() {
    let (_world, served) = world().await;
    let request =
        v3::GetDependenciesRequest { start_time: time(START - SECOND), end_time: time(START + SECOND) };
    let found: v3::DependenciesResponse =
        served.queries.one(&format!("{V3}/GetDependencies"), &request).await.unwrap();
    let edge = v3::Dependency { parent: "shop".to_owned(), child: "billing".to_owned(), call_count: 1 };
    assert_eq!(found.dependencies, [edge]);
    let older: v2::GetDependenciesResponse =
        served.queries.one(&format!("{V2}/GetDependencies"), &request).await.unwrap();
    assert_eq!((older.dependencies.len(), older.dependencies[0].source.as_str()), (1, "jaeger"));
    for wrong in [
        v3::GetDependenciesRequest { start_time: None, ..request },
        v3::GetDependenciesRequest { end_time: None, ..request.clone() },
    ] {
        for api in [V2, V3] {
            let code = served.queries.code(&format!("{api}/GetDependencies"), &wrong).await;
            assert_eq!(code, Code::InvalidArgument);
        }
    }
}

#[tokio::test]
async fn should_archive_a_trace_that_there_is() {
    let (_world, served) = world().await;
    let path = format!("{V2}/ArchiveTrace");
    let archive = |id| v2::ArchiveTraceRequest { trace_id: id, ..v2::ArchiveTraceRequest::default() };
    for _ in 0..2 {
        let answer: v2::ArchiveTraceResponse =
            served.queries.one(&path, &archive(trace_id(2))).await.unwrap();
        assert_eq!(answer, v2::ArchiveTraceResponse {});
    }
    assert_eq!(served.queries.code(&path, &archive(trace_id(99))).await, Code::NotFound);
    assert_eq!(served.queries.code(&path, &archive(Vec::new())).await, Code::InvalidArgument);
}

#[tokio::test]
async fn should_name_the_bound_that_a_question_met() {
    let (world, _) = world().await;
    let limits = QueryLimits { bytes: 1, ..QueryLimits::default() };
    let served = Served::new(world.querier(limits), false).await;
    let request =
        v3::GetTraceRequest { trace_id: "3".to_owned(), raw_traces: true, ..v3::GetTraceRequest::default() };
    let (path, request) = (format!("{V3}/GetTrace"), prost::Message::encode_to_vec(&request));
    let refused = served.queries.bytes(&path, request.into()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("query_bytes"), "{refused}");
}
