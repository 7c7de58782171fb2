//! One whole run: trouble first, then everybody comes back and the truth is read.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use object_store::memory::InMemory;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siltstone_catalog::check::{CheckOptions, Depth, Leaks, Severity};
use siltstone_testkit::schedule::{Process, Schedule, Step, Violation};
use siltstone_testkit::{FaultPlan, FaultyStore, RandomFaults, VirtualClock};
use tokio_util::sync::CancellationToken;

use super::world::{Counts, START_UNIX_NANOS, Shared, Site, Store, World};
use super::{deleter, reader, writer};
use crate::service::Compactor;

/// What a run came to.
pub(super) struct Outcome {
    pub(super) violation: Option<Violation>,
    pub(super) counts: Counts,
    pub(super) story: Vec<String>,
}

const COMPACTORS: usize = 3;
const WRITERS: usize = 2;
const READER: usize = COMPACTORS + WRITERS;
const DELETER: usize = READER + 1;
const SLOTS: usize = DELETER + 1;
/// For what is done by one process alone.
const EXTRA: usize = SLOTS;
const TROUBLED_STEPS: usize = 4_000;
const MOST_STEPS_OF_PEACE: usize = 200_000;

pub(super) fn simulate(seed: u64) -> Outcome {
    let mut run = Run::new(seed);
    let violation = run.whole().err();
    let world = run.world.borrow();
    Outcome { violation, counts: world.counts.clone(), story: world.story.clone() }
}

struct Run {
    seed: u64,
    rng: ChaCha8Rng,
    clock: VirtualClock,
    store: Store,
    world: Shared,
    started: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let clock = VirtualClock::starting_at(START_UNIX_NANOS);
        let chance = [0.0, 0.005, 0.03][rng.random_range(0..3)];
        let longest = Duration::from_millis([30, 150][rng.random_range(0..2)]);
        let faults = RandomFaults::each(seed, chance).delaying(1.0, longest);
        let store = FaultyStore::new(InMemory::new(), clock.clone(), FaultPlan::random(faults));
        Self { seed, rng, clock, store, world: Rc::new(RefCell::new(World::default())), started: 0 }
    }

    fn site(&mut self) -> Site {
        self.started += 1;
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(self.started);
        let skew = self.rng.random_range(-2_000_000_000i64..2_000_000_000);
        Site::new(&self.world, &self.store, self.clock.skewed_by(skew), seed)
    }

    fn process(&mut self, slot: usize) -> Process<'static> {
        let site = self.site();
        match slot {
            0..COMPACTORS => compact(site).boxed_local(),
            READER => reader::run(site, 3).boxed_local(),
            DELETER => deleter::run(site, 2).boxed_local(),
            _ => writer::run(site, 12).boxed_local(),
        }
    }

    fn whole(&mut self) -> Result<(), Violation> {
        let mut schedule = Schedule::new(self.clock.clone(), SLOTS + 1);
        let catalog = self.site().catalog;
        let init = async move {
            while catalog.init().await.is_err() {}
            Ok(())
        };
        schedule.start(EXTRA, init.boxed_local());
        self.until_ended(&mut schedule, EXTRA)?;
        for slot in 0..SLOTS {
            let process = self.process(slot);
            schedule.start(slot, process);
        }
        self.trouble(&mut schedule)?;
        self.peace(&mut schedule)
    }

    /// Faults, crashes and pauses that are longer than a lease.
    fn trouble(&mut self, schedule: &mut Schedule<'static>) -> Result<(), Violation> {
        for _ in 0..TROUBLED_STEPS {
            let slot = self.rng.random_range(0..SLOTS);
            match self.rng.random_range(0..1000) {
                0..5 if schedule.is_running(slot) => {
                    schedule.kill(slot);
                    self.world.borrow_mut().counts.crashes += 1;
                }
                5..20 if !schedule.is_running(slot) => {
                    let process = self.process(slot);
                    schedule.start(slot, process);
                }
                20..26 => {
                    schedule.pause(slot, Duration::from_millis(self.rng.random_range(0..30_000)));
                    self.world.borrow_mut().counts.pauses += 1;
                }
                26..40 => self.land_one()?,
                _ => {}
            }
            schedule.step(&mut self.rng)?;
        }
        Ok(())
    }

    /// Nothing fails any more: what is late lands, and one compactor after the other does what is left.
    fn peace(&mut self, schedule: &mut Schedule<'static>) -> Result<(), Violation> {
        let calm = RandomFaults::none(self.seed).delaying(1.0, Duration::from_millis(20));
        self.store.set_plan(FaultPlan::random(calm));
        schedule.resume_all();
        // Half of the compactors die, and the others go on beside the last writers.
        schedule.kill(0);
        for slot in COMPACTORS..SLOTS {
            self.until_ended(schedule, slot)?;
        }
        (0..COMPACTORS).for_each(|slot| schedule.kill(slot));
        while let Some(waiting) = self.store.waiting().first().map(|waiting| waiting.number) {
            self.land(waiting)?;
        }
        // The leases of the dead become stale.
        self.clock.advance(Duration::from_secs(10));
        let site = self.site();
        self.alone(schedule, merge_all(site).boxed_local())?;
        let site = self.site();
        self.alone(schedule, reader::run(site, 1).boxed_local())?;
        let site = self.site();
        self.alone(schedule, reader::check_all_is_merged(site).boxed_local())?;
        for _ in 0..8 {
            self.clock.advance(Duration::from_secs(21));
            let site = self.site();
            self.alone(schedule, merge_all(site).boxed_local())?;
        }
        let site = self.site();
        self.alone(schedule, check(site).boxed_local())?;
        let site = self.site();
        self.alone(schedule, reader::run(site, 1).boxed_local())
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

    fn alone(
        &mut self,
        schedule: &mut Schedule<'static>,
        process: Process<'static>,
    ) -> Result<(), Violation> {
        schedule.start(EXTRA, process);
        self.until_ended(schedule, EXTRA)
    }

    fn until_ended(&mut self, schedule: &mut Schedule<'static>, slot: usize) -> Result<(), Violation> {
        for _ in 0..MOST_STEPS_OF_PEACE {
            if !schedule.is_running(slot) {
                return Ok(());
            }
            if matches!(schedule.step(&mut self.rng)?, Step::Idle) {
                return Err("everybody waits, and for nothing".to_owned());
            }
        }
        Err("it goes on for ever".to_owned())
    }
}

/// A service, until it is killed.
async fn compact(site: Site) -> Result<(), Violation> {
    let compactor = Counted { compactor: site.compactor(), site };
    compactor.compactor.run(&CancellationToken::new()).await;
    Ok(())
}

async fn merge_all(site: Site) -> Result<(), Violation> {
    let compactor = Counted { compactor: site.compactor(), site };
    let done = compactor.compactor.once().await.map_err(|error| error.to_string())?;
    compactor.site.tell(|| format!("{} jobs in the end", done.len()));
    Ok(())
}

async fn check(site: Site) -> Result<(), Violation> {
    let options = CheckOptions { depth: Depth::Blocks, leaks: Leaks::Keep };
    let report = site.catalog.check(&options).await.map_err(|error| error.to_string())?;
    // Who is killed leaves things behind, such as leases, and what lands long after is a leak; but nothing is wrong.
    match report.findings.iter().find(|finding| finding.severity > Severity::Waste) {
        Some(finding) => Err(format!("the catalog does not hold together: {finding}")),
        None => Ok(()),
    }
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
    }
}
