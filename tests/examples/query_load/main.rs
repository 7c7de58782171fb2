//! What queries cost: makes a store of generated spans in merged blocks, or takes the one that is there, asks a
//! fresh querier each question many times, and compares the size of every answer with what was counted when the
//! spans were made.
//!
//! ```sh
//! cargo run --release -p siltstone-tests --example query_load -- spans=1000000 data=/tmp/million
//! ```
//!
//! Words: `spans=1000000`, `data=DIR` (made if it is not there; kept), `block=1000000` (spans of a block), `rate=6000`
//! (spans a second of virtual time), `delay=60` (each request to the store waits so many milliseconds),
//! `seconds=3` (so long each question is asked), `only=needle,id` (these questions).

mod asks;
mod away;
mod http;
mod make;
mod process;
mod report;
mod truth;

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::asks::Ask;
use crate::process::Place;
use crate::report::{Row, Sent};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error + Send + Sync>;

struct Plan {
    data: PathBuf,
    spans: usize,
    block_spans: usize,
    span_rate: f64,
    delay: Duration,
    each: Duration,
    asks: Vec<Ask>,
}

impl Plan {
    fn of(arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut plan = Self {
            data: PathBuf::new(),
            spans: 1_000_000,
            block_spans: 1_000_000,
            span_rate: 6_000.0,
            delay: Duration::ZERO,
            each: Duration::from_secs(3),
            asks: Ask::ALL.to_vec(),
        };
        for word in arguments.skip(1) {
            match word.split_once('=').unwrap_or((&word, "")) {
                ("data", folder) => plan.data = folder.into(),
                ("spans", count) => plan.spans = count.parse()?,
                ("block", count) => plan.block_spans = count.parse()?,
                ("rate", rate) => plan.span_rate = rate.parse()?,
                ("delay", millis) => plan.delay = Duration::from_millis(millis.parse()?),
                ("seconds", seconds) => plan.each = Duration::from_secs_f64(seconds.parse()?),
                ("only", names) => plan.asks.retain(|ask| names.split(',').any(|name| name == ask.name())),
                _ => return Err(format!("what is `{word}`?").into()),
            }
        }
        if plan.data.as_os_str().is_empty() {
            return Err("where to? `data=DIR`".into());
        }
        Ok(plan)
    }
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

fn main() -> Result<(), Failure> {
    let plan = Plan::of(std::env::args())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(&plan))
}

async fn run(plan: &Plan) -> Result<(), Failure> {
    let truth = make::open_or_make(plan).await?;
    println!(
        "{} spans of {} traces in {} blocks, {} bytes",
        truth.spans, truth.traces, truth.blocks, truth.bytes
    );
    println!("{}", Row::HEAD);
    let place = Place::open(&plan.data, plan.delay).await?;
    for ask in &plan.asks {
        println!("{}", measure(plan, &place, &truth, *ask).await?);
    }
    Ok(())
}

/// Asks one question: first thing after a start, by a process that knows the catalog and nothing of any block,
/// and again and again.
async fn measure(plan: &Plan, place: &Place, truth: &truth::Truth, ask: Ask) -> Result<Row, Failure> {
    let querier = place.querier()?;
    let after_start = ask.ask(&querier, truth, 0).await?;

    let (counted, store) = place.counted_querier().await?;
    for absent in [Ask::AbsentTrace, Ask::Absent] {
        absent.ask(&counted, truth, 0).await?;
    }
    store.reset();
    let cold = ask.ask(&counted, truth, 0).await?;
    let counts = store.snapshot();
    let sent = Sent { requests: counts.total(), deep: counts.depth, bytes: counts.bytes_read };

    // So that all it can keep is kept.
    for number in 1..ask.variants(truth).max(3) {
        ask.ask(&querier, truth, number).await?;
    }
    let (began, mut warm) = (now(), Vec::new());
    while warm.len() < 3 || now().duration_since(began) < plan.each {
        warm.push(ask.ask(&querier, truth, warm.len()).await?);
    }
    Ok(Row { ask, after_start, cold, sent, warm })
}
