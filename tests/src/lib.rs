//! Whole-system tests and benchmarks, and what they share.

pub mod decode;
