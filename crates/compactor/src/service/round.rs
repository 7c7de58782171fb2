//! One look at what there is, and all that is worth doing then.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, stream};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::snapshot::{Cover, Snapshot, SnapshotError};
use siltstone_format::id::BlockId;
use siltstone_format::tenant::Tenant;

use super::retention::Retained;
use super::{Compactor, Round, RoundError, When};
use crate::claim::Claimed;
use crate::deletions::Deletions;
use crate::erase::holding_deleted;
use crate::job::Work;
use crate::metrics::Waiting;
use crate::plan::{self, Backlog};

/// Jobs that one after the other may come of one look at what there is.
const JOBS_OF_A_ROUND: usize = 4;

impl Compactor {
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
        let set_aside = self.set_aside().clone();
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
    pub(super) async fn deletions(
        &self,
        snapshot: &Snapshot,
        tenant: &Tenant,
    ) -> Result<Deletions, RoundError> {
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
        let set_aside = self.set_aside().clone();
        erasing.take(tenant, |id| taken.contains(id) || set_aside.contains(id), now, most)
    }

    fn policy(&self, when: When) -> plan::Policy {
        plan::Policy { at_once: when == When::Now, ..self.config.policy.clone() }
    }
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
pub(super) fn alone(tenant: &Tenant, block: (Section, BlockEntry), deletions: &Arc<Deletions>) -> Work {
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
