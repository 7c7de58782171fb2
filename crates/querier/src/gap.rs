//! What an answer may lack. None is ever silent.

use std::fmt;

use siltstone_catalog::message::Damage;
use siltstone_catalog::snapshot::{Missing, Snapshot};
use siltstone_format::id::{BlockId, WriterId};
use siltstone_live::source::LiveError;

use crate::block::BlockError;

/// A part that could not be asked or read: what it holds is not in the answer.
#[derive(Debug)]
pub enum Gap {
    /// It may hold spans that are in no block yet.
    Ingester { name: String, why: LiveError },
    /// An ingester's announcement that cannot be read: nobody knows where to ask.
    Announcement { key: String, why: String },
    /// A log entry, and with it the blocks of one flush.
    LogEntry { writer: WriterId, number: u64, why: Damage },
    /// The newest root: an older one was read.
    Root { number: u64, why: Damage },
    /// A page of the catalog.
    Page(Missing),
    /// Where an answer goes on without it.
    Block { block: BlockId, why: BlockError },
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ingester { why, .. } => write!(f, "{why}"),
            Self::Announcement { key, why } => write!(f, "the announcement `{key}` cannot be read: {why}"),
            Self::LogEntry { writer, number, why } => {
                write!(f, "log entry {number} of writer {writer} cannot be read: {why}")
            }
            Self::Root { number, why } => write!(f, "root {number} cannot be read, an older one was: {why}"),
            Self::Page(Missing { key, why }) => write!(f, "`{key}` cannot be read: {why}"),
            Self::Block { block, why } => write!(f, "block {block} cannot be read: {why}"),
        }
    }
}

/// What a snapshot lacks.
pub(crate) fn gaps_of(snapshot: &Snapshot) -> impl Iterator<Item = Gap> + '_ {
    let entries = snapshot.damaged.iter().map(|entry| Gap::LogEntry {
        writer: entry.writer,
        number: entry.number,
        why: entry.damage.clone(),
    });
    let root =
        snapshot.damaged_root.iter().map(|(number, why)| Gap::Root { number: *number, why: why.clone() });
    entries.chain(root)
}
