//! Runs by seed: random rules, archive marks before and after a decision, late spans, traces that are split over blocks
//! and days, deletions, and merges in any order.

use std::collections::BTreeMap;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::mark::MarkKind;
use siltstone_catalog::sweep::SweepMode;
use siltstone_format::tenant::Tenant;

use super::truth::{DAY, HOUR, Keeps, START, Sent, Truth};
use super::world::World;
use crate::plan::Policy;
use crate::planted::{Bug, with_bug};
use crate::service::When;

const DAYS: u64 = 11;
const STEP: u64 = 3 * HOUR;
/// Seeds of one run of the tests; `SILTSTONE_RETENTION_SEEDS=n` for more.
const SEEDS: u64 = 12;

/// What happened, so that a run in which nothing happens is noticed.
#[derive(Clone, Copy, Debug, Default)]
struct Happened {
    gone: u64,
    archived: u64,
    deleted: u64,
    rules: u64,
    late: u64,
    expired_blocks: u64,
    decided_rows: u64,
}

struct Run {
    rng: ChaCha8Rng,
    world: World,
    truth: Truth,
    keeps: Keeps,
    next: u64,
    happened: Happened,
}

fn any_keeps(rng: &mut ChaCha8Rng) -> Keeps {
    let all = rng.random_range(1..30);
    let mut longer = || all + rng.random_range(1..100);
    let (failed, paid, slow) = (longer(), longer(), longer());
    let archived = rng.random_bool(0.5).then(|| all + rng.random_range(50..150));
    Keeps { all, failed, paid, slow, archived }
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let keeps = any_keeps(&mut rng);
        let policy = Policy {
            target_rows: rng.random_range(20..200),
            most_inputs: rng.random_range(2..20),
            batch_rows: rng.random_range(30..400),
            ..Policy::default()
        };
        let is_usual = rng.random_bool(0.5);
        let text = keeps.text();
        // Room for all traces of a day, or for some of them at a time.
        let memory = if seed.is_multiple_of(2) { 4 << 20 } else { 2_000 };
        let world = World::with_memory(is_usual.then_some(text.as_str()), policy, memory);
        if !is_usual {
            world.set_rules(Some(&text), false);
        }
        let truth = Truth { keeps: vec![keeps], ..Truth::default() };
        Self { rng, world, truth, keeps, next: 0, happened: Happened::default() }
    }

    fn whole(&mut self, changes_rules: bool) -> Option<String> {
        // Nothing is sent in the last days, so that all that must go has gone.
        for step in 0..DAYS * DAY / STEP {
            if step * STEP < (DAYS - 5) * DAY {
                self.send();
                self.people(changes_rules);
            }
            self.work();
            if let Some(violation) = self.look() {
                return Some(format!("{violation}\nat {} of {:?}", self.world.now(), self.truth.keeps));
            }
            self.world.pass(STEP);
        }
        None
    }

    fn send(&mut self) {
        for _ in 0..self.rng.random_range(1..4) {
            let count = self.rng.random_range(1..12);
            let sent: Vec<Sent> = (0..count).map(|_| self.span()).collect();
            self.world.flush(&sent);
            sent.into_iter().for_each(|sent| self.truth.add(sent));
        }
    }

    /// One of a new trace, or of one that is there: of its day or the next one, however late.
    fn span(&mut self) -> Sent {
        let (now, number) = (self.world.now(), self.next);
        self.next += 1;
        let known = self.known();
        let trace = match known.choose(&mut self.rng) {
            Some(trace) if self.rng.random_bool(0.6) => *trace,
            _ => number,
        };
        let of_trace = self.truth.sent.get(&trace).and_then(|spans| spans.first());
        let start = match of_trace {
            Some(first) if self.rng.random_bool(0.9) => first.start + self.rng.random_range(0..14 * HOUR),
            _ => now - self.rng.random_range(0..2 * HOUR).min(now - START),
        };
        let start = start.min(now);
        self.happened.late += u64::from(start + DAY < now);
        let mut is = |chance| self.rng.random_bool(chance);
        let (failed, paid, slow) = (is(0.1), is(0.1), is(0.1));
        Sent { number, trace, start, failed, paid, slow, committed: now }
    }

    /// What comes under the id of a deleted trace later is another matter.
    fn known(&self) -> Vec<u64> {
        self.truth.sent.keys().copied().filter(|trace| !self.truth.deleted.contains(trace)).collect()
    }

    fn people(&mut self, changes_rules: bool) {
        let known = self.known();
        if self.rng.random_bool(0.4)
            && let Some(trace) = known.choose(&mut self.rng)
        {
            self.world.mark(MarkKind::Archive, *trace);
            self.truth.archived.entry(*trace).or_insert(self.world.now());
            self.happened.archived += 1;
        }
        if self.rng.random_bool(0.1)
            && let Some(trace) = known.choose(&mut self.rng)
        {
            self.world.mark(MarkKind::Delete, *trace);
            self.truth.deleted.insert(*trace);
            self.happened.deleted += 1;
        }
        if changes_rules && self.rng.random_bool(0.05) {
            self.keeps = any_keeps(&mut self.rng);
            let reapply = self.rng.random_bool(0.5);
            self.world.set_rules(Some(&self.keeps.text()), reapply);
            self.truth.keeps.push(self.keeps);
            self.happened.rules += 1;
        }
    }

    fn work(&mut self) {
        if self.rng.random_bool(0.3) {
            self.merge_some();
        }
        let when = if self.rng.random_bool(0.3) { When::Now } else { When::Worth };
        for round in self.world.compact(when) {
            self.happened.expired_blocks += round.expired as u64;
            self.happened.decided_rows += round.done.iter().map(|done| done.expired).sum::<u64>();
        }
        if self.rng.random_bool(0.2) {
            self.world.finish(self.world.compactor.sweep(SweepMode::Delete)).unwrap();
        }
    }

    /// A merge that nobody planned, of some blocks of the inbox or of one day.
    fn merge_some(&mut self) {
        self.world.finish(self.world.catalog.fold()).unwrap();
        let mut sections: BTreeMap<Section, Vec<(Section, BlockEntry)>> = BTreeMap::new();
        for block in self.world.blocks() {
            sections.entry(block.0).or_default().push(block);
        }
        let sections: Vec<_> = sections.into_values().collect();
        let Some(blocks) = sections.choose(&mut self.rng) else { return };
        let inputs: Vec<_> = blocks.iter().filter(|_| self.rng.random_bool(0.5)).cloned().collect();
        // What is kept equally long, or is not decided.
        let inputs: Vec<_> = inputs
            .iter()
            .filter(|(_, block)| block.kept.map(|kept| kept.until) == inputs[0].1.kept.map(|kept| kept.until))
            .cloned()
            .collect();
        if !inputs.is_empty() {
            self.world.finish(self.world.compactor.merge(&Tenant::single(), inputs, Vec::new())).unwrap();
        }
    }

    fn look(&mut self) -> Option<String> {
        let there = self.world.seen();
        let known = self.truth.sent.values().map(Vec::len).sum::<usize>();
        self.happened.gone = self.happened.gone.max(known.saturating_sub(there.len()) as u64);
        self.truth.violation(&there, self.world.now())
    }
}

fn seeds() -> u64 {
    match std::env::var("SILTSTONE_RETENTION_SEEDS") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("`{text}` is no number of seeds")),
        Err(_) => SEEDS,
    }
}

fn run_all(changes_rules: bool) {
    let mut total = Happened::default();
    for seed in 0..seeds() {
        let mut run = Run::new(seed);
        let violation = run.whole(changes_rules);
        assert_eq!(violation, None, "seed {seed}");
        let it = run.happened;
        total = Happened {
            gone: total.gone + it.gone,
            archived: total.archived + it.archived,
            deleted: total.deleted + it.deleted,
            rules: total.rules + it.rules,
            late: total.late + it.late,
            expired_blocks: total.expired_blocks + it.expired_blocks,
            decided_rows: total.decided_rows + it.decided_rows,
        };
    }
    println!("{total:?}");
    // What never happens is not tested.
    let Happened { gone, archived, deleted, rules, late, expired_blocks, decided_rows } = total;
    let all = [gone, archived, deleted, late, expired_blocks, decided_rows];
    assert!(all.iter().all(|count| *count > 0) && (rules > 0) == changes_rules, "{total:?}");
}

#[test]
fn should_keep_what_must_be_kept_and_nothing_longer() {
    run_all(false);
}

#[test]
fn should_keep_what_any_rules_keep_while_they_change() {
    run_all(true);
}

#[test]
fn should_catch_every_planted_bug() {
    for bug in [Bug::FragmentView, Bug::ForgetMarks, Bug::DropUndecided, Bug::ForgetOtherParts] {
        let caught =
            with_bug(bug, || (0..seeds()).find_map(|seed| Some((seed, Run::new(seed).whole(false)?))));
        println!("{bug:?}: {caught:?}");
        assert!(caught.is_some(), "no seed finds {bug:?}");
    }
}
