use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use siltstone_testkit::VirtualClock;

use super::*;
use crate::test_clock::TestClock;

const SECOND: Duration = Duration::from_secs(1);

fn budget(bytes: usize) -> (Budget, VirtualClock) {
    let clock = VirtualClock::starting_at(0);
    (Budget::new(bytes, Arc::new(TestClock(clock.clone()))), clock)
}

type Wait<'a> = Pin<Box<dyn Future<Output = Result<Reservation, NoRoom>> + Send + 'a>>;

fn poll(wait: &mut Wait<'_>) -> Poll<Result<Reservation, NoRoom>> {
    wait.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// A wait that has taken its place in the queue.
fn queued(budget: &Budget, bytes: usize) -> Wait<'_> {
    let mut wait: Wait<'_> = Box::pin(budget.reserve(bytes, SECOND));
    assert!(poll(&mut wait).is_pending());
    wait
}

fn granted(wait: &mut Wait<'_>) -> Reservation {
    match poll(wait) {
        Poll::Ready(Ok(reservation)) => reservation,
        Poll::Ready(Err(no_room)) => panic!("{no_room}"),
        Poll::Pending => panic!("still waits"),
    }
}

#[test]
fn should_count_what_is_held_and_the_most_that_ever_was() {
    let (budget, _) = budget(100);
    let mut first = budget.try_reserve(60).expect("room");
    assert!(budget.try_reserve(41).is_none());
    assert!(budget.try_reserve(usize::MAX).is_none());
    assert_eq!(first.grow(41), Err(NoRoom { wanted: 101, used: 0, limit: 100 }));
    first.grow(40).expect("room");
    first.shrink(70);
    assert_eq!((first.bytes(), budget.used(), budget.high_water()), (30, 30, 100));
    let mut second = first.split(10);
    second.absorb(budget.try_reserve(5).expect("room"));
    drop(first);
    assert_eq!((second.bytes(), budget.used()), (15, 15));
    second.shrink(1_000);
    drop(second);
    assert_eq!((budget.used(), budget.high_water()), (0, 100));
}

#[test]
fn should_serve_in_order_of_arrival_and_let_nobody_overtake() {
    let (budget, _) = budget(100);
    let mut held = budget.try_reserve(90).expect("room");
    let (mut large, mut small) = (queued(&budget, 50), queued(&budget, 10));
    // There is room for this one, but others were here before.
    assert!(budget.try_reserve(5).is_none());
    // What is worked on goes first.
    held.grow(10).expect("room");
    held.shrink(40);
    assert!(poll(&mut large).is_pending() && poll(&mut small).is_pending());
    held.shrink(10);
    let large = granted(&mut large);
    assert!(poll(&mut small).is_pending());
    drop(large);
    assert_eq!(granted(&mut small).bytes(), 10);
    drop(held);
    assert_eq!(budget.used(), 0);
}

#[test]
fn should_turn_away_what_can_never_fit_and_who_will_not_wait() {
    let (budget, _) = budget(100);
    let refused = |bytes, patience| {
        let waiting = pin!(budget.reserve(bytes, patience));
        matches!(waiting.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
    };
    assert!(refused(101, SECOND));
    let _held = budget.try_reserve(100).expect("room");
    assert!(refused(1, Duration::ZERO));
    let _waits: Vec<_> = (0..MOST_WAITERS).map(|_| queued(&budget, 1)).collect();
    assert!(refused(1, SECOND));
}

#[test]
fn should_tell_what_never_fits_from_what_does_not_fit_now() {
    let (budget, _) = budget(100);
    let is_for_good = |bytes| {
        let waiting = pin!(budget.reserve(bytes, Duration::ZERO));
        match waiting.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(no_room)) => no_room.is_for_good(),
            _ => panic!("there is room for {bytes}"),
        }
    };
    let mut held = budget.try_reserve(60).expect("room");
    let _of_another = budget.try_reserve(30).expect("room");
    assert!(!is_for_good(100) && is_for_good(101));
    // What is held already is a part of what never fits.
    assert!(!held.grow(40).expect_err("no room").is_for_good());
    assert!(held.grow(41).expect_err("no room").is_for_good());
    assert!(held.grow(usize::MAX).expect_err("no room").is_for_good());
}

#[test]
fn should_give_up_at_the_deadline_and_let_the_next_one_through() {
    let (budget, clock) = budget(100);
    let held = budget.try_reserve(60).expect("room");
    let mut large = queued(&budget, 50);
    clock.advance(SECOND / 2);
    let mut small = queued(&budget, 40);
    clock.advance(SECOND / 2);
    assert!(matches!(poll(&mut large), Poll::Ready(Err(NoRoom { wanted: 50, used: 60, .. }))));
    assert_eq!(granted(&mut small).bytes(), 40);
    assert_eq!((budget.used(), budget.waiters(), clock.sleepers()), (60, 0, 0));
    drop(held);
}

#[test]
fn should_give_what_was_granted_in_time_even_if_it_is_looked_at_late() {
    let (budget, clock) = budget(10);
    let held = budget.try_reserve(10).expect("room");
    let mut wait = queued(&budget, 10);
    drop(held);
    clock.advance(SECOND * 2);
    assert_eq!(granted(&mut wait).bytes(), 10);
}

#[test]
fn should_get_back_what_was_granted_to_somebody_who_has_gone() {
    let (budget, _) = budget(10);
    let held = budget.try_reserve(10).expect("room");
    let (gone, mut next) = (queued(&budget, 10), queued(&budget, 10));
    drop(held);
    assert_eq!((budget.used(), budget.waiters()), (10, 1));
    drop(gone);
    assert_eq!(granted(&mut next).bytes(), 10);
    assert_eq!((budget.used(), budget.waiters()), (0, 0));
}

#[test]
fn should_let_the_next_ones_through_when_the_first_one_goes() {
    let (budget, _) = budget(10);
    let _held = budget.try_reserve(5).expect("room");
    let (gone, mut next) = (queued(&budget, 10), queued(&budget, 5));
    drop(gone);
    assert_eq!(granted(&mut next).bytes(), 5);
}

#[derive(Clone, Debug)]
enum Act {
    Try(usize),
    Wait(usize),
    Grow(usize, usize),
    Shrink(usize, usize),
    Drop(usize),
    Abandon(usize),
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let bytes = 0..120_usize;
    let at = 0..8_usize;
    proptest::collection::vec(
        prop_oneof![
            bytes.clone().prop_map(Act::Try),
            bytes.clone().prop_map(Act::Wait),
            (at.clone(), bytes.clone()).prop_map(|(at, bytes)| Act::Grow(at, bytes)),
            (at.clone(), bytes).prop_map(|(at, bytes)| Act::Shrink(at, bytes)),
            at.clone().prop_map(Act::Drop),
            at.prop_map(Act::Abandon),
            (0..700_u64).prop_map(Act::Pass),
        ],
        0..60,
    )
}

proptest! {
    #[test]
    fn should_balance_whatever_happens(acts in acts()) {
        let (budget, clock) = budget(100);
        let mut held: Vec<Reservation> = Vec::new();
        let mut waits: VecDeque<Wait<'_>> = VecDeque::new();
        for act in acts {
            match act {
                Act::Try(bytes) => held.extend(budget.try_reserve(bytes)),
                Act::Wait(bytes) => waits.push_back(Box::pin(budget.reserve(bytes, SECOND))),
                Act::Grow(at, bytes) => { let _ = held.get_mut(at).map(|held| held.grow(bytes)); }
                Act::Shrink(at, bytes) => { held.get_mut(at).into_iter().for_each(|held| held.shrink(bytes)); }
                Act::Drop(at) if at < held.len() => drop(held.swap_remove(at)),
                Act::Abandon(at) => drop(waits.remove(at)),
                Act::Drop(_) => {}
                Act::Pass(millis) => clock.advance(Duration::from_millis(millis)),
            }
            waits.retain_mut(|wait| match poll(wait) {
                Poll::Ready(answer) => { held.extend(answer.ok()); false }
                Poll::Pending => true,
            });
            let sum: usize = held.iter().map(Reservation::bytes).sum();
            prop_assert_eq!(budget.used(), sum);
            prop_assert!(sum <= 100 && budget.high_water() <= 100);
            prop_assert_eq!(budget.waiters(), waits.len());
            // The first one waits only because there is no room for it; nobody waits when nothing is held.
            prop_assert!(sum > 0 || waits.is_empty());
        }
        waits.clear();
        held.clear();
        prop_assert_eq!((budget.used(), budget.waiters(), clock.sleepers()), (0, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn should_balance_and_get_everybody_through_under_contention() {
    let (budget, _) = budget(1_000);
    let tasks: Vec<_> = (0..16_usize)
        .map(|task| {
            let budget = budget.clone();
            tokio::spawn(async move {
                for round in 0..300_usize {
                    let bytes = (task * 131 + round * 17) % 900 + 1;
                    if round % 7 == 3 {
                        // Goes away while it waits.
                        let wait = tokio::spawn({
                            let budget = budget.clone();
                            async move { budget.reserve(bytes, SECOND).await.map(drop) }
                        });
                        tokio::task::yield_now().await;
                        wait.abort();
                        continue;
                    }
                    let mut reservation = budget.reserve(bytes, SECOND).await.expect("time stands still");
                    let _ = reservation.grow(50);
                    tokio::task::yield_now().await;
                    reservation.shrink(10);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    while budget.waiters() + budget.used() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(budget.high_water() <= 1_000);
}
