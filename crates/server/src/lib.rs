//! The program: settings in, roles started, an orderly end. It knows every crate and decides nothing.

// What it was told,
pub mod settings;
// on the command line first of all.
pub mod cli;
// The parts that it starts,
pub mod compact;
pub mod ingest;
pub mod parts;
pub mod query;
// what one of them lends another,
mod otlp_json;
// and the port that is of both.
mod storage;
// and what it says of itself.
mod admin;
// Memory that is free.
pub mod allocator;
// What can be asked of it beside running.
pub mod archive;
pub mod delete;
mod receipt;
pub mod retention;
pub mod usage;
// From start to end.
pub mod run;
// Who tells it to end.
pub mod signals;
