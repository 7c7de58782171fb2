//! What Siltstone's bytes mean: spans, origins, blocks and filters.
//!
//! Pure by design: no I/O, no async, no clock. The caller reads and writes objects;
//! this crate says which ranges it needs and what they say. `docs/format.md` is the
//! same in prose.

pub mod block;
pub mod columns;
pub mod content;
pub mod day;
pub mod filter;
pub mod id;
pub mod invariants;
pub mod number;
pub mod origin;
pub mod path;
pub mod span;
pub mod tenant;
pub mod term;
pub mod value;
pub mod version;
