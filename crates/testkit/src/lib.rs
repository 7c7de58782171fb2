//! What the tests of every other crate lean on: inputs that hurt, a naive oracle that says what the right
//! answer is, stores that count, stores that fail and stores that are real, what every store must be able to do,
//! and a clock that only moves when told to.
//!
//! The oracle sees decoded OTLP spans only and shares no code with the crates that it judges, not even the
//! coercion of values. Nothing here is fast, and nothing here may be used outside tests and measurements.

// Inputs: requests made by hand to hurt, and small random ones that collide.
pub mod corpus;
// Judgement: the right answer by brute force.
pub mod oracle;
// Time that moves when it is told to.
pub mod clock;
// Who goes on when, in a simulation.
pub mod schedule;
// What can be asked of an object store; the vocabulary of the two stores below.
pub mod operation;
// A store that counts requests, bytes and depth.
pub mod counting_store;
// A store that fails on command.
pub mod faulty_store;
// What the catalog needs of every store.
#[expect(clippy::unwrap_used, clippy::panic, reason = "these are tests, to be run by other crates")]
pub mod conformance;
// Real stores: MinIO and Azurite, as processes.
pub mod server;
// A file system that loses what was not synced.
pub mod unsynced_files;

// A lock that survives a panicking test.
mod locked;

pub use clock::VirtualClock;
pub use conformance::Promises;
pub use corpus::{arbitrary, nasty};
pub use counting_store::CountingStore;
pub use faulty_store::{Fault, FaultPlan, FaultyStore, RandomFaults, Rule};
pub use operation::Operation;
pub use oracle::{CanonicalSpan, Oracle, OracleFilter};
pub use unsynced_files::UnsyncedFiles;
