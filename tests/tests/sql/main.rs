//! SQL against plain code: the same rows for every clause, wherever spans lie.

#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod clause;
mod groups;
mod large;
mod minutes;
mod refusals;
mod rows;
mod tables;
mod traces;
