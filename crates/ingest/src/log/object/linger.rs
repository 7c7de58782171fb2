//! When the next PUT begins. A PUT costs money and an answer waits for it, so the few who send little get one
//! at once and then share a few a second; the many fill pieces, and share ten.

use std::time::Duration;

/// Between two PUTs while little comes.
const QUIET_INTERVAL: Duration = Duration::from_millis(430);
/// No one waits longer for a PUT to begin, if none is on its way.
const LONGEST_WAIT: Duration = Duration::from_millis(330);
/// Between two PUTs while much comes.
const BUSY_INTERVAL: Duration = Duration::from_millis(100);
/// So much is worth a PUT of its own.
pub(super) const MUCH: u64 = 1 << 20;
/// What one piece takes; that much does not wait.
pub(super) const FULL: u64 = 32 << 20;

/// What waits for a PUT.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) bytes: u64,
    /// Since when the first one waits.
    pub(super) since: Duration,
}

/// The time at which it shall begin, given when the last one did.
pub(super) fn begins_at(waiting: Waiting, last_began: Option<Duration>) -> Duration {
    let Some(last_began) = last_began else { return waiting.since };
    if waiting.bytes >= FULL {
        return waiting.since;
    }
    if waiting.bytes >= MUCH {
        return waiting.since.max(last_began + BUSY_INTERVAL);
    }
    let by_interval = waiting.since.max(last_began + QUIET_INTERVAL);
    by_interval.min(waiting.since + LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn should_let_the_first_after_a_pause_go_at_once() {
        let waiting = Waiting { bytes: 1, since: millis(5000) };
        assert_eq!(begins_at(waiting, None), millis(5000));
        assert_eq!(begins_at(waiting, Some(millis(4000))), millis(5000));
    }

    #[test]
    fn should_gather_more_the_less_there_is() {
        let last = Some(millis(1000));
        let begins = |bytes, since| begins_at(Waiting { bytes, since: millis(since) }, last);
        assert_eq!(begins(1, 1001), millis(1331));
        assert_eq!(begins(1, 1300), millis(1430));
        assert_eq!(begins(MUCH, 1001), millis(1100));
        assert_eq!(begins(FULL, 1001), millis(1001));
    }
}
