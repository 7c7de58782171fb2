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
// From the wire into columns.
pub mod decode;
// Accepted requests, safe before they are answered.
pub mod log;
// What happened, counted.
pub mod metrics;

// A clock that tests move.
#[cfg(test)]
mod test_clock;
