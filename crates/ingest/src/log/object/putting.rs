//! One piece after the other into the store, each under its name until it is known what stands there.
//!
//! A piece that is given up may still land. So its number is used until something has landed under it; if that
//! is the one given up, its records were refused and may be found nevertheless, and the next number is taken.
//!
//! A piece is a copy of the bodies in it, which their requests have room for. So it has room of its own, taken
//! anyway: who waits for it holds more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{self, Either};
use siltstone_catalog::time::Clock;
use siltstone_format::id::WriterId;

use super::landed::Landed;
use super::piece::{PieceError, PieceName, encode};
use super::queue::{Appended, Queue};
use super::store::{PieceStore, Stands};
use crate::budget::{Budget, Reservation};
use crate::log::{LogFailure, Record, SegmentName};

/// For one attempt; the store's client has its own, longer time.
const ATTEMPT: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);
/// No attempt begins later than that after the first one.
const GIVE_UP: Duration = Duration::from_secs(15);
/// Packing less than that does not hold up what else runs on the thread.
const PACKED_AT_ONCE: u64 = 64 * 1024;

pub(super) struct Putting {
    store: PieceStore,
    clock: Arc<dyn Clock>,
    budget: Budget,
    queue: Arc<Queue>,
    landed: Arc<Landed>,
    /// The number of each writer's next piece.
    next: BTreeMap<WriterId, u64>,
}

impl Drop for Putting {
    /// However its task ends.
    fn drop(&mut self) {
        self.queue.give_up();
        self.landed.close();
    }
}

impl Putting {
    pub(super) fn new(
        store: PieceStore,
        clock: Arc<dyn Clock>,
        budget: Budget,
        queue: Arc<Queue>,
        landed: Arc<Landed>,
    ) -> Self {
        Self { store, clock, budget, queue, landed, next: BTreeMap::new() }
    }

    pub(super) async fn run(mut self) {
        let mut last_began = None;
        while let Some(appended) = self.queue.next(last_began).await {
            let began = self.clock.elapsed();
            last_began = Some(began);
            self.commit(appended, began).await;
        }
    }

    async fn commit(&mut self, appended: Vec<Appended>, began: Duration) {
        let Some(segment) = appended.first().map(|first| first.segment) else { return };
        let bytes = appended.iter().map(|entry| entry.bytes).sum();
        let mut records = Vec::with_capacity(appended.len());
        let mut replies = Vec::with_capacity(appended.len());
        for entry in appended {
            records.push(entry.record);
            replies.push(entry.reply);
        }
        let outcome = self.put(segment, records.into(), bytes, began).await;
        if let Err(failure) = &outcome {
            tracing::warn!(%failure, "requests could not be logged");
        }
        if let Err(LogFailure::TakenOver(writer)) = outcome {
            self.queue.taken_over(writer);
        }
        for reply in replies {
            // Whoever has gone away does not want to know.
            let _ = reply.send(outcome.clone());
        }
    }

    async fn put(
        &mut self,
        segment: SegmentName,
        records: Arc<[Record]>,
        bytes: u64,
        began: Duration,
    ) -> Result<(), LogFailure> {
        let mut backoff = FIRST_BACKOFF;
        let mut packed: Option<(PieceName, Packed)> = None;
        loop {
            let number = self.next.get(&segment.writer).copied().unwrap_or(0);
            let name = PieceName { writer: segment.writer, number };
            let piece = match packed.take() {
                Some((packed_for, piece)) if packed_for == name => piece,
                _ => {
                    let room = self.budget.empty();
                    pack(name, segment.number, Arc::clone(&records), bytes, room).await?
                }
            };
            let problem = match self.attempt(name, &piece.bytes).await {
                Ok(Stands::This) => {
                    self.moved_on(name, segment.number);
                    return Ok(());
                }
                Ok(Stands::Earlier(earlier)) => {
                    self.moved_on(name, earlier.number);
                    continue;
                }
                Ok(Stands::Seal) => return Err(LogFailure::TakenOver(segment.writer)),
                Ok(Stands::Nothing) => "a conflict, though nothing stands there".to_owned(),
                Err(problem) => problem,
            };
            packed = Some((name, piece));
            if self.clock.elapsed().saturating_sub(began) + backoff > GIVE_UP {
                return Err(LogFailure::Store(problem));
            }
            self.clock.sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    async fn attempt(&self, name: PieceName, piece: &Bytes) -> Result<Stands, String> {
        let created = std::pin::pin!(self.store.create(name, piece));
        match future::select(created, self.clock.sleep(ATTEMPT)).await {
            Either::Left((created, _)) => created.map_err(|error| error.to_string()),
            Either::Right(_) => Err(format!("no answer in {} s", ATTEMPT.as_secs())),
        }
    }

    fn moved_on(&mut self, name: PieceName, flush: u64) {
        self.next.insert(name.writer, name.number.saturating_add(1));
        self.landed.landed(name, flush);
    }
}

/// A piece, and the memory that it takes.
struct Packed {
    bytes: Bytes,
    _room: Reservation,
}

async fn pack(
    name: PieceName,
    flush: u64,
    records: Arc<[Record]>,
    bytes: u64,
    mut room: Reservation,
) -> Result<Packed, LogFailure> {
    // One copy to be packed, and one that may not become smaller by it.
    room.grow_anyway(usize::try_from(bytes).unwrap_or(usize::MAX).saturating_mul(2));
    let pack = move || encode(name, flush, &records);
    let packed: Result<Bytes, PieceError> = if bytes <= PACKED_AT_ONCE {
        pack()
    } else {
        // It fails when the runtime ends.
        tokio::task::spawn_blocking(pack).await.map_err(|_| LogFailure::Stopped)?
    };
    let bytes = packed.map_err(|error| LogFailure::Store(error.to_string()))?;
    room.shrink(room.bytes().saturating_sub(bytes.len()));
    Ok(Packed { bytes, _room: room })
}
