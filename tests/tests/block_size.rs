//! A block's size is a promise: a million spans of about 280 bytes.

use siltstone_tests::blocks::{Block, traffic_columns};

/// What a span may cost in all objects of a merged block.
const MOST_BYTES_PER_SPAN: f64 = 26.0;

/// What it may cost in the blocks of four writers that share the traffic.
const MOST_BYTES_PER_FLUSHED_SPAN: f64 = 34.0;

#[test]
fn should_store_a_merged_million_spans_in_few_bytes() {
    let columns = traffic_columns(1_000_000, 280, 1).expect("decodes");
    let block = Block::encode(&columns, 1).expect("encodes");
    let bytes = block.bytes() as f64 / columns.len() as f64;
    assert!(bytes <= MOST_BYTES_PER_SPAN, "{bytes} bytes a span");
    // A gift would be a block that is far below what the traffic was calibrated for.
    assert!(bytes > 20.0, "{bytes} bytes a span: is the traffic still believable?");
}

#[test]
fn should_store_a_flush_of_one_of_four_writers_in_few_bytes() {
    use siltstone_tests::blocks::{columns_of, traffic};
    let batches: Vec<_> = traffic(400_000, 280, 2).collect();
    let requests = batches.iter().filter(|batch| batch.writer == 1).map(|batch| &batch.request);
    let columns = columns_of(requests).expect("decodes");
    let block = Block::encode(&columns, 1).expect("encodes");
    let bytes = block.bytes() as f64 / columns.len() as f64;
    println!("{} spans, {bytes:.2} bytes a span", columns.len());
    assert!(bytes <= MOST_BYTES_PER_FLUSHED_SPAN, "{bytes} bytes a span");
}
