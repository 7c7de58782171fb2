//! What reading costs: requests and bytes, counted, not timed.

#![expect(clippy::expect_used, reason = "a test that fails says so by a panic")]

use siltstone_format::block::MAX_METADATA_BYTES;
use siltstone_format::block::ranges::coalesce;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};
use siltstone_tests::blocks::{Block, traffic_columns};

/// A gap that costs less to read than another request to a distant store.
const GAP: u64 = 1 << 20;

/// Requests, bytes and bytes after joining that some traces need cold.
fn cost_of_traces(block: &Block, traces: &[TraceId]) -> (usize, u64, u64) {
    let file = block.spans_file().expect("opens");
    let ranges: Vec<_> =
        traces.iter().flat_map(|id| file.find(id)).flat_map(|rows| file.ranges(&rows)).collect();
    let exact = coalesce(ranges.clone(), 0).iter().map(|range| range.end - range.start).sum();
    let joined = coalesce(ranges, GAP);
    (joined.len(), exact, joined.iter().map(|range| range.end - range.start).sum())
}

fn metadata_bytes(block: &Block) -> u64 {
    block.summary.spans.bytes - block.summary.spans.metadata_offset
}

#[test]
fn should_read_one_trace_with_few_requests_and_bytes() {
    let columns = traffic_columns(300_000, 280, 3).expect("decodes");
    let block = Block::encode(&columns, 1).expect("encodes");
    let sample: Vec<TraceId> = columns.trace_ids.iter().copied().step_by(5_000).collect();
    for trace in sample {
        let (requests, exact, joined) = cost_of_traces(&block, &[trace]);
        // A lookup sends one more for the metadata, one for the filter row, one for origins.
        assert!(requests <= 9, "{requests} requests");
        assert!(exact <= 1 << 20, "{exact} bytes");
        assert!(joined <= 4 << 20, "{joined} bytes");
    }
}

/// Spans of ten to a trace, each with seven of so many keys.
fn spans_with_keys(keys: usize, spans: usize) -> SpanColumns {
    let mut columns = SpanColumns::default();
    for number in 0..spans {
        let bytes = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let trace = (number as u64 / 10).wrapping_mul(0xd6e8_feb8_6659_fd93).to_be_bytes();
        let attribute = |index: usize| Attribute {
            key: format!("application.key.{}", (number * 31 + index * index * 977) % keys),
            value: Value::Str(format!("value {}", (number + index) % 50)),
        };
        let span = Span {
            trace_id: TraceId([trace, trace].concat().try_into().expect("16 bytes")),
            span_id: SpanId(bytes),
            start_unix_nano: 1_700_000_000_000_000_000 + number as u64 * 1_000,
            end_unix_nano: 1_700_000_000_000_500_000 + number as u64 * 1_000,
            name: format!("operation {}", number % 40),
            attributes: (0..7).map(attribute).collect(),
            ..Span::default()
        };
        columns.push(&span).expect("is acceptable");
    }
    columns
}

#[test]
fn should_bound_metadata_and_bytes_whatever_keys_are_sent() {
    let usual = Block::encode(&spans_with_keys(50, 200_000), 1).expect("encodes");
    // 1,000 keys are each common enough for a column, 5,000 are not.
    for keys in [1_000, 5_000] {
        let flooded = spans_with_keys(keys, 200_000);
        let traces: Vec<TraceId> = flooded.trace_ids.iter().copied().step_by(10_007).collect();
        let flooded = Block::encode(&flooded, 2).expect("encodes");
        let columns = flooded.spans_file().expect("opens").attributes().len();
        println!("{keys} keys: {columns} columns, {} bytes of metadata", metadata_bytes(&flooded));
        assert!(metadata_bytes(&flooded) < MAX_METADATA_BYTES as u64, "{}", metadata_bytes(&flooded));
        for trace in traces {
            let (_, usual, _) = cost_of_traces(&usual, &[trace]);
            let (_, flooded, _) = cost_of_traces(&flooded, &[trace]);
            assert!(flooded <= 2 * usual, "{keys} keys: {flooded} bytes, 50 keys: {usual} bytes");
        }
    }
}
