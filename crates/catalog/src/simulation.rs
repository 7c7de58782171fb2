//! The protocol under seeded schedules: writers, compactors, a sweeper, readers and
//! somebody who deletes, on a store that fails, answers late and lists page by page.
//!
//! One thread, virtual time. Whatever the catalog's code awaits is a request or a
//! pause, and which of the waiting processes goes on next is drawn from the seed.
//! Processes are paused, killed at any await and started again; a writer keeps its log
//! over that, as the real one does on its disk.
//!
//! Asserted on every query: a span that was accepted before it began is found once, a
//! span whose deletion was confirmed before is not found, nor is one of a day given up;
//! nothing that a good snapshot refers to is missing.

// What is true, whoever says what.
mod world;
// A store whose listings show objects late.
mod late_listing;
// The processes.
mod admin;
mod checker;
mod compactor;
mod reader;
mod sweeper;
mod writer;
// One whole run.
mod run;
// Planted bugs must be caught.
mod planted_bugs;
// Interleavings that chance does not find.
mod directed;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use run::{Outcome, simulate, simulate_with_checks};

/// Seeds of one run of the tests; `SILTSTONE_SEEDS=n` for more.
const SEEDS: u64 = 2_000;

fn seeds() -> u64 {
    number("SILTSTONE_SEEDS").unwrap_or(SEEDS)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is `{text}`, which is no number")))
}

/// What the runs of all seeds came to, on all cores: each run has a thread to itself.
fn total_of(seeds: u64, simulate: impl Fn(u64) -> Outcome + Sync) -> world::Counts {
    let next = AtomicU64::new(0);
    let some_seeds = || {
        let mut total = world::Counts::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return total;
            }
            let Outcome { violation, counts, .. } = simulate(seed);
            assert_eq!(violation, None, "seed {seed}");
            total.add(&counts);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut total = world::Counts::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(some_seeds)).collect();
        threads.into_iter().for_each(|thread| total.add(&thread.join().unwrap()));
    });
    println!("{seeds} seeds: {total:?}");
    total
}

#[test]
fn should_do_the_same_for_the_same_seed() {
    for seed in 0..5 {
        let (one, other) = (simulate(seed), simulate(seed));
        assert_eq!(one.log, other.log, "seed {seed}");
        assert_eq!(one.counts, other.counts, "seed {seed}");
    }
    assert_ne!(simulate(0).log, simulate(1).log);
}

#[test]
fn should_lose_nothing_and_show_nothing_twice_whatever_happens() {
    let total = total_of(seeds(), simulate);
    // A simulation in which nothing happens proves nothing.
    assert!(
        total.queries > seeds() && total.merges > seeds() / 4 && total.crashes > seeds() / 4,
        "{total:?}"
    );
    assert!(total.late_queries < total.queries / 2, "{total:?}");
}

/// Somebody checks the bucket again and again, whatever the others do.
#[test]
fn should_find_nothing_wrong_whatever_happens() {
    let total = total_of(seeds() / 3, simulate_with_checks);
    assert!(total.checks > seeds() / 2 && total.merges > seeds() / 12, "{total:?}");
}

/// `SILTSTONE_SEED=n` tells what happens in one run.
#[test]
fn should_tell_one_run() {
    let seed = number("SILTSTONE_SEED").unwrap_or(0);
    let outcome = simulate(seed);
    if std::env::var_os("SILTSTONE_SEED").is_some() {
        outcome.story.iter().for_each(|line| println!("{line}"));
        if std::env::var_os("SILTSTONE_REQUESTS").is_some() {
            outcome.log.iter().for_each(|line| println!("{line}"));
        }
        println!("{:?}", outcome.violation);
    }
    assert!(!outcome.story.is_empty());
}
