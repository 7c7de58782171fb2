//! Processes of a simulation. Which of them goes on: one of those that can, by chance; time moves when none can.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::clock::VirtualClock;
use futures::future::LocalBoxFuture;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// What ends a run: a promise was broken.
pub type Violation = String;
pub type Process<'a> = LocalBoxFuture<'a, Result<(), Violation>>;

/// Processes by their place; each is running, paused, or not there.
pub struct Schedule<'a> {
    clock: VirtualClock,
    slots: Vec<Slot<'a>>,
    woken: Arc<Mutex<BTreeSet<usize>>>,
}

struct Slot<'a> {
    process: Option<Process<'a>>,
    paused_until: Duration,
}

struct WakeSlot {
    slot: usize,
    woken: Arc<Mutex<BTreeSet<usize>>>,
}

impl Wake for WakeSlot {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).insert(self.slot);
    }
}

/// What a step came to.
pub enum Step {
    Ran,
    /// This process has ended.
    Ended(usize),
    /// Nobody can go on, and nobody waits for time.
    Idle,
}

impl<'a> Schedule<'a> {
    pub fn new(clock: VirtualClock, slots: usize) -> Self {
        let slots = (0..slots).map(|_| Slot { process: None, paused_until: Duration::ZERO }).collect();
        Self { clock, slots, woken: Arc::default() }
    }

    /// Puts a process in a place.
    pub fn start(&mut self, slot: usize, process: Process<'a>) {
        self.slots[slot].process = Some(process);
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).insert(slot);
    }

    /// Drops what the process is doing, wherever it is.
    pub fn kill(&mut self, slot: usize) {
        self.slots[slot].process = None;
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).remove(&slot);
    }

    /// Lets a process go on no earlier than in so long.
    pub fn pause(&mut self, slot: usize, duration: Duration) {
        self.slots[slot].paused_until = self.clock.monotonic() + duration;
    }

    pub fn resume_all(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.paused_until = Duration::ZERO);
    }

    pub fn is_running(&self, slot: usize) -> bool {
        self.slots[slot].process.is_some()
    }

    /// Lets one process go on to its next await.
    pub fn step(&mut self, rng: &mut ChaCha8Rng) -> Result<Step, Violation> {
        let now = self.clock.monotonic();
        let ready: Vec<usize> = {
            let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
            woken.iter().copied().filter(|slot| self.slots[*slot].paused_until <= now).collect()
        };
        if ready.is_empty() {
            return Ok(if self.pass_time() { Step::Ran } else { Step::Idle });
        }
        let slot = ready[rng.random_range(0..ready.len())];
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).remove(&slot);
        let waker = Waker::from(Arc::new(WakeSlot { slot, woken: Arc::clone(&self.woken) }));
        let Some(process) = &mut self.slots[slot].process else { return Ok(Step::Ran) };
        match process.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => Ok(Step::Ran),
            Poll::Ready(outcome) => {
                self.slots[slot].process = None;
                outcome.map(|()| Step::Ended(slot))
            }
        }
    }

    /// Moves time to whatever is waited for first. False: nothing is.
    fn pass_time(&mut self) -> bool {
        let now = self.clock.monotonic();
        let paused = self.slots.iter().filter(|slot| slot.process.is_some() && slot.paused_until > now);
        let next = paused.map(|slot| slot.paused_until).chain(self.clock.next_deadline()).min();
        match next {
            Some(next) => {
                self.clock.advance(next.saturating_sub(now));
                true
            }
            None => false,
        }
    }
}
