//! Filters: which blocks may hold a trace or a term.

pub mod collect;
pub mod size;
pub mod split_block;
pub mod transposed;
