//! What can be asked of spans, and what the answer is.
//!
//! A [`Filter`] is a tree of predicates that is true or false for one [`Span`]; a
//! trace matches if one of its spans does. [`probe`] says which terms a block must
//! hold for any of its spans to match, [`Filter::parts`] what must be read of its spans, and
//! [`Filter::rows`] which of them match. Query, retention and deletion share these
//! rules, so that what one finds is what the other deletes.
//!
//! Pure by design: no I/O, no async, no clock. How others write a question (Jaeger,
//! TraceQL, SQL) is the concern of the adapters, what a span is of `siltstone_format`.
//! A filter has one text of its own, for people, settings and marks: [`Filter`] is
//! `FromStr` and `Display`, and so are the rules of [`Retention`].
//!
//! [`Span`]: siltstone_format::span::Span

// A question, from its parts to the tree.
mod error;
mod field;
mod filter;
mod literal;
mod pattern;
mod window;
// A question as people write it.
mod meant;
mod text;
// A question on its way to another process.
mod wire;

// Its answer for one span.
mod coerce;
mod evaluate;

// Its answer for one block, as far as terms tell, and what is left to be asked.
mod given;
mod probe;

// Its answer for many spans in columns: what must be read of them, and which match; which of a block need not
// be read.
mod narrow;
mod parts;
mod rows;

// How long what is found is kept.
mod retention;

// What counts as one answer.
mod same;
// Numbers over many spans: which are alike, how long they took, in short; of operations; between services, from whole
// traces.
pub mod calls;
mod groups;
mod histogram;
pub mod red;
pub mod slice;

pub use error::FilterError;
pub use field::Field;
pub use filter::{
    Comparison, Filter, Level, MAX_DEPTH, MAX_NODES, MAX_PATTERNS, Nested, Node, Predicate, Target, Test,
};
pub use groups::Groups;
pub use histogram::{Bucket, Histogram};
pub use literal::{Literal, Operand};
pub use meant::closest;
pub use narrow::{Narrowed, Narrowing};
pub use pattern::{MAX_PATTERN_BYTES, Pattern};
pub use probe::{Probe, probe};
pub use retention::{Keep, MAX_RULES, Of, Retention, RetentionError, Rule};
pub use rows::Rows;
pub use same::{canonical_span, collapse, same_span};
pub use text::ParseError;
pub use window::Window;
pub use wire::{MAX_FILTER_BYTES, WireError};
