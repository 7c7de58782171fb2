//! Encoding a block, reading a trace and scanning parts of all spans: `cargo bench -p siltstone-tests --bench format`.
//!
//! A million spans of about 280 bytes; `docs/benchmarks.md` has results.
#![expect(clippy::expect_used, reason = "a benchmark has nobody to report to")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::parts::{AttributeParts, Parts};
use siltstone_format::block::ranges::Fetched;
use siltstone_format::block::read::{GroupRows, SpansFile};
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::TraceId;
use siltstone_tests::blocks::{Block, traffic_columns};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SPANS: usize = 1_000_000;

static COLUMNS: LazyLock<SpanColumns> = LazyLock::new(|| traffic_columns(SPANS, 280, 1).expect("decodes"));

static BLOCK: LazyLock<Block> = LazyLock::new(|| Block::encode(&COLUMNS, 1).expect("encodes"));

/// Traces of ten spans, spread over the block.
static TRACES: LazyLock<Vec<TraceId>> = LazyLock::new(|| {
    let mut spans: BTreeMap<TraceId, usize> = BTreeMap::new();
    for trace in &COLUMNS.trace_ids {
        *spans.entry(*trace).or_default() += 1;
    }
    let tens: Vec<TraceId> = spans.into_iter().filter(|(_, count)| *count == 10).map(|(id, _)| id).collect();
    let step = (tens.len() / 300).max(1);
    tens.into_iter().step_by(step).collect()
});

struct Open {
    file: SpansFile,
    origins: OriginsFile,
    fetched: Fetched,
}

static OPEN: LazyLock<Open> = LazyLock::new(|| Open {
    file: BLOCK.spans_file().expect("opens"),
    origins: BLOCK.origins_file().expect("opens"),
    fetched: Fetched::whole(BLOCK.spans.clone()),
});

fn main() {
    let block = &*BLOCK;
    println!("{:.3} bytes a span in all objects", block.bytes() as f64 / block.summary.spans.rows as f64);
    divan::main();
}

/// Sort, filters, compression: columns in, objects out.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn encode(bencher: Bencher<'_, '_>) {
    let columns = &*COLUMNS;
    bencher.counter(ItemsCount::new(columns.len())).bench_local(|| Block::encode(black_box(columns), 1));
}

/// All columns of one trace of ten spans, metadata and dictionaries held.
#[divan::bench(sample_count = 300, sample_size = 1)]
fn one_trace(bencher: Bencher<'_, '_>) {
    let open = &*OPEN;
    let mut traces = TRACES.iter().cycle();
    bencher.with_inputs(|| traces.next().copied().unwrap_or_default()).bench_local_values(|trace| {
        let found = open.file.find(&trace);
        open.file.read_trace(&trace, &found, &open.fetched, &open.origins).expect("reads")
    });
}

/// Parts of all spans, dictionaries held.
fn scan(bencher: Bencher<'_, '_>, parts: &Parts) {
    let open = &*OPEN;
    let groups: Vec<GroupRows> = open.file.groups().collect();
    bencher.counter(ItemsCount::new(SPANS)).bench_local(|| {
        let read = open.file.read_parts(&groups, black_box(parts), &open.fetched, &open.origins);
        read.expect("reads")
    });
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn scan_origins_and_starts(bencher: Bencher<'_, '_>) {
    scan(bencher, &Parts { origins: true, starts: true, ..Parts::default() });
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn scan_names_and_one_attribute(bencher: Bencher<'_, '_>) {
    let attributes = AttributeParts::Keys(BTreeSet::from(["http.route".to_owned()]));
    scan(bencher, &Parts { names: true, attributes, ..Parts::default() });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn scan_all(bencher: Bencher<'_, '_>) {
    scan(bencher, &Parts::all());
}

/// As many rows and all columns by the parquet crate's own reader, the place known.
#[divan::bench(sample_count = 100, sample_size = 1)]
fn one_trace_stock_reader(bencher: Bencher<'_, '_>) {
    let open = &*OPEN;
    let metadata = Arc::new(open.file.metadata().clone());
    let metadata = ArrowReaderMetadata::try_new(metadata, Default::default()).expect("has an Arrow schema");
    let mut traces = TRACES.iter().cycle();
    let input = || {
        let found = open.file.find(traces.next().expect("is a cycle"));
        let rows = found.first().expect("is there");
        (rows.group, rows.rows.start)
    };
    bencher.with_inputs(input).bench_local_values(|(group, start)| {
        let selection = RowSelection::from(vec![RowSelector::skip(start), RowSelector::select(10)]);
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(BLOCK.spans.clone(), metadata.clone())
                .with_row_groups(vec![group])
                .with_row_selection(selection)
                .build();
        reader.expect("builds").map(|batch| batch.expect("reads").num_rows()).sum::<usize>()
    });
}

/// Metadata from its bytes, checked.
#[divan::bench]
fn open_metadata(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| BLOCK.spans_file());
}
