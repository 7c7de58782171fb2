//! The virtual clock of the tests as this crate's: who sleeps waits until the test moves time on.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use siltstone_catalog::time::Clock;
use siltstone_testkit::VirtualClock;

pub(crate) struct WaitingClock(pub(crate) VirtualClock);

impl Clock for WaitingClock {
    fn wall_millis(&self) -> u64 {
        self.0.now() / 1_000_000
    }

    fn elapsed(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.0.sleep(duration))
    }
}
