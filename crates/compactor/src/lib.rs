//! Many small blocks into few large ones, safely, by anybody.
//!
//! ```text
//! observe → plan → claim → read → merge → write → publish → expire → sweep
//! ```
//!
//! Any number of compactors may work on one bucket: a lease saves them from doing the same twice, and publishing
//! sorts out whose work counts.

pub mod config;

// What there is.
mod observe;
// Which blocks are worth merging: a pure function of what is there.
pub mod plan;
// What was deleted, and which blocks must be written anew for it.
mod deletions;
pub mod erase;
// How long traces are kept, and what goes.
pub mod retain;
// Which blocks may hold some traces.
mod holding;
// Who works on what.
mod claim;

// One job: its inputs, read in their order, with pages read ahead; which output a trace goes to; what is written.
mod input;
pub mod job;
mod key;
mod merge;
mod outputs;
mod pages;
mod slices;

// Mistakes that tests can plant.
mod planted;

// All of it, again and again, or once.
pub mod metrics;
pub mod service;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod test_clock;
