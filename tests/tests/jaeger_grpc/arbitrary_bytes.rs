//! Requests out of anybody's hands: none of them is met by a defect.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use prost::Message;
use prost_reflect::DescriptorPool;
use siltstone_querier::jaeger::proto::expression::{Call, Expression, Term};
use siltstone_querier::jaeger::proto::{DESCRIPTORS, api_v3, storage};
use tonic::Code;

use super::client::Client;
use super::world::world;

/// Every method that there is, as a path.
fn paths(of_storage: bool) -> Vec<String> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let paths = methods.map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name()));
    let paths = paths.filter(|path| path.starts_with("/jaeger.storage") == of_storage);
    paths.filter(|path| path.starts_with("/jaeger.")).collect()
}

/// Some that are whole, to be damaged.
fn samples() -> Vec<Vec<u8>> {
    let call = Call {
        op: "and".to_owned(),
        args: vec![Expression { term: Some(Term::Call(Call { op: "not".to_owned(), args: Vec::new() })) }; 3],
    };
    let query = api_v3::TraceQueryParameters {
        service_name: "shop".to_owned(),
        start_time_min: super::queries::time(1),
        start_time_max: super::queries::time(u64::MAX),
        filter: Some(call),
        ..Default::default()
    };
    let get = storage::GetTraceParams { trace_id: vec![0; 16], ..Default::default() };
    vec![
        api_v3::FindTracesRequest { query: Some(query) }.encode_to_vec(),
        storage::GetTracesRequest { query: vec![get; 3] }.encode_to_vec(),
        api_v3::GetTraceRequest { trace_id: "1".to_owned(), ..Default::default() }.encode_to_vec(),
    ]
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let damaged = (any::<Index>(), vec((any::<Index>(), any::<u8>()), 0..6), any::<Index>()).prop_map(
        |(sample, damage, end)| {
            let mut bytes = sample.get(&samples()).clone();
            for (place, byte) in damage {
                *place.get_mut(&mut bytes) = byte;
            }
            bytes.truncate(end.index(bytes.len()) + 1);
            bytes
        },
    );
    prop_oneof![1 => Just(Vec::new()), 1 => vec(any::<u8>(), 0..200), 3 => damaged]
}

async fn check(client: &Client, path: &str, bytes: &[u8]) -> Result<bool, TestCaseError> {
    match client.bytes(path, bytes.to_vec().into()).await {
        Ok(_) => Ok(true),
        Err(status) => {
            let is_fit = matches!(status.code(), Code::InvalidArgument | Code::NotFound);
            prop_assert!(is_fit, "{path} with {bytes:?}: {status:?}");
            Ok(false)
        }
    }
}

#[test]
fn any_bytes_are_answered_or_refused() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (_world, served) = runtime.block_on(world());
    let (of_queries, of_storage) = (paths(false), paths(true));
    assert_eq!((of_queries.len(), of_storage.len()), (12, 8));
    let answered = std::cell::Cell::new([0, 0]);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) };
    let checked = TestRunner::new(config).run(&(request(), any::<Index>()), |(bytes, path)| {
        for (client, paths) in [(&served.queries, &of_queries), (&served.storage, &of_storage)] {
            let path: &String = path.get(paths);
            let is_answered = runtime.block_on(check(client, path, &bytes))?;
            let mut counts = answered.get();
            counts[usize::from(is_answered)] += 1;
            answered.set(counts);
        }
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
    // Both happen.
    assert!(answered.get().iter().all(|count| *count > 20), "{:?}", answered.get());
}

#[tokio::test]
async fn filters_that_are_too_deep_are_refused() {
    let (_world, served) = world().await;
    for depth in [65, 90, 2_000] {
        let mut call = Call { op: "exists".to_owned(), args: Vec::new() };
        for _ in 0..depth {
            call = Call { op: "not".to_owned(), args: vec![Expression { term: Some(Term::Call(call)) }] };
        }
        let query = storage::TraceQueryParameters { filter: Some(call), ..Default::default() };
        let request = storage::FindTracesRequest { query: Some(query) };
        let code = served.storage.code("/jaeger.storage.v2.TraceReader/FindTraces", &request).await;
        assert_eq!(code, Code::InvalidArgument, "{depth}");
    }
}
