//! What three kinds of reading cost, in requests, bytes and time to decode:
//! `cargo run --release -p siltstone-tests --example read_plans -- [spans]`.
//!
//! Time at a distance is computed: rounds of ten requests at 60 ms each, and 100 MB/s.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::ops::Range;
use std::time::{Duration, Instant};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use siltstone_format::block::ranges::{Fetched, coalesce};
use siltstone_format::id::TraceId;
use siltstone_tests::blocks::{Block, traffic_columns};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GAPS: [(&str, u64); 2] = [("64 KiB", 64 << 10), ("1 MiB", 1 << 20)];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spans: usize = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let columns = traffic_columns(spans, 280, 1)?;
    let block = Block::encode(&columns, 1)?;
    let mut traces = columns.trace_ids.clone();
    traces.sort_unstable();
    traces.dedup();
    let scattered: Vec<TraceId> =
        traces.iter().copied().step_by((traces.len() / 500).max(1)).take(500).collect();

    println!("| what | gap joined | requests | bytes | decode | at 60 ms a request |");
    println!("|---|---|---|---|---|---|");
    let file = block.spans_file()?;
    let ranges_of = |traces: &[TraceId]| -> Vec<Range<u64>> {
        traces.iter().flat_map(|trace| file.find(trace)).flat_map(|rows| file.ranges(&rows)).collect()
    };
    let one = ranges_of(&scattered[250..251]);
    let many = ranges_of(&scattered);

    let origins = block.origins_file()?;
    let fetched = Fetched::whole(block.spans.clone());
    let read = |traces: &[TraceId]| -> Result<Duration, Box<dyn std::error::Error>> {
        let cold = block.spans_file()?;
        let start = Instant::now();
        for trace in traces {
            cold.read_trace(trace, &cold.find(trace), &fetched, &origins)?;
        }
        Ok(start.elapsed())
    };
    row("one trace, cold", one, read(&scattered[250..251])?);
    row("500 scattered traces, cold", many, read(&scattered)?);

    let names = ["service_name", "duration", "attr.int.http.response.status_code"];
    let schema = file.metadata().file_metadata().schema_descr();
    let leaves: Vec<usize> =
        (0..schema.num_columns()).filter(|leaf| names.contains(&schema.column(*leaf).name())).collect();
    let groups = file.metadata().row_groups();
    let scan = groups.iter().flat_map(|group| leaves.iter().map(|leaf| group.column(*leaf).byte_range()));
    let scan: Vec<Range<u64>> = scan.map(|(start, length)| start..start + length).collect();
    let builder = ParquetRecordBatchReaderBuilder::try_new(block.spans.clone())?;
    let mask = ProjectionMask::leaves(builder.parquet_schema(), leaves);
    let start = Instant::now();
    for batch in builder.with_projection(mask).with_batch_size(8192).build()? {
        batch?;
    }
    row("scan of three columns (stock reader)", scan, start.elapsed());
    Ok(())
}

fn row(what: &str, ranges: Vec<Range<u64>>, decode: Duration) {
    for (gap, bytes) in GAPS {
        let joined = coalesce(ranges.clone(), bytes);
        let bytes: u64 = joined.iter().map(|range| range.end - range.start).sum();
        let rounds = joined.len().div_ceil(10) as f64;
        let distant = rounds * 60.0 + bytes as f64 / 1e5 + decode.as_secs_f64() * 1e3;
        println!(
            "| {what} | {gap} | {} | {:.2} MB | {:.1} ms | {distant:.0} ms |",
            joined.len(),
            bytes as f64 / 1e6,
            decode.as_secs_f64() * 1e3
        );
    }
}
