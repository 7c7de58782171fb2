//! The write-ahead log on a real disk: `cargo bench -p siltstone-ingest --bench log [-- <folder>]`.
//!
//! Prints what goes through it with large bodies, how long 64 senders of small ones wait, and what appending
//! costs the caller. The folder decides: a temporary one may lie in memory.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a bench measures real time, and may end anywhere"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use siltstone_format::id::WriterId;
use siltstone_format::tenant::Tenant;
use siltstone_ingest::log::wal::{Found, RealFiles, Wal, WalLane};
use siltstone_ingest::log::{LaneLog, Record, SegmentName};
use ulid::Ulid;

const LARGE: usize = 280 * 1024;
const SMALL: usize = 600;

fn main() {
    let argument = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = argument.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    for in_flight in [1, 8, 32] {
        runtime.block_on(throughput(folder.path(), in_flight));
    }
    for waiters in [1, 64] {
        runtime.block_on(latency(folder.path(), waiters));
    }
    runtime.block_on(cost_of_appending(folder.path()));
}

const SEGMENT: SegmentName = SegmentName { writer: WriterId(Ulid(1)), number: 0 };

fn record(body: &Bytes) -> Record {
    Record {
        tenant: Tenant::single(),
        arrived_unix_millis: 1,
        known_deletions: 0,
        refused: Vec::new(),
        body: body.clone(),
    }
}

fn body(length: usize) -> Bytes {
    (0..length).map(|at| ((at * 7919) >> 3) as u8).collect()
}

/// A log of one lane in an empty folder.
fn lane(folder: &Path) -> (Wal, Arc<WalLane>) {
    let folder = tempfile::tempdir_in(folder).expect("a folder").keep();
    let (wal, _) = Wal::open(&folder, Arc::new(RealFiles), u64::MAX).expect("opens");
    let lane = wal.lane("log").expect("starts");
    (wal, Arc::new(lane))
}

/// So many senders, each waiting for its answer before it sends again.
async fn send(lane: &Arc<WalLane>, senders: usize, each: usize, body: &Bytes) -> Vec<Duration> {
    let sender = |_| {
        let (lane, body) = (Arc::clone(lane), body.clone());
        tokio::spawn(async move {
            let mut waited = Vec::with_capacity(each);
            for _ in 0..each {
                let began = Instant::now();
                lane.append(SEGMENT, record(&body)).await.expect("stored");
                waited.push(began.elapsed());
            }
            waited
        })
    };
    let waited = join_all((0..senders).map(sender)).await;
    waited.into_iter().flat_map(|waited| waited.expect("no panic")).collect()
}

async fn throughput(folder: &Path, in_flight: usize) {
    let (wal, lane) = lane(folder);
    let body = body(LARGE);
    let each = 1024 / in_flight;
    let (began, cpu) = (Instant::now(), cpu_seconds());
    send(&lane, in_flight, each, &body).await;
    let (took, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let megabytes = (in_flight * each * LARGE) as f64 / 1e6;
    println!(
        "280 KiB, {in_flight:>2} in flight: {:>6.0} MB/s, {:.2} ms of CPU a MB",
        megabytes / took,
        1000.0 * cpu / megabytes
    );
    let began = Instant::now();
    let records = wal.read(SEGMENT).filter(|found| matches!(found, Ok(Found::Record(_)))).count();
    assert_eq!(records, in_flight * each);
    println!("         read back: {:>6.0} MB/s", megabytes / began.elapsed().as_secs_f64());
}

async fn latency(folder: &Path, waiters: usize) {
    let (_wal, lane) = lane(folder);
    let began = Instant::now();
    let mut waited = send(&lane, waiters, 200, &body(SMALL)).await;
    let a_second = waited.len() as f64 / began.elapsed().as_secs_f64();
    waited.sort_unstable();
    let at = |share: f64| waited[((waited.len() - 1) as f64 * share) as usize];
    println!(
        "{SMALL} B, {waiters:>2} wait: p50 {:?}, p99 {:?}, most {:?}; {a_second:.0} records/s",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// What a request pays itself, and all that it costs together.
async fn cost_of_appending(folder: &Path) {
    let (_wal, lane) = lane(folder);
    let body = body(SMALL);
    let records: Vec<Record> = (0..200_000).map(|_| record(&body)).collect();
    let count = records.len() as f64;
    let cpu = cpu_seconds();
    let began = Instant::now();
    let tickets: Vec<_> = records.into_iter().map(|record| lane.append(SEGMENT, record)).collect();
    let appended = began.elapsed();
    for ticket in tickets {
        ticket.await.expect("stored");
    }
    println!(
        "appending takes {:.0} ns; with writing, sync and answer {:.2} µs of CPU a record",
        appended.as_nanos() as f64 / count,
        (cpu_seconds() - cpu) * 1e6 / count
    );
}

/// User and system time of all threads, in steps of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}
