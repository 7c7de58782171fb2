//! Jaeger's interfaces: what its clients ask, and the answers that they read.

#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod fixture;
mod golden;
mod legacy_mapping;
mod requests;
mod rules;
mod v3_round_trip;
