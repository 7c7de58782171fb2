//! The ingester as a value: what its parts share, how it starts, takes requests, and ends.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use siltstone_catalog::Catalog;
use siltstone_catalog::LoadError;
use siltstone_catalog::time::Clock;
use siltstone_format::id::{ObjectId, WriterId};
use siltstone_format::tenant::Tenant;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admit::Gate;
use crate::budget::Budget;
use crate::config::IngestConfig;
use crate::decode::{DecodeError, Rules};
use crate::deletions::{self, Deletions};
use crate::explain::explain;
use crate::export::{Accept, Accepted, Admission, Export, Refused};
use crate::flush::seal_by_age;
use crate::house;
use crate::lane::{Lane, LaneKind};
use crate::limits::{LimitExceeded, Limits, RateLimiter};
use crate::live_answer::LocalLive;
use crate::log::LogFailure;
use crate::log::{Durability, SegmentName};
use crate::metrics::Metrics;
use crate::registration::Registration;
use crate::roster::Roster;
use crate::seen::{Look, Memory, Seen};
use crate::spool::Spool;
use crate::take_over::Survivor;
use crate::tenants::{LargeTenants, LiveBytes};

/// Tenants whose rates are remembered.
const MOST_RATES: usize = 100_000;

/// What logs get at the end to write and to clear away, if all else took too long.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// When a sender may try again what cannot be taken now.
const LATER: Duration = Duration::from_secs(1);

/// What an ingester is made of, beside its settings.
pub struct IngestParts {
    pub catalog: Arc<Catalog>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    pub log: Durability,
    /// Kept over restarts, beside a log on a disk.
    pub ingester: ObjectId,
    /// Where readers ask for what is in no block yet: `http://10.0.0.7:14317`.
    pub address: String,
    /// For hashes of requests: nobody outside may know it.
    pub seed: u64,
}

/// Why an ingester cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("blocks that wait for the store have no place: {0}")]
    Spool(String),
    #[error("the log has no thread: {0}")]
    Lane(#[from] std::io::Error),
    #[error("the log cannot be replayed: {0}")]
    Replay(String),
    #[error("the catalog is lost: {0}; `siltstone rebuild` makes a new one from the blocks")]
    CatalogLost(LoadError),
}

/// What all parts of an ingester share.
pub(crate) struct Shared {
    pub(crate) config: IngestConfig,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) budget: Budget,
    gate: Gate,
    seen: Seen,
    log: Durability,
    /// Why nothing is taken at the moment.
    halted: Mutex<Option<String>>,
    /// The log could not be written: why, and until when nobody tries.
    log_fails: Mutex<Option<(Duration, String)>>,
    pub(crate) roster: Roster,
    pub(crate) deletions: Deletions,
    registration: Registration,
    pub(crate) spool: Spool,
    pub(crate) tenants: LargeTenants,
    pub(crate) live_bytes: LiveBytes,
    /// Blocks that are encoded at the same time.
    pub(crate) encoders: Semaphore,
    /// No more requests come.
    pub(crate) stop: CancellationToken,
    /// What is not committed stays in the log.
    pub(crate) abandon: CancellationToken,
}

/// A running ingester.
pub struct Ingest {
    shared: Arc<Shared>,
    lanes: Lanes,
    tasks: TaskTracker,
}

#[derive(Clone)]
pub(crate) struct Lanes {
    small: Arc<Lane>,
    large: Arc<Lane>,
    pub(crate) replayed: Arc<Lane>,
}

impl Lanes {
    fn all(&self) -> [&Arc<Lane>; 3] {
        [&self.replayed, &self.small, &self.large]
    }

    /// Under which writers requests come in.
    pub(crate) async fn writers(&self) -> BTreeSet<WriterId> {
        [self.small.writer().await, self.large.writer().await].into_iter().flatten().collect()
    }

    pub(crate) async fn seal_outdated(&self, shared: &Shared) {
        self.small.seal_outdated(shared).await;
        self.large.seal_outdated(shared).await;
    }

    pub(crate) async fn rest(&self, shared: &Shared) {
        self.small.rest(shared).await;
        self.large.rest(shared).await;
    }
}

impl Ingest {
    /// Takes up what the log holds, and begins. When it returns, all that was ever acknowledged by this log is
    /// visible.
    pub async fn start(config: IngestConfig, parts: IngestParts) -> Result<Self, StartError> {
        let spool =
            Spool::open(config.spool.clone()).map_err(|error| StartError::Spool(error.to_string()))?;
        let clock = parts.clock;
        let in_bucket = parts.log.is_in_bucket();
        let registration = Registration::new(&parts.catalog, parts.ingester, parts.address, in_bucket);
        let budget = Budget::new(config.memory_bytes, Arc::clone(&clock));
        let seen = Seen::new(Memory::default(), parts.seed, Arc::clone(&clock));
        let rate = RateLimiter::new(Arc::clone(&clock), MOST_RATES);
        let gate =
            Gate::new(config.limits.clone(), rate, budget.clone(), seen.clone(), config.admission_wait);
        let shared = Arc::new(Shared {
            budget,
            gate,
            seen,
            log: parts.log,
            halted: Mutex::default(),
            log_fails: Mutex::default(),
            roster: Roster::default(),
            deletions: Deletions::default(),
            registration,
            spool,
            tenants: LargeTenants::default(),
            live_bytes: LiveBytes::default(),
            encoders: Semaphore::new(config.encoders.max(1)),
            stop: CancellationToken::new(),
            abandon: CancellationToken::new(),
            catalog: parts.catalog,
            clock,
            metrics: parts.metrics,
            config,
        });
        let lane = |kind, log| Arc::new(Lane::new(kind, log));
        let lanes = Lanes {
            small: lane(LaneKind::Small, shared.log.lane("log-small", &shared.budget)?),
            large: lane(LaneKind::Large, shared.log.lane("log-large", &shared.budget)?),
            replayed: lane(LaneKind::Replayed, shared.log.lane_of_found("log-replayed")?),
        };
        let began = house::begin_catalog(&shared).await?;
        shared.replay(&lanes.replayed).await?;
        lanes.replayed.sealed.close();
        if began {
            deletions::learn(&shared, &lanes).await;
        }
        let ingest = Self { shared, lanes, tasks: TaskTracker::new() };
        ingest.spawn_tasks(parts.ingester, began);
        Ok(ingest)
    }

    fn spawn_tasks(&self, ingester: ObjectId, has_catalog: bool) {
        let Self { shared, lanes, .. } = self;
        let ages =
            [(&lanes.small, shared.config.small_tenant_age), (&lanes.large, shared.config.large_tenant_age)];
        for (lane, age) in ages {
            self.spawn(seal_by_age(Arc::clone(lane), Arc::clone(shared), age));
        }
        for lane in lanes.all() {
            self.spawn(Arc::clone(lane).encode_all(Arc::clone(shared)));
            self.spawn(Arc::clone(lane).commit_all(Arc::clone(shared)));
        }
        self.spawn(house::keep(Arc::clone(shared), has_catalog));
        self.spawn(deletions::keep_learning(Arc::clone(shared), lanes.clone()));
        let (of_task, its_lanes) = (Arc::clone(shared), lanes.clone());
        self.spawn(async move { of_task.registration.keep(&of_task, &its_lanes).await });
        if shared.log.is_in_bucket() {
            self.spawn(Survivor::new(Arc::clone(shared), lanes.clone(), ingester).watch());
        }
        self.tasks.close();
    }

    /// Whatever a task waits for, it does so no longer once all is abandoned.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.shared.abandon.clone().run_until_cancelled_owned(task));
    }

    /// The spans that are in no block yet.
    pub fn live(&self) -> LocalLive {
        LocalLive::new(Arc::clone(&self.shared))
    }

    /// Flushes everything, for so long at most; what is not committed then stays in the log, whatever the store
    /// does. To be called when no more requests come. Gives whether all was committed.
    pub async fn shutdown(&self, patience: Duration) -> bool {
        self.shared.stop.cancel();
        for lane in self.lanes.all() {
            lane.seal(&self.shared).await;
            lane.sealed.close();
        }
        let flushed = async {
            self.tasks.wait().await;
            self.close_logs().await;
        };
        tokio::select! {
            () = flushed => {}
            () = self.shared.clock.sleep(patience) => {
                self.shared.abandon.cancel();
                self.tasks.wait().await;
                tokio::select! {
                    () = self.close_logs() => {}
                    () = self.shared.clock.sleep(LAST_WRITES) => {}
                }
            }
        }
        let is_done = self.shared.roster.is_empty();
        if is_done {
            self.shared.registration.end(&self.shared).await;
        }
        is_done
    }

    async fn close_logs(&self) {
        for lane in self.lanes.all() {
            lane.log.close().await;
        }
    }

    fn lane_of(&self, tenant: &Tenant) -> &Arc<Lane> {
        match self.shared.tenants.lane_of(tenant) {
            LaneKind::Large => &self.lanes.large,
            LaneKind::Small | LaneKind::Replayed => &self.lanes.small,
        }
    }

    /// Ends what is open, whatever its age, so that it is flushed.
    pub async fn flush(&self) {
        for lane in self.lanes.all() {
            lane.seal(&self.shared).await;
        }
    }

    /// Bytes of spans that are in no block yet.
    pub fn live_bytes(&self) -> u64 {
        self.shared.live_bytes.total() as u64
    }

    /// The names of the segments that are not committed.
    pub fn live_segments(&self) -> Vec<SegmentName> {
        self.shared.roster.moment().live.iter().map(|live| live.name).collect()
    }

    /// Brings the gauges up to date, for whoever is about to show them.
    pub fn observe(&self) {
        let moment = self.shared.roster.moment();
        let metrics = &self.shared.metrics;
        let spans = moment.live.iter().map(|live| live.segment.spans()).sum();
        metrics.set_live(spans, self.shared.live_bytes.total() as u64);
        metrics.set_memory_bytes(self.shared.budget.used() as u64);
        metrics.set_log_bytes(self.shared.log.bytes());
    }
}

impl Shared {
    pub(crate) fn log(&self) -> &Durability {
        &self.log
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// From now on requests are refused with these words; none: no more.
    pub(crate) fn halt(&self, why: Option<String>) {
        *self.halted.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// What the segment has is flushed, so that its part of the log goes: the disk may be full. And for a moment
    /// nobody tries again: each attempt costs work, and leaves spans that nobody was told of.
    async fn log_failed(&self, lane: &Arc<Lane>, failure: &LogFailure) {
        if let LogFailure::TakenOver(writer) = failure {
            lane.leave(self, *writer).await;
            return;
        }
        let until = self.clock.elapsed() + LATER;
        *self.log_fails.lock().unwrap_or_else(PoisonError::into_inner) = Some((until, failure.to_string()));
        lane.seal(self).await;
    }

    fn rules(&self, limits: &Limits) -> Rules {
        let starts = limits.start_bounds(self.clock.wall_millis());
        Rules {
            earliest_start: starts.earliest,
            latest_start: starts.latest,
            attribute_bytes: limits.attribute_bytes,
            spans: limits.spans_per_request,
            // What fills a segment by itself is enough.
            listed_bytes: self.config.flush_bytes,
            ..Rules::NONE
        }
    }

    /// What must be in order before work is done for a request.
    fn check(&self, tenant: &Tenant, limits: &Limits) -> Result<(), Refused> {
        if let Some(what) = self.halted.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(Refused::Unavailable { what, retry_after: LATER });
        }
        let now = self.clock.elapsed();
        let mut log_fails = self.log_fails.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((until, what)) = &*log_fails {
            if now < *until {
                return Err(Refused::Unavailable { what: what.clone(), retry_after: *until - now });
            }
            *log_fails = None;
        }
        drop(log_fails);
        self.log.room().map_err(|full| Refused::Overloaded { what: full, retry_after: LATER })?;
        if self.live_bytes.of(tenant) as u64 >= limits.live_bytes {
            let exceeded = LimitExceeded::new(tenant, "live_bytes", limits.live_bytes, Some(LATER));
            return Err(Refused::Limit(exceeded));
        }
        Ok(())
    }
}

#[async_trait]
impl Accept for Ingest {
    async fn admit(&self, tenant: &Tenant, bytes: usize) -> Result<Admission, Refused> {
        let budget = &self.shared.budget;
        if budget.used() > budget.limit() / 2 {
            for lane in [&self.lanes.large, &self.lanes.small] {
                lane.seal_if_worth(&self.shared, budget.limit() / 64);
            }
        }
        Ok(Admission::new(self.shared.gate.room(tenant, bytes.saturating_mul(2)).await?))
    }

    async fn accept(&self, export: Export, admission: Admission) -> Result<Accepted, Refused> {
        let limits = self.shared.gate.limits(&export.tenant);
        if let Err(refused) = self.shared.check(&export.tenant, &limits) {
            if matches!(refused, Refused::Limit(_)) {
                // So that there is room when it tries again.
                self.lane_of(&export.tenant).seal_if_worth(&self.shared, 1);
            }
            return Err(refused);
        }
        let turn = match self.shared.gate.look(&export).await? {
            Look::First(turn) => turn,
            Look::Known(accepted) => {
                self.shared.metrics.collapsed();
                return Ok(accepted);
            }
        };
        self.shared.deletions.traffic.notify_one();
        let rules = self.shared.rules(&limits);
        let lane = self.lane_of(&export.tenant);
        let tenant = export.tenant.clone();
        let taken = lane.take(&self.shared, export, admission, rules).await.map_err(refused_whole)?;
        if let Some(ticket) = taken.durable {
            let stands = self.shared.registration.stands(&self.shared, taken.writer);
            let (stored, stands) = futures::join!(ticket, stands);
            if let Err(failure) = stored {
                self.shared.log_failed(lane, &failure).await;
                return Err(unavailable(failure));
            }
            stands.map_err(unavailable)?;
        }
        let accepted = Accepted {
            spans: taken.decoded.accepted,
            refused: taken.decoded.refused,
            message: explain(&tenant, &limits, &taken.decoded.refused),
        };
        turn.done(&accepted);
        Ok(accepted)
    }
}

fn unavailable(error: impl std::fmt::Display) -> Refused {
    Refused::Unavailable { what: error.to_string(), retry_after: LATER }
}

fn refused_whole(error: DecodeError) -> Refused {
    match error {
        DecodeError::Full => Refused::Overloaded { what: error.to_string(), retry_after: LATER },
        error => Refused::Malformed(error.to_string()),
    }
}
