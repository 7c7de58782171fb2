//! Repairs of the hand-over that a test can switch off, to see that it notices. A program that is no test has
//! none of it.

/// One repair left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The catalog is asked first, and the ingesters then.
    LiveLast,
    /// The snapshot need not know what the ingesters have committed.
    NoCover,
    /// No live segment is dropped.
    DropNothing,
    /// A live segment is dropped if its log entry is there, not if its number is passed.
    DropByEntry,
    /// A fenced writer is not asked again.
    NoSecondLive,
    /// A snapshot from before an ingester went away will do.
    NoFreshLook,
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

#[cfg(not(test))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

/// Plants a bug in this thread until the value is dropped.
#[cfg(test)]
pub(crate) struct Planting;

#[cfg(test)]
impl Planting {
    pub(crate) fn of(bug: Option<Bug>) -> Self {
        PLANTED.set(bug);
        Self
    }
}

#[cfg(test)]
impl Drop for Planting {
    fn drop(&mut self) {
        PLANTED.set(None);
    }
}
