//! Whose query runs next: so many run at once, others wait in a queue, in which tenants take turns.
//!
//! Within a tenant who came first goes first. A tenant with a thousand waiting queries delays the next one's by one
//! query, not by a thousand. The queue is bounded: who finds it full is told so at once. Who gives up while it
//! waits leaves its place to others.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use siltstone_format::tenant::Tenant;
use tokio::sync::oneshot;

/// How many queries there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnSettings {
    /// Queries that run at the same time; at least one does.
    pub concurrent: usize,
    /// Queries that wait, of all tenants together.
    pub queue: usize,
}

impl Default for TurnSettings {
    fn default() -> Self {
        Self { concurrent: 16, queue: 256 }
    }
}

/// There are so many queries that this one is not even put in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{running} queries run and {waiting} wait, which are as many as may (`query.concurrent`, `query.queue`): ask \
     again in a moment"
)]
pub struct QueueFull {
    pub running: usize,
    pub waiting: usize,
}

/// How many queries there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiters {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
}

/// Gives out turns.
pub(crate) struct Turns {
    settings: TurnSettings,
    state: Mutex<State>,
}

/// Whoever waits does so because all turns are taken: a turn that ends is handed over, not put back.
#[derive(Default)]
struct State {
    running: usize,
    waiting: usize,
    next_number: u64,
    /// Tenants with queries that wait, in the order of their turns.
    order: VecDeque<Tenant>,
    queues: BTreeMap<Tenant, VecDeque<Waiting>>,
}

struct Waiting {
    number: u64,
    hand_over: oneshot::Sender<Place>,
}

/// A query may run for as long as it holds this.
pub(crate) struct Place {
    turns: Arc<Turns>,
}

/// A place in the queue.
struct Ticket {
    turns: Arc<Turns>,
    tenant: Tenant,
    number: u64,
}

impl Turns {
    pub(crate) fn new(settings: TurnSettings) -> Arc<Self> {
        let settings = TurnSettings { concurrent: settings.concurrent.max(1), ..settings };
        Arc::new(Self { settings, state: Mutex::default() })
    }

    /// Waits until it is a tenant's turn. Dropping the wait leaves the queue.
    pub(crate) async fn take(self: &Arc<Self>, tenant: &Tenant) -> Result<Place, QueueFull> {
        let Some((ticket, handed)) = self.enter(tenant)? else {
            return Ok(Place { turns: Arc::clone(self) });
        };
        let place = handed.await;
        drop(ticket);
        // Nobody drops the other end but with all of the queue.
        place.map_err(|_| self.full(&self.lock()))
    }

    pub(crate) fn waiters(&self) -> Waiters {
        let state = self.lock();
        Waiters { running: state.running, waiting: state.waiting }
    }

    /// None: it may run at once.
    fn enter(
        self: &Arc<Self>,
        tenant: &Tenant,
    ) -> Result<Option<(Ticket, oneshot::Receiver<Place>)>, QueueFull> {
        let mut state = self.lock();
        if state.running < self.settings.concurrent {
            state.running += 1;
            return Ok(None);
        }
        if state.waiting >= self.settings.queue {
            return Err(self.full(&state));
        }
        let (hand_over, handed) = oneshot::channel();
        let number = state.next_number;
        state.next_number += 1;
        state.waiting += 1;
        if !state.queues.contains_key(tenant) {
            state.order.push_back(tenant.clone());
        }
        state.queues.entry(tenant.clone()).or_default().push_back(Waiting { number, hand_over });
        Ok(Some((Ticket { turns: Arc::clone(self), tenant: tenant.clone(), number }, handed)))
    }

    fn full(&self, state: &State) -> QueueFull {
        QueueFull { running: state.running, waiting: state.waiting }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who is next; its tenant goes behind all others.
    fn next(&mut self) -> Option<Waiting> {
        let tenant = self.order.pop_front()?;
        let queue = self.queues.get_mut(&tenant)?;
        let next = queue.pop_front();
        match queue.is_empty() {
            true => drop(self.queues.remove(&tenant)),
            false => self.order.push_back(tenant),
        }
        self.waiting -= usize::from(next.is_some());
        next
    }

    fn leave(&mut self, tenant: &Tenant, number: u64) {
        let Some(queue) = self.queues.get_mut(tenant) else { return };
        // Numbers ascend within a queue.
        let Ok(place) = queue.binary_search_by_key(&number, |waiting| waiting.number) else { return };
        queue.remove(place);
        self.waiting -= 1;
        if queue.is_empty() {
            self.queues.remove(tenant);
            self.order.retain(|other| other != tenant);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let next = {
            let mut state = self.turns.lock();
            let next = state.next();
            if next.is_none() {
                state.running -= 1;
            }
            next
        };
        if let Some(next) = next {
            // Outside of the lock: who has just given up drops the place here, and it goes on to another.
            drop(next.hand_over.send(Self { turns: Arc::clone(&self.turns) }));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.turns.lock().leave(&self.tenant, self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures::FutureExt;

    use super::*;

    type Wait = Pin<Box<dyn Future<Output = Result<Place, QueueFull>>>>;

    fn tenant(name: &str) -> Tenant {
        name.parse().unwrap()
    }

    fn turns(concurrent: usize, queue: usize) -> Arc<Turns> {
        Turns::new(TurnSettings { concurrent, queue })
    }

    fn now(turns: &Arc<Turns>, name: &str) -> Place {
        turns.take(&tenant(name)).now_or_never().unwrap().unwrap()
    }

    /// Waits in the queue.
    fn wait(turns: &Arc<Turns>, name: &str) -> Wait {
        let (turns, tenant) = (Arc::clone(turns), tenant(name));
        let mut wait: Wait = Box::pin(async move { turns.take(&tenant).await });
        assert!((&mut wait).now_or_never().is_none());
        wait
    }

    /// Ends query after query, and says in which order those that wait get their turns.
    fn order(mut running: Place, mut waiting: Vec<(&'static str, Wait)>) -> Vec<&'static str> {
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(running);
            let next = waiting
                .iter_mut()
                .enumerate()
                .find_map(|(at, (_, wait))| Some((at, wait.now_or_never()?.unwrap())));
            let (at, place) = next.unwrap();
            order.push(waiting.remove(at).0);
            assert!(waiting.iter_mut().all(|(_, wait)| wait.now_or_never().is_none()), "one turn, one query");
            running = place;
        }
        order
    }

    #[test]
    fn should_let_so_many_run_and_have_the_next_one_wait() {
        let turns = turns(2, 9);
        let (one, other) = (now(&turns, "a"), now(&turns, "a"));
        let mut third = wait(&turns, "a");
        drop(one);
        let third = (&mut third).now_or_never().unwrap().unwrap();
        let mut fourth = wait(&turns, "a");
        drop((other, third));
        drop((&mut fourth).now_or_never().unwrap().unwrap());
        assert_eq!(turns.lock().running, 0);
        assert_eq!(turns.lock().waiting, 0);
    }

    #[test]
    fn should_let_tenants_take_turns_and_the_first_of_each_go_first() {
        let turns = turns(1, 9);
        let running = now(&turns, "a");
        let names = [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")];
        let waiting = names.map(|(tenant, name)| (name, wait(&turns, tenant)));
        assert_eq!(order(running, waiting.into()), ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert!(turns.lock().queues.is_empty() && turns.lock().order.is_empty());
    }

    #[test]
    fn should_refuse_at_once_when_the_queue_is_full_and_say_what_to_do() {
        let turns = turns(1, 2);
        let _running = now(&turns, "a");
        let waiting = [wait(&turns, "a"), wait(&turns, "b")];
        let refused = turns.take(&tenant("c")).now_or_never().unwrap().err().unwrap();
        assert_eq!(
            refused.to_string(),
            "1 queries run and 2 wait, which are as many as may (`query.concurrent`, `query.queue`): ask again in a \
             moment"
        );
        drop(waiting);
        let _place = wait(&turns, "c");
    }

    #[test]
    fn should_forget_who_gives_up() {
        let turns = turns(1, 9);
        let running = now(&turns, "a");
        let [gone, stays] = [wait(&turns, "b"), wait(&turns, "b")];
        let others = wait(&turns, "c");
        drop(gone);
        assert_eq!(turns.lock().waiting, 2);
        assert_eq!(order(running, vec![("c", others), ("b", stays)]), ["b", "c"]);
    }

    #[test]
    fn should_hand_a_turn_on_if_who_got_it_gave_up_before_it_knew() {
        let turns = turns(1, 9);
        let running = now(&turns, "a");
        let gone = wait(&turns, "a");
        let mut next = wait(&turns, "b");
        drop(running);
        // It has its turn by now, and never learns of it.
        drop(gone);
        assert!((&mut next).now_or_never().is_some());
        assert_eq!(turns.lock().running, 0);
    }

    #[test]
    fn should_let_one_query_run_whatever_is_set() {
        let turns = turns(0, 0);
        let running = now(&turns, "a");
        assert!(turns.take(&tenant("b")).now_or_never().unwrap().is_err());
        drop(running);
        drop(now(&turns, "b"));
    }
}
