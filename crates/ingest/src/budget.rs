//! The bytes that this process may hold, shared by everything that holds spans.
//!
//! Who comes with something new may wait for room, in order of arrival and for a bounded time. What grows while
//! it is worked on never waits: it gets room or fails, so nobody waits for room while holding some of it on
//! behalf of the same request. Invariant: what is reserved never exceeds the limit, and a waiter who goes away,
//! granted or not, leaves nothing behind.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use siltstone_catalog::time::Clock;
use tokio::sync::oneshot;

/// Who comes when so many wait already is turned away at once.
const MOST_WAITERS: usize = 1024;

/// There is no room for so many bytes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for {wanted} bytes: {used} of {limit} are in use")]
pub struct NoRoom {
    /// Those that who asks holds already are among them.
    pub wanted: usize,
    /// By others.
    pub used: usize,
    pub limit: usize,
}

impl NoRoom {
    /// Waiting does not help.
    pub fn is_for_good(&self) -> bool {
        self.wanted > self.limit
    }
}

/// Clones share the same bytes.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    limit: usize,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    used: usize,
    high_water: usize,
    /// In order of their numbers, which is that of their arrival.
    waiters: VecDeque<Waiter>,
    next_number: u64,
}

struct Waiter {
    number: u64,
    bytes: usize,
    granted: oneshot::Sender<()>,
}

impl Budget {
    pub fn new(bytes: usize, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { limit: bytes, clock, state: Mutex::default() }) }
    }

    pub fn limit(&self) -> usize {
        self.shared.limit
    }

    pub fn used(&self) -> usize {
        self.shared.lock().used
    }

    /// The most that was ever used at once.
    pub fn high_water(&self) -> usize {
        self.shared.lock().high_water
    }

    pub fn waiters(&self) -> usize {
        self.shared.lock().waiters.len()
    }

    /// Room for so many bytes, if nobody waits for some already.
    pub fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        let mut state = self.shared.lock();
        let free = state.waiters.is_empty() && state.take(bytes, self.shared.limit);
        free.then(|| self.reservation(bytes))
    }

    /// Room for so many bytes, in turn, or not within that time.
    pub async fn reserve(&self, bytes: usize, patience: Duration) -> Result<Reservation, NoRoom> {
        let (mut waiting, granted) = {
            let mut state = self.shared.lock();
            if state.waiters.is_empty() && state.take(bytes, self.shared.limit) {
                return Ok(self.reservation(bytes));
            }
            if bytes > self.shared.limit || patience.is_zero() || state.waiters.len() >= MOST_WAITERS {
                return Err(self.shared.no_room(&state, bytes));
            }
            let (sender, granted) = oneshot::channel();
            let number = state.next_number;
            state.next_number += 1;
            state.waiters.push_back(Waiter { number, bytes, granted: sender });
            (Waiting { shared: Arc::clone(&self.shared), number, bytes, taken: false }, granted)
        };
        tokio::select! {
            biased;
            _ = granted => {}
            () = self.shared.clock.sleep(patience) => {}
        }
        waiting.finish().map(|()| self.reservation(bytes))
    }

    /// Nothing, to begin with.
    pub fn empty(&self) -> Reservation {
        self.reservation(0)
    }

    fn reservation(&self, bytes: usize) -> Reservation {
        Reservation { shared: Arc::clone(&self.shared), bytes }
    }
}

impl State {
    fn take(&mut self, bytes: usize, limit: usize) -> bool {
        let Some(used) = self.used.checked_add(bytes).filter(|used| *used <= limit) else { return false };
        self.used = used;
        self.high_water = self.high_water.max(used);
        true
    }

    /// Gives room to those who wait, first come first served: a large one holds up those behind it, or it
    /// would never have its turn.
    fn grant(&mut self, limit: usize) -> Granted {
        let mut granted = Granted::default();
        while let Some(first) = self.waiters.front() {
            if !self.take(first.bytes, limit) {
                break;
            }
            granted.0.extend(self.waiters.pop_front());
        }
        granted
    }
}

/// Those who were granted room, to be told once nothing is locked: whoever is told may run on the spot.
#[derive(Default)]
#[must_use]
struct Granted(Vec<Waiter>);

impl Granted {
    fn tell(self) {
        for waiter in self.0 {
            // Who has gone away meanwhile gives the bytes back: see `Waiting`.
            let _ = waiter.granted.send(());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, bytes: usize) {
        let mut state = self.lock();
        state.used = state.used.saturating_sub(bytes);
        let granted = state.grant(self.limit);
        drop(state);
        granted.tell();
    }

    fn no_room(&self, state: &State, wanted: usize) -> NoRoom {
        NoRoom { wanted, used: state.used, limit: self.limit }
    }
}

/// A place in the queue, or what was granted to it: dropping it gives back either.
struct Waiting {
    shared: Arc<Shared>,
    number: u64,
    bytes: usize,
    taken: bool,
}

impl Waiting {
    /// Whoever is not in the queue any more has been granted its bytes.
    fn finish(&mut self) -> Result<(), NoRoom> {
        let state = self.shared.lock();
        if state.waiters.binary_search_by_key(&self.number, |waiter| waiter.number).is_ok() {
            return Err(self.shared.no_room(&state, self.bytes));
        }
        self.taken = true;
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        let mut state = self.shared.lock();
        match state.waiters.binary_search_by_key(&self.number, |waiter| waiter.number) {
            Ok(at) => drop(state.waiters.remove(at)),
            Err(_) => state.used = state.used.saturating_sub(self.bytes),
        }
        // If it was the first, those behind it may fit.
        let granted = state.grant(self.shared.limit);
        drop(state);
        granted.tell();
    }
}

/// Bytes that are held. Dropping it gives them back.
#[must_use = "what is not kept is given back at once"]
pub struct Reservation {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Reservation {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// More bytes, at once or not at all. It goes before those who wait: what is being worked on ends sooner.
    pub fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let mut state = self.shared.lock();
        if !state.take(bytes, self.shared.limit) {
            let (wanted, limit) = (self.bytes.saturating_add(bytes), self.shared.limit);
            return Err(NoRoom { wanted, used: state.used.saturating_sub(self.bytes), limit });
        }
        self.bytes += bytes;
        Ok(())
    }

    /// More bytes that are in use already, over the limit if it must be: nobody else gets any until they are
    /// given back.
    pub fn grow_anyway(&mut self, bytes: usize) {
        let mut state = self.shared.lock();
        state.used = state.used.saturating_add(bytes);
        state.high_water = state.high_water.max(state.used);
        self.bytes += bytes;
    }

    /// Gives back so many bytes, at most all.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.shared.release(bytes);
    }

    /// Moves so many bytes, at most all, into a reservation of their own.
    pub fn split(&mut self, bytes: usize) -> Reservation {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Reservation { shared: Arc::clone(&self.shared), bytes }
    }

    /// Takes over the bytes of another reservation of the same budget.
    pub fn absorb(&mut self, mut other: Reservation) {
        debug_assert!(Arc::ptr_eq(&self.shared, &other.shared), "bytes of another budget");
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.shared.release(self.bytes);
        }
    }
}
