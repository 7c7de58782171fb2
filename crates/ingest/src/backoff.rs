//! Waiting between attempts: longer each time, and telling once what is wrong.

use std::fmt::Display;
use std::time::Duration;

use crate::service::Shared;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// One piece of work that is tried until it is done.
pub(crate) struct Backoff<'a> {
    shared: &'a Shared,
    next: Duration,
}

impl<'a> Backoff<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared, next: FIRST }
    }

    /// Waits after a failure. False: the process must end, so there is no other attempt.
    pub(crate) async fn failed(&mut self, doing: &'static str, error: &impl Display) -> bool {
        if self.next == FIRST || self.next == LONGEST {
            tracing::warn!(%error, "{doing} failed; it is tried again");
        } else {
            tracing::debug!(%error, "{doing} failed; it is tried again");
        }
        // Up to a half more, so that many who failed together do not come back together.
        let part = (self.shared.catalog.next_id().random() % 512) as u32;
        let wait = self.next + self.next * part / 1024;
        self.next = (self.next * 2).min(LONGEST);
        tokio::select! {
            () = self.shared.clock.sleep(wait) => true,
            () = self.shared.abandon.cancelled() => false,
        }
    }
}
