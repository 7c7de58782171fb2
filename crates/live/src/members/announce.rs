//! The ingester's side.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use siltstone_format::id::{ObjectId, WriterId};
use tokio::sync::Mutex;

use super::{Announced, MAX_BYTES, folder, key_of, path};

/// When something is said again, or taken back.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// An announcement is written again after so long, so that its age in the store tells the living from
    /// the dead.
    pub alive_every: Duration,
    /// It stays for so long after the last span came. Longer than any snapshot is reused: who misses the
    /// announcement looks at the catalog after the last commit.
    pub idle: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { alive_every: Duration::from_secs(600), idle: Duration::from_secs(60) }
    }
}

pub struct MembershipConfig {
    pub objects: Arc<dyn ObjectStore>,
    /// Kept over restarts, beside the log: what it holds is found again under the same name.
    pub ingester: ObjectId,
    /// Where readers ask: `http://10.0.0.7:14317`.
    pub address: String,
    /// What it holds is in the bucket too, so that readers and other ingesters find it there.
    pub in_bucket: bool,
    /// For the announcements' own names.
    pub new_id: Box<dyn Fn() -> ObjectId + Send + Sync>,
    pub timing: Timing,
}

/// An ingester's announcement. Times are of one monotonic clock, the caller's.
///
/// Each announcement has a name of its own: a delete that takes effect late must not take the next one.
pub struct Membership {
    config: MembershipConfig,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What stands in the store, or may stand there.
    current: Option<Standing>,
    /// Taken back, but maybe there still.
    to_delete: Vec<ObjectId>,
    last_announced: Duration,
}

struct Standing {
    key: ObjectId,
    /// What is known to stand, and since when; none after a failure.
    written: Option<(BTreeSet<WriterId>, Duration)>,
}

/// An announcement could not be written or taken back. Before it is written no span may be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    #[error("the store did not {what} the announcement of this ingester: {source}")]
    Store { what: &'static str, source: object_store::Error },
    #[error("the announcement cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Membership {
    pub fn new(config: MembershipConfig) -> Self {
        Self { config, state: Mutex::default() }
    }

    /// Says that these writers have spans. Call it for each span or batch, before it is acknowledged and after
    /// it counts as held; mostly it sends nothing.
    pub async fn announce(&self, writers: &BTreeSet<WriterId>, now: Duration) -> Result<(), AnnounceError> {
        let mut state = self.state.lock().await;
        state.last_announced = state.last_announced.max(now);
        let current =
            state.current.get_or_insert_with(|| Standing { key: (self.config.new_id)(), written: None });
        if let Some((known, at)) = &current.written
            && writers.is_subset(known)
            && now.saturating_sub(*at) < self.config.timing.alive_every
        {
            return Ok(());
        }
        current.written = None;
        let says = Announced {
            ingester: self.config.ingester,
            address: self.config.address.clone(),
            writers: writers.clone(),
            in_bucket: self.config.in_bucket,
        };
        let payload = PutPayload::from(says.to_json()?);
        let put = self.config.objects.put(&path(current.key), payload).await;
        put.map_err(|source| AnnounceError::Store { what: "write", source })?;
        current.written = Some((writers.clone(), now));
        Ok(())
    }

    /// Takes the announcement back if the last span came long enough ago. Call it now and then while nothing
    /// is held: all is committed, and no span is on its way from [`Self::announce`] to where it is held.
    pub async fn withdraw(&self, now: Duration) -> Result<(), AnnounceError> {
        let mut state = self.state.lock().await;
        if now.saturating_sub(state.last_announced) >= self.config.timing.idle
            && let Some(current) = state.current.take()
        {
            state.to_delete.push(current.key);
        }
        while let Some(key) = state.to_delete.last() {
            self.delete(*key).await?;
            state.to_delete.pop();
        }
        Ok(())
    }

    /// Deletes what earlier incarnations of this ingester left. Call it once all that they held is committed,
    /// or held and announced by this one.
    pub async fn forget_earlier(&self) -> Result<(), AnnounceError> {
        let state = self.state.lock().await;
        let failed = |source| AnnounceError::Store { what: "list or read", source };
        let listed: Vec<_> = self.config.objects.list(Some(&folder())).try_collect().await.map_err(failed)?;
        for meta in listed.iter().filter(|meta| meta.size <= MAX_BYTES) {
            let key = key_of(&meta.location);
            let Some(key) =
                key.filter(|key| state.current.as_ref().is_none_or(|current| current.key != *key))
            else {
                continue;
            };
            let read = async { self.config.objects.get(&meta.location).await?.bytes().await };
            let content = match read.await {
                Ok(content) => content,
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(source) => return Err(failed(source)),
            };
            if Announced::of_json(&content).is_ok_and(|says| says.ingester == self.config.ingester) {
                self.delete(key).await?;
            }
        }
        Ok(())
    }

    async fn delete(&self, key: ObjectId) -> Result<(), AnnounceError> {
        match self.config.objects.delete(&path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(AnnounceError::Store { what: "delete", source }),
        }
    }
}
