//! What is promised of single cases.

use std::collections::BTreeSet;

use futures::FutureExt;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::kept::Until;
use siltstone_catalog::mark::MarkKind;
use siltstone_format::day::Day;
use siltstone_format::path::ObjectKey;

use super::truth::{DAY, HOUR, START, Sent};
use super::world::World;
use crate::plan::Policy;
use crate::planted::{Bug, with_bug};
use crate::retain::outlook::Fate;
use crate::service::When;

/// The hour in which the first day is over.
const END: u32 = 20_001 * 24;

fn sent(number: u64, trace: u64, start: u64) -> Sent {
    Sent { number, trace, start: START + start, failed: false, paid: false, slow: false, committed: 0 }
}

fn failed(number: u64, trace: u64, start: u64) -> Sent {
    Sent { failed: true, ..sent(number, trace, start) }
}

fn world(rules: &str) -> World {
    World::new(Some(rules), Policy::default())
}

/// Lets time pass to an hour after the first day, and does all that is to be done. What is known of the store's time is
/// a little behind it.
fn work_at(world: &World, hours: u64) {
    let to = START + DAY + hours * HOUR + HOUR / 60;
    world.pass(to.saturating_sub(world.now()));
    world.compact(When::Now);
}

fn seen(world: &World) -> Vec<u64> {
    world.seen().into_iter().collect()
}

/// Until when blocks of the first day are kept.
fn untils(world: &World) -> BTreeSet<Option<Until>> {
    let blocks = world.blocks().into_iter().filter(|(section, _)| *section == Section::Day(Day(20_000)));
    blocks.map(|(_, block): (_, BlockEntry)| block.kept.map(|kept| kept.until)).collect()
}

#[test]
fn should_let_a_day_go_an_hour_after_its_time_and_keep_what_matters_longer() {
    let world = world("keep 24h; keep 48h where status = error; keep 72h where archived");
    world.flush(&[sent(0, 1, HOUR), sent(1, 2, HOUR), sent(2, 3, 2 * HOUR), failed(3, 3, 3 * HOUR)]);
    world.mark(MarkKind::Archive, 2);
    work_at(&world, 23);
    assert_eq!(seen(&world), [0, 1, 2, 3]);
    work_at(&world, 24);
    assert_eq!(seen(&world), [1, 2, 3]);
    assert_eq!(untils(&world), [Some(Until::Hour(END + 48)), Some(Until::Hour(END + 72))].into());
    work_at(&world, 48);
    assert_eq!(seen(&world), [1]);
    work_at(&world, 72);
    assert!(seen(&world).is_empty());
    assert!(world.compactor.metrics().counts().rows_expired >= 4);
}

#[test]
fn should_let_nothing_go_without_rules() {
    let world = World::new(None, Policy::default());
    world.flush(&[sent(0, 1, HOUR)]);
    work_at(&world, 10_000);
    world.set_rules(Some("keep 1h; keep 100000h where archived"), false);
    world.set_rules(None, true);
    work_at(&world, 20_000);
    assert_eq!(seen(&world), [0]);
    assert_eq!(untils(&world), [None].into());
}

#[test]
fn should_judge_a_trace_by_all_its_parts_wherever_they_stand() {
    let world = world("keep 6h; keep 90d where status = error");
    // Each part in a block of its own; one is of the next day, one is still in the inbox when the day is decided.
    world.flush(&[sent(0, 1, HOUR), sent(1, 2, 23 * HOUR), sent(2, 3, 23 * HOUR)]);
    work_at(&world, 0);
    world.flush(&[failed(3, 1, 20 * HOUR), failed(4, 2, 25 * HOUR)]);
    work_at(&world, 5);
    world.pass(55 * 60_000_000_000);
    world.flush(&[failed(5, 3, 26 * HOUR)]);
    world.finish(world.compactor.round(When::Worth)).unwrap();
    work_at(&world, 30);
    assert_eq!(seen(&world), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn should_judge_a_late_span_with_its_trace_if_that_is_there_and_else_alone() {
    let world = world("keep 6h; keep 20h where service_name = \"payment\"; keep 90h where status = error");
    world.flush(&[sent(0, 1, HOUR), Sent { paid: true, ..sent(1, 2, HOUR) }]);
    work_at(&world, 7);
    assert_eq!(seen(&world), [1]);
    world.flush(&[failed(2, 1, 2 * HOUR), failed(3, 2, 2 * HOUR), sent(4, 2, 3 * HOUR), sent(5, 1, HOUR)]);
    work_at(&world, 8);
    // The first trace was gone, and what is left of it is one trace.
    assert_eq!(seen(&world), [1, 2, 3, 4, 5]);
    assert_eq!(untils(&world), [Some(Until::Hour(END + 90))].into());
    world.flush(&[sent(6, 2, 4 * HOUR), sent(7, 3, 4 * HOUR)]);
    work_at(&world, 9);
    assert_eq!(seen(&world), [1, 2, 3, 4, 5, 6]);
    work_at(&world, 90);
    assert!(seen(&world).is_empty());
}

/// Pauses a compactor at each await of a round in turn, and lets something happen meanwhile by which all that is there is
/// kept so many hours. Where it was paused if something of that goes all the same.
fn goes_if_paused(due: impl Fn() -> World, meanwhile: impl Fn(&World), hours: u64) -> Option<usize> {
    let mut paused_at = 0;
    loop {
        let world = due();
        let compactor = world.another_compactor();
        let mut round = Box::pin(compactor.round(When::Now));
        let has_ended = (0..paused_at).any(|_| {
            world.pass(10_000);
            (&mut round).now_or_never().is_some()
        });
        if has_ended {
            assert!(paused_at > 10, "it was paused {paused_at} times");
            return None;
        }
        meanwhile(&world);
        let there = seen(&world);
        // What it comes to is another matter: others may have done its work.
        let _ = world.finish(round);
        world.pass(hours * HOUR);
        world.compact(When::Now);
        if seen(&world) != there {
            return Some(paused_at);
        }
        paused_at += 1;
    }
}

/// What is kept six hours is due in its first hour, and what is kept longer was decided before.
fn with_something_due(hours: u64) -> World {
    let world = world("keep 6h; keep 20h where status = error");
    world.flush(&[sent(0, 1, HOUR), failed(1, 2, HOUR)]);
    work_at(&world, if hours > 6 { 7 } else { 5 });
    world.pass(START + DAY + hours * HOUR + HOUR / 60 - world.now());
    world
}

#[test]
fn should_count_what_came_before_a_day_was_due_wherever_a_compactor_is_paused() {
    let due_soon = || {
        let world = world("keep 6h; keep 90h where status = error");
        world.flush(&[sent(0, 1, HOUR)]);
        work_at(&world, 5);
        world
    };
    let say_otherwise = |world: &World| {
        world.flush(&[failed(1, 1, 2 * HOUR)]);
        world.pass(HOUR);
    };
    assert_eq!(goes_if_paused(due_soon, say_otherwise, 1), None);
    let later = || goes_if_paused(due_soon, say_otherwise, 1);
    assert!(with_bug(Bug::LaterTime, later).is_some(), "it is not found");
}

#[test]
fn should_not_give_up_what_is_archived_or_kept_by_new_rules_wherever_a_compactor_is_paused() {
    let archive = |world: &World| (1..=2).for_each(|trace| world.mark(MarkKind::Archive, trace));
    let keep_longer = |world: &World| world.set_rules(Some("keep 90h"), true);
    for (hours, bug) in [(6, Bug::DecideUnchecked), (20, Bug::ExpireUnchecked)] {
        let due = || with_something_due(hours);
        assert_eq!(goes_if_paused(due, archive, 1), None, "{hours}");
        assert_eq!(goes_if_paused(due, keep_longer, 1), None, "{hours}");
        assert!(with_bug(bug, || goes_if_paused(due, archive, 1)).is_some(), "{bug:?} is not found");
        assert!(with_bug(bug, || goes_if_paused(due, keep_longer, 1)).is_some(), "{bug:?} is not found");
    }
}

/// Blocks are decided about one by one; an error is kept twenty hours, a payment ninety, all else six.
fn with_a_block_of_its_own(first: Sent) -> World {
    let one_by_one = Policy { most_rows: 1, ..Policy::default() };
    let rules = "keep 6h; keep 20h where status = error; keep 90h where service_name = \"payment\"";
    let world = World::new(Some(rules), one_by_one);
    world.flush(&[first]);
    world
}

/// A span of the same trace comes late, and is a payment. Compactors do one thing after the other, and the last of them
/// ends when its block is decided about, whatever is left.
fn decide_about_a_late_payment(world: &World) {
    world.flush(&[Sent { paid: true, ..sent(1, 1, HOUR) }]);
    let begins_with_it =
        |block: &BlockEntry| block.summary.spans.min_start_unix_nano == START + HOUR && block.kept.is_some();
    world.finish(world.compactor_without_rules().round(When::Now)).unwrap();
    let mut rounds = 0;
    while !world.blocks().iter().any(|(_, block)| begins_with_it(block)) {
        world.pass(HOUR / 3_600);
        // One that knows nothing of a day that another one had begun to decide.
        world.finish(world.compactor_of_one_job().round(When::Now)).unwrap();
        rounds += 1;
        assert!(rounds < 100, "it does not come to it");
    }
}

#[test]
fn should_not_decide_a_trace_by_less_than_another_compactor_has_decided_by() {
    // The one would be kept for less than the payment, the other would go at once.
    for first in [failed(0, 1, 2 * HOUR), sent(0, 1, 2 * HOUR)] {
        let due = || {
            let world = with_a_block_of_its_own(first);
            work_at(&world, 5);
            world.pass(START + DAY + 6 * HOUR + HOUR / 60 - world.now());
            world
        };
        assert_eq!(goes_if_paused(due, decide_about_a_late_payment, 15), None);
        let blindly = || goes_if_paused(due, decide_about_a_late_payment, 15);
        assert!(with_bug(Bug::DecideBlindly, blindly).is_some(), "{first:?}");
    }
}

#[test]
fn should_keep_a_trace_longer_before_what_says_so_is_decided_about() {
    let kept = || {
        let world = with_a_block_of_its_own(failed(0, 1, 2 * HOUR));
        work_at(&world, 7);
        assert_eq!(untils(&world), [Some(Until::Hour(END + 20))].into());
        decide_about_a_late_payment(&world);
        work_at(&world, 21);
        seen(&world)
    };
    assert_eq!(kept(), [0, 1]);
    assert_eq!(with_bug(Bug::UndecidedFirst, kept), [1]);
}

#[test]
fn should_apply_new_rules_to_what_is_undecided_and_to_the_rest_if_that_is_asked_for() {
    let world = world("keep 6h; keep 90h where status = error");
    world.flush(&[failed(0, 1, HOUR), sent(1, 2, HOUR), failed(2, 3, 30 * HOUR)]);
    work_at(&world, 7);
    world.set_rules(Some("keep 6h; keep 40h where status = error"), false);
    work_at(&world, 31);
    assert_eq!(untils(&world), [Some(Until::Hour(END + 90))].into());
    let second: Vec<_> = world.blocks().iter().map(|(_, block)| block.kept.map(|kept| kept.until)).collect();
    assert!(second.contains(&Some(Until::Hour(END + 24 + 40))), "{second:?}");
    world.set_rules(Some("keep 6h; keep 40h where status = error"), true);
    work_at(&world, 32);
    assert_eq!(untils(&world), [Some(Until::Hour(END + 40))].into());
    work_at(&world, 40);
    assert_eq!(seen(&world), [2]);
}

#[test]
fn should_keep_what_is_archived_from_then_on() {
    let world = world("keep 6h; keep 48h where status = error");
    world.flush(&[sent(0, 1, HOUR), failed(1, 2, HOUR), failed(2, 3, HOUR)]);
    work_at(&world, 1);
    world.mark(MarkKind::Archive, 1);
    work_at(&world, 7);
    // After it was decided.
    world.mark(MarkKind::Archive, 2);
    work_at(&world, 48);
    assert_eq!(seen(&world), [0, 1]);
    // What comes later too.
    world.flush(&[sent(3, 2, 2 * HOUR), sent(4, 2, 90 * HOUR), sent(5, 4, 2 * HOUR)]);
    work_at(&world, 2_000);
    assert_eq!(seen(&world), [0, 1, 3, 4]);
}

#[test]
fn should_let_nothing_of_a_day_go_while_a_block_cannot_be_read_that_may_say_otherwise() {
    let world = world("keep 6h; keep 48h where status = error");
    world.flush(&[sent(0, 1, HOUR)]);
    work_at(&world, 0);
    world.flush(&[failed(1, 1, 25 * HOUR)]);
    work_at(&world, 2);
    let beside = world.blocks().into_iter().find(|(section, _)| *section == Section::Day(Day(20_001)));
    let origins = ObjectKey::Origins(beside.unwrap().1.id());
    world.delete_object(&origins);
    work_at(&world, 7);
    assert_eq!(world.compactor.metrics().counts().days_put_off, 1);
    assert_eq!(untils(&world), [None].into());
}

/// Traces of which one span each is in one of these blocks and one in the next; of every third the later one failed, of
/// every seventh a third one that is of the next day. What is there when the day was decided, and whether it was.
fn decided_of_split_traces(memory: usize) -> (Vec<u64>, BTreeSet<Option<Until>>) {
    const BLOCKS: u64 = 18;
    const TRACES: u64 = 180;
    let rules = "keep 6h; keep 48h where status = error; keep 90h where service_name = \"payment\"";
    let one_by_one = Policy { most_rows: 1, ..Policy::default() };
    let world = World::with_memory(Some(rules), one_by_one, memory);
    for block in 0..BLOCKS {
        let first = (0..TRACES).filter(|trace| trace % BLOCKS == block);
        let first = first.map(|trace| sent(trace, trace, (block + 1) * HOUR + trace));
        let later = (0..TRACES).filter(|trace| (trace + 1) % BLOCKS == block);
        let later = later.map(|trace| Sent {
            failed: trace % 3 == 0,
            ..sent(TRACES + trace, trace, (block + 1) * HOUR + trace)
        });
        world.flush(&first.chain(later).collect::<Vec<_>>());
        work_at(&world, 0);
    }
    let beside = (0..TRACES).filter(|trace| trace % 7 == 0);
    let beside = beside.map(|trace| Sent { paid: true, ..sent(2 * TRACES + trace, trace, DAY + trace) });
    world.flush(&beside.collect::<Vec<_>>());
    work_at(&world, 7);
    assert_eq!(world.compactor.metrics().counts().days_put_off, 0);
    (seen(&world), untils(&world))
}

#[test]
fn should_decide_a_day_by_parts_that_has_more_traces_than_there_is_room_for() {
    let all_at_once = decided_of_split_traces(4 << 20);
    assert_eq!(all_at_once.1, [Some(Until::Hour(END + 48)), Some(Until::Hour(END + 90))].into());
    let kept = |trace: u64| trace.is_multiple_of(3) || trace.is_multiple_of(7);
    let expected = (0..360).filter(|number| kept(number % 180));
    let beside = (0..180).filter(|trace| trace % 7 == 0).map(|trace| 360 + trace);
    assert_eq!(all_at_once.0, expected.chain(beside).collect::<Vec<_>>());
    // Room for fewer traces than are kept longer: for those of two blocks, of one, and of less than one.
    for memory in [8_000, 4_000, 2_000] {
        assert_eq!(decided_of_split_traces(memory), all_at_once, "{memory}");
        let forgotten = with_bug(Bug::ForgetOtherParts, || decided_of_split_traces(memory));
        assert_ne!(forgotten, all_at_once, "{memory}");
    }
}

#[test]
fn should_look_by_parts_as_far_as_all_at_once() {
    let rules = "keep 6h; keep 48h where status = error";
    let outlook_of = |memory_bytes| {
        let world = World::new(None, Policy { most_rows: 1, ..Policy::default() });
        for block in 0..4 {
            let spans = (0..80).map(|trace| Sent {
                failed: trace % 4 == block && trace % 3 != 0,
                ..sent(block * 80 + trace, trace, (block + 1) * HOUR + trace)
            });
            world.flush(&spans.collect::<Vec<_>>());
            work_at(&world, 0);
        }
        world.outlook(rules, memory_bytes)
    };
    let all_at_once = outlook_of(1 << 20);
    assert_eq!(all_at_once.values().map(|share| share.spans).sum::<u64>(), 320);
    let longer: Vec<u64> = all_at_once
        .iter()
        .filter(|((_, fate), _)| is_kept_longer(fate))
        .map(|(_, share)| share.spans)
        .collect();
    assert_eq!(longer, [4 * 53]);
    // Room for fewer traces than are kept longer.
    for memory in [1_000, 500] {
        assert_eq!(outlook_of(memory), all_at_once, "{memory}");
        assert_ne!(with_bug(Bug::ForgetOtherParts, || outlook_of(memory)), all_at_once, "{memory}");
    }
}

fn is_kept_longer(fate: &Fate) -> bool {
    matches!(fate, Fate::WouldBeKept(Until::Hour(hour), _) if *hour > END + 6)
}

#[test]
fn should_never_merge_what_is_kept_differently() {
    let policy = Policy { target_rows: 1_000, ..Policy::default() };
    let world =
        World::new(Some("keep 6h; keep 48h where status = error; keep 90h where duration >= 1s"), policy);
    for round in 0..6 {
        let number = round * 10;
        let slow = |number| Sent { slow: true, ..sent(number, number, HOUR + number) };
        world.flush(&[
            failed(number, number, HOUR + number),
            slow(number + 1),
            failed(number + 2, number + 2, 40),
        ]);
        work_at(&world, 7 + round);
        for (_, block) in world.blocks() {
            let failed = world.read(&block).iter().filter(|span| span.status_code == 2).count();
            assert!([0, block.summary.spans.rows as usize].contains(&failed), "{block:?}");
        }
        assert_eq!(untils(&world).len(), 2);
    }
    assert!(world.blocks().len() < 12);
    work_at(&world, 48);
    assert_eq!(seen(&world), [1, 11, 21, 31, 41, 51]);
}
