//! Retention against the truth: what must be there is there, and what must have gone is gone.

// Spans that say by what they are kept, and how long that is.
pub(crate) mod truth;
// Writers, compactors, readers and people on a store whose time is the test's.
mod world;

// Runs by seed.
mod oracle;
// What is promised of single cases.
mod cases;
// What it costs.
mod costs;
// What is deleted.
mod deleted;
