//! The real process with a small memory, under input that is too much or wrong: it stays within its memory, says
//! no in the documented words, and takes the next good request.

#[expect(clippy::unwrap_used, reason = "a part of tests")]
mod message;
#[expect(clippy::unwrap_used, clippy::panic, reason = "a part of tests")]
mod process;
#[expect(clippy::unwrap_used, clippy::panic, reason = "a part of tests")]
mod sender;

mod bodies;
#[expect(clippy::unwrap_used, clippy::panic, reason = "a part of tests")]
mod flood;
#[expect(clippy::unwrap_used, reason = "a part of tests")]
mod target;
mod wrong;

/// `ingest.memory`, in MiB.
const BUDGET: u64 = 192;
const MEMORY: &str = "192MiB";
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
