//! Whole-system tests and benchmarks, and what they share.

pub mod blocks;
#[expect(clippy::expect_used, clippy::panic, reason = "what tests share is a test too")]
pub mod catalog;
pub mod decode;
pub mod encode;
pub mod otlp_json;
