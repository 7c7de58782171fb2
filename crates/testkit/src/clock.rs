//! A clock that moves only when it is told to, with sleeps that wake in a fixed order.
//!
//! It needs no runtime: a sleep is a future that registers itself when it is made and is woken by
//! [`VirtualClock::advance`]. Invariant: sleepers are woken in the order of their deadlines, those with the
//! same deadline in the order in which they went to sleep.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::locked::locked;

/// Wall time in unix nanoseconds and monotonic time since the clock was made. Clones share one time line.
#[derive(Clone)]
pub struct VirtualClock {
    timeline: Arc<Mutex<Timeline>>,
    skew_nanos: i64,
}

struct Timeline {
    wall_at_start_nanos: u64,
    elapsed: Duration,
    sleepers: BTreeMap<Sleeper, Option<Waker>>,
    next_number: u64,
}

/// The order of waking.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sleeper {
    deadline: Duration,
    number: u64,
}

impl VirtualClock {
    pub fn starting_at(unix_nanos: u64) -> Self {
        let timeline = Timeline {
            wall_at_start_nanos: unix_nanos,
            elapsed: Duration::ZERO,
            sleepers: BTreeMap::new(),
            next_number: 0,
        };
        VirtualClock { timeline: Arc::new(Mutex::new(timeline)), skew_nanos: 0 }
    }

    /// The same time line seen by a process whose wall clock is off by so much. Monotonic time is not.
    pub fn skewed_by(&self, nanos: i64) -> Self {
        VirtualClock {
            timeline: Arc::clone(&self.timeline),
            skew_nanos: self.skew_nanos.saturating_add(nanos),
        }
    }

    /// Wall time: nanoseconds since the unix epoch.
    pub fn now(&self) -> u64 {
        let timeline = locked(&self.timeline);
        let elapsed_nanos = u64::try_from(timeline.elapsed.as_nanos()).unwrap_or(u64::MAX);
        timeline.wall_at_start_nanos.saturating_add(elapsed_nanos).saturating_add_signed(self.skew_nanos)
    }

    /// Monotonic time: how long this time line has been running.
    pub fn monotonic(&self) -> Duration {
        locked(&self.timeline).elapsed
    }

    /// Moves time on and wakes every sleep whose deadline has come.
    pub fn advance(&self, by: Duration) {
        let target = self.monotonic().saturating_add(by);
        self.advance_to(target);
    }

    /// Moves time to the earliest deadline and wakes who waits for it. False when nobody sleeps.
    pub fn advance_to_next_sleeper(&self) -> bool {
        let Some(deadline) = self.next_deadline() else { return false };
        self.advance_to(deadline);
        true
    }

    /// The earliest deadline of a sleep that has not been woken, in monotonic time.
    pub fn next_deadline(&self) -> Option<Duration> {
        locked(&self.timeline).sleepers.first_key_value().map(|(sleeper, _)| sleeper.deadline)
    }

    pub fn sleepers(&self) -> usize {
        locked(&self.timeline).sleepers.len()
    }

    /// A future that is ready once time has moved on by so much. It counts from now, not from its first poll.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let mut timeline = locked(&self.timeline);
        let sleeper =
            Sleeper { deadline: timeline.elapsed.saturating_add(duration), number: timeline.next_number };
        timeline.next_number += 1;
        if !duration.is_zero() {
            timeline.sleepers.insert(sleeper, None);
        }
        Sleep { timeline: Arc::clone(&self.timeline), sleeper }
    }

    fn advance_to(&self, target: Duration) {
        let mut due = Vec::new();
        {
            let mut timeline = locked(&self.timeline);
            timeline.elapsed = timeline.elapsed.max(target);
            while let Some(entry) = timeline.sleepers.first_entry() {
                if entry.key().deadline > target {
                    break;
                }
                due.push(entry.remove());
            }
        }
        // Woken outside the lock: a waker may run the task on the spot.
        due.into_iter().flatten().for_each(Waker::wake);
    }
}

impl fmt::Debug for VirtualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualClock")
            .field("now", &self.now())
            .field("monotonic", &self.monotonic())
            .field("sleepers", &self.sleepers())
            .finish()
    }
}

/// Made by [`VirtualClock::sleep`]. Dropping it ends the wait.
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    timeline: Arc<Mutex<Timeline>>,
    sleeper: Sleeper,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut timeline = locked(&self.timeline);
        if timeline.elapsed >= self.sleeper.deadline {
            return Poll::Ready(());
        }
        timeline.sleepers.insert(self.sleeper, Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        locked(&self.timeline).sleepers.remove(&self.sleeper);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Notes the order in which wakers fire.
    struct Bell {
        name: &'static str,
        rung: Arc<Mutex<Vec<&'static str>>>,
    }

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            locked(&self.rung).push(self.name);
        }
    }

    fn poll_once(sleep: &mut Sleep, waker: &Waker) -> bool {
        Pin::new(sleep).poll(&mut Context::from_waker(waker)).is_ready()
    }

    #[test]
    fn should_stand_still_until_advanced() {
        let clock = VirtualClock::starting_at(1_000);
        assert_eq!((clock.now(), clock.monotonic()), (1_000, Duration::ZERO));
        clock.advance(Duration::from_nanos(5));
        assert_eq!((clock.now(), clock.monotonic()), (1_005, Duration::from_nanos(5)));
    }

    #[test]
    fn should_share_one_time_line_between_skewed_clocks() {
        let clock = VirtualClock::starting_at(1_000);
        let behind = clock.skewed_by(-100);
        clock.advance(Duration::from_nanos(7));
        assert_eq!((behind.now(), behind.monotonic()), (907, Duration::from_nanos(7)));
    }

    #[test]
    fn should_wake_in_order_of_deadline_then_of_going_to_sleep() {
        let clock = VirtualClock::starting_at(0);
        let rung = Arc::new(Mutex::new(Vec::new()));
        let mut sleeps: Vec<Sleep> = [30, 10, 20, 10].map(|s| clock.sleep(Duration::from_secs(s))).into();
        // Polled in another order than they went to sleep.
        for (at, name) in [(3, "ten, second"), (2, "twenty"), (0, "thirty"), (1, "ten, first")] {
            let waker = Waker::from(Arc::new(Bell { name, rung: Arc::clone(&rung) }));
            assert!(!poll_once(&mut sleeps[at], &waker));
        }
        clock.advance(Duration::from_secs(20));
        assert_eq!(*locked(&rung), ["ten, first", "ten, second", "twenty"]);
        assert_eq!(clock.next_deadline(), Some(Duration::from_secs(30)));
        assert!(clock.advance_to_next_sleeper());
        assert!(!clock.advance_to_next_sleeper());
        assert_eq!(clock.monotonic(), Duration::from_secs(30));
        assert!(sleeps.iter_mut().all(|sleep| poll_once(sleep, Waker::noop())));
    }

    #[test]
    fn should_forget_a_dropped_sleep_and_be_ready_at_once_for_zero() {
        let clock = VirtualClock::starting_at(0);
        drop(clock.sleep(Duration::from_secs(1)));
        assert_eq!(clock.sleepers(), 0);
        assert!(poll_once(&mut clock.sleep(Duration::ZERO), Waker::noop()));
    }

    #[tokio::test]
    async fn should_run_tasks_without_the_time_of_the_runtime() {
        let clock = VirtualClock::starting_at(0);
        let done = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (1..=3)
            .map(|seconds| {
                let (clock, done) = (clock.clone(), Arc::clone(&done));
                tokio::spawn(async move {
                    clock.sleep(Duration::from_secs(seconds)).await;
                    clock.sleep(Duration::from_secs(seconds)).await;
                    done.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        while clock.advance_to_next_sleeper() {
            tokio::task::yield_now().await;
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!((done.load(Ordering::SeqCst), clock.monotonic()), (3, Duration::from_secs(6)));
    }
}
