//! Retention beside compactors that are killed at any await, paused past their leases and late, on a store that fails.
//!
//! It is the world of the simulation of merging, slower: what takes a second there takes twenty minutes here, and at times
//! hours pass in which nobody gets anything done, so that days are over, decided and gone while all of it goes on.
//! Two tenants have rules, which change; traces are archived and deleted, and spans come late. Five times all comes to
//! rest, and at times the catalog is rebuilt then, beside writers and people.
//!
//! Asserted on every reading: a span that some rule or mark keeps is there, by what all of its trace says that was
//! there when it was decided at the earliest; what was dropped or deleted never comes back; nothing is there twice.
//! Whenever all is at rest: what had to go is gone. In the end the bucket has the spans that are kept, each once, and
//! no other. What must be is told by spans and rules alone (`truth.rs`): by no block, filter or decision.

// What is true of spans and rules, whoever says what.
mod truth;
// The processes.
mod people;
mod reader;
mod writer;
// One whole run.
mod run;

use run::{Outcome, simulate};

use self::truth::Happened;
use crate::planted::{Bug, with_bug};

/// Seeds of one run of the tests; `SILTSTONE_COMPACTOR_SEEDS=n` for more.
const SEEDS: u64 = 8;
/// Seeds within which a bug must be found.
const SEEDS_FOR_BUGS: u64 = 40;

#[test]
fn should_keep_what_is_kept_and_drop_the_rest_whatever_happens() {
    let mut total = Happened::default();
    for seed in 0..super::seeds(SEEDS) {
        let Outcome { violation, happened, story } = simulate(seed);
        assert_eq!(violation, None, "seed {seed}:\n{}", story.join("\n"));
        total.add(&happened);
    }
    println!("{total:?}");
    // What never happens is not tested.
    assert!(total.has_seen_all(), "{total:?}");
}

#[test]
fn should_keep_and_drop_the_same_for_the_same_seed() {
    let (one, other) = (simulate(3), simulate(3));
    assert_eq!((one.happened, one.story), (other.happened, other.story));
}

#[test]
fn should_catch_every_planted_bug_of_retention() {
    for bug in [Bug::FragmentView, Bug::ForgetMarks, Bug::DropUndecided, Bug::ForgetBeside, Bug::OwnClock] {
        let caught =
            with_bug(bug, || (0..SEEDS_FOR_BUGS).find_map(|seed| Some((seed, simulate(seed).violation?))));
        println!("{bug:?}: {caught:?}");
        assert!(caught.is_some(), "no seed finds {bug:?}");
    }
}
