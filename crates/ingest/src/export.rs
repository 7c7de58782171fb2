//! What a receiver hands over, and what becomes of it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use siltstone_format::tenant::Tenant;

use crate::budget::{NoRoom, Reservation};
use crate::limits::LimitExceeded;

/// One request: spans of one tenant as an OTLP `ExportTraceServiceRequest`, uncompressed.
#[derive(Clone, Debug)]
pub struct Export {
    pub tenant: Tenant,
    pub body: Bytes,
}

/// Why one span is not taken while its neighbours are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpanFault {
    Malformed,
    TraceId,
    SpanId,
    ParentSpanId,
    LinkId,
    NotUtf8,
    TooDeep,
    TooOld,
    TooNew,
    AttributeTooLarge,
    TooManySpans,
    TooManyParts,
    Deleted,
}

impl SpanFault {
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::TraceId,
        Self::SpanId,
        Self::ParentSpanId,
        Self::LinkId,
        Self::NotUtf8,
        Self::TooDeep,
        Self::TooOld,
        Self::TooNew,
        Self::AttributeTooLarge,
        Self::TooManySpans,
        Self::TooManyParts,
        Self::Deleted,
    ];

    /// The word for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TraceId => "trace_id",
            Self::SpanId => "span_id",
            Self::ParentSpanId => "parent_span_id",
            Self::LinkId => "link_id",
            Self::NotUtf8 => "not_utf8",
            Self::TooDeep => "too_deep",
            Self::TooOld => "too_old",
            Self::TooNew => "too_new",
            Self::AttributeTooLarge => "attribute_too_large",
            Self::TooManySpans => "too_many_spans",
            Self::TooManyParts => "too_many_parts",
            Self::Deleted => "deleted",
        }
    }
}

/// How many spans were refused, by fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    counts: [u32; SpanFault::ALL.len()],
}

impl Refusals {
    pub fn add(&mut self, fault: SpanFault) {
        let count = &mut self.counts[fault as usize];
        *count = count.saturating_add(1);
    }

    /// Adds what another stage refused of the same request.
    pub fn add_all(&mut self, others: &Self) {
        for (count, other) in self.counts.iter_mut().zip(others.counts) {
            *count = count.saturating_add(other);
        }
    }

    pub fn total(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = (SpanFault, u32)> {
        SpanFault::ALL.into_iter().zip(self.counts).filter(|(_, count)| *count > 0)
    }
}

/// `too_old: 2, trace_id: 1`
impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (fault, count)) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}: {count}", fault.name())?;
        }
        Ok(())
    }
}

/// A request is durable, less the spans that were refused alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    pub spans: u64,
    pub refused: Refusals,
    /// What to tell the sender about the refused ones; empty if there are none.
    pub message: String,
}

/// Why a request is not taken as a whole: nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The sender's fault: the same request will be refused again.
    #[error("the request is not an OTLP trace export: {0}")]
    Malformed(String),
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// There will never be room for it.
    #[error("the request is too large: {0}; send fewer spans at once")]
    TooLarge(String),
    /// No room: try again.
    #[error("{what}; try again in {} s", .retry_after.as_secs().max(1))]
    Overloaded { what: String, retry_after: Duration },
    /// The log cannot be written: try again.
    #[error("{what}; try again in {} s", .retry_after.as_secs().max(1))]
    Unavailable { what: String, retry_after: Duration },
}

/// A request was let in: memory is reserved for its body, and as much for the columns that it becomes. Given back
/// when this is dropped.
pub struct Admission {
    memory: Reservation,
    /// What of it is for columns.
    columns: usize,
}

impl Admission {
    /// Half of the reserved memory is for the body.
    pub fn new(memory: Reservation) -> Self {
        let columns = memory.bytes() / 2;
        Self { memory, columns }
    }

    /// Reserves more: how large a body is shows only while it is read or decompressed.
    pub fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.memory.grow(bytes.saturating_mul(2))?;
        self.columns += bytes;
        Ok(())
    }

    /// What is reserved for the body.
    pub fn body_bytes(&self) -> usize {
        self.memory.bytes() - self.columns
    }

    /// The body, and what is reserved for it until the last copy of it is gone: its sender may leave before it is
    /// in the log.
    pub(crate) fn hold(mut self, body: Bytes) -> Bytes {
        let _memory = self.memory.split(self.body_bytes());
        Bytes::from_owner(HeldBody { body, _memory })
    }

    /// Takes out what is reserved of the bytes that its columns take.
    pub(crate) fn for_columns(&mut self, bytes: usize) -> Reservation {
        let taken = self.columns.min(bytes);
        self.columns -= taken;
        self.memory.split(taken)
    }
}

struct HeldBody {
    body: Bytes,
    _memory: Reservation,
}

impl AsRef<[u8]> for HeldBody {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// How soon a sender may come again whom memory had no room for.
const AFTER_NO_ROOM: Duration = Duration::from_secs(1);

impl From<NoRoom> for Refused {
    fn from(no_room: NoRoom) -> Self {
        if no_room.is_for_good() {
            let NoRoom { wanted, limit, .. } = no_room;
            return Self::TooLarge(format!(
                "it takes {wanted} bytes of memory, and ingest.memory allows {limit} for everything"
            ));
        }
        Self::Overloaded {
            what: format!("the memory for spans is full: {no_room} (setting ingest.memory)"),
            retry_after: AFTER_NO_ROOM,
        }
    }
}

/// What receivers hand their requests to.
#[async_trait]
pub trait Accept: Send + Sync + 'static {
    /// Room for a request, before its body is read: `bytes` is what it says of its length, or a first guess.
    async fn admit(&self, tenant: &Tenant, bytes: usize) -> Result<Admission, Refused>;

    /// Answers once the request is durable. A receiver whose sender goes away drops the future: then nobody
    /// was told anything, and the request may be stored or not.
    async fn accept(&self, export: Export, admission: Admission) -> Result<Accepted, Refused>;
}
