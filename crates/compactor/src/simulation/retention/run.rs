//! One whole run: trouble and rest by turns, and then time passes until all is gone that goes.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use siltstone_catalog::check::Leaks;
use siltstone_testkit::schedule::{Process, Violation};

use super::super::run::check;
use super::super::stage::{COMPACTORS, Stage, compact, make_catalog, merge_all};
use super::super::world::{Pace, Site};
use super::truth::{Happened, Truth, tenants};
use super::{people, reader, writer};
use crate::retain::tests::truth::{HOUR, Keeps};

/// What a run came to.
pub(super) struct Outcome {
    pub(super) violation: Option<Violation>,
    pub(super) happened: Happened,
    pub(super) story: Vec<String>,
}

pub(super) type Shared = Rc<RefCell<Truth>>;

const WRITERS: usize = 2;
const READER: usize = COMPACTORS + WRITERS;
const PEOPLE: usize = READER + 1;
const SLOTS: usize = PEOPLE + 1;
/// A second takes twenty minutes.
const PACE: Pace = Pace(1_200);
const TURNS: usize = 5;
const TROUBLED_STEPS: usize = 800;

pub(super) fn simulate(seed: u64) -> Outcome {
    let mut run = Run::new(seed);
    let violation = run.whole().err();
    let outcome = run.stage.outcome(violation);
    let mut happened = run.truth.borrow().happened;
    (happened.crashes, happened.jobs_failed) = (outcome.counts.crashes, outcome.counts.jobs_failed);
    happened.jobs_given_up = outcome.counts.jobs_given_up;
    (happened.expired_rows, happened.expired_blocks) =
        (outcome.counts.expired_rows, outcome.counts.expired_blocks);
    Outcome { violation: outcome.violation, happened, story: outcome.story }
}

pub(super) fn any_keeps(rng: &mut ChaCha8Rng) -> Keeps {
    let all = rng.random_range(1..40);
    let mut longer = || all + rng.random_range(1..120);
    let (failed, paid, slow) = (longer(), longer(), longer());
    let archived = rng.random_bool(0.7).then(|| all + rng.random_range(20..160));
    Keeps { all, failed, paid, slow, archived }
}

struct Run {
    stage: Stage,
    truth: Shared,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut stage = Stage::new(seed, PACE, SLOTS);
        let usual = any_keeps(&mut stage.rng);
        stage.world.borrow_mut().usual_rules = Some(usual.text().parse().expect("rules"));
        Self { stage, truth: Rc::new(RefCell::new(Truth::new(usual))) }
    }

    fn process(&self) -> impl Fn(usize, Site) -> Process<'static> + use<> {
        let truth = Rc::clone(&self.truth);
        move |slot, site| {
            let truth = Rc::clone(&truth);
            match slot {
                0..COMPACTORS => compact(site).boxed_local(),
                READER => reader::run(site, truth, 3).boxed_local(),
                PEOPLE => people::run(site, truth, 3).boxed_local(),
                _ => writer::run(site, truth, 4).boxed_local(),
            }
        }
    }

    fn whole(&mut self) -> Result<(), Violation> {
        self.stage.alone(make_catalog)?;
        let process = self.process();
        for turn in 0..TURNS {
            (COMPACTORS..SLOTS).for_each(|slot| self.stage.start(slot, &process));
            if turn > 0 && self.stage.rng.random_bool(0.2) {
                self.alone(people::rebuild)?;
            }
            self.stage.let_requests_fail();
            (0..COMPACTORS).for_each(|slot| self.stage.start(slot, &process));
            self.stage.trouble(TROUBLED_STEPS, &process, |stage, chance| {
                if (40..43).contains(&chance) {
                    let hours = stage.rng.random_range(0..5 * HOUR);
                    stage.clock.advance(Duration::from_nanos(hours));
                }
            })?;
            self.stage.calm_down()?;
            self.settle()?;
        }
        self.last_rules()?;
        while self.truth.borrow().last_to_go() > self.stage.clock.now() {
            self.settle()?;
            self.stage.clock.advance(Duration::from_nanos(30 * HOUR));
        }
        self.settle()?;
        for _ in 0..8 {
            self.stage.clock.advance(PACE.millis(21_000));
            self.stage.alone(merge_all)?;
        }
        self.stage.alone(|site| check(site, Leaks::Delete))?;
        self.alone(reader::check_bucket)
    }

    /// All that is due is done, and looked at.
    fn settle(&mut self) -> Result<(), Violation> {
        let now = self.stage.clock.now();
        self.stage.alone(merge_all)?;
        self.alone(|site, truth| reader::settle(site, truth, now))
    }

    /// What is decided is decided anew, once more.
    fn last_rules(&mut self) -> Result<(), Violation> {
        let keeps = any_keeps(&mut self.stage.rng);
        self.alone(|site, truth| async move {
            for tenant in tenants() {
                people::set_rules(&site, &truth, &tenant, keeps, true).await;
            }
            Ok(())
        })
    }

    fn alone<P>(&mut self, process: impl FnOnce(Site, Shared) -> P) -> Result<(), Violation>
    where
        P: Future<Output = Result<(), Violation>> + 'static,
    {
        let truth = Rc::clone(&self.truth);
        self.stage.alone(|site| process(site, truth))
    }
}
