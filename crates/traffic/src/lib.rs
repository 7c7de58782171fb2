//! Seeded, believable trace traffic of a shop, as OTLP export requests.
//!
//! A [`Traffic`] is an iterator of [`Batch`]es: services call each other on a virtual clock, their pods export
//! finished spans to collectors, the collectors send requests. The same [`TrafficConfig`] gives the same bytes.
//! This crate sends nothing anywhere and reads no clock.

// What happens in the shop, as data.
mod operations;
mod services;
mod statements;
mod topology;

// What a run is asked to be, and chance.
mod config;
mod dice;

// One trace.
mod arrivals;
mod attributes;
mod calls;
mod enrich;
mod failures;
mod finish;
mod peers;
mod subject;
mod trace;

// From the pods to the writers.
mod delivery;
mod fleet;
mod scopes;
mod traffic;

// What came out.
pub mod measure;

pub use config::{Profile, Shares, TrafficConfig};
pub use topology::{Edge, EdgeKind, Topology, topology};
pub use traffic::{Batch, Traffic};
