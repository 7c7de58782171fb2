//! Blocks: spans and origins as Parquet files.
//!
//! Down: `order` → `choose` → `gather` → `values`, `levels` → `chunk`, `frame` →
//! `write`. Up: `read` → `pick`, `frame`, `leaf` → `decode`, `front`, `split` → `rows`. `origins` holds the second file.

mod attribute_counts;
mod choose;
mod chunk;
mod decode;
pub mod error;
mod footer;
mod frame;
mod front;
mod gather;
mod hybrid;
pub mod identity;
mod leaf;
mod levels;
pub mod opened;
mod order;
pub mod origins;
mod page;
pub mod parts;
mod pick;
pub mod prune;
pub mod ranges;
pub mod read;
mod rows;
mod schema;
mod sequential;
pub mod spending;
mod split;
pub mod summary;
mod trace_part;
mod values;
pub mod write;

pub use choose::{AttributeCounts, Layout, MAX_ATTRIBUTE_COLUMNS, MAX_METADATA_BYTES};
pub use order::{ROW_GROUP_ROWS, SameSpans};
