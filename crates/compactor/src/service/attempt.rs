//! One job: nobody else works on it, it has a thread of its own, and what comes of it is counted.

use std::sync::Arc;

use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::bucket::StoreError;
use siltstone_catalog::snapshot::Cover;
use siltstone_format::tenant::Tenant;
use tokio_util::sync::CancellationToken;

use super::Compactor;
use crate::claim::{Claimed, claimed};
use crate::deletions::Deletions;
use crate::job::{Done, JobError, JobSizes, Work};

impl Compactor {
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

    pub(super) async fn attempt(&self, work: Work) -> Result<Claimed<Result<Done, JobError>>, StoreError> {
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
                    let mut set_aside = self.set_aside();
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
    pub(super) async fn threaded<T: Send + 'static, Doing: Future<Output = T>>(
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
