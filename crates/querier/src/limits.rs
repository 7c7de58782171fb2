//! What one query may use. Beyond it the query fails alone, and says which bound that was.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub struct QueryLimits {
    /// From the question to the answer.
    pub deadline: Duration,
    /// Bytes that are read from the store.
    pub bytes: u64,
    /// Traces that a search may have to compare before it knows which come first.
    pub traces: usize,
    /// Spans of an answer.
    pub spans: usize,
    /// Values, operations and steps that are counted apart.
    pub groups: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(60),
            bytes: 64 << 30,
            traces: 100_000,
            spans: 2_000_000,
            groups: 1_000_000,
        }
    }
}

/// A bound that a query met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    #[error("the query took longer than {0:?} (`query.deadline`): ask for less time or more selectively")]
    Deadline(Duration),
    #[error(
        "the query would read more than {0} bytes (`query.bytes`): ask for less time or more selectively"
    )]
    Bytes(u64),
    #[error(
        "more than {0} traces match (`query.traces`), too many to sort them by duration: ask more selectively"
    )]
    Traces(usize),
    #[error("the answer has more than {0} spans (`query.spans`): ask for fewer traces")]
    Spans(usize),
    #[error(
        "more than {0} values, operations or steps are counted (`query.groups`): ask more selectively, or for longer steps"
    )]
    Groups(usize),
}
