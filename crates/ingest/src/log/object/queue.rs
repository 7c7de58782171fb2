//! The queue before the store. Appending never waits.

use std::collections::VecDeque;
use std::future::ready;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{self, Either};
use siltstone_catalog::time::Clock;
use siltstone_format::id::WriterId;
use tokio::sync::{Notify, oneshot};

use super::linger::{FULL, MUCH, Waiting, begins_at};
use crate::log::record::encoded_len;
use crate::log::{LogFailure, Record, SegmentName, Ticket};

/// What may wait for the store. Requests are admitted by a budget that is smaller: this is for when it is wrong.
const MOST_QUEUED_BYTES: u64 = 1 << 30;

pub(super) struct Queue {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// There is more to think about for who waits.
    changed: Notify,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Appended>,
    bytes: u64,
    is_closed: bool,
    /// Somebody has sealed it.
    taken_over: Option<WriterId>,
}

pub(super) struct Appended {
    pub(super) segment: SegmentName,
    pub(super) record: Record,
    pub(super) bytes: u64,
    at: Duration,
    pub(super) reply: oneshot::Sender<Result<(), LogFailure>>,
}

impl Queue {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default(), changed: Notify::new() }
    }

    pub(super) fn append(&self, segment: SegmentName, record: Record) -> Ticket {
        let bytes = encoded_len(&record);
        let (reply, answered) = oneshot::channel();
        match self.push(Appended { segment, record, bytes, at: self.clock.elapsed(), reply }) {
            Ok(()) => Box::pin(async move { answered.await.unwrap_or(Err(LogFailure::Stopped)) }),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }

    fn push(&self, appended: Appended) -> Result<(), LogFailure> {
        let mut state = self.locked();
        if state.is_closed {
            return Err(LogFailure::Stopped);
        }
        if state.taken_over == Some(appended.segment.writer) {
            return Err(LogFailure::TakenOver(appended.segment.writer));
        }
        let (before, after) = (state.bytes, state.bytes.saturating_add(appended.bytes));
        if after > MOST_QUEUED_BYTES {
            let source = io::Error::new(ErrorKind::WouldBlock, format!("{before} bytes wait for the store"));
            return Err(LogFailure::Io { what: "take another record", source: Arc::new(source) });
        }
        state.bytes = after;
        let is_first = state.entries.is_empty();
        state.entries.push_back(appended);
        drop(state);
        let crosses = |bound| before < bound && after >= bound;
        if is_first || crosses(MUCH) || crosses(FULL) {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// What goes into the next piece, when it is time for it: records of one flush. None when there will be no
    /// more.
    pub(super) async fn next(&self, last_began: Option<Duration>) -> Option<Vec<Appended>> {
        loop {
            let wait = {
                let mut state = self.locked();
                match state.entries.front() {
                    None if state.is_closed => return None,
                    None => None,
                    Some(first) => {
                        let now = self.clock.elapsed();
                        let waiting = Waiting { bytes: state.bytes, since: first.at };
                        let wait = begins_at(waiting, last_began).saturating_sub(now);
                        if wait.is_zero() || state.is_closed {
                            return Some(state.take());
                        }
                        Some(wait)
                    }
                }
            };
            let changed = std::pin::pin!(self.changed.notified());
            match wait {
                None => changed.await,
                Some(wait) => match future::select(changed, self.clock.sleep(wait)).await {
                    Either::Left(_) | Either::Right(_) => {}
                },
            }
        }
    }

    /// From now on nothing of this writer is taken.
    pub(super) fn taken_over(&self, writer: WriterId) {
        let mut state = self.locked();
        state.taken_over = Some(writer);
        let (its, others): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut state.entries).into_iter().partition(|entry| entry.segment.writer == writer);
        state.bytes = others.iter().map(|entry| entry.bytes).sum();
        state.entries = others;
        drop(state);
        for entry in its {
            let _ = entry.reply.send(Err(LogFailure::TakenOver(writer)));
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.locked().bytes
    }

    pub(super) fn close(&self) {
        self.locked().is_closed = true;
        self.changed.notify_one();
    }

    /// Nobody will take anything any more: tells those who wait.
    pub(super) fn give_up(&self) {
        self.close();
        let left = std::mem::take(&mut self.locked().entries);
        drop(left);
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Vec<Appended> {
        let mut taken = Vec::<Appended>::new();
        let mut bytes = 0;
        while let Some(next) = self.entries.front() {
            let goes_along =
                taken.first().is_none_or(|first| first.segment == next.segment && bytes + next.bytes <= FULL);
            if !goes_along {
                break;
            }
            bytes += next.bytes;
            taken.extend(self.entries.pop_front());
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        taken
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("bytes", &self.locked().bytes).finish_non_exhaustive()
    }
}
