//! What live spans there are, under which names, and what a snapshot must know beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use siltstone_format::columns::SpanColumns;
use siltstone_format::id::WriterId;

/// One ingester's answer. Names and cover are of one moment.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub segments: Vec<LiveSegment>,
    /// Of each writer, the number after the last flush that is committed: only a snapshot that knows all of
    /// them may stand beside this answer.
    pub committed: BTreeMap<WriterId, u64>,
    /// The snapshot's root must not be older.
    pub min_root: u64,
    /// What it lacks may have been committed while it was made, without a trace in it: only a snapshot that is
    /// taken from now on may stand beside it.
    pub fresh: bool,
}

/// Spans that will be, or have been, committed as flush `number` of `writer`. A reader drops them if its
/// snapshot holds that flush.
#[derive(Clone, Debug)]
pub struct LiveSegment {
    pub writer: WriterId,
    pub number: u64,
    /// Deletions up to this number were known when they were accepted.
    pub known_deletions: u64,
    pub spans: Arc<SpanColumns>,
}
