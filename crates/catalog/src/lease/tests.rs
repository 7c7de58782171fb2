//! Leases on a store whose time is the test's.

use std::time::Duration;

use super::*;
use crate::test_world::TestWorld;

const MINUTE: Duration = Duration::from_secs(60);

fn ours(acquired: Acquired) -> Lease {
    match acquired {
        Acquired::Ours(lease) => lease,
        busy => panic!("{busy:?}"),
    }
}

#[test]
fn should_give_a_lease_to_one_and_tell_the_other_how_long() {
    let world = TestWorld::new();
    let (one, other) = (world.process(), world.process());
    let lease = ours(world.finish(one.acquire_lease("merge", MINUTE)).unwrap());
    world.pass(Duration::from_secs(20));
    let asked = world.finish(other.acquire_lease("merge", MINUTE)).unwrap();
    let Acquired::Busy { owner, stale_in } = asked else { panic!("{asked:?}") };
    assert_eq!(owner, lease.record.owner);
    assert!(stale_in <= Duration::from_secs(40), "{stale_in:?}");
    ours(world.finish(other.acquire_lease("another job", MINUTE)).unwrap());
}

#[test]
fn should_take_over_a_stale_lease_and_tell_its_holder() {
    let world = TestWorld::new();
    let (one, other) = (world.process(), world.process());
    let lease = ours(world.finish(one.acquire_lease("merge", MINUTE)).unwrap());
    world.pass(MINUTE + Duration::from_secs(1));
    ours(world.finish(other.acquire_lease("merge", MINUTE)).unwrap());
    assert_eq!(world.finish(one.renew_lease(&lease)).unwrap(), None);
    // Giving back what is no longer ours takes nothing from the new holder.
    world.finish(one.release_lease(&lease)).unwrap();
    let third = world.process();
    assert!(matches!(world.finish(third.acquire_lease("merge", MINUTE)).unwrap(), Acquired::Busy { .. }));
}

#[test]
fn should_keep_a_lease_that_is_renewed_and_free_one_that_is_given_back() {
    let world = TestWorld::new();
    let (one, other) = (world.process(), world.process());
    let mut lease = ours(world.finish(one.acquire_lease("merge", MINUTE)).unwrap());
    for _ in 0..5 {
        world.pass(MINUTE / 2);
        lease = world.finish(one.renew_lease(&lease)).unwrap().unwrap();
        let asked = world.finish(other.acquire_lease("merge", MINUTE)).unwrap();
        assert!(matches!(asked, Acquired::Busy { .. }), "{asked:?}");
    }
    assert_eq!(lease.record.renewals, 5);
    world.finish(one.release_lease(&lease)).unwrap();
    ours(world.finish(other.acquire_lease("merge", MINUTE)).unwrap());
}

#[test]
fn should_pass_over_a_damaged_lease_when_it_is_old() {
    let world = TestWorld::new();
    let process = world.process();
    let key = ObjectKey::Lease(lease_of("merge"));
    world.put(&key, b"rubbish".to_vec());
    let asked = world.finish(process.acquire_lease("merge", MINUTE)).unwrap();
    assert!(matches!(asked, Acquired::Busy { .. }), "{asked:?}");
    world.pass(MINUTE * 2);
    ours(world.finish(process.acquire_lease("merge", MINUTE)).unwrap());
}

#[test]
fn should_ask_for_the_store_s_time_once_and_leave_nothing_behind() {
    let world = TestWorld::new();
    let (one, other) = (world.process(), world.process());
    let lease = ours(world.finish(one.acquire_lease("merge", MINUTE)).unwrap());
    world.finish(other.acquire_lease("merge", MINUTE)).unwrap();
    let before = world.requests();
    world.finish(other.acquire_lease("merge", MINUTE)).unwrap();
    assert_eq!(world.requests() - before, 2, "a create and a look at who holds it");
    world.finish(one.release_lease(&lease)).unwrap();
    assert_eq!(world.keys("lse"), Vec::<String>::new());
}
