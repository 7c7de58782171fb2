//! One request on its way through the faulty store: decide, delay, do, hold back. Owns what all clones of a
//! store share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, Result};

use super::log::{Done, LogEntry};
use super::plan::{Decision, Fault, FaultPlan};
use crate::clock::VirtualClock;
use crate::locked::locked;
use crate::operation::Operation;

/// The source of every error that this store makes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injected(pub Fault);

impl std::fmt::Display for Injected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "injected: {:?}", self.0)
    }
}

impl std::error::Error for Injected {}

/// A request that has not landed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The number of its entry in the log.
    pub number: u64,
    pub operation: Operation,
    pub location: Path,
}

/// What a request is about.
pub(super) struct Target {
    pub(super) operation: Operation,
    pub(super) location: Path,
    creates: bool,
}

impl Target {
    pub(super) fn new(operation: Operation, location: &Path) -> Self {
        Target { operation, location: location.clone(), creates: false }
    }

    /// Whether it fails when the object exists.
    pub(super) fn creating(self, creates: bool) -> Self {
        Target { creates, ..self }
    }

    pub(super) fn error(&self, fault: Fault) -> Error {
        let source = Box::new(Injected(fault));
        match fault {
            Fault::SaysExists => Error::AlreadyExists { path: self.location.to_string(), source },
            _ => Error::Generic { store: "FaultyStore", source },
        }
    }
}

/// What a request does when it takes effect; not started until it is polled.
type Effect = BoxFuture<'static, Result<()>>;

pub(super) struct Shared<S> {
    inner: S,
    clock: VirtualClock,
    state: Mutex<State>,
}

struct State {
    plan: FaultPlan,
    log: Vec<LogEntry>,
    waiting: Vec<(Waiting, Effect)>,
    /// Store time of what took effect through this store.
    modified_unix_nanos: BTreeMap<Path, u64>,
}

impl<S: ObjectStore> Shared<S> {
    pub(super) fn new(inner: S, clock: VirtualClock, plan: FaultPlan) -> Self {
        let state =
            State { plan, log: Vec::new(), waiting: Vec::new(), modified_unix_nanos: BTreeMap::new() };
        Shared { inner, clock, state: Mutex::new(state) }
    }

    pub(super) fn inner(&self) -> &S {
        &self.inner
    }

    pub(super) fn clock(&self) -> &VirtualClock {
        &self.clock
    }

    pub(super) fn set_plan(&self, plan: FaultPlan) {
        locked(&self.state).plan = plan;
    }

    pub(super) fn log(&self) -> Vec<LogEntry> {
        locked(&self.state).log.clone()
    }

    pub(super) fn waiting(&self) -> Vec<Waiting> {
        locked(&self.state).waiting.iter().map(|(waiting, _)| waiting.clone()).collect()
    }

    pub(super) fn forget_waiting(&self) {
        locked(&self.state).waiting.clear();
    }

    pub(super) async fn release(&self, number: u64) -> Option<Result<()>> {
        let (waiting, effect) = {
            let mut state = locked(&self.state);
            let position = state.waiting.iter().position(|(waiting, _)| waiting.number == number)?;
            state.waiting.remove(position)
        };
        let outcome = effect.await;
        let done = Done::Landed { request: number, refused: outcome.is_err() };
        self.note(waiting.operation, &waiting.location, None, done);
        Some(outcome)
    }

    /// Decides about a request and notes it; returns its number.
    pub(super) fn decide(&self, target: &Target) -> (u64, Decision) {
        let decision = {
            let mut state = locked(&self.state);
            state.plan.decide(target.operation, &target.location, target.creates)
        };
        let done = decision.fault.map_or(Done::Passed, Done::Failed);
        (self.note(target.operation, &target.location, decision.delay, done), decision)
    }

    pub(super) async fn rest(&self, delay: Option<Duration>) {
        if let Some(delay) = delay {
            self.clock.sleep(delay).await;
        }
    }

    /// A request whose effect can be had several times.
    pub(super) async fn run<T: 'static>(
        &self,
        target: Target,
        effect: impl Fn() -> BoxFuture<'static, Result<T>>,
    ) -> Result<T> {
        let held_back = || effect().map(|outcome| outcome.map(drop)).boxed();
        let (number, decision) = self.decide(&target);
        self.rest(decision.delay).await;
        let Some(fault) = decision.fault else { return effect().await };
        match fault {
            Fault::ErrorBefore | Fault::SaysExists => Err(target.error(fault)),
            Fault::ErrorAfter => {
                // The caller cannot tell a refusal from a success either.
                drop(effect().await);
                Err(target.error(fault))
            }
            Fault::LandsLater => {
                self.hold_back(number, &target, held_back());
                Err(target.error(fault))
            }
            Fault::DeliveredTwice => {
                drop(effect().await);
                effect().await
            }
            Fault::AgainLater => {
                let answer = effect().await;
                self.hold_back(number, &target, held_back());
                answer
            }
            Fault::Delay(_) => effect().await,
        }
    }

    pub(super) fn hold_back(&self, number: u64, target: &Target, effect: Effect) {
        let waiting = Waiting { number, operation: target.operation, location: target.location.clone() };
        locked(&self.state).waiting.push((waiting, effect));
    }

    pub(super) async fn delete(self: &Arc<Self>, location: &Path) -> Result<()> {
        let effect = || {
            let (shared, location) = (Arc::clone(self), location.clone());
            async move {
                shared.inner.delete(&location).await?;
                locked(&shared.state).modified_unix_nanos.remove(&location);
                Ok(())
            }
            .boxed()
        };
        self.run(Target::new(Operation::Delete, location), effect).await
    }

    /// All entries behind `offset` in the order of their keys, as one request.
    pub(super) async fn list_from(
        self: &Arc<Self>,
        prefix: Option<Path>,
        offset: Option<Path>,
    ) -> Result<Vec<ObjectMeta>> {
        let target = Target::new(Operation::List, &prefix.clone().unwrap_or_default());
        let effect = || {
            let (shared, prefix, offset) = (Arc::clone(self), prefix.clone(), offset.clone());
            async move {
                let entries = match &offset {
                    None => shared.inner.list(prefix.as_ref()),
                    Some(offset) => shared.inner.list_with_offset(prefix.as_ref(), offset),
                };
                let mut entries: Vec<ObjectMeta> = entries.try_collect().await?;
                entries.sort_by(|left, right| left.location.cmp(&right.location));
                entries.iter_mut().for_each(|meta| shared.in_store_time(meta));
                Ok(entries)
            }
            .boxed()
        };
        self.run(target, effect).await
    }

    /// Notes the store time of an object that is now there.
    pub(super) fn landed(&self, location: &Path, unix_nanos: u64) {
        locked(&self.state).modified_unix_nanos.insert(location.clone(), unix_nanos);
    }

    pub(super) fn in_store_time(&self, meta: &mut ObjectMeta) {
        if let Some(unix_nanos) = locked(&self.state).modified_unix_nanos.get(&meta.location) {
            meta.last_modified = (UNIX_EPOCH + Duration::from_nanos(*unix_nanos)).into();
        }
    }

    fn note(&self, operation: Operation, location: &Path, delay: Option<Duration>, done: Done) -> u64 {
        let unix_nanos = self.clock.now();
        let mut state = locked(&self.state);
        let number = state.log.len() as u64;
        state.log.push(LogEntry { number, unix_nanos, operation, location: location.clone(), delay, done });
        number
    }
}
