//! Answers: what a reader sees of live spans and blocks.
//!
//! ```text
//! ask the ingesters → a snapshot that covers them → live segments that it lacks, and blocks
//! ```
//!
//! A span is seen once, not twice, not never; where a part cannot be asked or read, the answer says so.

// What is missing of an answer.
pub mod gap;
// Live spans and blocks of one moment.
pub mod view;
// The ingesters that there are, and views of them all.
pub mod ingesters;
// Which spans must not be seen.
mod hidden;
// Blocks, as far as they are wanted; what is kept of them in memory.
mod block;
mod blocks;
pub mod cache;
// What a query may use, and what it has used.
pub mod cost;
pub mod limits;
pub mod metrics;
// Whose query runs next.
pub mod turns;
// Which blocks a query must read.
mod plan;
// Threads that do what takes a processor.
mod workers;
// A querier, and its questions.
pub mod names;
pub mod querier;
pub mod search;
pub mod spans;
pub mod traces;
// Traces that come piece by piece, and those that are too large to be held.
mod large;
pub mod stream;
// Whole traces, slice by slice.
mod ids;
mod whole;
// Rows of blocks that are worth reading; which match; which traces come first; how long traces are.
mod best_starts;
mod extent;
mod matching;
pub mod rank;
mod scan;
// Traces that are kept.
pub mod archive;
// What is left of deleted ones in logs.
pub mod unflushed;
// Numbers over many spans, each counted once.
mod attributes;
pub mod counts;
pub mod dependencies;
mod once;
pub mod red;
mod tally;
// What is stored, and what it takes.
pub mod usage;
// SQL over all of it.
pub mod sql;
// How they are asked from outside: as clients of Jaeger and of Prometheus do, and over HTTP.
pub mod http;
pub mod jaeger;
mod prometheus;
// The plain reader: whole traces, and all there is.
pub mod find;

// Repairs that tests can switch off.
mod planted;

#[cfg(test)]
mod test_world;

pub use find::{FindError, Found};
pub use gap::Gap;
pub use ingesters::{InProcess, Ingesters, OpenError};
pub use view::{View, ViewError};
