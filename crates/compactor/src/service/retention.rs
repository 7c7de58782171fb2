//! Retention in a round: what goes, goes first, so that nobody merges it; then a day is decided, a few jobs at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::expire::{Grounds, Known};
use siltstone_catalog::publish::PublishError;
use siltstone_catalog::snapshot::{Cover, Snapshot, SnapshotError};
use siltstone_catalog::time::StoreTime;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, TraceId};
use siltstone_format::tenant::Tenant;

use super::round::alone;
use super::{Compactor, RoundError, When};
use crate::job::Work;
use crate::planted::{Bug, planted};
use crate::retain::around::Around;
use crate::retain::due::{Ruled, archived_since};
use crate::retain::judge::{JudgeError, Judging};
use crate::retain::{Judged, Rules, RulesError};

/// When it is tried again to decide a day about which it failed.
const AGAIN: Duration = Duration::from_secs(3_600);
/// Of the memory of all jobs, what is known of traces may take such a part.
const SHARE_OF_MEMORY: usize = 4;
const MILLIS_OF_HOUR: u64 = 3_600_000;

/// What retention asks for in one round.
#[derive(Default)]
pub(super) struct Retained {
    pub(super) works: Vec<Work>,
    /// What no other job may touch: the blocks of the day that is being decided among them.
    pub(super) blocks: BTreeSet<BlockId>,
    /// Of each tenant with rules: what was decided by ones with a lower number is decided anew.
    pub(super) reapplied: BTreeMap<Tenant, u64>,
    /// How many blocks went.
    pub(super) expired: usize,
}

/// The day that is being decided, and those that wait, by a clock that only goes forward.
#[derive(Default)]
pub(super) struct Deciding {
    open: Option<Judging>,
    /// Until when it is waited for what comes late,
    waits: BTreeMap<(Tenant, Day), Duration>,
    /// or since it has failed.
    failed: BTreeMap<(Tenant, Day), Duration>,
    /// When blocks were seen first about which nothing is decided.
    since: BTreeMap<(Tenant, Day), Duration>,
}

/// What became of a day.
enum Decided {
    /// What is there has come since it began.
    Done,
    Waits(Duration),
    Jobs {
        jobs: Vec<(Vec<(Section, BlockEntry)>, Judged)>,
        expired: usize,
        /// What is decided about of the day and of those beside it: left as it is, since what is written anew of it
        /// would not be known to the jobs. And what is decided later.
        blocks: BTreeSet<BlockId>,
    },
}

impl Compactor {
    pub(super) async fn retain(&self, snapshot: &Arc<Snapshot>, when: When) -> Result<Retained, RoundError> {
        let ruled = self.ruled(snapshot).await?;
        let mut retained = Retained::default();
        if ruled.is_empty() {
            return Ok(retained);
        }
        let now = if planted(Bug::OwnClock) {
            StoreTime(self.clock.wall_millis())
        } else if planted(Bug::LaterTime) {
            self.catalog.time_of_store().await?
        } else {
            self.catalog.time_of_snapshot(snapshot).await?
        };
        let hour = u32::try_from(now.0 / MILLIS_OF_HOUR).unwrap_or(0);
        let most = self.config.jobs.max(1);
        for ruled in &ruled {
            retained.reapplied.insert(ruled.tenant.clone(), ruled.rules.reapplied);
            if let Err(error) = self.expire(snapshot, ruled, hour, (most, &mut retained)).await {
                let tenant = &ruled.tenant;
                tracing::warn!(%error, %tenant, "what is not kept any longer stays for now; it is tried again");
            }
        }
        if retained.works.len() < most {
            self.decide(snapshot, &ruled, (now, hour, when), &mut retained).await?;
        }
        Ok(retained)
    }

    /// The tenants whose traces are not all kept for ever.
    async fn ruled(&self, snapshot: &Snapshot) -> Result<Vec<Ruled>, RoundError> {
        let mut all = Vec::new();
        for tenant in snapshot.root.tenants.keys() {
            let rules = Rules::of(&self.catalog, snapshot, tenant, self.config.retention.as_ref()).await;
            let ruled = async {
                let Some(rules) = rules? else { return Ok::<_, RulesError>(None) };
                let pages = self.catalog.pages(snapshot, tenant).await?;
                Ok(Some(Ruled { tenant: tenant.clone(), rules, pages }))
            };
            match ruled.await {
                Ok(ruled) => all.extend(ruled),
                // It holds up no other tenant.
                Err(
                    error @ (RulesError::Unreadable(_) | RulesError::Snapshot(SnapshotError::Damaged { .. })),
                ) => {
                    tracing::error!(%error, %tenant, "nothing of this tenant goes");
                }
                Err(RulesError::Snapshot(error)) => return Err(error.into()),
            }
        }
        Ok(all)
    }

    /// Gives up what is not kept any longer. What may hold traces that were archived since is written anew.
    async fn expire(
        &self,
        snapshot: &Snapshot,
        ruled: &Ruled,
        hour: u32,
        (most, retained): (usize, &mut Retained),
    ) -> Result<(), RoundError> {
        if !ruled.has_something_due(hour) {
            return Ok(());
        }
        let mut due = ruled.due(&self.catalog, snapshot, hour).await?;
        retained.expired += self.give_up(snapshot, ruled, (&due.gone, None)).await?;
        due.anew.retain(|((_, block), _)| !self.is_set_aside(block.id()));
        if due.anew.is_empty() || retained.works.len() >= most {
            return Ok(());
        }
        let deletions = Arc::new(self.deletions(snapshot, &ruled.tenant).await?);
        for (block, judged) in due.anew {
            retained.blocks.insert(block.1.id());
            if retained.works.len() < most {
                let work = alone(&ruled.tenant, block, &deletions);
                retained.works.push(Work { judged: Some(judged), ..work });
            }
        }
        Ok(())
    }

    async fn give_up(
        &self,
        snapshot: &Snapshot,
        ruled: &Ruled,
        (blocks, known): (&[(Section, BlockEntry)], Option<&Known>),
    ) -> Result<usize, RoundError> {
        let mut expired = 0;
        for mut change in ruled.give_up(blocks, known, snapshot.root.mark_number) {
            if planted(Bug::ExpireUnchecked) {
                let known = change.grounds.known.take();
                change.grounds = Grounds { known, ..self.grounds_now(&change.tenant).await? };
            }
            match self.catalog.publish(&change).await {
                Ok(_) => expired += change.blocks.iter().map(|(_, blocks)| blocks.len()).sum::<usize>(),
                Err(PublishError::Refused(why)) => {
                    tracing::debug!(why, tenant = %ruled.tenant, "blocks stay for now");
                    return Ok(expired);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let rows = blocks.iter().map(|(_, block)| block.summary.spans.rows).sum();
        self.metrics.expired(expired, rows);
        Ok(expired)
    }

    /// What must not be done: grounds on which nothing was decided.
    async fn grounds_now(&self, tenant: &Tenant) -> Result<Grounds, RoundError> {
        let snapshot = self.catalog.snapshot(&Cover { fresh: true, ..Cover::default() }).await?;
        let rules = self.catalog.retention(&snapshot, tenant).await?;
        let policy = rules.map_or(0, |rules| rules.number);
        Ok(Grounds { policy, marks: snapshot.root.mark_number, known: None })
    }

    /// Takes the oldest day that is due on its way.
    async fn decide(
        &self,
        snapshot: &Arc<Snapshot>,
        ruled: &[Ruled],
        (now, hour, when): (StoreTime, u32, When),
        retained: &mut Retained,
    ) -> Result<(), RoundError> {
        let mut deciding = self.deciding.lock().await;
        let elapsed = self.clock.elapsed();
        deciding.failed.retain(|_, until| elapsed < *until);
        deciding.waits.retain(|_, until| elapsed < *until && when == When::Worth);
        let slack = u32::try_from(self.config.policy.day_slack.as_secs().div_ceil(3_600)).unwrap_or(u32::MAX);
        let days = ruled.iter().flat_map(|ruled| {
            let days = ruled.undecided_days(hour, slack).into_iter();
            days.map(move |day| (day, ruled))
        });
        let days: Vec<(Day, &Ruled)> = days.collect();
        let there: BTreeSet<(&Tenant, Day)> = days.iter().map(|(day, ruled)| (&ruled.tenant, *day)).collect();
        deciding.since.retain(|(tenant, day), _| there.contains(&(tenant, *day)));
        for (day, ruled) in &days {
            deciding.since.entry((ruled.tenant.clone(), *day)).or_insert(elapsed);
        }
        let mut days: Vec<(Day, &Ruled)> = days
            .into_iter()
            .filter(|(day, ruled)| {
                let of = (ruled.tenant.clone(), *day);
                !deciding.failed.contains_key(&of) && !deciding.waits.contains_key(&of)
            })
            .collect();
        let is_open = |open: &Option<Judging>, day: Day, ruled: &Ruled| {
            open.as_ref().is_some_and(|open| open.is_of(ruled, day))
        };
        days.sort_by_key(|(day, ruled)| (!is_open(&deciding.open, *day, ruled), *day));
        for (day, ruled) in days {
            if !is_open(&deciding.open, day, ruled) {
                deciding.open = None;
            }
            let late = self.config.policy.wait_late;
            let since = deciding.since.get(&(ruled.tenant.clone(), day)).copied().unwrap_or(elapsed);
            let left = |since: Duration| match when {
                When::Now => Duration::ZERO,
                When::Worth => late.saturating_sub(elapsed.saturating_sub(since)),
            };
            let mut decided =
                self.decide_day(snapshot, ruled, day, &mut deciding.open, (now, hour, left(since))).await;
            if let Ok(Decided::Done) = decided {
                // The rest is another decision.
                deciding.since.insert((ruled.tenant.clone(), day), elapsed);
                decided = self
                    .decide_day(snapshot, ruled, day, &mut deciding.open, (now, hour, left(elapsed)))
                    .await;
            }
            match decided {
                Ok(Decided::Done) => {}
                Ok(Decided::Waits(duration)) => {
                    deciding.waits.insert((ruled.tenant.clone(), day), elapsed + duration);
                }
                Ok(Decided::Jobs { jobs, expired, blocks }) => {
                    retained.expired += expired;
                    retained.blocks.extend(blocks);
                    return self.take(snapshot, ruled, jobs, retained).await;
                }
                Err(error) => {
                    let tenant = &ruled.tenant;
                    tracing::error!(%error, %tenant, %day, "a day is not decided, and all of it stays for now");
                    self.metrics.put_off();
                    deciding.open = None;
                    deciding.failed.insert((tenant.clone(), day), elapsed + AGAIN);
                }
            }
        }
        deciding.open = None;
        Ok(())
    }

    async fn decide_day(
        &self,
        snapshot: &Arc<Snapshot>,
        ruled: &Ruled,
        day: Day,
        open: &mut Option<Judging>,
        (now, hour, left): (StoreTime, u32, Duration),
    ) -> Result<Decided, DecideError> {
        let around = Arc::new(Around::of(&self.catalog, ruled, &ruled.pages, day).await?);
        let Some(oldest) = around.oldest_millis() else { return Ok(Decided::Waits(AGAIN)) };
        // What comes late is decided together.
        let old = StoreTime(oldest).plus(self.config.policy.wait_late);
        let wait = left.min(Duration::from_millis(old.0.saturating_sub(now.0)));
        if open.is_none() && !wait.is_zero() {
            return Ok(Decided::Waits(wait));
        }
        if let Some(unreadable) = around.ids().find(|id| self.is_set_aside(*id)) {
            return Err(JudgeError::Unreadable(unreadable).into());
        }
        let memory = self.config.memory_bytes / SHARE_OF_MEMORY;
        let judging = open.take().unwrap_or_else(|| Judging::new(ruled, day, memory));
        let archived = archived_since(&self.catalog, snapshot, &ruled.tenant, 0).await?;
        let archived = archived.into_iter().map(|(_, trace)| trace).collect();
        let judging = open.insert(self.look(judging, snapshot, &around, archived).await?);
        let mut left = judging.left(&around);
        if left.is_empty() {
            *open = None;
            return Ok(Decided::Done);
        }
        let gone = judging.gone(&self.catalog, snapshot, &left, hour).await?;
        let known = judging.known();
        let expired = self.give_up(snapshot, ruled, (&gone, known.as_ref())).await.map_err(Box::new)?;
        let gone: BTreeSet<BlockId> = gone.iter().map(|(_, block)| block.id()).collect();
        left.retain(|(_, block)| !gone.contains(&block.id()));
        let marks = snapshot.root.mark_number;
        let jobs = judging.jobs(ruled, &left, &self.config.policy, (hour, marks));
        let waiting = judging.waiting(&around).map(|(_, block)| block.id());
        Ok(Decided::Jobs { jobs, expired, blocks: around.decided().chain(waiting).collect() })
    }

    async fn look(
        &self,
        mut judging: Judging,
        snapshot: &Arc<Snapshot>,
        around: &Arc<Around>,
        archived: Vec<TraceId>,
    ) -> Result<Judging, JudgeError> {
        let (catalog, snapshot, around) =
            (Arc::clone(&self.catalog), Arc::clone(snapshot), Arc::clone(around));
        let looked = self.threaded(move || async move {
            judging.look(&catalog, &snapshot, &around, &archived).await.map(|()| judging)
        });
        looked.await.map_err(JudgeError::Thread)?.ok_or(JudgeError::Stopped)?
    }

    /// As many of the jobs as this round may do; the blocks of all of them are left alone by others.
    async fn take(
        &self,
        snapshot: &Snapshot,
        ruled: &Ruled,
        jobs: Vec<(Vec<(Section, BlockEntry)>, Judged)>,
        retained: &mut Retained,
    ) -> Result<(), RoundError> {
        let deletions = Arc::new(self.deletions(snapshot, &ruled.tenant).await?);
        for (inputs, judged) in jobs {
            retained.blocks.extend(inputs.iter().map(|(_, block)| block.id()));
            if retained.works.len() < self.config.jobs.max(1) {
                let (tenant, deletions) = (ruled.tenant.clone(), Arc::clone(&deletions));
                let work = Work { tenant, inputs, cuts: Vec::new(), deletions, judged: Some(judged) };
                retained.works.push(work);
            }
        }
        Ok(())
    }

    fn is_set_aside(&self, block: BlockId) -> bool {
        self.set_aside().contains(&block)
    }
}

/// Why a day is not decided in this round.
#[derive(Debug, thiserror::Error)]
enum DecideError {
    #[error(transparent)]
    Judge(#[from] JudgeError),
    #[error(transparent)]
    Round(#[from] Box<RoundError>),
}

impl From<SnapshotError> for DecideError {
    fn from(error: SnapshotError) -> Self {
        Self::Judge(error.into())
    }
}
