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
// Blocks, as far as they are wanted.
mod block;
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
