//! Bytes of a block, column by column, and the time that it takes to encode:
//! `cargo run --release -p siltstone-tests --example block_size -- [spans] [bytes a span]`.

use std::collections::BTreeMap;
use std::time::Instant;

use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::read::SpansFile;
use siltstone_format::block::write::encode_block;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::BlockId;
use siltstone_format::tenant::Tenant;
use siltstone_tests::decode::decode_request;
use siltstone_traffic::{Profile, Traffic, TrafficConfig};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let spans: usize = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let profile: u32 = arguments.next().map_or(Ok(280), |text| text.parse())?;
    let config =
        TrafficConfig { spans, profile: Profile::with_bytes_per_span(profile), ..TrafficConfig::default() };
    let mut columns = SpanColumns::default();
    for batch in Traffic::new(config) {
        decode_request(&batch.request, &mut columns)?;
    }
    let rows = columns.len() as f64;
    let identity = BlockIdentity { block: BlockId(ulid::Ulid(1)), tenant: Tenant::single(), inputs: vec![] };
    let mut best = f64::MAX;
    let mut encoded = None;
    for _ in 0..3 {
        let start = Instant::now();
        encoded = Some(encode_block(&columns, &identity)?);
        best = best.min(start.elapsed().as_nanos() as f64 / rows);
    }
    let Some(block) = encoded else { return Ok(()) };
    let summary = &block.summary;
    let file = SpansFile::open_unverified("spans", &block.spans.clone().into())?;
    let mut columns_bytes: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for group in file.metadata().row_groups() {
        for chunk in group.columns() {
            let entry = columns_bytes.entry(chunk.column_path().string()).or_default();
            entry.0 += chunk.compressed_size();
            entry.1 += chunk.uncompressed_size();
        }
    }
    let mut sorted: Vec<_> = columns_bytes.into_iter().collect();
    sorted.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.0));
    println!("{:<60} {:>9} {:>9}", "column", "B/span", "before");
    for (name, (compressed, plain)) in &sorted {
        println!("{name:<60} {:>9.3} {:>9.3}", *compressed as f64 / rows, *plain as f64 / rows);
    }
    let metadata = summary.spans.bytes - summary.spans.metadata_offset;
    let filters = summary.origins.origins_offset;
    println!(
        "spans file {:.3}, of it metadata {:.3} ({metadata} bytes)",
        summary.spans.bytes as f64 / rows,
        metadata as f64 / rows
    );
    println!(
        "filters {:.3} (traces {}, terms {})",
        filters as f64 / rows,
        summary.filters.traces.class.bytes(),
        summary.filters.terms.class.bytes()
    );
    println!(
        "origins {:.3} ({} origins)",
        (summary.origins.bytes - filters) as f64 / rows,
        summary.origins.origins
    );
    println!("left out of the term filter: {:?}", summary.filters.left_out);
    println!(
        "spans {}, traces {}, columns {}",
        summary.spans.rows,
        summary.spans.traces,
        file.attributes().len()
    );
    let origins = siltstone_format::block::origins::OriginsFile::open_unverified(
        "origins",
        &block.origins.clone().into(),
    )?
    .0;
    let fetched = siltstone_format::block::ranges::Fetched::whole(block.spans.clone().into());
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for id in &columns.trace_ids {
        *counts.entry(*id).or_default() += 1;
    }
    let tens: Vec<_> = counts.iter().filter(|(_, n)| **n == 10).map(|(id, _)| *id).collect();
    let picked: Vec<_> = tens.iter().step_by((tens.len() / 300).max(1)).collect();
    for pass in 0..std::env::var("PASSES").map_or(3, |p| p.parse().unwrap_or(3)) {
        let mut times = Vec::new();
        let mut bytes = 0;
        for id in &picked {
            let start = Instant::now();
            let found = file.find(id);
            let read = file.read_trace(id, &found, &fetched, &origins)?;
            times.push(start.elapsed().as_micros());
            assert_eq!(read.len(), 10);
            bytes += found.iter().flat_map(|rows| file.ranges(rows)).map(|r| r.end - r.start).sum::<u64>();
        }
        times.sort_unstable();
        println!(
            "pass {pass}: one trace p50 {} us, p90 {} us, {} bytes, dictionaries held {}",
            times[times.len() / 2],
            times[times.len() * 9 / 10],
            bytes / times.len() as u64,
            file.held_bytes()
        );
    }
    println!(
        "all objects {:.3} B/span, encoded in {best:.0} ns/span",
        (summary.spans.bytes + summary.origins.bytes) as f64 / rows
    );
    Ok(())
}
