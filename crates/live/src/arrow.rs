//! Spans as Arrow record batches: what travels between an ingester and a reader.
//!
//! A segment is one or more batches of origins, then batches of spans that name their origin by its place
//! among them. Every field of a span comes back exactly: doubles travel as their bits, other values in the
//! exact text that the format gives them. What comes in goes through the same checks as what a client sends,
//! so a hostile peer can make an answer wrong, but not the columns unsound.

mod frame;
mod lists;
mod origins;
mod read;
mod schema;
mod write;

pub(crate) use frame::Frame;
pub(crate) use origins::origins_batches;
pub(crate) use read::Assembly;
pub(crate) use schema::Table;
pub(crate) use write::next_spans;

use arrow_schema::ArrowError;
use siltstone_format::columns::Rejected;
use siltstone_format::value::ValueError;

/// Batches are cut at about so many bytes: a batch is built between two looks at the network.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// Batches cannot be written, or are not what a peer of this release writes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BatchError {
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    #[error("a batch is damaged: {0}")]
    Damaged(&'static str),
    #[error("a span cannot be taken: {0}")]
    Span(#[from] Rejected),
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error("entities are not what they should be: {0}")]
    Entities(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests;
