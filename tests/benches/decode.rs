//! From the wire into columns: `cargo bench -p siltstone-tests --bench decode`.
//!
//! A million spans of about 280 bytes in requests of 1,000; `docs/benchmarks.md` has results.
#![expect(clippy::expect_used, reason = "a benchmark has nobody to report to")]

use std::sync::LazyLock;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use siltstone_format::columns::SpanColumns;
use siltstone_format::columns::attributes::MAX_COLUMNS;
use siltstone_ingest::decode::{OriginCache, Rules, decode, replay};
use siltstone_testkit::corpus::build::{attribute, request, span};
use siltstone_tests::blocks::traffic;
use siltstone_tests::decode::decode_request;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SPANS: usize = 1_000_000;
/// Spans that one flush takes; then columns begin anew.
const FLUSH: usize = 250_000;

/// Spans after which room is made for all others, as a writer does.
const EXPECTED_FROM: usize = 8_192;

struct Wire {
    bodies: Vec<Vec<u8>>,
    spans: usize,
}

static WIRE: LazyLock<Wire> = LazyLock::new(|| {
    let (mut bodies, mut spans) = (Vec::new(), 0);
    for batch in traffic(SPANS, 280, 1) {
        let scopes = batch.request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        spans += scopes.map(|scope| scope.spans.len()).sum::<usize>();
        bodies.push(batch.request.encode_to_vec());
    }
    Wire { bodies, spans }
});

/// As a writer does, whole flushes of columns; what was flushed is dropped.
fn flushes(mut add: impl FnMut(&[u8], &mut SpanColumns, &mut OriginCache)) -> usize {
    let (mut columns, mut origins, mut spans) = (SpanColumns::default(), OriginCache::default(), 0);
    for body in &WIRE.bodies {
        if columns.len() >= FLUSH {
            spans += columns.len();
            (columns, origins) = (SpanColumns::default(), OriginCache::default());
        }
        let before = columns.len();
        add(body, &mut columns, &mut origins);
        if before < EXPECTED_FROM && columns.len() >= EXPECTED_FROM {
            columns.make_room(FLUSH / columns.len() + 1);
        }
    }
    spans + columns.len()
}

fn main() {
    let bytes: usize = WIRE.bodies.iter().map(Vec::len).sum();
    println!(
        "{} spans in {} requests, {:.1} bytes a span",
        WIRE.spans,
        WIRE.bodies.len(),
        bytes as f64 / WIRE.spans as f64
    );
    let runs: [(&str, Run); 3] = [
        ("walker", walk),
        ("prost, decode and drop", prost_alone),
        ("prost, into columns", prost_to_columns),
    ];
    let chosen = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    for (name, run) in runs {
        if chosen.as_ref().is_some_and(|chosen| !name.contains(chosen)) {
            continue;
        }
        let mut nanos: Vec<u64> = (0..7).map(|_| cpu_nanos_of(run)).collect();
        nanos.sort_unstable();
        let a_span = |nanos: u64| nanos as f64 / WIRE.spans as f64;
        println!("{name}: {:.0} ns of CPU a span, fastest {:.0}", a_span(nanos[3]), a_span(nanos[0]));
    }
    divan::main();
}

/// Goes through all requests and says how many spans or parts it found.
type Run = fn() -> usize;

/// The time of this thread alone, which others on the machine disturb less.
fn cpu_nanos_of(run: Run) -> u64 {
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
    };
    let before = now();
    black_box(run());
    now() - before
}

fn walk() -> usize {
    flushes(|body, columns, origins| {
        let decoded = decode(black_box(body), &Rules::NONE, columns, origins).expect("decodes");
        assert_eq!(decoded.refused.total(), 0);
    })
}

fn prost_alone() -> usize {
    let decoded =
        |body: &Vec<u8>| ExportTraceServiceRequest::decode(black_box(body.as_slice())).expect("decodes");
    WIRE.bodies.iter().map(|body| black_box(decoded(body)).resource_spans.len()).sum()
}

fn prost_to_columns() -> usize {
    flushes(|body, columns, _| {
        let request = ExportTraceServiceRequest::decode(black_box(body)).expect("decodes");
        decode_request(&request, columns).expect("is acceptable");
    })
}

fn spans() -> ItemsCount {
    ItemsCount::new(WIRE.spans)
}

#[divan::bench(sample_count = 15, sample_size = 1)]
fn walker(bencher: Bencher<'_, '_>) {
    bencher.counter(spans()).bench_local(walk);
}

/// As after a restart.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn walker_replay(bencher: Bencher<'_, '_>) {
    bencher.counter(spans()).bench_local(|| {
        flushes(|body, columns, origins| {
            replay(black_box(body), &[], columns, origins).expect("replays");
        })
    });
}

/// Columns for each request: what the size of dictionaries and fresh memory cost is the difference.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn walker_columns_of_each_request(bencher: Bencher<'_, '_>) {
    bencher.counter(spans()).bench_local(|| {
        for body in &WIRE.bodies {
            let (mut columns, mut origins) = (SpanColumns::default(), OriginCache::default());
            decode(black_box(body), &Rules::NONE, &mut columns, &mut origins).expect("decodes");
        }
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn prost_decode_and_drop(bencher: Bencher<'_, '_>) {
    bencher.counter(spans()).bench_local(prost_alone);
}

/// prost's structs into columns: what the walker replaces.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn prost_into_columns(bencher: Bencher<'_, '_>) {
    bencher.counter(spans()).bench_local(prost_to_columns);
}

/// Columns with as many keys as may have columns, and a million spans that are all refused at their end: what
/// a span costs that leaves nothing.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn walker_refuses_every_span(bencher: Bencher<'_, '_>) {
    let (mut columns, mut origins) = (SpanColumns::default(), OriginCache::default());
    for number in 0..MAX_COLUMNS {
        let attributes = vec![attribute(&format!("key {number}"), Value::IntValue(1))];
        let sent = request("shop", vec![Span { attributes, ..span(1, 1, "a") }]);
        decode(&sent.encode_to_vec(), &Rules::NONE, &mut columns, &mut origins).expect("decodes");
    }
    let rules = Rules { latest_start: 0, ..Rules::NONE };
    bencher.counter(spans()).bench_local(|| {
        for body in &WIRE.bodies {
            let decoded = decode(black_box(body), &rules, &mut columns, &mut origins).expect("decodes");
            assert_eq!(decoded.accepted, 0);
        }
    });
}
