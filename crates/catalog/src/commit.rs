//! A writer's side: a flush is committed when its log entry stands in the log and is
//! known to be accepted.
//!
//! ```text
//! blocks → create log/<w>-<n> (again and again, the same name) → acknowledged
//!    in time, in this incarnation: committed
//!    late, or after a restart:     resolve
//! ```

use std::time::Duration;

use siltstone_format::id::WriterId;
use siltstone_format::path::ObjectKey;

use crate::accept::is_fenced;
use crate::bucket::{Created, StoreError};
use crate::catalog::Catalog;
use crate::change::Fold;
use crate::load::LoadError;
use crate::log_entry::LogEntry;
use crate::message::Damage;
use crate::planted::{Bug, planted};
use crate::publish::PublishError;
use crate::time::{StoreTime, drawn_at};

/// What became of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is part of the data, and stays so.
    Committed,
    /// Its writer is fenced, or its entry was damaged and given up: the flush goes on under
    /// a new writer and new block ids. The root with this number or a later one says so.
    Fenced { root: u64 },
    /// It is not there: commit it again, under the same name.
    Missing,
}

/// Why a commit is not finished. Asking again is safe, and right.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the log could not be folded to see whether the flush counts: {0}")]
    Fold(#[from] PublishError),
}

impl Catalog {
    /// Creates the log entry of a flush, whose blocks stand in the store. One attempt: on
    /// an error the caller tries again, with this entry.
    ///
    /// `opened` is [`crate::time::Clock::elapsed`] from before its first block was named;
    /// none for a flush of an earlier incarnation.
    pub async fn commit(&self, entry: &LogEntry, opened: Option<Duration>) -> Result<Fate, CommitError> {
        let key = ObjectKey::LogEntry { writer: entry.writer, number: entry.number };
        let created = self.bucket.create(&key, entry.encode()).await?;
        if created == Created::Exists
            && !planted(Bug::TrustExists)
            && !self.is_entry_good(entry, &key).await?
        {
            return self.resolve(entry.writer, entry.number).await;
        }
        let fast = |opened: Duration| {
            let in_time = self.clock.elapsed().saturating_sub(opened) <= self.windows.commit;
            in_time && (self.is_young(entry.writer) || planted(Bug::ForgottenWriters))
        };
        match opened {
            // Measured now, after the answer: no pause can hide.
            Some(opened) if fast(opened) || planted(Bug::FastAck) => Ok(Fate::Committed),
            None if planted(Bug::RestartFastAck) => Ok(Fate::Committed),
            _ => self.resolve(entry.writer, entry.number).await,
        }
    }

    /// Whether the entry that exists can be read. A store may say "exists" of a conflict in
    /// which nobody has written: S3's 409. And what is there may be damaged: it is this
    /// writer's, so it is written again, as long as somebody has its spans.
    async fn is_entry_good(&self, entry: &LogEntry, key: &ObjectKey) -> Result<bool, StoreError> {
        let Some(object) = self.bucket.get(key).await? else { return Ok(false) };
        match LogEntry::decode(&object, entry.writer, entry.number) {
            Ok(_) => Ok(true),
            // A later release wrote it, and it is well.
            Err(Damage::Version(_)) => Ok(true),
            Err(_) => {
                self.bucket.put(key, entry.encode()).await?;
                Ok(false)
            }
        }
    }

    /// Whether a writer is too young to be forgotten while its entry lands: an old one
    /// that no root knows is void. Writers take a new id every day.
    pub fn is_young(&self, writer: WriterId) -> bool {
        let now = StoreTime(self.clock.wall_millis());
        now < drawn_at(writer.0).plus(self.windows.forget_writer / 2)
    }

    /// Finds out what became of a flush, folding the log if that is what it takes.
    pub async fn resolve(&self, writer: WriterId, number: u64) -> Result<Fate, CommitError> {
        loop {
            let loaded = self.load().await?;
            let root = &loaded.root;
            if root.has_passed_over(writer, number) {
                return Ok(Fate::Fenced { root: root.number });
            }
            if root.writers.get(&writer).is_some_and(|state| number < state.next) {
                return Ok(Fate::Committed);
            }
            if is_fenced(root, writer) {
                return Ok(Fate::Fenced { root: root.number });
            }
            let state = loaded.accepted.writers.get(&writer);
            if !state.is_some_and(|state| number < state.next || state.fenced) {
                // It is not in the log, or a gap or a damaged entry before it holds it back.
                return Ok(Fate::Missing);
            }
            self.publish(&Fold).await?;
        }
    }

    /// Folds the log, if it has anything to fold.
    pub async fn fold(&self) -> Result<crate::publish::Published, PublishError> {
        self.publish(&Fold).await
    }
}
