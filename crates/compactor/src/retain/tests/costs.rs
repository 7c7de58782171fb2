//! What retention costs: requests, and what is read.

use siltstone_format::path::ObjectKey;
use siltstone_testkit::Operation;

use super::truth::{DAY, HOUR, START, Sent};
use super::world::World;
use crate::plan::Policy;
use crate::service::When;

/// Blocks of four spans, all decided, that go together.
pub(super) fn world_with_decided(blocks: u64) -> World {
    let policy = Policy { target_rows: 4, ..Policy::default() };
    let world = World::new(Some("keep 6h; keep 30h where status = error"), policy);
    let span = |number: u64| Sent {
        number,
        trace: number / 4,
        start: START + HOUR + number,
        failed: true,
        paid: false,
        slow: false,
        committed: 0,
    };
    let sent: Vec<Sent> = (0..blocks * 4).map(span).collect();
    world.flush(&sent);
    world.pass(DAY + 7 * HOUR);
    world.compact(When::Now);
    assert_eq!(world.blocks().len() as u64, blocks);
    assert!(world.blocks().iter().all(|(_, block)| block.kept.is_some()));
    world
}

#[test]
fn should_give_up_many_blocks_as_cheaply_as_few_and_read_none() {
    let cost = |blocks: u64| {
        let world = world_with_decided(blocks);
        world.pass(23 * HOUR);
        let (round, requests) =
            world.requests_of(|| world.finish(world.compactor.round(When::Worth)).unwrap());
        assert_eq!(round.expired as u64, blocks);
        assert!(world.seen().is_empty());
        let read_blocks = requests.iter().filter(|request| {
            let key = request.location.as_ref().parse::<ObjectKey>();
            let is_read = matches!(request.operation, Operation::Get | Operation::GetRange | Operation::Head);
            is_read && matches!(key, Ok(ObjectKey::Spans(_) | ObjectKey::Origins(_)))
        });
        assert_eq!(read_blocks.count(), 0, "{requests:?}");
        requests.len()
    };
    let (few, many) = (cost(10), cost(300));
    println!("{few} requests for 10 blocks, {many} for 300");
    assert!(many <= few + 4, "{few} and {many}");
}

#[test]
fn should_ask_nothing_of_the_store_while_nothing_is_due() {
    let world = world_with_decided(20);
    world.pass(HOUR);
    world.compact(When::Worth);
    let (_, with) = world.requests_of(|| world.finish(world.compactor.round(When::Worth)).unwrap());
    assert_eq!(with.len(), 1, "{with:?}");
}

#[test]
fn should_let_a_day_go_without_a_look_into_it_where_all_is_kept_equally_long() {
    let world = World::new(Some("keep 6h"), Policy::default());
    let span = |number| Sent {
        number,
        trace: number,
        start: START + HOUR,
        failed: number % 2 == 0,
        paid: false,
        slow: false,
        committed: 0,
    };
    world.flush(&(0..50).map(span).collect::<Vec<_>>());
    world.pass(DAY);
    world.compact(When::Now);
    world.pass(6 * HOUR);
    let (rounds, requests) = world.requests_of(|| world.compact(When::Now));
    assert_eq!(rounds.iter().map(|round| round.expired).sum::<usize>(), 1);
    let blocks = requests.iter().filter(|request| request.location.as_ref().starts_with("blk/"));
    assert_eq!(blocks.count(), 0, "{requests:?}");
}
