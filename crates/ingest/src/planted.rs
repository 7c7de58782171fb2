//! Mistakes that a test can plant, to see that it notices. A program that is no test has none of them.

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// An open segment goes on although more deletions are known by now.
    SealLate,
    /// A block is said to know what is known when it is committed.
    NumberAtFlush,
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

/// Runs with a bug in this thread.
#[cfg(test)]
pub(crate) fn with_bug<T>(bug: Option<Bug>, run: impl FnOnce() -> T) -> T {
    PLANTED.set(bug);
    let outcome = run();
    PLANTED.set(None);
    outcome
}
