//! What has landed, and may go again. A writer's newest piece stays until another one has landed or the writer
//! has ended: it shows whoever takes the writer over where it stands.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use siltstone_catalog::time::Clock;
use siltstone_format::id::WriterId;
use tokio::sync::Notify;

use super::piece::PieceName;
use super::store::PieceStore;
use crate::log::SegmentName;

const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(2);
/// Then a piece stays until something else happens.
const ATTEMPTS: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Landed {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    writers: BTreeMap<WriterId, Writer>,
    /// It will create no more pieces.
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Writer {
    /// Piece and flush.
    pieces: BTreeMap<u64, u64>,
    /// The last flush that is committed; they are in order.
    forgotten_to: Option<u64>,
    /// It will create no more pieces.
    is_retired: bool,
}

impl Landed {
    pub(super) fn landed(&self, name: PieceName, flush: u64) {
        self.locked().writers.entry(name.writer).or_default().pieces.insert(name.number, flush);
        self.changed.notify_one();
    }

    pub(super) fn forget(&self, segment: SegmentName) {
        if let Some(writer) = self.locked().writers.get_mut(&segment.writer) {
            writer.forgotten_to = writer.forgotten_to.max(Some(segment.number));
        }
        self.changed.notify_one();
    }

    pub(super) fn retire(&self, writer: WriterId) {
        let mut state = self.locked();
        let of_writer = state.writers.entry(writer).or_default();
        of_writer.is_retired = true;
        if of_writer.pieces.is_empty() && of_writer.forgotten_to.is_some() {
            state.writers.remove(&writer);
        }
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn close(&self) {
        self.locked().is_closed = true;
        self.changed.notify_one();
    }

    /// The task. It ends when nothing more lands and nothing more can be deleted.
    pub(super) async fn delete_forgotten(&self, store: &PieceStore, clock: &dyn Clock) {
        let mut failures = 0;
        loop {
            let name = self.deletable().filter(|_| failures < ATTEMPTS);
            let Some(name) = name else {
                if self.locked().is_closed {
                    return;
                }
                self.changed.notified().await;
                failures = 0;
                continue;
            };
            match store.delete(name).await {
                Ok(()) => {
                    failures = 0;
                    self.deleted(name);
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "a piece of the log that is not needed any more stays for now");
                    clock.sleep(BETWEEN_ATTEMPTS).await;
                }
            }
        }
    }

    fn deletable(&self) -> Option<PieceName> {
        let state = self.locked();
        state.writers.iter().find_map(|(writer, of_writer)| {
            let (newest, _) = of_writer.pieces.last_key_value()?;
            let (number, flush) = of_writer.pieces.first_key_value()?;
            let has_ended = of_writer.is_retired || state.is_closed;
            let may_go = (number < newest || has_ended) && Some(*flush) <= of_writer.forgotten_to;
            may_go.then_some(PieceName { writer: *writer, number: *number })
        })
    }

    fn deleted(&self, name: PieceName) {
        let mut state = self.locked();
        if let Some(writer) = state.writers.get_mut(&name.writer) {
            writer.pieces.remove(&name.number);
            if writer.is_retired && writer.pieces.is_empty() {
                state.writers.remove(&name.writer);
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
