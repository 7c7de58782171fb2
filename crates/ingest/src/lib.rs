//! Spans in: received, durable before the answer, written as blocks.
//!
//! ```text
//! receive → admit → decode → log → buffer → flush → commit
//! ```
//!
//! Invariant I1: what was acknowledged is found by every later query. Invariant I2: once, not twice.

// What senders speak.
pub mod receive;
// What a receiver hands over, and what becomes of it.
pub mod export;
// Which tenant may send how much.
pub mod limits;
// Whether there is room, before work is done.
pub mod budget;
// Requests that came before.
pub mod seen;
// All three, in turn.
pub mod admit;
// From the wire into columns.
pub mod decode;
// Spans of a tenant as columns, and where its traces are.
mod buffer;
mod trace_index;
// Accepted requests, safe before they are answered.
pub mod log;
// What one flush will commit; the lane that fills it; which are live under which names.
mod lane;
mod roster;
mod segment;
mod tenants;
// What was deleted, as far as it is known here.
mod deletions;
// Encoded, uploaded, committed.
mod backoff;
mod flush;
mod queue;
mod spool;
// What an earlier incarnation has left.
mod replay;
// What of it nobody can read.
pub mod set_aside;
// Questions to what is in no block yet.
mod live_answer;
// That it holds some is known.
mod registration;
// What another one has left in the bucket: who reads it, and who commits it.
pub mod bucket_live;
mod take_over;
// All of it as one value.
pub mod config;
mod explain;
mod house;
pub mod service;
// What happened, in numbers.
pub mod metrics;

// Mistakes that a test can plant.
mod planted;
// A clock that tests move.
#[cfg(test)]
mod test_clock;
