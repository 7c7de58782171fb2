//! What dead ingesters have left in the bucket is committed by whoever is alive.
//!
//! ```text
//! list pieces, then announcements ─▶ who is silent is dead ─▶ seal ─▶ flush by flush: read, encode, commit
//! ```
//!
//! Who is dead is judged by the store's time alone, and may be wrong: the seal makes sure that the writer
//! acknowledges nothing more, and both commit under the writer's own names, of which the first one counts. For
//! the same reason several survivors may be at it. Memory holds one flush at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use siltstone_catalog::bucket::StoreError;
use siltstone_catalog::commit::{CommitError, Fate};
use siltstone_catalog::log_entry::LogEntry;
use siltstone_catalog::snapshot::{Cover, SnapshotError};
use siltstone_catalog::time::StoreTime;
use siltstone_format::id::{ObjectId, WriterId};
use siltstone_live::members::{Member, Members, MembersError};

use crate::flush::FlushError;
use crate::log::SegmentName;
use crate::log::object::{FoundWriter, PieceError, PieceRecords, PieceStoreError, Pieces, SealedWriter};
use crate::segment::Segment;
use crate::service::{Lanes, Shared};

const BETWEEN_LOOKS: Duration = Duration::from_secs(15);
/// Whoever holds spans says so three times as often.
const SILENT: Duration = Duration::from_secs(30);
/// A dead ingester's announcement stays for so long: one that is alive after all must not be overlooked.
const FORGOTTEN: Duration = Duration::from_secs(120);
/// A damaged piece is read again for so long: it may be the answer that was damaged, and a flush is committed once.
const DAMAGED: Duration = Duration::from_secs(60);
/// Flushes in a row that never came to the log. More than a writer has in its life.
const MOST_MISSING: u64 = 100_000;

/// Looks after those who have died.
pub(crate) struct Survivor {
    shared: Arc<Shared>,
    lanes: Lanes,
    ingester: ObjectId,
    pieces: Pieces,
    members: Members,
    /// All that can be read of them is committed: their seals are left, and pieces that are damaged.
    ended: BTreeMap<WriterId, SealedWriter>,
    /// Damaged pieces of others, and since when that is known.
    damaged: BTreeMap<(WriterId, u64), Duration>,
    /// The latest store time that is known.
    now: StoreTime,
}

/// Why a look, or taking a writer over, ended early. The next look begins anew.
#[derive(Debug, thiserror::Error)]
enum TakeOverError {
    #[error(transparent)]
    Pieces(#[from] PieceStoreError),
    #[error(transparent)]
    Members(#[from] MembersError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Flush(#[from] FlushError),
    #[error("it is not known which flushes of the writer are in the catalog: {0}")]
    Snapshot(#[from] SnapshotError),
    #[error("{0} flushes before {1} are not in the log: more than a writer ever has")]
    Missing(u64, SegmentName),
    #[error("the ingester ends")]
    Ending,
}

/// A flush that is being read.
struct Reading {
    name: SegmentName,
    /// None if it is committed already.
    held: Option<Held>,
}

/// A segment that leaves no trace in memory, whatever happens.
struct Held {
    shared: Arc<Shared>,
    segment: Arc<Segment>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.let_go(&self.segment);
    }
}

impl Survivor {
    pub(crate) fn new(shared: Arc<Shared>, lanes: Lanes, ingester: ObjectId) -> Self {
        let bucket = shared.catalog.bucket();
        let (pieces, members) = (Pieces::new(bucket), Members::new(Arc::clone(bucket.objects())));
        let (ended, damaged, now) = Default::default();
        Self { shared, lanes, ingester, pieces, members, ended, damaged, now }
    }

    /// Until the ingester stops.
    pub(crate) async fn watch(mut self) {
        let shared = Arc::clone(&self.shared);
        let watching = async {
            loop {
                if let Err(error) = self.look().await {
                    tracing::warn!(%error, "it cannot be told who is dead");
                }
                shared.clock.sleep(BETWEEN_LOOKS).await;
            }
        };
        shared.stop.run_until_cancelled(watching).await;
    }

    async fn look(&mut self) -> Result<(), TakeOverError> {
        let found = self.pieces.list_writers().await?;
        let mut members = self.members.list().await?.members;
        // After the listing: whoever is listed and ours is known by now.
        let mut ours = self.lanes.writers().await;
        ours.extend(self.shared.roster.writers());
        members.retain(|member| member.in_bucket && member.ingester != self.ingester);
        let is_there = |writer| found.iter().any(|found| found.writer == writer);
        self.ended.retain(|writer, _| is_there(*writer));
        self.damaged.retain(|(writer, _), _| is_there(*writer));
        let (ended, mut others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|found| self.has_ended(found));
        others.retain(|found| !ours.contains(&found.writer));
        self.learn_time(&ended, &others, &members).await?;

        let unfinished: BTreeSet<WriterId> = others.iter().map(|found| found.writer).collect();
        for found in &others {
            if !self.is_dead(found, &members) {
                continue;
            }
            if let Err(error) = self.take_over(found.writer).await {
                tracing::warn!(%error, writer = %found.writer, "what a dead ingester left is not committed yet");
            }
        }
        self.forget_seals(&ended).await?;
        for member in members.iter().filter(|member| self.is_past(alive_at(member), FORGOTTEN)) {
            if member.writers.is_disjoint(&unfinished) && member.writers.is_disjoint(&ours) {
                self.members.forget(member).await?;
            }
        }
        Ok(())
    }

    /// The newest thing in the listings says what time it is at least. If nothing new has come and somebody's
    /// fate depends on it, the store is asked.
    async fn learn_time(
        &mut self,
        ended: &[FoundWriter],
        others: &[FoundWriter],
        members: &[Member],
    ) -> Result<(), TakeOverError> {
        let pieces = ended.iter().chain(others).map(|found| found.newest);
        let newest = pieces.chain(members.iter().map(alive_at)).max().unwrap_or_default();
        if newest > self.now {
            self.now = newest;
        } else if !others.is_empty() || !members.is_empty() {
            self.now = self.now.max(self.shared.catalog.store_time().await?);
        }
        Ok(())
    }

    fn is_past(&self, time: StoreTime, long: Duration) -> bool {
        time.plus(long) < self.now
    }

    fn has_ended(&self, found: &FoundWriter) -> bool {
        self.ended.get(&found.writer).is_some_and(|ended| {
            found.pieces.iter().all(|number| *number == ended.seal || ended.pieces.contains(number))
        })
    }

    fn is_dead(&self, found: &FoundWriter, members: &[Member]) -> bool {
        let mut its = members.iter().filter(|member| member.writers.contains(&found.writer));
        self.is_past(found.newest, SILENT) && its.all(|member| self.is_past(alive_at(member), SILENT))
    }

    async fn take_over(&mut self, writer: WriterId) -> Result<(), TakeOverError> {
        let sealed = self.pieces.seal(writer).await?;
        if !sealed.pieces.is_empty() {
            tracing::info!(%writer, pieces = sealed.pieces.len(), "an ingester is silent: committing what it left");
        }
        let (mut reading, mut damaged, mut lost) = (None, Vec::new(), Vec::new());
        for number in &sealed.pieces {
            match self.pieces.read(writer, *number).await {
                Ok(Some(piece)) => {
                    if !self.add(piece, &mut reading).await? {
                        damaged.push(*number);
                    }
                }
                // Gone since it was listed: its flush is committed. Or a seal without effect.
                Ok(None) => {}
                Err(error @ PieceStoreError::Piece { source: PieceError::Damaged(_), .. }) => {
                    let now = self.shared.clock.elapsed();
                    let since = *self.damaged.entry((writer, *number)).or_insert(now);
                    if now.saturating_sub(since) < DAMAGED {
                        return Err(error.into());
                    }
                    damaged.push(*number);
                    lost.push(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(last) = reading {
            self.commit(last).await?;
        }
        // Only now: as long as nothing is committed without them, they are not lost.
        lost.iter().for_each(|error| self.tell_of_lost(writer, error));
        let done = sealed.pieces.iter().filter(|number| !damaged.contains(number)).copied().collect();
        self.pieces.delete(&SealedWriter { pieces: done, ..sealed }).await?;
        self.ended.insert(writer, SealedWriter { pieces: damaged, ..sealed });
        Ok(())
    }

    fn tell_of_lost(&self, writer: WriterId, error: &PieceStoreError) {
        let PieceStoreError::Piece { key, bytes, source } = error else { return };
        self.shared.metrics.replay_failed(*bytes);
        tracing::error!(
            %writer, key, bytes, error = %source,
            "a piece of a dead ingester's log is damaged, and the rest is committed without it: the acknowledged \
             requests in it are lost. It stays where it is"
        );
    }

    /// Gives whether all of it can be used.
    async fn add(&self, piece: PieceRecords, reading: &mut Option<Reading>) -> Result<bool, TakeOverError> {
        if reading.as_ref().is_none_or(|reading| reading.name != piece.segment) {
            let before = reading.take();
            let next = before.as_ref().map(|before| before.name.number.saturating_add(1));
            if let Some(before) = before {
                self.commit(before).await?;
            }
            *reading = Some(self.begin(piece.segment, next).await?);
        }
        let mut is_whole = true;
        if let Some(Reading { held: Some(held), .. }) = reading {
            for record in piece.records {
                is_whole &= self.shared.replay_record(&held.segment, record).await;
            }
        }
        Ok(is_whole)
    }

    async fn begin(&self, name: SegmentName, next: Option<u64>) -> Result<Reading, TakeOverError> {
        match self.shared.catalog.resolve(name.writer, name.number).await? {
            Fate::Committed => return Ok(Reading { name, held: None }),
            Fate::Missing => self.fill(name, next).await?,
            Fate::Fenced { .. } => {}
        }
        let segment = Arc::new(Segment::replayed(name, self.shared.budget.empty()));
        let shared = Arc::clone(&self.shared);
        Ok(Reading { name, held: Some(Held { shared, segment }) })
    }

    /// Flushes before this one of which the sealed writer has no pieces: they are committed, or nothing of them
    /// was ever acknowledged. An empty entry under each name, if there is none, and the log has no gap. Whoever
    /// else commits them learns that they are.
    async fn fill(&self, name: SegmentName, next: Option<u64>) -> Result<(), TakeOverError> {
        let next = match next {
            Some(next) => next,
            None => {
                let fresh = Cover { fresh: true, ..Cover::default() };
                self.shared.catalog.snapshot(&fresh).await?.next_flush(name.writer)
            }
        };
        let missing = name.number.saturating_sub(next);
        if missing > MOST_MISSING {
            return Err(TakeOverError::Missing(missing, name));
        }
        for number in next..name.number {
            let entry = LogEntry { writer: name.writer, number, blocks: Vec::new() };
            // It names no block, so it is as good as new.
            let opened = Some(self.shared.clock.elapsed());
            if let Fate::Fenced { .. } = self.shared.catalog.commit(&entry, opened).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn commit(&self, reading: Reading) -> Result<(), TakeOverError> {
        let Some(held) = reading.held else { return Ok(()) };
        let segment = &held.segment;
        self.shared.encode(segment).await?;
        // For readers who ask here, and not the bucket.
        self.shared.roster.add(reading.name, Arc::clone(segment));
        match self.lanes.replayed.finish_one(&self.shared, segment).await {
            true => Ok(()),
            false => Err(TakeOverError::Ending),
        }
    }

    /// A seal stays as long as the catalog remembers its writer. A writer that comes back later than half of
    /// that takes another name before it writes.
    async fn forget_seals(&mut self, ended: &[FoundWriter]) -> Result<(), TakeOverError> {
        let long = self.shared.catalog.windows().forget_writer;
        for found in ended.iter().filter(|found| self.is_past(found.newest, long)) {
            if let Some(sealed) = self.ended.get(&found.writer) {
                self.pieces.delete_seal(sealed).await?;
            }
        }
        Ok(())
    }
}

fn alive_at(member: &Member) -> StoreTime {
    StoreTime(member.alive_at_unix_millis)
}

#[cfg(test)]
mod tests;
