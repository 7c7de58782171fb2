//! What a catalog of two million blocks of one tenant costs: requests, depth and bytes of
//! a commit, a cold start, a fold, a merge and a sweep, counted on a store in memory.
//!
//! `cargo run --release -p siltstone-tests --example two_million_blocks`

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::bucket::{Bucket, Listing};
use siltstone_catalog::change::Merge;
use siltstone_catalog::log_entry::LogEntry;
use siltstone_catalog::snapshot::Cover;
use siltstone_catalog::sweep::SweepMode;
use siltstone_catalog::time::{Clock, SystemClock};
use siltstone_catalog::windows::Windows;
use siltstone_catalog::{Catalog, CatalogConfig};
use siltstone_format::block::summary::BlockSummary;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, WriterId};
use siltstone_testkit::{CountingStore, Operation};
use siltstone_tests::catalog::{summary, tenant};
use ulid::Ulid;

const DAYS: u32 = 90;
const BLOCKS_A_DAY: usize = 22_223;
const FLUSHES: u64 = 500;

type Error = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let store = Arc::new(CountingStore::new(InMemory::new()));
    let (filler, clock) = (catalog(&store, 1)?, SystemClock::new());
    filler.init().await?;
    for day in 0..DAYS {
        let day = Day(20_000 + day);
        let outputs = (0..BLOCKS_A_DAY).map(|_| (day, merged(&filler, day))).collect();
        filler.publish(&Merge { tenant: tenant(), inputs: Vec::new(), outputs }).await?;
    }
    println!("{} blocks in {DAYS} days", BLOCKS_A_DAY * DAYS as usize);
    println!("| what | LIST | GET | PUT | one after the other | read | written | time |");
    println!("|---|---|---|---|---|---|---|---|");

    let writer = WriterId(filler.next_id());
    let flush = |number| {
        let block = BlockEntry::flushed(at(BlockId(filler.next_id()), Day(20_000 + DAYS)));
        LogEntry { writer, number, blocks: vec![block] }
    };
    let (first, opened) = (flush(0), clock.elapsed());
    counted(&store, &clock, "commit of a flush", filler.commit(&first, Some(opened))).await?;
    for number in 1..FLUSHES {
        filler.commit(&flush(number), Some(clock.elapsed())).await?;
    }
    let day = Day(20_000 + DAYS - 1);
    let reader = catalog(&store, 2)?;
    let cover = Cover::default();
    let what = format!("cold start with {FLUSHES} entries in the log");
    let snapshot = counted(&store, &clock, &what, reader.snapshot(&cover)).await?;
    let (from, to) = (day.start_unix_nano(), day.start_unix_nano() + 1);
    let tenant = tenant();
    let day_blocks = reader.blocks(&snapshot, &tenant, from, to);
    let found = counted(&store, &clock, "the blocks of one day, then", day_blocks).await?.blocks;
    let fresh = Cover { fresh: true, ..Cover::default() };
    counted(&store, &clock, "refresh, nothing new", reader.snapshot(&fresh)).await?;
    let compactor = catalog(&store, 3)?;
    let what = format!("fold of {FLUSHES} flushes by a new process");
    counted(&store, &clock, &what, compactor.fold()).await?;
    let inputs = found.iter().take(32).map(BlockEntry::id).collect();
    let outputs = vec![(day, merged(&compactor, day))];
    let merge = Merge { tenant, inputs: vec![(Section::Day(day), inputs)], outputs };
    counted(&store, &clock, "publishing a merge of 32 blocks", compactor.publish(&merge)).await?;
    counted(&store, &clock, "sweep with nothing due", compactor.sweep(SweepMode::Delete)).await?;
    Ok(())
}

fn catalog(store: &Arc<CountingStore<InMemory>>, seed: u8) -> Result<Catalog, Error> {
    let objects: Arc<dyn ObjectStore> = Arc::clone(store) as _;
    Ok(Catalog::new(CatalogConfig {
        bucket: Bucket::new(objects, Listing::Together),
        clock: Arc::new(SystemClock::new()),
        seed: [seed; 32],
        windows: Windows::default(),
    })?)
}

fn at(block: BlockId, day: Day) -> BlockSummary {
    let mut summary = summary(block, 1_000_000);
    let start = day.start_unix_nano();
    summary.spans.min_start_unix_nano = start;
    summary.spans.max_start_unix_nano = start;
    summary.spans.max_end_unix_nano = start + 1;
    summary
}

fn merged(catalog: &Catalog, day: Day) -> BlockEntry {
    BlockEntry::merged(at(BlockId(catalog.next_id()), day), 0, Ulid(1))
}

async fn counted<T, E: Into<Error>>(
    store: &CountingStore<InMemory>,
    clock: &SystemClock,
    what: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    store.reset();
    let began = clock.elapsed();
    let done = work.await.map_err(Into::into)?;
    let (counts, took) = (store.snapshot(), clock.elapsed() - began);
    println!(
        "| {what} | {} | {} | {} | {} | {} | {} | {} |",
        counts.of(Operation::List),
        counts.of(Operation::Get),
        counts.of(Operation::Put),
        counts.depth,
        kilobytes(counts.bytes_read),
        kilobytes(counts.bytes_written),
        millis(took),
    );
    Ok(done)
}

fn kilobytes(bytes: u64) -> String {
    format!("{:.1} kB", bytes as f64 / 1_000.0)
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
