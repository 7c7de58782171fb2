//! What is true, whoever says what; and what a process has.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siltstone_ask::Retention;
use siltstone_catalog::bucket::{Bucket, Listing};
use siltstone_catalog::windows::Windows;
use siltstone_catalog::{Catalog, CatalogConfig};
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::path::ObjectKey;
use siltstone_format::span::Span;
use siltstone_testkit::{FaultyStore, VirtualClock};

use crate::config::CompactorConfig;
use crate::metrics::Metrics;
use crate::plan::Policy;
use crate::service::Compactor;
use crate::test_clock::WaitingClock;

pub(super) type Store = FaultyStore<InMemory>;
pub(super) type Shared = Rc<RefCell<World>>;

/// Two hours before a midnight.
pub(super) const START_UNIX_NANOS: u64 = 1_800_057_600_000_000_000 - 2 * 3_600_000_000_000;
const MINUTE: u64 = 60_000_000_000;

#[derive(Default)]
pub(super) struct World {
    /// Numbers of spans that a commit has acknowledged, with the deletions that were known up to then.
    pub(super) committed: BTreeMap<u64, u64>,
    /// The same of each time that one was flushed.
    pub(super) attempts: BTreeMap<u64, Vec<u64>>,
    pub(super) next_number: u64,
    /// Traces that somebody is about to delete, and the number of the newest deletion of which he was told.
    pub(super) asked_to_delete: BTreeSet<u64>,
    pub(super) deleted: BTreeMap<u64, u64>,
    /// How long traces are kept, in the settings of all compactors.
    pub(super) usual_rules: Option<Retention>,
    pub(super) counts: Counts,
    pub(super) story: Vec<String>,
}

/// What happened, so that a run in which nothing happens is noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) flushes: u64,
    pub(super) readings: u64,
    pub(super) late_readings: u64,
    pub(super) crashes: u64,
    pub(super) pauses: u64,
    pub(super) jobs_done: u64,
    pub(super) jobs_failed: u64,
    pub(super) jobs_given_up: u64,
    pub(super) collapsed: u64,
    pub(super) swept: u64,
    pub(super) deletions: u64,
    pub(super) deleted_rows: u64,
    /// What retention gave up, and in it the blocks that went as a whole.
    pub(super) expired_rows: u64,
    pub(super) expired_blocks: u64,
    /// Spans of deleted traces that were seen, since they were accepted by who knew the deletion.
    pub(super) taken_again: u64,
}

impl Counts {
    pub(super) fn add(&mut self, more: &Self) {
        self.each(more, |sum, more| *sum += more);
    }

    fn each(&mut self, more: &Self, mut apply: impl FnMut(&mut u64, u64)) {
        apply(&mut self.flushes, more.flushes);
        apply(&mut self.readings, more.readings);
        apply(&mut self.late_readings, more.late_readings);
        apply(&mut self.crashes, more.crashes);
        apply(&mut self.pauses, more.pauses);
        apply(&mut self.jobs_done, more.jobs_done);
        apply(&mut self.jobs_failed, more.jobs_failed);
        apply(&mut self.jobs_given_up, more.jobs_given_up);
        apply(&mut self.collapsed, more.collapsed);
        apply(&mut self.swept, more.swept);
        apply(&mut self.deletions, more.deletions);
        apply(&mut self.deleted_rows, more.deleted_rows);
        apply(&mut self.expired_rows, more.expired_rows);
        apply(&mut self.expired_blocks, more.expired_blocks);
        apply(&mut self.taken_again, more.taken_again);
    }

    /// Whether all happened that can: nothing expires without rules.
    pub(super) fn has_seen_all(&self) -> bool {
        let mut all = true;
        let expired = Self { expired_rows: 1, expired_blocks: 1, ..self.clone() };
        expired.clone().each(&expired, |_, count| all &= count > 0);
        all
    }
}

impl World {
    /// Whether a span was flushed only by who did not know that its trace was deleted.
    pub(super) fn is_deleted(&self, number: u64, deleted: &BTreeMap<u64, u64>) -> bool {
        let deletion = deleted.get(&trace_of(number)).copied().unwrap_or(0);
        self.attempts.get(&number).is_none_or(|known| known.iter().all(|known| *known < deletion))
    }

    /// Whether a span that was committed may be missed.
    pub(super) fn may_be_deleted(&self, number: u64, known: u64) -> bool {
        let trace = trace_of(number);
        self.asked_to_delete.contains(&trace)
            || self.deleted.get(&trace).is_some_and(|deletion| *deletion > known)
    }
}

pub(super) const TRACES: u64 = 11;

pub(super) fn trace_id(trace: u64) -> TraceId {
    TraceId([trace as u8 + 1; 16])
}

/// The trace of the span with a number.
pub(super) fn trace_of(number: u64) -> u64 {
    twin_of(number) % TRACES
}

/// Every seventh shares id and start with the one before, and is another span.
fn twin_of(number: u64) -> u64 {
    if number % 7 == 6 { number - 1 } else { number }
}

/// The span with a number. Its name is the number, so that whoever reads it knows what it must say.
pub(super) fn span(number: u64) -> Span {
    let twin = twin_of(number);
    let minutes = if number.is_multiple_of(23) { 0 } else { 60 + (twin * 13) % 70 };
    Span {
        trace_id: trace_id(trace_of(number)),
        span_id: SpanId((twin + 1).to_be_bytes()),
        parent_span_id: (!number.is_multiple_of(3)).then(|| SpanId((number % 40 + 1).to_be_bytes())),
        start_unix_nano: START_UNIX_NANOS + minutes * MINUTE + twin,
        name: number.to_string(),
        ..Span::default()
    }
}

/// How many times slower all of it is than a run of a few minutes, in which a lease lasts seconds.
#[derive(Clone, Copy)]
pub(super) struct Pace(pub(super) u32);

impl Pace {
    pub(super) const SECONDS: Self = Self(1);

    pub(super) fn millis(self, millis: u64) -> Duration {
        Duration::from_millis(millis) * self.0
    }
}

/// What a process has.
#[derive(Clone)]
pub(super) struct Site {
    pace: Pace,
    pub(super) world: Shared,
    pub(super) store: Store,
    pub(super) clock: VirtualClock,
    pub(super) catalog: Arc<Catalog>,
    pub(super) rng: Rc<RefCell<ChaCha8Rng>>,
}

impl Site {
    pub(super) fn new(world: &Shared, store: &Store, clock: VirtualClock, pace: Pace, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let config = CatalogConfig {
            bucket: Bucket::new(Arc::new(store.clone()), Listing::Together),
            clock: Arc::new(WaitingClock(clock.clone())),
            seed: rng.random(),
            windows: windows(pace),
        };
        let catalog = Arc::new(Catalog::new(config).expect("windows fit together"));
        Self {
            pace,
            world: Rc::clone(world),
            store: store.clone(),
            clock,
            catalog,
            rng: Rc::new(RefCell::new(rng)),
        }
    }

    pub(super) fn compactor(&self) -> Compactor {
        let policy = {
            let mut rng = self.rng.borrow_mut();
            let mut millis = |longest: u64| self.pace.millis(rng.random_range(0..longest));
            let (wait, wait_late, hour_slack) = (millis(4_000), millis(8_000), millis(3_000));
            Policy {
                target_rows: rng.random_range(20..200),
                most_inputs: rng.random_range(2..20),
                batch_rows: rng.random_range(30..400),
                at_once: rng.random_bool(0.5),
                wait,
                wait_late,
                hour_slack,
                ..Policy::default()
            }
        };
        let jobs = self.rng.borrow_mut().random_range(1..4);
        let config = CompactorConfig {
            jobs,
            // Some know of no more than 14 traces at a time.
            memory_bytes: if jobs == 3 { 2_000 } else { 60_000 },
            threads: false,
            idle_pause: self.pace.millis(2_000),
            sweep_every: self.pace.millis(9_000),
            lease: self.pace.millis(6_000),
            policy,
            retention: self.world.borrow().usual_rules.clone(),
        };
        let clock = Arc::new(WaitingClock(self.clock.clone()));
        Compactor::new(Arc::clone(&self.catalog), clock, config, Arc::new(Metrics::default()))
    }

    /// In Unix nanoseconds, whatever the clock of this process says.
    pub(super) fn true_time(&self) -> u64 {
        START_UNIX_NANOS + u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Waits up to so long.
    pub(super) async fn rest(&self, longest_millis: u64) {
        let millis = self.rng.borrow_mut().random_range(0..=longest_millis);
        self.clock.sleep(self.pace.millis(millis)).await;
    }

    /// An object; none: it is not there. A store that fails is asked again.
    pub(super) async fn get(&self, key: ObjectKey) -> Option<Bytes> {
        let path = Path::from(key.to_string());
        loop {
            let got = async { self.store.get(&path).await?.bytes().await };
            match got.await {
                Ok(bytes) => return Some(bytes),
                Err(object_store::Error::NotFound { .. }) => return None,
                Err(_) => self.rest(100).await,
            }
        }
    }

    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        let line = format!("{:>9.3} {}", self.clock.monotonic().as_secs_f64(), what());
        self.world.borrow_mut().story.push(line);
    }
}

/// Seconds where the real ones are minutes and hours.
fn windows(pace: Pace) -> Windows {
    let seconds = |seconds: u64| pace.millis(seconds * 1_000);
    Windows {
        query: seconds(12),
        read_grace: seconds(16),
        commit: seconds(8),
        orphan_grace: seconds(20),
        log_grace: seconds(6),
        clock_error: seconds(4),
        visibility: seconds(1),
        forget_writer: seconds(60),
        snapshot_age: seconds(1),
    }
}
