//! What stands between a socket and the core: `cargo bench -p siltstone-tests --bench receive`.
//!
//! Requests of 1,000 spans of about 280 bytes; throughput counts the bytes of JSON, or what comes out.
#![expect(clippy::expect_used, reason = "a benchmark has nobody to report to")]

use std::io::Write;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use futures::executor::block_on;
use prost::Message;
use siltstone_catalog::time::SystemClock;
use siltstone_format::tenant::Tenant;
use siltstone_ingest::budget::Budget;
use siltstone_ingest::export::Accepted;
use siltstone_ingest::limits::{Limits, RateLimiter};
use siltstone_ingest::receive::decompress::{Encoding, decompress};
use siltstone_ingest::receive::otlp::json::to_protobuf;
use siltstone_ingest::seen::{Look, Memory, Seen};
use siltstone_tests::blocks::traffic;
use siltstone_tests::otlp_json::JsonWriter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Request {
    json: String,
    protobuf: Bytes,
    gzip: Bytes,
    zstd: Bytes,
}

static REQUEST: LazyLock<Request> = LazyLock::new(|| {
    let request = traffic(4_000, 280, 1).next().expect("a request").request;
    let protobuf = request.encode_to_vec();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&protobuf).expect("memory");
    let gzip = gzip.finish().expect("memory").into();
    let zstd = zstd::bulk::compress(&protobuf, 3).expect("memory").into();
    Request { json: JsonWriter::usual().request(&request), protobuf: protobuf.into(), gzip, zstd }
});

fn main() {
    divan::main();
}

#[divan::bench]
fn json_to_protobuf(bencher: Bencher<'_, '_>) {
    let json = REQUEST.json.as_bytes();
    bencher.counter(BytesCount::new(json.len())).bench_local(|| to_protobuf(black_box(json)).expect("valid"));
}

/// What a pass costs that only looks for the ends of values.
#[divan::bench]
fn json_skipped_by_serde(bencher: Bencher<'_, '_>) {
    let json = REQUEST.json.as_bytes();
    bencher
        .counter(BytesCount::new(json.len()))
        .bench_local(|| serde_json::from_slice::<serde::de::IgnoredAny>(black_box(json)).expect("valid"));
}

#[divan::bench]
fn json_to_tree_by_serde(bencher: Bencher<'_, '_>) {
    let json = REQUEST.json.as_bytes();
    bencher
        .counter(BytesCount::new(json.len()))
        .bench_local(|| serde_json::from_slice::<serde_json::Value>(black_box(json)).expect("valid"));
}

fn open(bencher: Bencher<'_, '_>, encoding: Encoding, body: &Bytes) {
    bencher
        .counter(BytesCount::new(REQUEST.protobuf.len()))
        .bench_local(|| decompress(encoding, black_box(body), 1 << 30, |_| Ok(())).expect("opens"));
}

#[divan::bench]
fn gzip(bencher: Bencher<'_, '_>) {
    open(bencher, Encoding::Gzip, &REQUEST.gzip);
}

#[divan::bench]
fn zstd_frames(bencher: Bencher<'_, '_>) {
    open(bencher, Encoding::Zstd, &REQUEST.zstd);
}

/// The smallest body: what a context costs.
#[divan::bench]
fn zstd_of_ten_bytes(bencher: Bencher<'_, '_>) {
    let body = zstd::bulk::compress(b"ten bytes!", 3).expect("memory").into();
    open(bencher, Encoding::Zstd, &body);
}

#[divan::bench]
fn look_for_a_request(bencher: Bencher<'_, '_>) {
    let seen = Seen::new(Memory::default(), 1, Arc::new(SystemClock::new()));
    let tenant = Tenant::single();
    let mut body = REQUEST.protobuf.to_vec();
    let mut number = 0_u64;
    bencher.counter(BytesCount::new(body.len())).bench_local(|| {
        number += 1;
        body[..8].copy_from_slice(&number.to_le_bytes());
        if let Look::First(turn) = block_on(seen.look(&tenant, &body)) {
            turn.done(&Accepted { spans: 1_000, ..Accepted::default() });
        }
    });
}

#[divan::bench]
fn reserve_and_give_back(bencher: Bencher<'_, '_>) {
    let budget = Budget::new(1 << 30, Arc::new(SystemClock::new()));
    bencher.bench_local(|| block_on(budget.reserve(1 << 20, Duration::ZERO)).map(drop));
}

#[divan::bench]
fn take_from_a_bucket(bencher: Bencher<'_, '_>) {
    let limiter = RateLimiter::new(Arc::new(SystemClock::new()), 1_000);
    let limits = Limits { bytes_per_second: u64::MAX / 4, burst_bytes: u64::MAX / 4, ..Limits::default() };
    let tenant = Tenant::single();
    bencher.bench_local(|| limiter.take(&tenant, &limits, 280_000));
}
