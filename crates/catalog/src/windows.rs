//! How long things are waited for, and that these times fit together.

use std::time::Duration;

/// The protocol's windows; `docs/catalog.md` says what each one protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Longest that a reader may use a snapshot.
    pub query: Duration,
    /// What is retired stays readable for so long.
    pub read_grace: Duration,
    /// A commit that took longer must be looked up before it is believed.
    pub commit: Duration,
    /// Blocks that nobody refers to are waited for so long.
    pub orphan_grace: Duration,
    /// Folded log entries and old roots stay for so long, where log and roots are listed
    /// in one request.
    pub log_grace: Duration,
    /// How wrong the clock of a writer may be.
    pub clock_error: Duration,
    /// How long an object may exist before a listing shows it.
    pub visibility: Duration,
    /// A writer without an entry for so long is forgotten.
    pub forget_writer: Duration,
    /// A snapshot this old is still good enough for a query.
    pub snapshot_age: Duration,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// `LastModified` may have no finer grain.
const GRAIN: Duration = Duration::from_secs(1);

impl Default for Windows {
    fn default() -> Self {
        Self {
            query: 15 * MINUTE,
            read_grace: HOUR,
            commit: HOUR,
            orphan_grace: 24 * HOUR,
            log_grace: MINUTE,
            clock_error: HOUR,
            visibility: Duration::from_secs(5),
            forget_writer: 7 * 24 * HOUR,
            snapshot_age: Duration::from_secs(2),
        }
    }
}

/// The windows would let the protocol lose data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the catalog's windows do not fit together: {rule} must hold")]
pub struct WindowsError {
    rule: &'static str,
}

impl Windows {
    pub fn check(&self) -> Result<(), WindowsError> {
        let slack = self.visibility + GRAIN;
        for (holds, rule) in [
            (self.query + slack < self.read_grace, "query + visibility + 1 s < read_grace"),
            (
                self.commit + self.clock_error + slack < self.orphan_grace,
                "commit + clock_error + visibility + 1 s < orphan_grace",
            ),
            (self.longest_listing() > Duration::ZERO, "visibility + 1 s < log_grace"),
            (
                self.orphan_grace + self.clock_error < self.forget_writer,
                "orphan_grace + clock_error < forget_writer",
            ),
        ] {
            if !holds {
                return Err(WindowsError { rule });
            }
        }
        Ok(())
    }

    /// How long one listing of log and roots may take before its parts are too far apart.
    pub(crate) fn longest_listing(&self) -> Duration {
        self.log_grace.saturating_sub(self.visibility + GRAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_accept_its_defaults_and_refuse_windows_that_lose_data() {
        let good = Windows::default();
        assert_eq!(good.check(), Ok(()));
        for bad in [
            Windows { query: HOUR, ..good },
            Windows { commit: 23 * HOUR, ..good },
            Windows { log_grace: Duration::from_secs(6), ..good },
            Windows { forget_writer: 25 * HOUR, ..good },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
