//! The messages of `siltstone.live.v1.LiveSpans/Ask`: one question, and an answer in parts.
//!
//! ```text
//! question → header · batch · batch …
//! ```
//!
//! The header says how many spans follow, so that an answer that ends early is noticed.

use std::collections::BTreeMap;

use prost::bytes::Bytes;
use prost::{Message, Oneof};
use siltstone_ask::{Filter, Window, WireError};
use siltstone_format::id::{ObjectId, TraceId, WriterId};
use siltstone_format::tenant::TenantError;
use ulid::Ulid;

use crate::answer::Answer;
use crate::question::{Question, Wanted};

/// What is spoken here. A change that a peer must not overlook is another form, and refused by it.
pub(crate) const FORM: u32 = 1;

/// Bytes of a batch in one message, below what gRPC takes by default.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// More than an ingester holds: each costs its reader memory before a span has come.
const MOST_SEGMENTS: usize = 10_000;

/// Why a message is not understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("it is in form {0}, and this release speaks form {FORM}: upgrade the older of the two")]
    Form(u32),
    #[error("it lacks {0}, or says what this release does not know")]
    Lacks(&'static str),
    #[error("an id has another length than ids have")]
    Id,
    #[error("it announces more than {MOST_SEGMENTS} segments")]
    Segments,
    #[error(transparent)]
    Tenant(#[from] TenantError),
    #[error(transparent)]
    Filter(#[from] WireError),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AskMessage {
    #[prost(uint32, tag = "1")]
    form: u32,
    /// Who is asked: another ingester may have its address by now.
    #[prost(bytes = "vec", tag = "2")]
    ingester: Vec<u8>,
    #[prost(string, tag = "3")]
    tenant: String,
    #[prost(oneof = "WantedMessage", tags = "4, 5")]
    wanted: Option<WantedMessage>,
}

#[derive(Clone, PartialEq, Oneof)]
enum WantedMessage {
    /// Trace ids, end to end.
    #[prost(bytes = "vec", tag = "4")]
    Traces(Vec<u8>),
    #[prost(message, tag = "5")]
    Matching(MatchingMessage),
}

#[derive(Clone, PartialEq, Message)]
struct MatchingMessage {
    /// [`Filter::to_bytes`]; none: every span.
    #[prost(bytes = "vec", optional, tag = "1")]
    filter: Option<Vec<u8>>,
    #[prost(fixed64, tag = "2")]
    start: u64,
    #[prost(fixed64, tag = "3")]
    end: u64,
}

impl AskMessage {
    pub(crate) fn of(question: &Question, ingester: ObjectId) -> Self {
        let wanted = match &question.wanted {
            Wanted::Traces(ids) => WantedMessage::Traces(ids.iter().flat_map(|id| id.0).collect()),
            Wanted::Matching { filter, window } => WantedMessage::Matching(MatchingMessage {
                filter: filter.as_ref().map(Filter::to_bytes),
                start: window.start,
                end: window.end,
            }),
        };
        Self {
            form: FORM,
            ingester: ingester.0.to_bytes().to_vec(),
            tenant: question.tenant.to_string(),
            wanted: Some(wanted),
        }
    }

    /// Who is asked, and what.
    pub(crate) fn read(self) -> Result<(ObjectId, Question), MessageError> {
        if self.form != FORM {
            return Err(MessageError::Form(self.form));
        }
        let wanted = match self.wanted.ok_or(MessageError::Lacks("what is wanted"))? {
            WantedMessage::Traces(ids) => {
                let (ids, []) = ids.as_chunks() else { return Err(MessageError::Id) };
                Wanted::Traces(ids.iter().copied().map(TraceId).collect())
            }
            WantedMessage::Matching(matching) => Wanted::Matching {
                filter: matching.filter.as_deref().map(Filter::from_bytes).transpose()?,
                window: Window { start: matching.start, end: matching.end },
            },
        };
        Ok((ObjectId(id(&self.ingester)?), Question { tenant: self.tenant.parse()?, wanted }))
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AnswerMessage {
    #[prost(oneof = "Part", tags = "1, 2")]
    pub(crate) part: Option<Part>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Part {
    #[prost(message, tag = "1")]
    Header(HeaderMessage),
    #[prost(message, tag = "2")]
    Batch(BatchMessage),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct HeaderMessage {
    #[prost(uint32, tag = "1")]
    form: u32,
    #[prost(message, repeated, tag = "2")]
    committed: Vec<FlushMessage>,
    #[prost(uint64, tag = "3")]
    min_root: u64,
    #[prost(message, repeated, tag = "4")]
    segments: Vec<SegmentMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct FlushMessage {
    #[prost(bytes = "vec", tag = "1")]
    writer: Vec<u8>,
    #[prost(uint64, tag = "2")]
    number: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SegmentMessage {
    #[prost(message, optional, tag = "1")]
    flush: Option<FlushMessage>,
    #[prost(uint64, tag = "2")]
    spans: u64,
    /// A peer that does not know it shows too little, and nothing that was deleted.
    #[prost(uint64, tag = "3")]
    known_deletions: u64,
}

/// A part of a batch; all parts but the last have `more` after them.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchMessage {
    /// Place of the segment in the header.
    #[prost(uint32, tag = "1")]
    pub(crate) segment: u32,
    /// Origins, or else spans.
    #[prost(bool, tag = "2")]
    pub(crate) is_origins: bool,
    /// With the first part.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) head: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) body: Bytes,
    #[prost(bool, tag = "5")]
    pub(crate) more: bool,
}

/// What an answer will hold.
#[derive(Debug)]
pub(crate) struct Announced {
    pub(crate) committed: BTreeMap<WriterId, u64>,
    pub(crate) min_root: u64,
    pub(crate) segments: Vec<AnnouncedSegment>,
}

#[derive(Debug)]
pub(crate) struct AnnouncedSegment {
    pub(crate) writer: WriterId,
    pub(crate) number: u64,
    pub(crate) spans: u64,
    pub(crate) known_deletions: u64,
}

impl HeaderMessage {
    pub(crate) fn of(answer: &Answer) -> Self {
        let flush = |writer: WriterId, number| FlushMessage { writer: writer.0.to_bytes().to_vec(), number };
        let segments = answer.segments.iter().map(|segment| SegmentMessage {
            flush: Some(flush(segment.writer, segment.number)),
            spans: segment.spans.len() as u64,
            known_deletions: segment.known_deletions,
        });
        Self {
            form: FORM,
            committed: answer.committed.iter().map(|(writer, next)| flush(*writer, *next)).collect(),
            min_root: answer.min_root,
            segments: segments.collect(),
        }
    }

    pub(crate) fn read(self) -> Result<Announced, MessageError> {
        if self.form != FORM {
            return Err(MessageError::Form(self.form));
        }
        if self.segments.len() > MOST_SEGMENTS {
            return Err(MessageError::Segments);
        }
        let flush = |flush: FlushMessage| Ok((WriterId(id(&flush.writer)?), flush.number));
        let segment = |segment: SegmentMessage| {
            let (writer, number) = flush(segment.flush.ok_or(MessageError::Lacks("a segment's name"))?)?;
            let (spans, known_deletions) = (segment.spans, segment.known_deletions);
            Ok(AnnouncedSegment { writer, number, spans, known_deletions })
        };
        Ok(Announced {
            committed: self.committed.into_iter().map(flush).collect::<Result<_, MessageError>>()?,
            min_root: self.min_root,
            segments: self.segments.into_iter().map(segment).collect::<Result<_, MessageError>>()?,
        })
    }
}

fn id(bytes: &[u8]) -> Result<Ulid, MessageError> {
    bytes.try_into().map(Ulid::from_bytes).map_err(|_| MessageError::Id)
}
