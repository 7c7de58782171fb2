//! Spans that are durable and in no block yet: what can be asked of them, and how over the network.
//!
//! Ingesters answer, readers ask. An answer bears the names under which its spans will be committed, so that
//! a reader who has a snapshot of the catalog knows which of them it has already: a span is seen once.

// What is asked, and what is answered.
pub mod answer;
pub mod question;

// Who can be asked.
pub mod source;
// Who cannot be.
pub mod from_bucket;

// Who there is to ask.
pub mod members;

// The same over the network: messages, spans as Arrow batches, both ends.
mod arrow;
mod remote;
mod serve;
mod wire;

pub use remote::{RemoteLimits, RemoteLive};
pub use serve::{LiveService, serve};
