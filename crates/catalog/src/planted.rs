//! Repairs of the protocol that a test can switch off, to see that the simulation
//! notices. A program that is no test has none of it.

/// One repair left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(not(test), expect(dead_code, reason = "some are mistakes of a reader, and no reader is in here"))]
pub(crate) enum Bug {
    /// A writer's folded number is forgotten once its entries are gone.
    NoHighWater,
    /// Entries behind a gap are accepted.
    Gaps,
    /// Roots are listed before the log.
    RootsFirst,
    /// The next root is looked for by its number.
    ProbeRoots,
    /// A publish is believed by the answer of its PUT.
    BelieveAnswers,
    /// A publish does not look for its own nonce, and a loser deletes its outputs.
    NoNonce,
    /// Blocks below the floor are accepted.
    NoFence,
    /// A late commit is believed without looking it up.
    FastAck,
    /// After a restart a commit is believed by its answer.
    RestartFastAck,
    /// Orphans are swept as soon as a floor is published.
    OrphansAtOnce,
    /// The floor follows the root that is published over.
    FloorFromBase,
    /// A reader asks the catalog first and the ingesters then.
    LiveLast,
    /// A reader uses a snapshot that does not cover what the ingesters said.
    NoCover,
    /// Live spans are dropped by the names of blocks.
    DropByBlock,
    /// A reader does not ask a fenced writer again.
    NoSecondLive,
    /// A merge's output counts as clean of marks that came while it ran.
    StaleMarks,
    /// Marks are dropped when all blocks are clean.
    DropMarks,
    /// What was retired is swept by its own age.
    RetiredByAge,
    /// Days that were given up come back with late entries.
    NoCut,
    /// "It exists" is believed of a log entry.
    TrustExists,
    /// Forgotten writers are welcome again.
    ForgottenWriters,
    /// Log entries and old roots are deleted at once although one request lists both.
    NoLogGrace,
    /// A listing may take as long as it likes.
    NoListingBound,
    /// A rebuild does not look for records of deletions.
    NoRecords,
    /// The record of a deletion that was refused stays.
    KeepRefused,
    /// Where nobody publishes, store time stands still.
    NoTick,
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::RefCell<std::collections::BTreeSet<Bug>> = const {
        std::cell::RefCell::new(std::collections::BTreeSet::new())
    };
}

#[cfg(test)]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.with_borrow(|planted| planted.contains(&bug))
}

#[cfg(not(test))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

/// Plants bugs in this thread until the value is dropped.
#[cfg(test)]
pub(crate) struct Planting;

#[cfg(test)]
impl Planting {
    pub(crate) fn of(bugs: impl IntoIterator<Item = Bug>) -> Self {
        PLANTED.set(bugs.into_iter().collect());
        Self
    }
}

#[cfg(test)]
impl Drop for Planting {
    fn drop(&mut self) {
        PLANTED.take();
    }
}
