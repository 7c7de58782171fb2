//! What this ingester knows of deletions.
//!
//! ```text
//! catalog ──learn──▶ number of the newest one, traces deleted lately
//!                      │  open segments that know less are sealed
//!                      └─▶ the next ones: spans of such traces are refused for a day, and then taken again
//! ```
//!
//! The number that a segment is opened with goes with its spans wherever they go. So a deletion hides what was
//! accepted without knowing it, and nothing that was accepted knowingly. One that is idle asks nobody: what comes first
//! after that is accepted with what it knew before.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use siltstone_catalog::deleted::TracePage;
use siltstone_catalog::snapshot::{Cover, SnapshotError};
use siltstone_catalog::time::StoreTime;
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;
use tokio::sync::Notify;

use crate::service::{Lanes, Shared};

/// So long spans of a deleted trace are refused.
pub(crate) const REFUSED_FOR: Duration = Duration::from_hours(24);
/// Between two looks, while requests come.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);
/// Traces that are refused at a time: 64 MiB or more. With more, later deletions are not known until earlier ones are a
/// day old; they hide what comes.
const MOST_REFUSED: usize = 4 << 20;

/// Deletions as they are known now.
#[derive(Default)]
pub(crate) struct Deletions {
    known: RwLock<Arc<Known>>,
    /// Requests come.
    pub(crate) traffic: Notify,
}

/// All deletions up to a number.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) number: u64,
    /// Up to this number there are no others: marks that archive have numbers too.
    looked_through: u64,
    /// Unix milliseconds.
    looked_at: u64,
    /// Only what was deleted less than a day before it was learned.
    lately: HashMap<Tenant, Arc<DeletedLately>>,
}

/// Traces of one tenant whose spans are refused, each until a time.
#[derive(Clone, Debug, Default)]
pub struct DeletedLately {
    traces: HashMap<TraceId, u64>,
    pages: Vec<(u64, Arc<TracePage>)>,
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
            return Ok(false);
        }
        let mut lately = before.lately.clone();
        lately.values_mut().for_each(|of_tenant| Arc::make_mut(of_tenant).forget_until(now));
        let since = StoreTime(now).minus(REFUSED_FOR);
        // Of what is older than that it is not told.
        let mut is_new = StoreTime(before.looked_at) < since.plus(REFUSED_FOR / 2);
        for (tenant, known) in &snapshot.root.tenants {
            if known.newest_mark > before.looked_through {
                let after = before.looked_through;
                let late = shared.catalog.late_deletions(&snapshot, tenant, after, since).await?;
                is_new |= !late.traces.is_empty() || !late.pages.is_empty();
                let of_tenant = Arc::make_mut(lately.entry(tenant.clone()).or_default());
                let until = |at: StoreTime| at.plus(REFUSED_FOR).0;
                of_tenant.traces.extend(late.traces.into_iter().map(|(trace, at)| (trace, until(at))));
                of_tenant.pages.extend(late.pages.into_iter().map(|(at, page)| (until(at), page)));
            }
        }
        lately.retain(|_, of_tenant| of_tenant.len() > 0);
        let refused: usize = lately.values().map(|of_tenant| of_tenant.len()).sum();
        if refused > MOST_REFUSED {
            tracing::warn!(
                traces = refused,
                most = MOST_REFUSED,
                "more traces were deleted within a day than can be refused: spans that come of them are hidden"
            );
            return Ok(false);
        }
        let number = if is_new { newest } else { before.number };
        let known = Known { number, looked_through: newest, looked_at: now, lately };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
        Ok(is_new)
    }
}

impl Known {
    /// What is refused of a tenant.
    pub(crate) fn lately(&self, tenant: &Tenant) -> Option<Arc<DeletedLately>> {
        self.lately.get(tenant).cloned()
    }
}

impl DeletedLately {
    /// Whether spans of this trace are refused at a time, in Unix milliseconds.
    pub fn has(&self, trace: &TraceId, now: u64) -> bool {
        self.traces.get(trace).is_some_and(|until| now < *until)
            || self.pages.iter().any(|(until, page)| now < *until && page.holds(trace))
    }

    fn forget_until(&mut self, now: u64) {
        self.traces.retain(|_, until| now < *until);
        self.pages.retain(|(until, _)| now < *until);
    }

    fn len(&self) -> usize {
        self.traces.len() + self.pages.iter().map(|(_, page)| page.traces.len()).sum::<usize>()
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
