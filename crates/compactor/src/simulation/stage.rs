//! The store, time, and processes that fail: what happens to them is drawn from the seed.

use std::cell::RefCell;
use std::rc::Rc;

use futures::FutureExt;
use object_store::memory::InMemory;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siltstone_testkit::schedule::{Process, Schedule, Step, Violation};
use siltstone_testkit::{FaultPlan, FaultyStore, RandomFaults, VirtualClock};
use tokio_util::sync::CancellationToken;

use super::world::{Counts, Pace, START_UNIX_NANOS, Shared, Site, Store, World};
use crate::service::Compactor;

/// What a run came to.
pub(super) struct Outcome {
    pub(super) violation: Option<Violation>,
    pub(super) counts: Counts,
    pub(super) story: Vec<String>,
}

/// They have the first places.
pub(super) const COMPACTORS: usize = 3;
const MOST_STEPS_OF_PEACE: usize = 200_000;

pub(super) struct Stage {
    pub(super) rng: ChaCha8Rng,
    pub(super) clock: VirtualClock,
    pub(super) world: Shared,
    pub(super) schedule: Schedule<'static>,
    store: Store,
    /// Whoever is killed at times, and comes back. The place behind them is for what is done by one process alone.
    slots: usize,
    pace: Pace,
    seed: u64,
    started: u64,
}

impl Stage {
    pub(super) fn new(seed: u64, pace: Pace, slots: usize) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let clock = VirtualClock::starting_at(START_UNIX_NANOS);
        let store = FaultyStore::new(InMemory::new(), clock.clone(), FaultPlan::none());
        let schedule = Schedule::new(clock.clone(), slots + 1);
        let world = Rc::new(RefCell::new(World::default()));
        let mut stage = Self { rng, clock, world, schedule, store, slots, pace, seed, started: 0 };
        stage.let_requests_fail();
        stage
    }

    pub(super) fn outcome(self, violation: Option<Violation>) -> Outcome {
        let world = self.world.borrow();
        Outcome { violation, counts: world.counts.clone(), story: world.story.clone() }
    }

    pub(super) fn site(&mut self) -> Site {
        self.started += 1;
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(self.started);
        let skew = self.rng.random_range(-2_000_000_000i64..2_000_000_000) * i64::from(self.pace.0);
        Site::new(&self.world, &self.store, self.clock.skewed_by(skew), self.pace, seed)
    }

    pub(super) fn let_requests_fail(&mut self) {
        let chance = [0.0, 0.005, 0.03][self.rng.random_range(0..3)];
        let longest = self.pace.millis([30, 150][self.rng.random_range(0..2)]);
        let faults = RandomFaults::each(self.seed, chance).delaying(1.0, longest);
        self.store.set_plan(FaultPlan::random(faults));
    }

    /// Nothing fails any more, and what is late lands, once all but the compactors have come to their ends.
    pub(super) fn calm_down(&mut self) -> Result<(), Violation> {
        let calm = RandomFaults::none(self.seed).delaying(1.0, self.pace.millis(20));
        self.store.set_plan(FaultPlan::random(calm));
        self.schedule.resume_all();
        // Some of the compactors die, and the others go on beside the last writers.
        self.schedule.kill(0);
        for slot in COMPACTORS..self.slots {
            self.until_ended(slot)?;
        }
        (0..COMPACTORS).for_each(|slot| self.schedule.kill(slot));
        while let Some(waiting) = self.store.waiting().first().map(|waiting| waiting.number) {
            self.land(waiting)?;
        }
        // The leases of the dead become stale.
        self.clock.advance(self.pace.millis(10_000));
        Ok(())
    }

    /// Faults, crashes and pauses that are longer than a lease. `meanwhile` does what else may happen at a step.
    pub(super) fn trouble(
        &mut self,
        steps: usize,
        process: impl Fn(usize, Site) -> Process<'static>,
        mut meanwhile: impl FnMut(&mut Self, u32),
    ) -> Result<(), Violation> {
        for _ in 0..steps {
            let slot = self.rng.random_range(0..self.slots);
            match self.rng.random_range(0..1000) {
                0..5 if self.schedule.is_running(slot) => {
                    self.schedule.kill(slot);
                    self.world.borrow_mut().counts.crashes += 1;
                }
                5..20 if !self.schedule.is_running(slot) => self.start(slot, &process),
                20..26 => {
                    let pause = self.pace.millis(self.rng.random_range(0..30_000));
                    self.schedule.pause(slot, pause);
                    self.world.borrow_mut().counts.pauses += 1;
                }
                26..40 => self.land_one()?,
                chance => meanwhile(self, chance),
            }
            self.schedule.step(&mut self.rng)?;
        }
        Ok(())
    }

    pub(super) fn start(&mut self, slot: usize, process: impl Fn(usize, Site) -> Process<'static>) {
        let site = self.site();
        self.schedule.start(slot, process(slot, site));
    }

    /// Does something beside whoever is running, to its end.
    pub(super) fn alone<P>(&mut self, process: impl FnOnce(Site) -> P) -> Result<(), Violation>
    where
        P: Future<Output = Result<(), Violation>> + 'static,
    {
        let site = self.site();
        self.schedule.start(self.slots, process(site).boxed_local());
        self.until_ended(self.slots)
    }

    fn until_ended(&mut self, slot: usize) -> Result<(), Violation> {
        for _ in 0..MOST_STEPS_OF_PEACE {
            if !self.schedule.is_running(slot) {
                return Ok(());
            }
            if matches!(self.schedule.step(&mut self.rng)?, Step::Idle) {
                return Err("everybody waits, and for nothing".to_owned());
            }
        }
        Err(format!("process {slot} goes on for ever"))
    }

    fn land_one(&mut self) -> Result<(), Violation> {
        let waiting = self.store.waiting();
        if waiting.is_empty() {
            return Ok(());
        }
        let number = waiting[self.rng.random_range(0..waiting.len())].number;
        self.land(number)
    }

    /// Lets a request take effect that was answered with an error long ago.
    fn land(&mut self, number: u64) -> Result<(), Violation> {
        self.store.release(number).now_or_never().map(|_| ()).ok_or_else(|| "a late request hangs".to_owned())
    }
}

pub(super) async fn make_catalog(site: Site) -> Result<(), Violation> {
    while site.catalog.init().await.is_err() {}
    Ok(())
}

/// A service, until it is killed.
pub(super) async fn compact(site: Site) -> Result<(), Violation> {
    let compactor = Counted { compactor: site.compactor(), site };
    compactor.compactor.run(&CancellationToken::new()).await;
    Ok(())
}

pub(super) async fn merge_all(site: Site) -> Result<(), Violation> {
    let compactor = Counted { compactor: site.compactor(), site };
    let done = compactor.compactor.once().await.map_err(|error| error.to_string())?;
    compactor.site.tell(|| format!("{} jobs in the end", done.len()));
    Ok(())
}

/// A compactor whose counters are added up when it ends, or is killed.
struct Counted {
    compactor: Compactor,
    site: Site,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let counts = self.compactor.metrics().counts();
        let total = &mut self.site.world.borrow_mut().counts;
        total.jobs_done += counts.jobs_done;
        total.jobs_failed += counts.jobs_failed;
        total.jobs_given_up += counts.jobs_given_up;
        total.collapsed += counts.rows_collapsed;
        total.swept += counts.objects_swept;
        total.deleted_rows += counts.rows_deleted;
        total.expired_blocks += counts.blocks_expired;
        total.expired_rows += counts.rows_expired;
    }
}
