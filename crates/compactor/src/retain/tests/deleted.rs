//! What is deleted goes out of blocks that no merge touches any more, and costs little.

use std::collections::BTreeSet;

use siltstone_catalog::mark::MarkKind;
use siltstone_catalog::sweep::SweepMode;
use siltstone_format::path::ObjectKey;
use siltstone_testkit::Operation;

use super::costs::world_with_decided;
use super::truth::{HOUR, trace_id};
use crate::planted::{Bug, with_bug};
use crate::service::When;

#[test]
fn should_open_only_blocks_that_may_hold_what_is_deleted_to_take_it_out() {
    const BLOCKS: u64 = 300;
    let world = world_with_decided(BLOCKS);
    world.mark(MarkKind::Delete, 123);
    let (rounds, requests) = world.requests_of(|| world.compact(When::Now));
    let done = rounds.iter().flat_map(|round| &round.done);
    assert_eq!(done.map(|done| (done.blocks_read, done.deleted)).collect::<Vec<_>>(), [(1, 4)]);
    let opened: BTreeSet<ObjectKey> = requests
        .iter()
        .filter(|request| matches!(request.operation, Operation::Get | Operation::GetRange))
        .filter_map(|request| request.location.as_ref().parse().ok())
        .filter(|key| matches!(key, ObjectKey::Spans(_)))
        .collect();
    println!("{} of {BLOCKS} blocks were opened", opened.len());
    // One block in a thousand may be taken for one that holds it.
    assert!(opened.len() <= 2, "{opened:?}");
    assert_eq!(world.seen().len() as u64, BLOCKS * 4 - 4);
}

/// After how many hours no block has spans of a deleted trace, and no object of the blocks that had some is there.
fn hours_until_gone() -> Option<u64> {
    let world = world_with_decided(20);
    let holding = || {
        let blocks = world.blocks().into_iter().map(|(_, block)| block);
        let holding =
            blocks.filter(|block| world.read(block).iter().any(|span| span.trace_id == trace_id(7)));
        holding.map(|block| block.id()).collect::<Vec<_>>()
    };
    let held = holding();
    assert_eq!(held.len(), 1);
    world.mark(MarkKind::Delete, 7);
    (1..=22).find(|_| {
        world.pass(HOUR);
        world.compact(When::Worth);
        world.finish(world.compactor.sweep(SweepMode::Delete)).unwrap();
        let is_there = |key: ObjectKey| world.has_object(&key);
        let is_stored =
            held.iter().any(|id| is_there(ObjectKey::Spans(*id)) || is_there(ObjectKey::Origins(*id)));
        holding().is_empty() && !is_stored
    })
}

#[test]
fn should_take_what_is_deleted_out_of_full_blocks_and_of_the_store_within_hours() {
    let hours = hours_until_gone();
    println!("gone after {hours:?} hours");
    assert!(hours.is_some_and(|hours| hours <= 3), "{hours:?}");
    assert_eq!(with_bug(Bug::NeverErase, hours_until_gone), None);
}
