//! Bytes of a block, column by column:
//! `cargo run --release -p siltstone-tests --example block_size -- [spans] [bytes a span]`.

use std::collections::BTreeMap;

use siltstone_tests::blocks::{Block, traffic_columns};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let spans: usize = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let bytes_per_span: u32 = arguments.next().map_or(Ok(280), |text| text.parse())?;
    let block = Block::encode(&traffic_columns(spans, bytes_per_span, 1)?, 1)?;
    let summary = &block.summary;
    let file = block.spans_file()?;
    let mut columns: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for chunk in file.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        let bytes = columns.entry(chunk.column_path().string()).or_default();
        bytes.0 += chunk.compressed_size();
        bytes.1 += chunk.uncompressed_size();
    }
    let mut columns: Vec<_> = columns.into_iter().collect();
    columns.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.0));
    let a_span = |bytes: f64| bytes / summary.spans.rows as f64;
    println!("{:<52} {:>8} {:>12}", "column", "B/span", "uncompressed");
    for (name, (compressed, plain)) in columns {
        println!("{name:<52} {:>8.3} {:>12.3}", a_span(compressed as f64), a_span(plain as f64));
    }
    let filters = summary.origins.origins_offset;
    for (what, bytes) in [
        ("metadata of the spans file", summary.spans.bytes - summary.spans.metadata_offset),
        ("trace filter", summary.filters.traces.class.bytes() as u64),
        ("term filter", summary.filters.terms.class.bytes() as u64),
        ("origins file without filters", summary.origins.bytes - filters),
        ("all objects", block.bytes() as u64),
    ] {
        println!("{what:<52} {:>8.3} {bytes:>12} bytes", a_span(bytes as f64));
    }
    println!("left out of the term filter: {:?}", summary.filters.left_out);
    println!(
        "{} spans, {} traces, {} origins, {} attribute columns",
        summary.spans.rows,
        summary.spans.traces,
        summary.origins.origins,
        file.attributes().len()
    );
    Ok(())
}
