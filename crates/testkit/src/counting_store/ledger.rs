//! Who counts. A [`Ticket`] is a request in flight: it is drawn when the request begins and dropped when the
//! request is complete, which includes that its caller gave it up.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures::future::poll_fn;
use object_store::path::Path;

use super::{TURNS, locked};
use crate::operation::Operation;

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    requests: BTreeMap<Operation, u64>,
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// The longest chain of requests that waited for each other.
    pub depth: u64,
}

impl Counts {
    /// How many requests of one kind there were.
    pub fn of(&self, operation: Operation) -> u64 {
        self.requests.get(&operation).copied().unwrap_or(0)
    }

    /// How many requests of any kind there were.
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (operation, requests) in &self.requests {
            writeln!(f, "{operation:<20} {requests:>12}")?;
        }
        writeln!(f, "{:<20} {:>12}", "requests", self.total())?;
        writeln!(f, "{:<20} {:>12}", "bytes read", self.bytes_read)?;
        writeln!(f, "{:<20} {:>12}", "bytes written", self.bytes_written)?;
        writeln!(f, "{:<20} {:>12}", "depth", self.depth)
    }
}

/// One request, for those who want to see which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub operation: Operation,
    /// The object; the prefix of a listing, the source of a copy.
    pub location: Path,
    pub depth: u64,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    requests: Vec<Request>,
    /// The greatest depth of a request that is complete.
    complete_depth: u64,
    /// Counts resets, so that a request from before the last one is known.
    era: u64,
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct Ticket {
    ledger: Arc<Ledger>,
    depth: u64,
    era: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = locked(&self.ledger.state);
        if state.era == self.era {
            state.complete_depth = state.complete_depth.max(self.depth);
        }
    }
}

impl Ledger {
    /// Counts a request, and rests so that others can begin beside it.
    pub(super) async fn begin(self: &Arc<Self>, operation: Operation, location: &Path) -> Ticket {
        let ticket = self.round();
        self.note(operation, location, &ticket);
        for _ in 0..TURNS {
            one_turn().await;
        }
        ticket
    }

    /// A round trip whose requests are noted one by one.
    pub(super) fn round(self: &Arc<Self>) -> Ticket {
        let mut state = locked(&self.state);
        let depth = state.complete_depth + 1;
        state.counts.depth = state.counts.depth.max(depth);
        Ticket { ledger: Arc::clone(self), depth, era: state.era }
    }

    pub(super) fn note(&self, operation: Operation, location: &Path, ticket: &Ticket) {
        let mut state = locked(&self.state);
        *state.counts.requests.entry(operation).or_default() += 1;
        state.requests.push(Request { operation, location: location.clone(), depth: ticket.depth });
    }

    pub(super) fn read(&self, bytes: usize) {
        locked(&self.state).counts.bytes_read += bytes as u64;
    }

    pub(super) fn wrote(&self, bytes: usize) {
        locked(&self.state).counts.bytes_written += bytes as u64;
    }

    pub(super) fn counts(&self) -> Counts {
        locked(&self.state).counts.clone()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        locked(&self.state).requests.clone()
    }

    pub(super) fn reset(&self) {
        let mut state = locked(&self.state);
        *state = State { era: state.era + 1, ..State::default() };
    }
}

/// Lets everything else that is ready run once.
async fn one_turn() {
    let mut rested = false;
    poll_fn(|context| {
        if rested {
            return Poll::Ready(());
        }
        rested = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
