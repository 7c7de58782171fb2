//! What the faulty store did: one entry for each request and for each request that landed late.

use std::fmt;
use std::time::Duration;

use object_store::path::Path;

use super::plan::Fault;
use crate::operation::Operation;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place in the log, and the name of a request that waits.
    pub number: u64,
    /// On the injected clock, before any delay.
    pub unix_nanos: u64,
    pub operation: Operation,
    pub location: Path,
    pub delay: Option<Duration>,
    pub done: Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It went to the store below, whatever that said.
    Passed,
    Failed(Fault),
    /// The request of that number took effect now, or was refused by the store below.
    Landed {
        request: u64,
        refused: bool,
    },
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5} at {} {} {}", self.number, self.unix_nanos, self.operation, self.location)?;
        if let Some(delay) = self.delay {
            write!(f, ", delayed by {delay:?}")?;
        }
        match self.done {
            Done::Passed => Ok(()),
            Done::Failed(fault) => write!(f, ": {fault:?}"),
            Done::Landed { request, refused: false } => write!(f, ": {request} landed"),
            Done::Landed { request, refused: true } => write!(f, ": {request} was refused"),
        }
    }
}
