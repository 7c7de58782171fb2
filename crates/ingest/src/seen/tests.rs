use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use siltstone_testkit::VirtualClock;

use super::*;
use crate::export::SpanFault;
use crate::test_clock::TestClock;

fn seen(outcomes: usize) -> (Seen, VirtualClock) {
    let clock = VirtualClock::starting_at(0);
    let memory = Memory { outcomes, ..Memory::default() };
    (Seen::new(memory, 7, Arc::new(TestClock(clock.clone()))), clock)
}

fn accepted(spans: u64) -> Accepted {
    Accepted { spans, ..Accepted::default() }
}

type Looking<'a> = Pin<Box<dyn Future<Output = Look> + Send + 'a>>;

fn looking<'a>(seen: &'a Seen, body: &'a [u8]) -> Looking<'a> {
    Box::pin(async move { seen.look(&Tenant::single(), body).await })
}

fn poll(looking: &mut Looking<'_>) -> Poll<Look> {
    looking.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// One that waits for another.
fn waiting<'a>(seen: &'a Seen, body: &'a [u8]) -> Looking<'a> {
    let mut looking = looking(seen, body);
    assert!(poll(&mut looking).is_pending());
    looking
}

fn turn(poll: Poll<Look>) -> Turn {
    match poll {
        Poll::Ready(Look::First(turn)) => turn,
        Poll::Ready(Look::Known(accepted)) => panic!("known as {accepted:?}"),
        Poll::Pending => panic!("waits"),
    }
}

fn known(poll: Poll<Look>) -> Accepted {
    match poll {
        Poll::Ready(Look::Known(accepted)) => accepted,
        Poll::Ready(Look::First(_)) => panic!("not known"),
        Poll::Pending => panic!("waits"),
    }
}

fn first(seen: &Seen, body: &[u8]) -> Turn {
    turn(poll(&mut looking(seen, body)))
}

fn again(seen: &Seen, body: &[u8]) -> Accepted {
    known(poll(&mut looking(seen, body)))
}

#[test]
fn should_answer_a_retry_as_the_first_time() {
    let (seen, _) = seen(10);
    first(&seen, b"a").done(&accepted(3));
    assert_eq!(again(&seen, b"a"), accepted(3));
    let mut refused = crate::export::Refusals::default();
    refused.add(SpanFault::TraceId);
    let some = Accepted { spans: 2, refused, message: "one has no trace".to_owned() };
    first(&seen, b"b").done(&some);
    assert_eq!(again(&seen, b"b"), some);
}

#[test]
fn should_tell_bodies_and_tenants_apart() {
    let (seen, _) = seen(10);
    let key = |tenant: &str, body: &[u8]| seen.shared.key(&tenant.parse().expect("a name"), body);
    let keys = [key("a", b"b"), key("ab", b""), key("a", b"bb"), key("b", b"b"), key("a", b"\0b")];
    let distinct: std::collections::BTreeSet<_> = keys.into_iter().collect();
    assert_eq!(distinct.len(), keys.len());
    let other = Seen::new(Memory::default(), 8, Arc::clone(&seen.shared.clock));
    assert_ne!(other.shared.key(&Tenant::single(), b"b"), seen.shared.key(&Tenant::single(), b"b"));
}

#[test]
fn should_let_a_second_one_wait_for_the_outcome_of_the_first() {
    let (seen, _) = seen(10);
    let turn = first(&seen, b"a");
    let (mut one, mut two) = (waiting(&seen, b"a"), waiting(&seen, b"a"));
    first(&seen, b"another body is not held up").done(&accepted(1));
    turn.done(&accepted(5));
    assert_eq!((known(poll(&mut one)), known(poll(&mut two))), (accepted(5), accepted(5)));
}

#[test]
fn should_pass_the_turn_to_one_of_those_who_wait_when_the_first_one_fails() {
    let (seen, _) = seen(10);
    let failing = first(&seen, b"a");
    let (mut one, mut two) = (waiting(&seen, b"a"), waiting(&seen, b"a"));
    drop(failing);
    let next = turn(poll(&mut two));
    assert!(poll(&mut one).is_pending());
    next.done(&accepted(4));
    assert_eq!(known(poll(&mut one)), accepted(4));
}

#[test]
fn should_not_wait_for_one_who_waited_and_went_away() {
    let (seen, _) = seen(10);
    let failing = first(&seen, b"a");
    let gone = waiting(&seen, b"a");
    drop(failing);
    drop(gone);
    assert!(seen.is_empty());
    first(&seen, b"a").done(&accepted(1));
}

#[test]
fn should_leave_no_entry_behind_when_the_work_is_cancelled() {
    let (seen, _) = seen(10);
    let mut work: Pin<Box<dyn Future<Output = ()> + Send + '_>> = Box::pin(async {
        let Look::First(turn) = seen.look(&Tenant::single(), b"a").await else { panic!("known") };
        std::future::pending::<()>().await;
        turn.done(&accepted(1));
    });
    assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let mut second = waiting(&seen, b"a");
    drop(work);
    turn(poll(&mut second)).done(&accepted(2));
    assert_eq!(again(&seen, b"a"), accepted(2));
}

#[test]
fn should_forget_after_ten_minutes_but_not_who_is_at_work() {
    let (seen, clock) = seen(10);
    let slow = first(&seen, b"slow");
    first(&seen, b"a").done(&accepted(1));
    clock.advance(Duration::from_secs(599));
    assert_eq!(again(&seen, b"a"), accepted(1));
    // Being asked for does not make it younger.
    clock.advance(Duration::from_secs(1));
    let turn = first(&seen, b"a");
    assert_eq!(seen.len(), 2);
    turn.done(&accepted(2));
    assert_eq!(again(&seen, b"a"), accepted(2));
    let mut second = waiting(&seen, b"slow");
    slow.done(&accepted(3));
    assert_eq!(known(poll(&mut second)), accepted(3));
}

#[test]
fn should_not_take_an_old_time_for_that_of_a_new_outcome() {
    let (seen, clock) = seen(2);
    first(&seen, b"x").done(&accepted(0));
    first(&seen, b"a").done(&accepted(1));
    clock.advance(Duration::from_secs(600));
    // Looking for `a` forgets both old ones; it is done again and two more follow.
    first(&seen, b"a").done(&accepted(2));
    first(&seen, b"b").done(&accepted(3));
    assert_eq!((again(&seen, b"a"), again(&seen, b"b")), (accepted(2), accepted(3)));
    first(&seen, b"c").done(&accepted(4));
    assert_eq!((again(&seen, b"b"), again(&seen, b"c")), (accepted(3), accepted(4)));
    drop(first(&seen, b"a"));
}

#[test]
fn should_hold_no_more_outcomes_than_it_may_and_forget_the_oldest() {
    let (seen, clock) = seen(100);
    for number in 0..1_000_u64 {
        first(&seen, &number.to_le_bytes()).done(&accepted(number));
        assert!(seen.len() <= 100 && seen.shared.lock().outcomes.len() <= 100);
    }
    assert_eq!(again(&seen, &900_u64.to_le_bytes()), accepted(900));
    drop(first(&seen, &899_u64.to_le_bytes()));
    clock.advance(Duration::from_secs(600));
    for _ in 0..60 {
        drop(first(&seen, b"another"));
    }
    assert!(seen.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn should_store_each_request_once_whoever_comes_when() {
    let (seen, _) = seen(1_000);
    let stored: Arc<Vec<AtomicUsize>> = Arc::new((0..20).map(|_| AtomicUsize::new(0)).collect());
    let tasks: Vec<_> = (0..32_usize)
        .map(|task| {
            let (seen, stored) = (seen.clone(), Arc::clone(&stored));
            tokio::spawn(async move {
                for round in 0..20_usize {
                    let body = (task * 7 + round) % 20;
                    match seen.look(&Tenant::single(), &[body as u8]).await {
                        Look::Known(known) => assert_eq!(known.spans, body as u64),
                        // One in three fails.
                        Look::First(turn) if (task + round) % 3 == 0 => {
                            tokio::task::yield_now().await;
                            drop(turn);
                        }
                        Look::First(turn) => {
                            tokio::task::yield_now().await;
                            stored[body].fetch_add(1, Ordering::SeqCst);
                            turn.done(&accepted(body as u64));
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    assert!(stored.iter().all(|count| count.load(Ordering::SeqCst) == 1));
}
