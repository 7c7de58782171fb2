//! A compactor at work: it looks what there is, takes jobs that nobody else works on, and sweeps.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, stream};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::bucket::StoreError;
use siltstone_catalog::clock_check::ClockError;
use siltstone_catalog::groups::GroupsError;
use siltstone_catalog::publish::PublishError;
use siltstone_catalog::snapshot::{Cover, Snapshot, SnapshotError};
use siltstone_catalog::sweep::{SweepError, SweepMode, Swept};
use siltstone_catalog::time::Clock;
use siltstone_catalog::{Catalog, LoadError};
use siltstone_format::id::BlockId;
use siltstone_format::tenant::Tenant;
use tokio_util::sync::CancellationToken;

use crate::claim::{Claimed, claimed};
use crate::config::CompactorConfig;
use crate::deletions::Deletions;
use crate::erase::{Erasing, holding_deleted};
use crate::job::{Done, JobError, JobSizes, Work};
use crate::metrics::{Metrics, Waiting};
use crate::observe::Settled;
use crate::plan::{self, Backlog};

use self::retention::{Deciding, Retained};

// Days that are decided, and blocks that go.
mod retention;

/// Jobs that one after the other may come of one look at what there is.
const JOBS_OF_A_ROUND: usize = 4;

/// Why a compactor cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Clock(#[from] ClockError),
}

/// Why a round ended before its time. The next one begins anew.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    #[error(transparent)]
    Ready(#[from] ReadyError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sweep(#[from] SweepError),
    #[error("filters were not grouped: {0}")]
    Groups(#[from] GroupsError),
    #[error("{failed} of {jobs} jobs failed; the first one: {first}")]
    Jobs { failed: usize, jobs: usize, first: Box<JobError> },
}

impl RoundError {
    fn is_of_an_unreadable_block(&self) -> bool {
        matches!(self, Self::Jobs { first, .. } if first.unreadable_input().is_some())
    }
}

/// What a round came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    pub done: Vec<Done>,
    /// Jobs that somebody else works on.
    pub busy: usize,
    /// Jobs that somebody else finished first.
    pub late: usize,
    /// Blocks that went without a look into them, since nothing in them is kept any longer.
    pub expired: usize,
}

impl Round {
    /// Whether there was nothing to do.
    pub fn is_idle(&self) -> bool {
        !self.has_done_something() && self.busy == 0 && self.late == 0
    }

    fn has_done_something(&self) -> bool {
        !self.done.is_empty() || self.expired > 0
    }
}

/// A compactor. Any number of them may work on one bucket.
pub struct Compactor {
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    config: CompactorConfig,
    metrics: Arc<Metrics>,
    settled: futures::lock::Mutex<Settled>,
    erasing: futures::lock::Mutex<Erasing>,
    deciding: futures::lock::Mutex<Deciding>,
    /// Blocks that cannot be read: they stay as they are, and hold up no others.
    set_aside: Mutex<BTreeSet<BlockId>>,
}

impl Compactor {
    pub fn new(
        catalog: Arc<Catalog>,
        clock: Arc<dyn Clock>,
        config: CompactorConfig,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (settled, erasing, deciding, set_aside) = Default::default();
        Self { catalog, clock, config, metrics, settled, erasing, deciding, set_aside }
    }

    /// Makes sure that there is a catalog, and that this machine's clock is right: blocks would get names that
    /// others take for old, or for orphans.
    pub async fn make_ready(&self) -> Result<(), ReadyError> {
        self.catalog.init().await?;
        self.catalog.check_clock().await?;
        Ok(())
    }

    /// Works until it is told to stop. What it has begun then is given up, and nothing is lost by it.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut swept = self.clock.elapsed();
        let (mut failures, mut is_ready) = (0, false);
        while !stop.is_cancelled() {
            // One or the other: each looks at the whole log, and an idle bucket is asked once in a while only.
            let sweeps = self.clock.elapsed().saturating_sub(swept) >= self.config.sweep_every;
            let round = async {
                if !is_ready {
                    self.make_ready().await?;
                    is_ready = true;
                }
                match sweeps {
                    true => self.sweep_unless_busy().await.map(|()| true),
                    false => self.round(When::Worth).await.map(|round| !round.has_done_something()),
                }
            };
            let ended = tokio::select! {
                biased;
                ended = round => ended,
                () = stop.cancelled() => return,
            };
            if sweeps {
                swept = self.clock.elapsed();
            }
            let pause = match ended {
                Ok(false) => {
                    failures = 0;
                    continue;
                }
                Ok(true) => {
                    failures = 0;
                    self.config.idle_pause
                }
                Err(error) => {
                    tracing::warn!(%error, "merging failed; it is tried again");
                    failures = (failures + 1).min(6);
                    self.config.idle_pause.min(Duration::from_secs(1) * (1 << failures))
                }
            };
            tokio::select! {
                biased;
                () = self.clock.sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Merges all that there is, sweeps, and ends: for a schedule. Gives what was done.
    pub async fn once(&self) -> Result<Vec<Done>, RoundError> {
        self.make_ready().await?;
        let (mut all, mut unreadable) = (Vec::new(), None);
        loop {
            let round = match self.round(When::Now).await {
                Ok(round) => round,
                // It was set aside, and holds up no other.
                Err(error) if error.is_of_an_unreadable_block() => {
                    unreadable.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            // What others work on is theirs.
            let goes_on = round.has_done_something() || round.late > 0;
            all.extend(round.done);
            if !goes_on {
                break;
            }
        }
        self.sweep_unless_busy().await?;
        unreadable.map_or(Ok(all), Err)
    }

    /// Looks once, and does all that is worth doing then.
    pub async fn round(&self, when: When) -> Result<Round, RoundError> {
        let mut touched = BTreeSet::new();
        let mut snapshot = self.folded(&mut touched).await?;
        let retained = self.retain(&snapshot, when).await?;
        if retained.expired > 0 {
            let fresh = Cover { fresh: true, ..Cover::default() };
            snapshot = self.catalog.snapshot(&fresh).await?;
        }
        let expired = retained.expired;
        let now_unix_nano = self.clock.wall_millis().saturating_mul(1_000_000);
        let mut work = self.plan(&snapshot, retained, now_unix_nano, when).await?;
        // Not all of a long backlog: what is new meanwhile comes first.
        work.truncate(self.config.jobs.max(1).saturating_mul(JOBS_OF_A_ROUND));
        let count = work.len();
        touched.extend(work.iter().map(|work| work.tenant.clone()));
        let running = work.into_iter().map(|work| self.attempt(work));
        let mut ended = stream::iter(running).buffer_unordered(self.config.jobs.max(1));
        let (mut round, mut failed) = (Round { expired, ..Round::default() }, Vec::new());
        while let Some(ended) = ended.next().await {
            match ended? {
                Claimed::Done(Ok(done)) => round.done.push(done),
                Claimed::Done(Err(error)) if error.is_late() => {
                    tracing::debug!(%error, "a merge came too late");
                    round.late += 1;
                }
                Claimed::Done(Err(error)) => failed.push(error),
                Claimed::Busy | Claimed::Lost => round.busy += 1,
            }
        }
        for tenant in &touched {
            self.catalog.regroup(tenant).await?;
        }
        let failures = failed.len();
        match failed.into_iter().next() {
            Some(first) => Err(RoundError::Jobs { failed: failures, jobs: count, first: Box::new(first) }),
            None => Ok(round),
        }
    }

    /// Merges some blocks of a tenant into others, whatever is planned; cut by day, and at these times.
    pub async fn merge(
        &self,
        tenant: &Tenant,
        inputs: Vec<(Section, BlockEntry)>,
        cuts: Vec<u64>,
    ) -> Result<Done, JobError> {
        let fresh = Cover { fresh: true, ..Cover::default() };
        let unknown = |error| JobError::Deletions(Box::new(error));
        let snapshot = self.catalog.snapshot(&fresh).await.map_err(unknown)?;
        let deletions = Arc::new(Deletions::of(&self.catalog, &snapshot, tenant).await.map_err(unknown)?);
        self.on_a_thread(Work { tenant: tenant.clone(), inputs, cuts, deletions, judged: None }).await
    }

    /// Deletes what nobody needs, or says what would be deleted.
    pub async fn sweep(&self, mode: SweepMode) -> Result<Swept, SweepError> {
        let swept = self.catalog.sweep(mode).await?;
        if mode == SweepMode::Delete {
            let objects = [&swept.retired, &swept.orphans, &swept.log_entries, &swept.roots];
            let tried: usize = objects.iter().map(|keys| keys.len()).sum();
            self.metrics.swept(tried.saturating_sub(swept.failed.len()));
            for (key, why) in &swept.failed {
                tracing::warn!(%key, why, "an object that nobody needs was not deleted; the next sweep tries again");
            }
        }
        Ok(swept)
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Blocks that no merge can read, by their ids.
    pub fn unreadable(&self) -> Vec<String> {
        let set_aside = self.set_aside.lock().unwrap_or_else(PoisonError::into_inner);
        set_aside.iter().map(BlockId::to_string).collect()
    }

    async fn sweep_unless_busy(&self) -> Result<(), RoundError> {
        let sweep = self.sweep(SweepMode::Delete);
        match claimed(&self.catalog, &self.clock, "sweep", self.config.lease, sweep).await? {
            Claimed::Done(swept) => Ok(swept.map(drop)?),
            Claimed::Busy | Claimed::Lost => Ok(()),
        }
    }

    /// A snapshot of which every flush stands in an inbox. Adds the tenants that have new ones.
    async fn folded(&self, touched: &mut BTreeSet<Tenant>) -> Result<Arc<Snapshot>, RoundError> {
        let fresh = Cover { fresh: true, ..Cover::default() };
        let snapshot = self.catalog.snapshot(&fresh).await?;
        if snapshot.entries.is_empty() {
            return Ok(snapshot);
        }
        let blocks = snapshot.entries.iter().flat_map(|entry| &entry.blocks);
        touched.extend(blocks.map(|block| block.tenant().clone()));
        self.catalog.fold().await?;
        Ok(self.catalog.snapshot(&fresh).await?)
    }

    async fn plan(
        &self,
        snapshot: &Snapshot,
        mut retained: Retained,
        now_unix_nano: u64,
        when: When,
    ) -> Result<Vec<Work>, RoundError> {
        // First of all, and a few at a time: they hold up no merge for long.
        let works = std::mem::take(&mut retained.works);
        let mut all: Vec<(u64, Work)> = works.into_iter().map(|work| (u64::MAX, work)).collect();
        let mut waiting = Waiting::default();
        let mut erasures = self.config.jobs.max(1);
        for tenant in snapshot.root.tenants.keys() {
            let merges = match self.merges(snapshot, tenant, &retained, (now_unix_nano, when)).await {
                Ok((merges, backlog)) => {
                    note_waiting(&mut waiting, backlog, now_unix_nano);
                    merges
                }
                // It holds up no other tenant.
                Err(error @ SnapshotError::Damaged { .. }) => {
                    tracing::error!(%error, %tenant, "nothing of this tenant is merged");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let deletions = Arc::new(self.deletions(snapshot, tenant).await?);
            let mut taken = retained.blocks.clone();
            taken.extend(merges.iter().flat_map(|merge| merge.inputs.iter().map(|(_, block)| block.id())));
            let erased = self.to_erase(snapshot, tenant, &deletions, &taken, (when, erasures)).await;
            erasures -= erased.len();
            all.extend(erased.into_iter().map(|block| (u64::MAX, alone(tenant, block, &deletions))));
            all.extend(merges.into_iter().map(|merge| (merge.newest(), merge.work(tenant, &deletions))));
        }
        self.metrics.waits(waiting);
        // The newest first, whoever's they are: these are asked for most.
        all.sort_by_key(|(newest, _)| std::cmp::Reverse(*newest));
        Ok(all.into_iter().map(|(_, work)| work).collect())
    }

    /// What is worth merging of a tenant, and what waits. Days are planned one after the other: of the
    /// others only inputs of jobs are held.
    async fn merges(
        &self,
        snapshot: &Snapshot,
        tenant: &Tenant,
        retained: &Retained,
        (now_unix_nano, when): (u64, When),
    ) -> Result<(Vec<Merge>, Backlog), SnapshotError> {
        let (policy, at_once) = (self.policy(when), self.policy(When::Now));
        let reapplied = retained.reapplied.get(tenant).copied().unwrap_or(0);
        let set_aside = self.set_aside.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut settled = self.settled.lock().await;
        let (mut merges, mut waiting) = (Vec::new(), Backlog::default());
        for standing in settled.unsettled(&self.catalog, snapshot, tenant).await? {
            let seen = standing.read(&self.catalog, tenant).await?;
            let mut pieces = seen.pieces(reapplied);
            pieces.retain(|piece| !set_aside.contains(&piece.id));
            let mut jobs = plan::plan(&pieces, now_unix_nano, &policy);
            waiting.and(&plan::backlog(&pieces, &jobs));
            let is_closed =
                matches!(standing.section, Section::Day(day) if policy.is_closed(day, now_unix_nano));
            if is_closed && plan::plan(&pieces, now_unix_nano, &at_once).is_empty() {
                settled.note(tenant, &standing);
            }
            jobs.retain(|job| !job.inputs.iter().any(|piece| retained.blocks.contains(&piece.id)));
            let inputs = seen.inputs(&jobs);
            merges.extend(inputs.into_iter().zip(jobs).map(|(inputs, job)| Merge { inputs, cuts: job.cuts }));
        }
        Ok((merges, waiting))
    }

    /// What was deleted of a tenant. A merge that cannot be told leaves nothing out, and knows no more than its inputs.
    async fn deletions(&self, snapshot: &Snapshot, tenant: &Tenant) -> Result<Deletions, RoundError> {
        match Deletions::of(&self.catalog, snapshot, tenant).await {
            Ok(deletions) => Ok(deletions),
            Err(error @ (SnapshotError::Damaged { .. } | SnapshotError::Gone { .. })) => {
                tracing::error!(%error, %tenant, "deleted spans stay in the blocks of this tenant");
                Ok(Deletions::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Blocks that must be written anew, since they hold what was deleted: at most so many.
    async fn to_erase(
        &self,
        snapshot: &Snapshot,
        tenant: &Tenant,
        deletions: &Deletions,
        taken: &BTreeSet<BlockId>,
        (when, most): (When, usize),
    ) -> Vec<(Section, BlockEntry)> {
        let (mut erasing, now) = (self.erasing.lock().await, self.clock.elapsed());
        let due = erasing.due(tenant, deletions, now, when == When::Now);
        if !due.is_empty() {
            match holding_deleted(&self.catalog, snapshot, tenant, deletions, &due).await {
                Ok(found) => erasing.note(tenant, &due, now, found),
                Err(error) => {
                    tracing::warn!(%error, %tenant, "blocks with deleted spans were not found; it is tried again");
                    erasing.note_failure(tenant, now);
                }
            }
        }
        let set_aside = self.set_aside.lock().unwrap_or_else(PoisonError::into_inner).clone();
        erasing.take(tenant, |id| taken.contains(id) || set_aside.contains(id), now, most)
    }

    fn policy(&self, when: When) -> plan::Policy {
        plan::Policy { at_once: when == When::Now, ..self.config.policy.clone() }
    }

    async fn attempt(&self, work: Work) -> Result<Claimed<Result<Done, JobError>>, StoreError> {
        let began = self.clock.elapsed();
        let name = work.name();
        let outcome =
            claimed(&self.catalog, &self.clock, &name, self.config.lease, self.on_a_thread(work)).await?;
        match &outcome {
            Claimed::Done(Ok(done)) => {
                let took = self.clock.elapsed().saturating_sub(began);
                self.metrics.done(done, u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
                tracing::debug!(name, ?done, "merged");
            }
            Claimed::Done(Err(error)) if error.is_late() => self.metrics.given_up(),
            Claimed::Busy | Claimed::Lost => self.metrics.given_up(),
            Claimed::Done(Err(error)) => {
                self.metrics.failed();
                if let Some(block) = error.unreadable_input() {
                    tracing::error!(%error, "a block is not merged any more until this process starts anew");
                    let mut set_aside = self.set_aside.lock().unwrap_or_else(PoisonError::into_inner);
                    set_aside.insert(block);
                    self.metrics.set_aside(set_aside.len());
                }
            }
        }
        Ok(outcome)
    }

    /// Merging takes a processor for seconds: it has a thread of its own, and stops when nobody waits for it.
    async fn on_a_thread(&self, work: Work) -> Result<Done, JobError> {
        let (catalog, sizes) = (Arc::clone(&self.catalog), self.sizes());
        match self.threaded(move || async move { work.run(&catalog, &sizes).await }).await {
            Ok(Some(done)) => done,
            Ok(None) => Err(JobError::Stopped),
            Err(error) => Err(JobError::Thread(error)),
        }
    }

    /// Does something on a thread of its own. None: it was told to stop.
    async fn threaded<T: Send + 'static, Doing: Future<Output = T>>(
        &self,
        work: impl FnOnce() -> Doing + Send + 'static,
    ) -> Result<Option<T>, tokio::task::JoinError> {
        if !self.config.threads {
            return Ok(Some(work().await));
        }
        let runtime = tokio::runtime::Handle::current();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let _stops = stop.drop_guard();
        let thread = tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    done = work() => Some(done),
                    () = stopped.cancelled() => None,
                }
            })
        });
        thread.await
    }

    fn sizes(&self) -> JobSizes {
        JobSizes {
            memory_bytes: self.config.memory_bytes / self.config.jobs.max(1),
            block_rows: self.config.policy.target_rows,
        }
    }
}

/// When jobs are worth doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// When enough has come together.
    Worth,
    /// At once: nobody looks again soon.
    Now,
}

/// A job that was planned, with all that the catalog says of its inputs.
struct Merge {
    inputs: Vec<(Section, BlockEntry)>,
    cuts: Vec<u64>,
}

impl Merge {
    fn newest(&self) -> u64 {
        self.inputs.iter().map(|(_, block)| block.summary.spans.max_start_unix_nano).max().unwrap_or(0)
    }

    fn work(self, tenant: &Tenant, deletions: &Arc<Deletions>) -> Work {
        let (tenant, deletions) = (tenant.clone(), Arc::clone(deletions));
        Work { tenant, inputs: self.inputs, cuts: self.cuts, deletions, judged: None }
    }
}

/// A block that is written anew.
fn alone(tenant: &Tenant, block: (Section, BlockEntry), deletions: &Arc<Deletions>) -> Work {
    let (tenant, deletions) = (tenant.clone(), Arc::clone(deletions));
    Work { tenant, inputs: vec![block], cuts: Vec::new(), deletions, judged: None }
}

fn note_waiting(waiting: &mut Waiting, backlog: Backlog, now_unix_nano: u64) {
    waiting.blocks += backlog.blocks;
    waiting.rows += backlog.rows;
    waiting.bytes += backlog.bytes;
    if let Some(oldest) = backlog.oldest_unmerged_unix_nano {
        waiting.oldest_millis = waiting.oldest_millis.max(now_unix_nano.saturating_sub(oldest) / 1_000_000);
    }
}
