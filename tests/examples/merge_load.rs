//! What merging costs: takes the blocks of a folder that the example `query_load` made, merges all of them in one job,
//! and reads this process's processor time and peak memory from the system. The folder is not worth keeping then.
//!
//! ```sh
//! cargo run --release -p siltstone-tests --example query_load -- spans=16000000 data=/tmp/m16 only=none
//! cargo run --release -p siltstone-tests --example merge_load -- data=/tmp/m16 memory=192
//! ```
//!
//! Words: `data=DIR`, `memory=192` (MiB that the job may hold), `rows=2000000` (of a full block), `cuts=3` (how often
//! time is cut beside midnights). Linux only.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use siltstone_catalog::bucket::{Bucket, Listing};
use siltstone_catalog::snapshot::Cover;
use siltstone_catalog::time::{Clock, SystemClock};
use siltstone_catalog::windows::Windows;
use siltstone_catalog::{Catalog, CatalogConfig};
use siltstone_compactor::config::CompactorConfig;
use siltstone_compactor::metrics::Metrics;
use siltstone_compactor::plan::Policy;
use siltstone_compactor::service::Compactor;
use siltstone_format::tenant::Tenant;
use siltstone_store::{Settings, StoreUrl, open};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error + Send + Sync>;

struct Plan {
    data: PathBuf,
    memory_bytes: usize,
    target_rows: u64,
    cuts: u64,
}

impl Plan {
    fn of(arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut plan =
            Self { data: PathBuf::new(), memory_bytes: 192 << 20, target_rows: 2_000_000, cuts: 0 };
        for word in arguments.skip(1) {
            match word.split_once('=').unwrap_or((&word, "")) {
                ("data", folder) => plan.data = folder.into(),
                ("memory", mebibytes) => plan.memory_bytes = mebibytes.parse::<usize>()? << 20,
                ("rows", rows) => plan.target_rows = rows.parse()?,
                ("cuts", cuts) => plan.cuts = cuts.parse()?,
                _ => return Err(format!("what is `{word}`?").into()),
            }
        }
        Ok(plan)
    }
}

fn main() -> Result<(), Failure> {
    let plan = Plan::of(std::env::args())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(run(&plan))
}

async fn run(plan: &Plan) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let objects = open(&StoreUrl::Folder(plan.data.join("store")), &Settings::default()).await?.objects;
    let bucket = Bucket::new(objects, Listing::LogThenRoots);
    let seed = [(clock.wall_millis() % 251) as u8; 32];
    let config = CatalogConfig { bucket, clock: Arc::clone(&clock), seed, windows: Windows::default() };
    let catalog = Arc::new(Catalog::new(config)?);
    let tenant = Tenant::single();
    let snapshot = catalog.snapshot(&Cover { fresh: true, ..Cover::default() }).await?;
    let mut inputs = Vec::new();
    for page in catalog.pages(&snapshot, &tenant).await? {
        let blocks = catalog.blocks_of(&tenant, &page).await?;
        inputs.extend(blocks.blocks.iter().map(|block| (page.section, block.clone())));
    }
    let spans = || inputs.iter().map(|(_, block)| &block.summary.spans);
    let first = spans().map(|spans| spans.min_start_unix_nano).min().unwrap_or(0);
    let last = spans().map(|spans| spans.max_start_unix_nano).max().unwrap_or(0);
    let cuts = (1..=plan.cuts).map(|number| first + (last - first) / (plan.cuts + 1) * number).collect();

    let policy = Policy { target_rows: plan.target_rows, ..Policy::default() };
    let config = CompactorConfig { memory_bytes: plan.memory_bytes, policy, ..CompactorConfig::default() };
    let compactor = Compactor::new(Arc::clone(&catalog), clock, config, Arc::new(Metrics::default()));
    println!("before: peak {} MB", peak_megabytes()?);
    let (began, before) = (now(), processor_time());
    let done = compactor.merge(&tenant, inputs, cuts).await?;
    let (took, cpu) = (now() - began, processor_time() - before);
    println!(
        "{} blocks with {} spans became {} with {} ({} collapsed): {:.2} bytes a span before, {:.2} after",
        done.blocks_read,
        done.rows_read,
        done.blocks_written,
        done.rows_written,
        done.collapsed,
        done.bytes_read as f64 / done.rows_read as f64,
        done.bytes_written as f64 / done.rows_written as f64,
    );
    println!(
        "{:.3} µs of processor a span, {:.1} s, peak {} MB",
        cpu.as_secs_f64() * 1e6 / done.rows_read as f64,
        took.as_secs_f64(),
        peak_megabytes()?,
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// Of all threads of this process.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn peak_megabytes() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak is told")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024 / 1_000_000)
}
