//! The virtual clock as the catalog's, in the two ways that tests wait.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::FutureExt;
use siltstone_testkit::VirtualClock;

use crate::time::Clock;

/// Who sleeps waits until the test moves time on.
pub(crate) struct WaitingClock(pub(crate) VirtualClock);

/// Who sleeps moves time on: nobody else does.
pub(crate) struct HastyClock(pub(crate) VirtualClock);

impl Clock for WaitingClock {
    fn wall_millis(&self) -> u64 {
        self.0.now() / 1_000_000
    }

    fn elapsed(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.0.sleep(duration).boxed()
    }
}

impl Clock for HastyClock {
    fn wall_millis(&self) -> u64 {
        self.0.now() / 1_000_000
    }

    fn elapsed(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.0.advance(duration);
        async {}.boxed()
    }
}
