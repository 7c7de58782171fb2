//! A compactor at work: it looks what there is, takes jobs that nobody else works on, and sweeps.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use siltstone_catalog::bucket::StoreError;
use siltstone_catalog::clock_check::ClockError;
use siltstone_catalog::groups::GroupsError;
use siltstone_catalog::publish::PublishError;
use siltstone_catalog::snapshot::SnapshotError;
use siltstone_catalog::sweep::{SweepError, SweepMode, Swept};
use siltstone_catalog::time::Clock;
use siltstone_catalog::{Catalog, LoadError};
use siltstone_format::id::BlockId;
use tokio_util::sync::CancellationToken;

use crate::claim::{Claimed, claimed};
use crate::config::CompactorConfig;
use crate::erase::Erasing;
use crate::job::{Done, JobError};
use crate::metrics::Metrics;
use crate::observe::Settled;

use self::retention::Deciding;

// One look at what there is, and what is worth doing then.
mod round;
// Days that are decided, and blocks that go.
mod retention;
// One job.
mod attempt;

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
        self.set_aside().iter().map(BlockId::to_string).collect()
    }

    fn set_aside(&self) -> MutexGuard<'_, BTreeSet<BlockId>> {
        self.set_aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sweep_unless_busy(&self) -> Result<(), RoundError> {
        let sweep = self.sweep(SweepMode::Delete);
        match claimed(&self.catalog, &self.clock, "sweep", self.config.lease, sweep).await? {
            Claimed::Done(swept) => Ok(swept.map(drop)?),
            Claimed::Busy | Claimed::Lost => Ok(()),
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
