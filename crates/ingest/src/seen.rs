//! Requests that came before: a retried export is answered as it was the first time, and not stored twice.
//!
//! A request is known by a keyed hash of tenant and body. Whoever comes first works on it; whoever comes
//! meanwhile waits for the outcome; whoever comes later is answered from memory. If the first one fails, or goes
//! away, the next one works. Invariant: an entry that says somebody works on it has a [`Turn`] behind it.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use siltstone_catalog::time::Clock;
use siltstone_format::tenant::Tenant;
use tokio::sync::watch;
use xxhash_rust::xxh3::Xxh3;

use crate::export::Accepted;

/// Old entries that are forgotten at each request: more than can be added by one.
const FORGOTTEN_AT_ONCE: usize = 2;

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub keep: Duration,
    /// Outcomes, at about 150 bytes each.
    pub outcomes: usize,
}

/// Clones share what they have seen.
#[derive(Clone)]
pub struct Seen {
    shared: Arc<Shared>,
}

struct Shared {
    seed: u64,
    memory: Memory,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<u128, Entry>,
    /// Outcomes in order of their time. One whose number is not that of the entry is out of date.
    outcomes: VecDeque<(u128, u64)>,
    next_number: u64,
}

enum Entry {
    /// The other end is in a [`Turn`]; when it goes, so does the wait.
    InWork(watch::Receiver<()>),
    Done {
        number: u64,
        at: Duration,
        outcome: Outcome,
    },
}

/// An [`Accepted`], small in the usual case.
#[derive(Clone)]
enum Outcome {
    All(u64),
    Some(Box<Accepted>),
}

/// What to do with a request.
pub enum Look {
    /// Work on it, and say what came of it.
    First(Turn),
    /// It is stored already.
    Known(Accepted),
}

/// What is known of a request at one moment.
enum Found {
    Look(Look),
    InWork(watch::Receiver<()>),
}

impl Default for Memory {
    fn default() -> Self {
        Self { keep: Duration::from_mins(10), outcomes: 200_000 }
    }
}

impl Seen {
    /// The seed is random: who knows it can make bodies that look the same.
    pub fn new(memory: Memory, seed: u64, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { seed, memory, clock, state: Mutex::default() }) }
    }

    /// Looks a request up, and waits while somebody else works on the same.
    pub async fn look(&self, tenant: &Tenant, body: &[u8]) -> Look {
        let key = self.shared.key(tenant, body);
        loop {
            match self.find(key) {
                Found::Look(look) => return look,
                // It never changes: it ends.
                Found::InWork(mut end) => while end.changed().await.is_ok() {},
            }
        }
    }

    fn find(&self, key: u128) -> Found {
        let now = self.shared.clock.elapsed();
        let mut state = self.shared.lock();
        state.forget_old(now, self.shared.memory.keep);
        match state.entries.get(&key) {
            Some(Entry::InWork(end)) => return Found::InWork(end.clone()),
            Some(Entry::Done { at, outcome, .. }) if now.saturating_sub(*at) < self.shared.memory.keep => {
                return Found::Look(Look::Known(outcome.clone().into()));
            }
            Some(Entry::Done { .. }) | None => {}
        }
        let (sender, end) = watch::channel(());
        state.entries.insert(key, Entry::InWork(end));
        Found::Look(Look::First(Turn {
            shared: Arc::clone(&self.shared),
            key,
            outcome: None,
            _ends_waits: sender,
        }))
    }

    /// Outcomes and requests in work.
    pub fn len(&self) -> usize {
        self.shared.lock().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shared {
    fn key(&self, tenant: &Tenant, body: &[u8]) -> u128 {
        let mut hasher = Xxh3::with_seed(self.seed);
        hasher.update(tenant.as_str().as_bytes());
        // No tenant's name holds a zero: what follows it is the body.
        hasher.update(&[0]);
        hasher.update(body);
        hasher.digest128()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_old(&mut self, now: Duration, keep: Duration) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            let Some((key, number)) = self.outcomes.front().copied() else { return };
            let old = match self.entries.get(&key) {
                Some(Entry::Done { number: known, at, .. }) => {
                    *known != number || now.saturating_sub(*at) >= keep
                }
                _ => true,
            };
            if !old {
                return;
            }
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some((key, number)) = self.outcomes.pop_front() else { return };
        let same = |entry: &Entry| matches!(entry, Entry::Done { number: known, .. } if *known == number);
        if self.entries.get(&key).is_some_and(same) {
            self.entries.remove(&key);
        }
    }

    fn remember(&mut self, key: u128, at: Duration, outcome: Outcome, most: usize) {
        let number = self.next_number;
        self.next_number += 1;
        self.entries.insert(key, Entry::Done { number, at, outcome });
        self.outcomes.push_back((key, number));
        if self.outcomes.len() > most {
            self.forget_first();
        }
    }
}

/// The right and the duty to work on a request. Dropping it without an outcome passes it on to whoever waits.
#[must_use = "what is not kept has failed at once"]
pub struct Turn {
    shared: Arc<Shared>,
    key: u128,
    outcome: Option<Outcome>,
    /// Dropped after the entry has changed: who waits then looks again.
    _ends_waits: watch::Sender<()>,
}

impl Turn {
    /// The request is durable: whoever sends it again is answered like that.
    pub fn done(mut self, accepted: &Accepted) {
        self.outcome = Some(accepted.into());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let now = self.shared.clock.elapsed();
        let mut state = self.shared.lock();
        match self.outcome.take() {
            Some(outcome) => state.remember(self.key, now, outcome, self.shared.memory.outcomes),
            None => drop(state.entries.remove(&self.key)),
        }
    }
}

impl From<&Accepted> for Outcome {
    fn from(accepted: &Accepted) -> Self {
        let all = Accepted { spans: accepted.spans, ..Accepted::default() };
        if *accepted == all { Self::All(accepted.spans) } else { Self::Some(Box::new(accepted.clone())) }
    }
}

impl From<Outcome> for Accepted {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::All(spans) => Self { spans, ..Self::default() },
            Outcome::Some(accepted) => *accepted,
        }
    }
}
