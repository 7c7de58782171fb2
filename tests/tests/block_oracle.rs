//! What a block gives back is what the oracle saw: the oracle knows OTLP only and
//! shares no code with the format.

#![expect(clippy::expect_used, reason = "a test that fails says so by a panic")]

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use siltstone_format::block::ranges::{Fetched, coalesce};
use siltstone_testkit::corpus::{arbitrary, nasty};
use siltstone_testkit::oracle::{assert_same_spans, canonical_spans};
use siltstone_tests::blocks::{Block, columns_of, traffic};
use siltstone_tests::encode::encode_request;

/// Encodes all requests as one block and compares what comes back.
fn round_trip(requests: &[ExportTraceServiceRequest]) {
    let columns = columns_of(requests).expect("the corpus is acceptable");
    if columns.is_empty() {
        return;
    }
    let block = Block::encode(&columns, 1).expect("encodes");
    let read = block.checked_spans().expect("F1 holds");
    let sent: Vec<_> = requests.iter().flat_map(canonical_spans).collect();
    assert_same_spans(&sent, &canonical_spans(&encode_request(&read)));
}

#[test]
fn should_give_back_every_nasty_span() {
    for (name, request) in nasty::named() {
        println!("{name}");
        round_trip(&[request]);
    }
    round_trip(&nasty::requests());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn should_give_back_arbitrary_requests(requests in arbitrary::arbitrary_requests()) {
        round_trip(&requests);
    }
}

#[test]
fn should_give_back_generated_traffic_of_several_row_groups_and_its_traces() {
    let requests: Vec<_> = traffic(300_000, 280, 7).map(|batch| batch.request).collect();
    let columns = columns_of(&requests).expect("decodes");
    let block = Block::encode(&columns, 1).expect("encodes");
    let file = block.spans_file().expect("opens");
    assert!(file.groups().count() >= 3, "one row group proves little");
    let read = block.checked_spans().expect("F1 holds");
    let sent: Vec<_> = requests.iter().flat_map(canonical_spans).collect();
    assert_same_spans(&sent, &canonical_spans(&encode_request(&read)));

    // Every fiftieth trace by itself, from its ranges only.
    let origins = block.origins_file().expect("opens");
    for trace in read.chunk_by(|a, b| a.trace_id == b.trace_id).step_by(50) {
        let id = trace[0].trace_id;
        let found = file.find(&id);
        let mut fetched = Fetched::default();
        for range in coalesce(found.iter().flat_map(|rows| file.ranges(rows)).collect(), 0) {
            fetched.add(range.start, block.spans.slice(range.start as usize..range.end as usize));
        }
        let columns = file.read_trace(&id, &found, &fetched, &origins).expect("reads");
        assert_eq!(columns.spans().expect("values"), trace, "trace {id}");
    }
}
