//! OTLP over real sockets: what senders say, what they are told, and that nothing is kept that was refused.
//!
//! The core behind the receivers is a stand-in that decodes with prost and keeps what it got.

#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod grpc;
mod http;
mod stand_in;
