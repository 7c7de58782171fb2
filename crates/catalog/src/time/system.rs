//! The clock of the machine: the only place of the catalog that reads one.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Clock;

/// Real time. What has elapsed is the larger of what the wall clock and the machine's
/// own clock say, step by step: a machine that slept, or was moved with its memory, must
/// not take an old commit for a fresh one. A wall clock that is set forward makes time
/// pass too fast, which costs a question to the store and nothing else.
pub struct SystemClock {
    reading: Mutex<Reading>,
}

struct Reading {
    wall: Duration,
    machine: Duration,
    elapsed: Duration,
}

impl SystemClock {
    pub fn new() -> Self {
        Self { reading: Mutex::new(Reading { wall: wall(), machine: machine(), elapsed: Duration::ZERO }) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Reading {
    /// What has elapsed when the two clocks say this.
    fn at(&mut self, wall: Duration, machine: Duration) -> Duration {
        let step = wall.saturating_sub(self.wall).max(machine.saturating_sub(self.machine));
        self.elapsed += step;
        (self.wall, self.machine) = (wall, machine);
        self.elapsed
    }
}

impl Clock for SystemClock {
    fn wall_millis(&self) -> u64 {
        u64::try_from(wall().as_millis()).unwrap_or(u64::MAX)
    }

    fn elapsed(&self) -> Duration {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: a reading must not be older than the one before.
        let (wall, machine) = (wall(), machine());
        reading.at(wall, machine)
    }

    #[expect(clippy::disallowed_methods, reason = "it is the clock that others wait on")]
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

#[expect(clippy::disallowed_methods, reason = "it is the clock that others read")]
fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Goes on while the machine sleeps.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn machine() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

/// Elsewhere the wall clock alone sees that a machine slept.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[expect(clippy::disallowed_methods, reason = "it is the clock that others read")]
fn machine() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;

    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn should_take_the_larger_step_of_its_clocks_and_never_go_back() {
        let mut reading = Reading { wall: seconds(1_000), machine: seconds(10), elapsed: Duration::ZERO };
        assert_eq!(reading.at(seconds(1_003), seconds(12)), seconds(3));
        // Set back by a minute: the machine's clock counts.
        assert_eq!(reading.at(seconds(943), seconds(14)), seconds(5));
        // Set forward, or restored on another machine with its memory.
        assert_eq!(reading.at(seconds(10_943), seconds(14)), seconds(10_005));
        assert_eq!(reading.at(seconds(10_000), seconds(14)), seconds(10_005));
    }

    #[test]
    fn should_read_clocks_that_move() {
        let clock = SystemClock::new();
        let first = clock.elapsed();
        while clock.elapsed() == first {
            std::hint::spin_loop();
        }
        assert!(clock.elapsed() < seconds(600));
        assert!(clock.wall_millis() > 1_700_000_000_000);
    }
}
