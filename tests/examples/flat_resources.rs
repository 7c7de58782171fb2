//! What the ten commonest resource attributes would cost as columns of the span row:
//! `cargo run --release -p siltstone-tests --example flat_resources -- [spans]`.

use std::collections::BTreeMap;

use siltstone_format::columns::SpanColumns;
use siltstone_format::origin::SERVICE_NAME;
use siltstone_tests::blocks::{Block, traffic};
use siltstone_tests::decode::request_spans;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spans: usize = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for span in
        traffic(spans.min(50_000), 280, 1).flat_map(|batch| request_spans(&batch.request).collect::<Vec<_>>())
    {
        for attribute in span.origin.resource_attributes.iter().filter(|one| one.key != SERVICE_NAME) {
            *counts.entry(attribute.key.clone()).or_default() += 1;
        }
    }
    let mut keys: Vec<_> = counts.into_iter().collect();
    keys.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    keys.truncate(10);

    let mut columns = SpanColumns::default();
    for batch in traffic(spans, 280, 1) {
        for mut span in request_spans(&batch.request) {
            let origin = span.origin.clone();
            for attribute in &origin.resource_attributes {
                if keys.iter().any(|(key, _)| *key == attribute.key) {
                    let mut flat = attribute.clone();
                    flat.key.insert_str(0, "flat.");
                    span.attributes.push(flat);
                }
            }
            columns.push(&span)?;
        }
    }
    let block = Block::encode(&columns, 1)?;
    let file = block.spans_file()?;
    let mut flat: BTreeMap<String, i64> = BTreeMap::new();
    for chunk in file.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        let name = chunk.column_path().string();
        if let Some((_, key)) = name.split_once(".flat.") {
            *flat.entry(key.to_owned()).or_default() += chunk.compressed_size();
        }
    }
    let rows = block.summary.spans.rows as f64;
    for (key, bytes) in &flat {
        println!("{key:<32} {:.3} B/span", *bytes as f64 / rows);
    }
    println!("{:<32} {:.3} B/span", "together", flat.values().sum::<i64>() as f64 / rows);
    Ok(())
}
