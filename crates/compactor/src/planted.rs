//! Mistakes that a test can plant, to see that the simulation notices. A program that is no test has none of them.

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// One of the inputs stays in the catalog.
    ForgetInput,
    /// An upload is believed whatever the answer.
    BelieveUploads,
    /// Who is not told that a merge was published takes its outputs away.
    LoserDeletes,
    /// A trace goes to the day of its latest rows.
    LastDay,
    /// The last window of an input is not read.
    LoseWindow,
    /// Of spans with one id and start one stays, whatever else they say.
    CollapseById,
    /// Rows of deleted traces stay, in blocks that are said to know the deletion.
    KeepDeleted,
    /// Blocks that no merge touches keep what was deleted.
    NeverErase,
    /// Rows go whose deletion was known to who accepted them.
    ForgetWhatWasKnown,
    /// How long a trace is kept is decided by what one of its blocks says.
    FragmentView,
    /// Blocks go at their time, whatever was archived since that was decided.
    ForgetMarks,
    /// Blocks about which nothing was decided go with those about which it was.
    DropUndecided,
    /// What blocks of the inbox and of the days beside say of a trace does not count.
    ForgetBeside,
    /// Where a day is decided by parts, what blocks of other parts say of a trace does not count.
    ForgetOtherParts,
    /// What says that traces are kept longer is written anew before those that must be kept for it.
    UndecidedFirst,
    /// What others decided of the same days meanwhile does not matter.
    DecideBlindly,
    /// What was decided is published whatever was asked for meanwhile.
    DecideUnchecked,
    /// Blocks go on grounds that hold now, and not on those that were looked at.
    ExpireUnchecked,
    /// The clock of the process says what hour it is.
    OwnClock,
    /// What is seen is taken for complete by the time at which it was decided about, not by that at which it was asked for.
    LaterTime,
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
pub(crate) fn with_bug<T>(bug: Bug, run: impl FnOnce() -> T) -> T {
    PLANTED.set(Some(bug));
    let outcome = run();
    PLANTED.set(None);
    outcome
}
