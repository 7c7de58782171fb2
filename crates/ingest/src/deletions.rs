//! What this ingester knows of deletions.
//!
//! ```text
//! catalog ──learn──▶ number of the newest one, traces deleted lately
//!                      │  open segments with spans of their tenants that know less are sealed
//!                      └─▶ the next ones: spans of such traces are refused for a day, and then taken again
//! ```
//!
//! The number that a segment is opened with goes with its spans wherever they go. So a deletion hides what was
//! accepted without knowing it, and nothing that was accepted knowingly. One that is idle asks nobody: what comes first
//! after that is accepted with what it knew before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use foldhash::fast::RandomState;
use siltstone_catalog::sections::LateDeletions;
use siltstone_catalog::snapshot::{Cover, SnapshotError};
use siltstone_catalog::time::StoreTime;
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;
use tokio::sync::Notify;

use crate::planted::{Bug, planted};
use crate::service::{Lanes, Shared};

/// So long spans of a deleted trace are refused.
pub(crate) const REFUSED_FOR: Duration = Duration::from_hours(24);
/// Between two looks, while requests come.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);
/// Traces that are refused at a time. Tables have room for seven eighths of a power of two: as many as fit into one of
/// 88 MB. With more, later deletions are not known until earlier ones are a day old; they hide what comes.
const MOST_REFUSED: usize = if cfg!(test) { 1_000 } else { 7 << 19 };
/// If they are too many, so long nobody looks whether some have become a day old.
const UNTIL_FEWER: Duration = Duration::from_mins(10);
/// Tables of more traces are made where they hold up no request.
const FEW_TRACES: usize = 64 * 1024;

/// Deletions as they are known now.
#[derive(Default)]
pub(crate) struct Deletions {
    known: RwLock<Arc<Known>>,
    /// When all that was deleted by then was known: Unix milliseconds.
    looked_at: AtomicU64,
    /// Requests come.
    pub(crate) traffic: Notify,
    too_many: Mutex<Option<TooMany>>,
}

/// More was deleted than can be refused.
#[derive(Clone, Copy, Debug)]
struct TooMany {
    /// By the root with this number of marks.
    newest: u64,
    /// Unix milliseconds.
    until: u64,
}

/// All deletions up to a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) number: u64,
    /// Up to this number there are no others: marks that archive have numbers too.
    looked_through: u64,
    /// No deletion of these tenants has a higher number,
    newest_of: HashMap<Tenant, u64>,
    /// and none of the others has one higher than this.
    newest_of_others: u64,
    /// Only what was deleted less than a day before it was learned.
    lately: HashMap<Tenant, Arc<DeletedLately>>,
}

/// Traces of one tenant whose spans are refused, each until a time.
#[derive(Debug, Default)]
pub struct DeletedLately {
    /// Unix seconds: as milliseconds they would take four bytes more.
    until: hashbrown::HashMap<TraceId, u32, RandomState>,
    /// The first of them.
    first: u32,
}

impl Deletions {
    pub(crate) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there are more than were known.
    async fn learn(&self, shared: &Shared) -> Result<bool, SnapshotError> {
        let snapshot = shared.catalog.snapshot(&Cover::default()).await?;
        let before = self.known();
        let (newest, now) = (snapshot.root.mark_number, shared.clock.wall_millis());
        if newest <= before.looked_through {
            self.looked_at.store(now, Relaxed);
            return Ok(false);
        }
        if self.are_too_many(newest, now) {
            return Ok(false);
        }
        let mut known = Known { looked_through: newest, ..(*before).clone() };
        for of_tenant in known.lately.values_mut() {
            if of_tenant.is_one_over(now) {
                *of_tenant = Arc::new(Arc::clone(of_tenant).with(LateDeletions::default(), now).await);
            }
        }
        known.lately.retain(|_, of_tenant| !of_tenant.until.is_empty());
        let since = StoreTime(now).minus(REFUSED_FOR);
        // Of what is older than that it is not told.
        let mut is_new = StoreTime(self.looked_at.load(Relaxed)) < since.plus(REFUSED_FOR / 2);
        if is_new {
            known.newest_of_others = newest;
        }
        for (tenant, of_root) in &snapshot.root.tenants {
            let after = before.looked_through;
            if of_root.newest_mark <= after {
                continue;
            }
            let room = MOST_REFUSED.saturating_sub(known.refused());
            let late = shared.catalog.late_deletions(&snapshot, tenant, after, since, room).await?;
            let Some(late) = late else {
                self.note_too_many(newest, now);
                return Ok(false);
            };
            if late.traces() > 0 {
                is_new = true;
                known.newest_of.insert(tenant.clone(), of_root.newest_mark);
                let earlier = known.lately.get(tenant).cloned().unwrap_or_default();
                let table = earlier.with(late, now).await;
                known.lately.insert(tenant.clone(), Arc::new(table));
            }
        }
        if is_new {
            known.number = newest;
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
        self.looked_at.store(now, Relaxed);
        Ok(is_new)
    }

    /// Whether it is known that what is deleted by now cannot all be refused.
    fn are_too_many(&self, newest: u64, now: u64) -> bool {
        let too_many = *self.too_many.lock().unwrap_or_else(PoisonError::into_inner);
        too_many.is_some_and(|known| newest == known.newest && now < known.until)
    }

    fn note_too_many(&self, newest: u64, now: u64) {
        tracing::warn!(
            most = MOST_REFUSED,
            "more traces were deleted within a day than can be refused: spans that come of them are hidden"
        );
        let until = StoreTime(now).plus(UNTIL_FEWER).0;
        *self.too_many.lock().unwrap_or_else(PoisonError::into_inner) = Some(TooMany { newest, until });
    }
}

impl Known {
    /// What is refused of a tenant.
    pub(crate) fn lately(&self, tenant: &Tenant) -> Option<Arc<DeletedLately>> {
        self.lately.get(tenant).cloned()
    }

    /// Whether spans of a tenant that come now may go to spans that were accepted knowing the deletions up to a number:
    /// there are no others of this tenant.
    pub(crate) fn is_all_that(&self, number: u64, tenant: &Tenant) -> bool {
        let newest = self.newest_of.get(tenant).copied().unwrap_or(0).max(self.newest_of_others);
        newest <= number || planted(Bug::SealLate)
    }

    fn refused(&self) -> usize {
        self.lately.values().map(|of_tenant| of_tenant.until.len()).sum()
    }
}

impl DeletedLately {
    /// Whether spans of this trace are refused at a time, in Unix milliseconds.
    pub fn has(&self, trace: &TraceId, now: u64) -> bool {
        self.until.get(trace).is_some_and(|until| now < u64::from(*until) * 1_000)
    }

    fn is_one_over(&self, now: u64) -> bool {
        u64::from(self.first) * 1_000 <= now
    }

    /// With more, and without those of which it is over.
    async fn with(self: Arc<Self>, late: LateDeletions, now: u64) -> Self {
        if self.until.len() + late.traces() <= FEW_TRACES {
            return self.with_all(&late, now);
        }
        let made = tokio::task::spawn_blocking(move || self.with_all(&late, now)).await;
        made.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    fn with_all(&self, late: &LateDeletions, now: u64) -> Self {
        let kept = || self.until.iter().filter(move |(_, until)| now < u64::from(**until) * 1_000);
        let mut until = hashbrown::HashMap::with_capacity_and_hasher(
            kept().count() + late.traces(),
            RandomState::default(),
        );
        until.extend(kept().map(|(trace, until)| (*trace, *until)));
        for (trace, at) in late.iter() {
            let end = at.plus(REFUSED_FOR).0.div_ceil(1_000);
            let end = u32::try_from(end).unwrap_or(u32::MAX);
            let known = until.entry(trace).or_insert(end);
            *known = end.max(*known);
        }
        let first = until.values().copied().min().unwrap_or(u32::MAX);
        Self { until, first }
    }
}

/// Learns of deletions, and ends the open segments of those that know less.
pub(crate) async fn learn(shared: &Shared, lanes: &Lanes) {
    match shared.deletions.learn(shared).await {
        Ok(true) => lanes.seal_outdated(shared).await,
        Ok(false) => {}
        // What comes meanwhile is hidden by deletions that are not known.
        Err(error) => tracing::warn!(%error, "it is not known what was deleted lately"),
    }
}

/// As long as requests come.
pub(crate) async fn keep_learning(shared: Arc<Shared>, lanes: Lanes) {
    let learning = async {
        loop {
            shared.deletions.traffic.notified().await;
            learn(&shared, &lanes).await;
            shared.clock.sleep(BETWEEN_LOOKS).await;
        }
    };
    shared.stop.run_until_cancelled(learning).await;
}

#[cfg(test)]
mod tests {
    use siltstone_catalog::deleted::TracePage;

    use super::*;

    fn trace(number: u64) -> TraceId {
        TraceId(u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes())
    }

    fn late(numbers: std::ops::Range<u64>, at: u64) -> LateDeletions {
        let mut traces: Vec<TraceId> = numbers.map(trace).collect();
        let single = traces.pop().into_iter().map(|trace| (trace, StoreTime(at))).collect();
        traces.sort();
        LateDeletions {
            traces: single,
            pages: vec![(StoreTime(at), Arc::new(TracePage { number: 1, traces }))],
        }
    }

    #[test]
    fn should_refuse_each_trace_for_a_day_after_its_last_deletion() {
        let day = REFUSED_FOR.as_millis() as u64;
        let (first, second) = (1_000_000_000, 1_000_000_000 + day / 2);
        let table = DeletedLately::default().with_all(&late(0..10, first), first);
        let table = table.with_all(&late(5..15, second), second);
        let refused = |now| (0..20).filter(|number| table.has(&trace(*number), now)).collect::<Vec<u64>>();
        assert_eq!(refused(second), (0..15).collect::<Vec<_>>());
        assert_eq!(refused(first + day - 1), (0..15).collect::<Vec<_>>());
        assert_eq!(refused(first + day), (5..15).collect::<Vec<_>>());
        assert_eq!(refused(second + day), Vec::<u64>::new());
        assert!(!table.is_one_over(first + day - 1) && table.is_one_over(first + day));
        let later = table.with_all(&LateDeletions::default(), first + day);
        assert_eq!((later.until.len(), later.is_one_over(first + day)), (10, false));
    }

    #[test]
    fn should_hold_few_bytes_of_each_trace() {
        // One of seven eighths of a power of two, as the bound has it.
        let count = 7 << 13;
        let table = DeletedLately::default().with_all(&late(0..count, 1), 1);
        assert_eq!(table.until.len() as u64, count);
        let bytes_each = table.until.allocation_size() as f64 / count as f64;
        assert!((24.0..24.1).contains(&bytes_each), "{bytes_each}");
        assert_eq!(size_of::<(TraceId, u32)>(), 20);
    }
}
