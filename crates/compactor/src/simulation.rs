//! Compactors on a bucket that fails, under seeded schedules: killed at any await, paused past their leases, late.
//!
//! One thread, virtual time. Writers flush spans, some of them twice; three compactors merge and sweep; readers look
//! at all blocks. Whatever is awaited is a request or a pause, and which of the waiting processes goes on next is
//! drawn from the seed. Somebody deletes traces meanwhile.
//!
//! Asserted on every reading: a span that was committed before it began is there, with all that it says, once unless
//! it was flushed twice, and not if its trace was deleted before; every block is what its entry says; nothing that a
//! good snapshot refers to is missing. In the end all is merged, no row of a deleted trace is left, each trace lies in
//! the day of its earliest span there, the catalog holds together, and the bucket has nothing that nobody needs.

// What is true, whoever says what; and what a process has.
mod world;
// The processes.
mod deleter;
mod reader;
mod writer;
// The store, time, and what happens to processes.
mod stage;
// One whole run.
mod run;
// The same with rules of retention.
mod retention;

use run::simulate;
use stage::Outcome;

use crate::planted::{Bug, with_bug};

/// Seeds of one run of the tests; `SILTSTONE_COMPACTOR_SEEDS=n` for more.
const SEEDS: u64 = 60;
/// Seeds within which a bug must be found.
const SEEDS_FOR_BUGS: u64 = 60;

fn seeds(usual: u64) -> u64 {
    match std::env::var("SILTSTONE_COMPACTOR_SEEDS") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("`{text}` is no number of seeds")),
        Err(_) => usual,
    }
}

#[test]
fn should_lose_nothing_and_merge_all_whatever_happens() {
    let mut total = world::Counts::default();
    for seed in 0..seeds(SEEDS) {
        let Outcome { violation, counts, story } = simulate(seed);
        assert_eq!(violation, None, "seed {seed}:\n{}", story.join("\n"));
        total.add(&counts);
    }
    println!("{total:?}");
    // What never happens is not tested.
    assert!(total.has_seen_all(), "{total:?}");
}

#[test]
fn should_do_the_same_for_the_same_seed() {
    let (one, other) = (simulate(3), simulate(3));
    assert_eq!((one.counts, one.story), (other.counts, other.story));
}

#[test]
fn should_catch_every_planted_bug() {
    for bug in [
        Bug::ForgetInput,
        Bug::BelieveUploads,
        Bug::LoserDeletes,
        Bug::LastDay,
        Bug::LoseWindow,
        Bug::CollapseById,
        Bug::KeepDeleted,
        Bug::NeverErase,
        Bug::ForgetWhatWasKnown,
    ] {
        let caught =
            with_bug(bug, || (0..SEEDS_FOR_BUGS).find_map(|seed| Some((seed, simulate(seed).violation?))));
        println!("{bug:?}: {caught:?}");
        assert!(caught.is_some(), "no seed finds {bug:?}");
    }
}
