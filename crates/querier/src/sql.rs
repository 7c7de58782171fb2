//! SQL over spans and traces, by DataFusion over our own scans.
//!
//! ```text
//! statement ─▶ plan ─▶ attributes as numbers ─▶ optimised ─▶ scans: what WHERE lets through of each
//!                                                             │
//! answer ◀── batches ◀── joins, groups, sorts (on their own threads) ◀── batches
//! ```
//!
//! `span_attributes['k']` is a lookup in a map for DataFusion. Our scan takes that lookup out of the projection
//! above it, and reads the one attribute (`exec.rs`). Where it does not stand there, the map is really made: slower,
//! and never wrong.

mod answer;
mod arrays;
mod attribute_of;
mod attributes;
mod counted;
mod depth;
mod error;
mod exec;
mod lists;
mod meant;
mod metrics;
mod minutes_table;
mod number_functions;
mod numbers;
mod output;
mod pushed;
mod query;
mod receiving;
mod scan;
mod schema;
mod session;
mod spans_table;
mod texts;
mod trace_rows;
mod traces_table;

pub use answer::SqlAnswer;
pub(crate) use arrays::ArrayError;
pub use error::SqlError;
use query::SqlQuery;
pub use session::SqlConfig;
pub(crate) use session::SqlEngine;
