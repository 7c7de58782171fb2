//! SQL against plain code: the same rows for every clause, wherever spans lie.

#![expect(clippy::unwrap_used, reason = "what is built here is within all bounds")]

mod clause;
mod refusals;
mod rows;
mod tables;
mod traces;
