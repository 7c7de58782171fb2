//! Whole-system tests and benchmarks, and what they share.

pub mod blocks;
#[expect(clippy::expect_used, clippy::panic, reason = "what tests share is a test too")]
pub mod catalog;
pub mod decode;
#[expect(clippy::unwrap_used, reason = "what tests share is a test too")]
pub mod described;
pub mod encode;
#[expect(clippy::expect_used, clippy::panic, reason = "what tests share is a test too")]
pub mod ingest_world;
#[expect(clippy::expect_used, reason = "what tests share is a test too")]
pub mod large_set;
#[expect(clippy::expect_used, clippy::panic, reason = "what tests share is a test too")]
pub mod merging;
pub mod otlp_json;
#[expect(clippy::expect_used, reason = "what tests share is a test too")]
pub mod query_world;
pub mod scene;
pub mod shake;
#[expect(clippy::expect_used, clippy::panic, reason = "what tests share is a test too")]
pub mod sql_rows;
#[expect(clippy::panic, reason = "what tests share is a test too")]
pub mod verdict;
