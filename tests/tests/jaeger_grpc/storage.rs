//! A store for Jaeger.

use opentelemetry_proto::tonic::trace::v1::TracesData;
use siltstone_querier::jaeger::proto::expression::{
    Call, Expression, FieldReference, NestedReference, Scalar, Term,
};
use siltstone_querier::jaeger::proto::storage::{
    AnyValue, FindTraceIdsResponse, FindTraceSummariesResponse, FindTracesRequest, GetCapabilitiesRequest,
    GetCapabilitiesResponse, GetDependenciesRequest, GetDependenciesResponse, GetOperationsRequest,
    GetOperationsResponse, GetServicesRequest, GetServicesResponse, GetTraceParams, GetTracesRequest,
    KeyValue, TraceQueryParameters, Value,
};
use siltstone_querier::jaeger::proto::{Duration, Timestamp};
use siltstone_testkit::corpus::build::{START, trace_id};
use tonic::Code;

use super::queries::{names, time};
use super::world::{SECOND, Served, world};

const READER: &str = "/jaeger.storage.v2.TraceReader";

/// What Go sends for no time.
const NO_TIME: Option<Timestamp> = Some(Timestamp { seconds: -62_135_596_800, nanos: 0 });
const NO_DURATION: Option<Duration> = Some(Duration { seconds: 0, nanos: 0 });

/// As Jaeger sends it: every field is there.
fn query() -> TraceQueryParameters {
    TraceQueryParameters {
        start_time_min: NO_TIME,
        start_time_max: NO_TIME,
        duration_min: NO_DURATION,
        duration_max: NO_DURATION,
        search_depth: 20,
        ..TraceQueryParameters::default()
    }
}

fn params(id: Vec<u8>) -> GetTraceParams {
    GetTraceParams { trace_id: id, start_time: NO_TIME, end_time: NO_TIME }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

async fn find(served: &Served, query: TraceQueryParameters) -> Vec<String> {
    let request = FindTracesRequest { query: Some(query) };
    names(&served.storage.stream(&format!("{READER}/FindTraces"), &request).await.unwrap())
}

#[tokio::test]
async fn should_give_traces_one_after_the_other_and_skip_those_that_there_are_not() {
    let (_world, served) = world().await;
    let path = format!("{READER}/GetTraces");
    let query = [3, 99, 1].map(|id| params(trace_id(id))).to_vec();
    let found: Vec<TracesData> = served.storage.stream(&path, &GetTracesRequest { query }).await.unwrap();
    let traces: Vec<u8> = found
        .iter()
        .map(|data| {
            let spans: Vec<_> =
                data.resource_spans.iter().flat_map(|of| &of.scope_spans).flat_map(|of| &of.spans).collect();
            assert!(!spans.is_empty() && spans.iter().all(|span| span.trace_id == spans[0].trace_id));
            spans[0].trace_id[15]
        })
        .collect();
    let mut consecutive = traces.clone();
    consecutive.dedup();
    consecutive.sort_unstable();
    assert_eq!(consecutive, [1, 3], "{traces:?}");
    assert_eq!(names(&found).len(), 28);
    let none = GetTracesRequest { query: vec![params(trace_id(99))] };
    assert_eq!(served.storage.stream::<TracesData>(&path, &none).await.unwrap(), []);
    assert_eq!(served.storage.stream::<TracesData>(&path, &GetTracesRequest::default()).await.unwrap(), []);
    let wrong = GetTracesRequest { query: vec![params(vec![1, 2, 3])] };
    assert_eq!(served.storage.code(&path, &wrong).await, Code::InvalidArgument);
}

#[tokio::test]
async fn should_list_services_and_operations() {
    let (_world, served) = world().await;
    let services: GetServicesResponse =
        served.storage.one(&format!("{READER}/GetServices"), &GetServicesRequest {}).await.unwrap();
    assert_eq!(services.services, ["billing", "shop", "store"]);
    let request = GetOperationsRequest { service: "billing".to_owned(), span_kind: "server".to_owned() };
    let operations: GetOperationsResponse =
        served.storage.one(&format!("{READER}/GetOperations"), &request).await.unwrap();
    assert_eq!((operations.operations.len(), operations.operations[0].name.as_str()), (1, "charge"));
}

#[tokio::test]
async fn should_find_traces_as_jaeger_asks_for_them() {
    let (_world, served) = world().await;
    let first = ["GET /shop", "charge", "late"];
    assert_eq!(find(&served, query()).await.len(), 29);
    let by = |attributes| TraceQueryParameters { attributes, ..query() };
    for value in [Value::Str("500".to_owned()), Value::Int(500), Value::Double(500.0)] {
        assert_eq!(find(&served, by(vec![attribute("http.status_code", value)])).await, first);
    }
    assert_eq!(find(&served, by(vec![attribute("error", Value::Bool(true))])).await, first);
    let bounded = TraceQueryParameters {
        service_name: "billing".to_owned(),
        start_time_min: time(START - SECOND),
        start_time_max: time(START + SECOND),
        ..query()
    };
    assert_eq!(find(&served, bounded).await, first);
    let wrong = by(vec![attribute("k", Value::Bytes(vec![1]))]);
    let request = FindTracesRequest { query: Some(wrong) };
    assert_eq!(served.storage.code(&format!("{READER}/FindTraces"), &request).await, Code::InvalidArgument);
}

#[tokio::test]
async fn should_find_by_a_filter_alone() {
    let (_world, served) = world().await;
    let expression = |term| Expression { term: Some(term) };
    let call = |op: &str, args: Vec<Term>| Call {
        op: op.to_owned(),
        args: args.into_iter().map(expression).collect(),
    };
    let scalar = |value: &str| Term::Scalar(Scalar { value: value.to_owned(), r#type: String::new() });
    let field = |level: &str, name: &str| {
        Term::Field(FieldReference { level: level.to_owned(), name: name.to_owned() })
    };
    let named = call("eq", vec![field("event", "name"), scalar("exception")]);
    let soon = call("lt", vec![field("event", "timeSinceStart"), scalar("8ns")]);
    let both = call("and", vec![Term::Call(named), Term::Call(soon)]);
    let over = Term::Nested(NestedReference { level: "event".to_owned() });
    let some = call("some", vec![over, Term::Call(both)]);
    let filtered = TraceQueryParameters { filter: Some(some), ..query() };
    assert_eq!(find(&served, filtered.clone()).await, ["GET /shop", "charge", "late"]);
    let mixed = TraceQueryParameters { operation_name: "charge".to_owned(), ..filtered };
    let request = FindTracesRequest { query: Some(mixed) };
    assert_eq!(served.storage.code(&format!("{READER}/FindTraces"), &request).await, Code::InvalidArgument);
}

#[tokio::test]
async fn should_find_ids_with_the_times_of_their_traces_and_sum_them_up() {
    let (_world, served) = world().await;
    let request = FindTracesRequest { query: Some(query()) };
    let found: FindTraceIdsResponse =
        served.storage.one(&format!("{READER}/FindTraceIDs"), &request).await.unwrap();
    let ids: Vec<u8> = found.trace_ids.iter().map(|found| found.trace_id[15]).collect();
    assert_eq!(ids, [2, 1, 3]);
    assert_eq!((found.trace_ids[1].start, found.trace_ids[1].end), (time(START), time(START + 5_000_000)));
    let summed: Vec<FindTraceSummariesResponse> =
        served.storage.stream(&format!("{READER}/FindTraceSummaries"), &request).await.unwrap();
    let spans: Vec<(u8, i32)> = summed
        .iter()
        .flat_map(|message| &message.summaries)
        .map(|summary| (summary.trace_id[15], summary.span_count))
        .collect();
    assert_eq!(spans, [(2, 1), (1, 3), (3, 25)]);
}

#[tokio::test]
async fn should_count_calls_between_services() {
    let (_world, served) = world().await;
    let path = "/jaeger.storage.v2.DependencyReader/GetDependencies";
    let request = GetDependenciesRequest { start_time: time(START - SECOND), end_time: time(START + SECOND) };
    let found: GetDependenciesResponse = served.storage.one(path, &request).await.unwrap();
    let edges: Vec<_> =
        found.dependencies.iter().map(|edge| (&edge.parent[..], &edge.child[..], edge.call_count)).collect();
    assert_eq!(edges, [("shop", "billing", 1)]);
    let wrong = GetDependenciesRequest { start_time: NO_TIME, ..request };
    assert_eq!(served.storage.code(path, &wrong).await, Code::InvalidArgument);
}

#[tokio::test]
async fn should_say_that_everything_can_be_asked() {
    let (_world, served) = world().await;
    let path = "/jaeger.storage.v2.Capabilities/GetCapabilities";
    let found: GetCapabilitiesResponse = served.storage.one(path, &GetCapabilitiesRequest {}).await.unwrap();
    let search = found.search.unwrap();
    assert!(search.without_service_name && search.same_span_conjunction);
    let filter = search.filter.unwrap();
    assert_eq!(filter.levels, ["span", "resource", "scope", "event", "link"]);
    let operators = "and or not eq ne gt lt gte lte regex exists in not_in some";
    assert_eq!(filter.operators.join(" "), operators);
}
