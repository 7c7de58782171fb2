//! Jaeger's gRPC interfaces through a real port.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by a panic")]

mod arbitrary_bytes;
mod client;
mod definitions;
mod queries;
mod round_trip;
mod standard;
mod storage;
mod world;
