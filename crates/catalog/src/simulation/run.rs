//! One whole run: trouble first, then everybody comes back and the truth is read.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use object_store::memory::InMemory;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siltstone_testkit::schedule::{Process, Schedule, Step, Violation};
use siltstone_testkit::{FaultPlan, FaultyStore, RandomFaults, VirtualClock};

use super::world::{Counts, Shared, Site, Store, World, WriterLog};
use super::{admin, checker, compactor, reader, sweeper, writer};
use crate::bucket::Listing;
use crate::windows::Windows;

/// What a run came to.
pub(crate) struct Outcome {
    pub(crate) violation: Option<Violation>,
    pub(crate) counts: Counts,
    /// Every request, in order.
    pub(crate) log: Vec<String>,
    /// What the processes did.
    pub(crate) story: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Writer(usize),
    Compactor,
    Sweeper,
    Reader,
    Admin,
    Checker,
}

const START_UNIX_NANOS: u64 = 1_800_000_000_000_000_000;
/// Steps with trouble; then everybody comes back.
const TROUBLED_STEPS: usize = 2_500;
const MOST_STEPS_OF_PEACE: usize = 200_000;

/// Seconds where the real ones are minutes and hours.
pub(super) fn windows() -> Windows {
    let seconds = Duration::from_secs;
    Windows {
        query: seconds(12),
        read_grace: seconds(16),
        commit: seconds(8),
        orphan_grace: seconds(20),
        log_grace: seconds(6),
        clock_error: seconds(4),
        visibility: seconds(1),
        forget_writer: seconds(60),
        snapshot_age: seconds(1),
    }
}

pub(crate) fn simulate(seed: u64) -> Outcome {
    outcome(Run::new(seed, false))
}

/// The same with somebody who checks the bucket meanwhile, and once more at the end.
pub(crate) fn simulate_with_checks(seed: u64) -> Outcome {
    outcome(Run::new(seed, true))
}

fn outcome(mut run: Run) -> Outcome {
    let violation = run.whole().err();
    let log = run.store.log().iter().map(|entry| format!("{entry:?}")).collect();
    let counts = run.world.borrow().counts.clone();
    let story = run.world.borrow().story.clone();
    Outcome { violation, counts, log, story }
}

struct Run {
    seed: u64,
    rng: ChaCha8Rng,
    clock: VirtualClock,
    store: Store,
    world: Shared,
    listing: Listing,
    roles: Vec<Role>,
    /// How many processes were started: each has a seed of its own.
    started: u64,
    skews: Vec<i64>,
}

impl Run {
    fn new(seed: u64, with_checks: bool) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let clock = VirtualClock::starting_at(START_UNIX_NANOS);
        let chance = if rng.random_bool(0.7) { 0.03 } else { 0.005 };
        let longest = Duration::from_millis([30, 150, 600][rng.random_range(0..3)]);
        let faults = RandomFaults::each(seed, chance).delaying(1.0, longest);
        let pages = rng.random_range(1..4);
        let store = FaultyStore::new(InMemory::new(), clock.clone(), FaultPlan::random(faults))
            .with_entries_per_page(pages);
        let writers = rng.random_range(1..=8);
        let mut roles: Vec<Role> = (0..writers).map(Role::Writer).collect();
        roles.extend(vec![Role::Compactor; rng.random_range(1..=3)]);
        roles.extend([Role::Sweeper, Role::Reader, Role::Reader, Role::Admin]);
        roles.extend(with_checks.then_some(Role::Checker));
        // Half of the writers are off by up to what is allowed.
        let worst = windows().clock_error.as_nanos() as i64;
        let skews =
            roles.iter().map(|_| if rng.random_bool(0.5) { 0 } else { rng.random_range(-worst..=worst) });
        let skews = skews.collect();
        let listing = if rng.random_bool(0.5) { Listing::Together } else { Listing::LogThenRoots };
        let logs =
            (0..writers).map(|_| WriterLog { to_accept: rng.random_range(1..=4), ..WriterLog::default() });
        let world = World { writers: logs.collect(), ..World::default() };
        let world = Rc::new(RefCell::new(world));
        Self { seed, rng, clock, store, world, listing, roles, started: 0, skews }
    }

    fn site(&mut self, slot: usize) -> Site {
        self.started += 1;
        let clock = self.clock.skewed_by(self.skews.get(slot).copied().unwrap_or(0));
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(self.started);
        Site::new(&self.world, &self.store, clock, self.listing, windows(), seed)
    }

    fn process(&mut self, slot: usize, rounds: u64) -> Process<'static> {
        let role = self.roles[slot];
        let site = self.site(slot);
        match role {
            Role::Writer(index) => {
                writer::begin(&site, index);
                writer::run(site, index).boxed_local()
            }
            Role::Compactor => compactor::run(site, rounds).boxed_local(),
            Role::Sweeper => sweeper::run(site, rounds).boxed_local(),
            Role::Reader => reader::run(site, rounds).boxed_local(),
            Role::Admin => admin::run(site, rounds).boxed_local(),
            Role::Checker => checker::run(site, rounds).boxed_local(),
        }
    }

    fn whole(&mut self) -> Result<(), Violation> {
        let roles = self.roles.len();
        let mut schedule = Schedule::new(self.clock.clone(), roles + 1);
        let site = self.site(roles);
        let catalog = Rc::clone(&site.catalog);
        let init = async move {
            while catalog.init().await.is_err() {}
            Ok(())
        };
        schedule.start(roles, init.boxed_local());
        self.until_ended(&mut schedule, &[roles])?;
        for slot in 0..roles {
            let process = self.process(slot, 4);
            schedule.start(slot, process);
        }
        self.trouble(&mut schedule)?;
        self.peace(&mut schedule)
    }

    /// Faults, crashes and pauses.
    fn trouble(&mut self, schedule: &mut Schedule<'static>) -> Result<(), Violation> {
        let stalls = self.rng.random_bool(0.4);
        for _ in 0..TROUBLED_STEPS {
            let slot = self.rng.random_range(0..self.roles.len());
            match self.rng.random_range(0..1000) {
                0..6 if schedule.is_running(slot) => self.crash(schedule, slot),
                6..12 => self.restart(schedule, slot),
                12..18 => {
                    let longest = if stalls { 60_000 } else { 5_000 };
                    schedule.pause(slot, Duration::from_millis(self.rng.random_range(0..longest)));
                    self.world.borrow_mut().counts.pauses += 1;
                }
                18..30 => self.land_one(schedule)?,
                _ => {}
            }
            match schedule.step(&mut self.rng)? {
                Step::Ended(slot) => self.restart_service(schedule, slot),
                Step::Ran => {}
                Step::Idle => break,
            }
        }
        Ok(())
    }

    fn crash(&mut self, schedule: &mut Schedule<'static>, slot: usize) {
        schedule.kill(slot);
        let mut world = self.world.borrow_mut();
        world.counts.crashes += 1;
        world.story.push(format!("{:>9.3} process {slot} crashes", self.clock.monotonic().as_secs_f64()));
        if let Role::Writer(index) = self.roles[slot] {
            world.writers[index].up = false;
        }
    }

    fn restart(&mut self, schedule: &mut Schedule<'static>, slot: usize) {
        if !schedule.is_running(slot) {
            let process = self.process(slot, 3);
            schedule.start(slot, process);
        }
    }

    /// Services go on; a writer that has committed all stays up and says so.
    fn restart_service(&mut self, schedule: &mut Schedule<'static>, slot: usize) {
        if matches!(self.roles[slot], Role::Compactor | Role::Sweeper | Role::Reader | Role::Checker) {
            self.restart(schedule, slot);
        }
    }

    /// Lets one request take effect that was answered with an error long ago.
    fn land_one(&mut self, schedule: &mut Schedule<'static>) -> Result<(), Violation> {
        let waiting = self.store.waiting();
        if waiting.is_empty() {
            return Ok(());
        }
        let number = waiting[self.rng.random_range(0..waiting.len())].number;
        self.land(schedule, number)
    }

    fn land(&mut self, _: &mut Schedule<'static>, number: u64) -> Result<(), Violation> {
        // The store below answers at once.
        self.store.release(number).now_or_never().map(|_| ()).ok_or_else(|| "a late request hangs".to_owned())
    }

    /// Nothing fails any more: all that is late lands, all who are down come back, and what
    /// was accepted is there for good.
    fn peace(&mut self, schedule: &mut Schedule<'static>) -> Result<(), Violation> {
        let calm = RandomFaults::none(self.seed).delaying(1.0, Duration::from_millis(20));
        self.store.set_plan(FaultPlan::random(calm));
        let (mut services, mut writers, mut sleepers) = (Vec::new(), Vec::new(), Vec::new());
        for slot in 0..self.roles.len() {
            match self.roles[slot] {
                Role::Writer(_) => writers.push(slot),
                // These sleep through it all and go on at the end.
                Role::Compactor | Role::Sweeper => {
                    schedule.pause(slot, Duration::from_secs(1_000_000));
                    sleepers.push(slot);
                }
                Role::Reader | Role::Admin | Role::Checker => services.push(slot),
            }
        }
        self.until_ended(schedule, &services)?;
        let half = self.store.waiting().len() / 2;
        self.land_all(schedule, half)?;
        for slot in &writers {
            schedule.pause(*slot, Duration::ZERO);
            self.restart(schedule, *slot);
        }
        self.until_ended(schedule, &writers)?;
        let extra = self.roles.len();
        self.alone(schedule, extra, Role::Compactor, 2)?;
        self.land_all(schedule, 0)?;
        for wait in [0, 17, 17, 40, 17, 17] {
            self.clock.advance(Duration::from_secs(wait));
            self.alone(schedule, extra, Role::Sweeper, 1)?;
        }
        self.alone(schedule, extra, Role::Compactor, 2)?;
        self.alone(schedule, extra, Role::Reader, 1)?;
        schedule.resume_all();
        self.until_ended(schedule, &sleepers)?;
        self.alone(schedule, extra, Role::Reader, 1)?;
        if self.roles.contains(&Role::Checker) {
            self.alone(schedule, extra, Role::Checker, 1)?;
        }
        self.check_root(schedule, extra)?;
        for _ in 0..12 {
            self.clock.advance(Duration::from_secs(30));
            self.alone(schedule, extra, Role::Sweeper, 1)?;
        }
        self.check_nothing_waits(schedule, extra)
    }

    /// Nobody publishes any more but the sweeper, and still nothing waits for ever.
    fn check_nothing_waits(
        &mut self,
        schedule: &mut Schedule<'static>,
        slot: usize,
    ) -> Result<(), Violation> {
        let site = self.site(slot);
        schedule.start(slot, sweeper::check_nothing_waits(site).boxed_local());
        self.until_ended(schedule, &[slot])
    }

    fn land_all(&mut self, schedule: &mut Schedule<'static>, but: usize) -> Result<(), Violation> {
        let waiting = self.store.waiting();
        let landing = waiting.len().saturating_sub(but);
        waiting.iter().take(landing).try_for_each(|waiting| self.land(schedule, waiting.number))
    }

    /// Runs one more process of a role to its end.
    fn alone(
        &mut self,
        schedule: &mut Schedule<'static>,
        slot: usize,
        role: Role,
        rounds: u64,
    ) -> Result<(), Violation> {
        self.roles.push(role);
        let process = self.process(slot, rounds);
        self.roles.pop();
        schedule.start(slot, process);
        self.until_ended(schedule, &[slot])
    }

    fn check_root(&mut self, schedule: &mut Schedule<'static>, slot: usize) -> Result<(), Violation> {
        let site = self.site(slot);
        let check = async move {
            let root = loop {
                if let Ok(loaded) = site.catalog.load().await {
                    break loaded.root;
                }
            };
            compactor::check_root(&site, &root).await
        };
        schedule.start(slot, check.boxed_local());
        self.until_ended(schedule, &[slot])
    }

    fn until_ended(&mut self, schedule: &mut Schedule<'static>, slots: &[usize]) -> Result<(), Violation> {
        for _ in 0..MOST_STEPS_OF_PEACE {
            if slots.iter().all(|slot| !schedule.is_running(*slot)) {
                return Ok(());
            }
            if matches!(schedule.step(&mut self.rng)?, Step::Idle) {
                return Err("everybody waits, and for nothing".to_owned());
            }
        }
        Err("it goes on for ever".to_owned())
    }
}
