//! Each repair of the protocol switched off: the simulation must notice. Those that
//! chance does not find are in [`super::directed`].

use super::simulate;
use crate::planted::{Bug, Planting};

/// Seeds within which a bug must be found.
const SEEDS: u64 = 1_000;

/// The first seed that finds the bug, and what it finds.
fn caught(bugs: &[Bug]) -> Option<(u64, String)> {
    let _planting = Planting::of(bugs.iter().copied());
    (0..SEEDS).find_map(|seed| Some((seed, simulate(seed).violation?)))
}

macro_rules! must_be_caught {
    ($($name:ident: $($bug:ident)+, $finding:literal;)+) => {$(
        #[test]
        fn $name() {
            let caught = caught(&[$(Bug::$bug),+]);
            println!("{}: {caught:?}", stringify!($($bug)+));
            let (_, finding) = caught.expect("no seed finds it");
            assert!(finding.contains($finding), "{finding}");
        }
    )+};
}

must_be_caught! {
    should_catch_a_forgotten_high_water_mark: NoHighWater, "";
    should_catch_gaps: Gaps, "";
    should_catch_roots_looked_for_by_number: ProbeRoots, "";
    should_catch_belief_in_answers: BelieveAnswers, "";
    should_catch_a_publish_without_a_nonce: NoNonce, "";
    should_catch_a_missing_fence: NoFence, "";
    should_catch_a_late_commit_that_is_believed: FastAck, "";
    should_catch_a_commit_believed_after_a_restart: RestartFastAck, "";
    should_catch_a_reader_that_asks_ingesters_last: LiveLast, "";
    should_catch_a_snapshot_that_does_not_cover: NoCover, "";
    should_catch_live_spans_dropped_by_block: DropByBlock, "";
    should_catch_outputs_that_count_as_clean: StaleMarks, "";
    should_catch_marks_dropped_too_soon: DropMarks, "";
    should_catch_retired_blocks_swept_by_their_age: RetiredByAge, "";
    should_catch_given_up_days_that_come_back: NoCut, "";
    should_catch_trust_in_a_conflict: TrustExists, "";
    should_catch_forgotten_writers_that_come_back: ForgottenWriters, "";
    should_catch_store_time_that_stands_still: NoTick, "garbage waits";
}
