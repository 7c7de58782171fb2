//! Accepted requests, safe before they are answered.
//!
//! A lane appends records to numbered segments; a [`Ticket`] says when a record is durable. Segment (w, n)
//! holds exactly what flush n of writer w will commit.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use siltstone_format::id::WriterId;
use siltstone_format::tenant::Tenant;

use crate::budget::Budget;

// A record's bytes, in every log.
mod record;
// On a local disk: the `wal` mode.
pub mod wal;
// In the bucket: the `object` mode.
pub mod object;

/// What an accepted request leaves behind: replay decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub tenant: Tenant,
    pub arrived_unix_millis: u64,
    /// Deletions up to this number were known when its segment was opened.
    pub known_deletions: u64,
    /// Ordinals of the spans in the body that were refused, ascending.
    pub refused: Vec<u32>,
    /// An OTLP `ExportTraceServiceRequest`.
    pub body: Bytes,
}

/// A segment's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    pub writer: WriterId,
    pub number: u64,
}

impl std::fmt::Display for SegmentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.writer, self.number)
    }
}

/// Why a record is not durable. Its request must not be acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogFailure {
    #[error("the log cannot {what}: {source}")]
    Io { what: &'static str, source: Arc<std::io::Error> },
    #[error("the log has stopped")]
    Stopped,
    /// Object mode: somebody has taken this writer for dead, and its segments over.
    #[error("writer {0} was taken over by another ingester")]
    TakenOver(WriterId),
    #[error("the log segment cannot be stored: {0}")]
    Store(String),
}

/// Resolves once a record is durable, or never will be.
pub type Ticket = Pin<Box<dyn Future<Output = Result<(), LogFailure>> + Send>>;

/// One lane's log. Dropping it ends its work after what was appended.
pub trait LaneLog: Send + Sync {
    /// Queues a record, in order, without waiting. Segment numbers never go back.
    fn append(&self, segment: SegmentName, record: Record) -> Ticket;

    /// Forgets a segment whose flush is committed.
    fn forget(&self, segment: SegmentName);

    /// Nothing more is appended for this writer.
    fn retire(&self, _writer: WriterId) {}

    /// Takes no more records, and returns when those that were appended are durable, or have failed, and what is
    /// forgotten is gone, or cannot be removed.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// The log of a lane that nothing comes into.
struct NoLog;

impl LaneLog for NoLog {
    fn append(&self, _: SegmentName, _: Record) -> Ticket {
        Box::pin(std::future::ready(Err(LogFailure::Stopped)))
    }

    fn forget(&self, _: SegmentName) {}
}

/// How accepted requests are made durable.
pub enum Durability {
    /// In a folder of this machine. `found` is what an earlier process has left there.
    Wal { wal: wal::Wal, found: Vec<wal::FoundSegment> },
    /// In the bucket.
    Object(object::ObjectLogs),
}

impl Durability {
    /// What it holds beside the bodies of requests is counted in `budget`.
    pub(crate) fn lane(&self, name: &str, budget: &Budget) -> std::io::Result<Box<dyn LaneLog>> {
        match self {
            Self::Wal { wal, .. } => Ok(Box::new(wal.lane(name)?)),
            Self::Object(logs) => Ok(Box::new(logs.lane(budget.clone()))),
        }
    }

    /// For segments of earlier incarnations, or of others: these are forgotten by whoever found them.
    pub(crate) fn lane_of_found(&self, name: &str) -> std::io::Result<Box<dyn LaneLog>> {
        match self {
            Self::Wal { wal, .. } => Ok(Box::new(wal.lane(name)?)),
            Self::Object(_) => Ok(Box::new(NoLog)),
        }
    }

    /// Whether what was acknowledged is in the bucket, for others to read.
    pub(crate) fn is_in_bucket(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Whether another request can be taken; if not, why.
    pub(crate) fn room(&self) -> Result<(), String> {
        match self {
            Self::Wal { wal, .. } => wal
                .room()
                .map_err(|full| format!("{full}; is the store reachable? (setting ingest.log_bytes)")),
            Self::Object(logs) => logs.room().map_err(|full| full.to_string()),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Wal { wal, .. } => wal.bytes(),
            Self::Object(logs) => logs.bytes(),
        }
    }
}
