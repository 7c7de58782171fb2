//! Whole-system tests and benchmarks, and what they share.

pub mod blocks;
pub mod catalog;
pub mod decode;
pub mod encode;
