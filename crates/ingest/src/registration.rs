//! That this ingester holds spans is said in the bucket before the first of them is acknowledged, so that
//! readers ask it, and again and again while it does, so that nobody takes it for dead.
//!
//! Order matters: a segment stands in the roster before its request asks here, and what is taken back is taken
//! back under the same lock, after a look at the roster.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use siltstone_catalog::Catalog;
use siltstone_format::id::{ObjectId, WriterId};
use siltstone_live::members::{AnnounceError, Membership, MembershipConfig, Timing};

use crate::backoff::Backoff;
use crate::service::{Lanes, Shared};

/// Between two looks at what is held.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
/// While spans are held in object mode: others take over who is silent for three times as long.
const ALIVE_EVERY: Duration = Duration::from_secs(10);
/// For one attempt; the store's client has its own, longer time.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long a request waits for the announcement, if its spans are safe without it.
const PATIENCE: Duration = Duration::from_secs(2);
/// No attempt follows one that ends so long after a request began to wait that depends on it.
const INSISTENCE: Duration = Duration::from_secs(10);
/// A reader who does not find the announcement any more must not use a snapshot from before the last commit.
const AFTER_LAST_COMMIT: Duration = Duration::from_secs(1);

/// It is not known whether this ingester is announced as it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unannounced {
    #[error(transparent)]
    Failed(#[from] AnnounceError),
    #[error("the store has not taken the announcement of this ingester in {} s", ATTEMPT.as_secs())]
    Slow,
}

pub(crate) struct Registration {
    membership: Membership,
    idle: Duration,
    in_bucket: bool,
    /// One announcement at a time, each of all that is held when it is made.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Writers that are known to be announced.
    standing: BTreeSet<WriterId>,
    /// Something may stand in the bucket.
    is_announced: bool,
    /// The last attempt failed: who does not depend on it does not wait for the next.
    is_in_doubt: bool,
    last_held: Duration,
}

/// A store that says nothing must not keep anybody waiting for ever.
async fn attempt(
    shared: &Shared,
    asked: impl Future<Output = Result<(), AnnounceError>>,
) -> Result<(), Unannounced> {
    match select(std::pin::pin!(asked), shared.clock.sleep(ATTEMPT)).await {
        Either::Left((done, _)) => Ok(done?),
        Either::Right(_) => Err(Unannounced::Slow),
    }
}

impl Registration {
    pub(crate) fn new(catalog: &Arc<Catalog>, ingester: ObjectId, address: String, in_bucket: bool) -> Self {
        let default = Timing::default();
        let alive_every = if in_bucket { ALIVE_EVERY } else { default.alive_every };
        let ids = Arc::clone(catalog);
        let membership = Membership::new(MembershipConfig {
            objects: Arc::clone(catalog.bucket().objects()),
            ingester,
            address,
            in_bucket,
            new_id: Box::new(move || ObjectId(ids.next_id())),
            timing: Timing { alive_every, ..default },
        });
        let (turn, state) = Default::default();
        Self { membership, idle: default.idle, in_bucket, turn, state }
    }

    /// To be awaited before a span is acknowledged whose segment is in the roster under this writer. With a log
    /// on a disk one attempt is enough: spans are taken while the bucket is away, and nobody can read then.
    pub(crate) async fn stands(&self, shared: &Shared, writer: WriterId) -> Result<(), Unannounced> {
        {
            let mut state = self.state();
            if state.standing.contains(&writer) || (state.is_in_doubt && !self.in_bucket) {
                // Between two looks a segment may come and go.
                state.last_held = shared.clock.elapsed();
                return Ok(());
            }
        }
        if self.in_bucket {
            return self.insist(shared, writer).await;
        }
        let announce = std::pin::pin!(self.announce(shared, Some(writer)));
        match select(announce, shared.clock.sleep(PATIENCE)).await {
            Either::Left((Ok(()), _)) => {}
            Either::Left((Err(error), _)) => self.doubt(&error.to_string()),
            Either::Right(_) => self.doubt("the store does not answer"),
        }
        Ok(())
    }

    /// The spans may be in the bucket already: whoever sends them again sends them twice.
    async fn insist(&self, shared: &Shared, writer: WriterId) -> Result<(), Unannounced> {
        let (began, mut backoff) = (shared.clock.elapsed(), Backoff::new(shared));
        loop {
            let Err(error) = self.announce(shared, Some(writer)).await else { return Ok(()) };
            let is_late = shared.clock.elapsed().saturating_sub(began) > INSISTENCE;
            if is_late || !backoff.failed("announcing this ingester", &error).await {
                return Err(error);
            }
        }
    }

    async fn announce(&self, shared: &Shared, wanted: Option<WriterId>) -> Result<(), Unannounced> {
        let _turn = self.turn.lock().await;
        if wanted.is_some_and(|writer| self.state().standing.contains(&writer)) {
            // Whoever was before us has said it.
            return Ok(());
        }
        let now = shared.clock.elapsed();
        let mut writers = shared.roster.writers();
        // Committed meanwhile; but its request waits for an answer.
        writers.extend(wanted);
        {
            let mut state = self.state();
            state.last_held = now;
            state.is_announced = true;
        }
        let announced = attempt(shared, self.membership.announce(&writers, now)).await;
        let mut state = self.state();
        match announced {
            Ok(()) => {
                state.standing = writers;
                state.is_in_doubt = false;
                Ok(())
            }
            Err(error) => {
                state.standing.clear();
                Err(error)
            }
        }
    }

    fn doubt(&self, why: &str) {
        let mut state = self.state();
        if !state.is_in_doubt {
            tracing::warn!(
                why,
                "readers cannot be told of this ingester; spans are taken, and it is tried again"
            );
        }
        state.is_in_doubt = true;
    }

    /// Until the ingester stops.
    pub(crate) async fn keep(&self, shared: &Shared, lanes: &Lanes) {
        let mut must_forget = !self.in_bucket;
        loop {
            match self.look(shared, lanes).await {
                Ok(()) if must_forget => match self.membership.forget_earlier().await {
                    Ok(()) => must_forget = false,
                    Err(error) => tracing::debug!(%error, "an earlier announcement stays for now"),
                },
                Ok(()) => {}
                Err(error) => self.doubt(&error.to_string()),
            }
            tokio::select! {
                () = shared.clock.sleep(BETWEEN_LOOKS) => {}
                () = shared.stop.cancelled() => return,
            }
        }
    }

    async fn look(&self, shared: &Shared, lanes: &Lanes) -> Result<(), Unannounced> {
        if !shared.roster.is_empty() {
            return self.announce(shared, None).await;
        }
        let is_idle = {
            let mut state = self.state();
            // Whoever holds something next is to announce it, and to wait for that.
            state.is_in_doubt = false;
            state.is_announced && shared.clock.elapsed().saturating_sub(state.last_held) >= self.idle
        };
        if !is_idle {
            return Ok(());
        }
        // Nobody says any more that its writers live.
        lanes.rest(shared).await;
        self.withdraw(shared).await
    }

    /// Takes it back if nothing is held.
    async fn withdraw(&self, shared: &Shared) -> Result<(), Unannounced> {
        let _turn = self.turn.lock().await;
        // First this, then the look: a request whose segment is not seen here does not find its writer there.
        self.state().standing.clear();
        if !shared.roster.is_empty() {
            return Ok(());
        }
        attempt(shared, self.membership.withdraw(Duration::MAX)).await?;
        self.state().is_announced = false;
        Ok(())
    }

    /// At the end, when all is committed.
    pub(crate) async fn end(&self, shared: &Shared) {
        if !self.state().is_announced {
            return;
        }
        shared.clock.sleep(shared.catalog.windows().snapshot_age + AFTER_LAST_COMMIT).await;
        if let Err(error) = self.withdraw(shared).await {
            tracing::warn!(%error, "the announcement of this ingester stays");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
