//! Marks: what is archived and what is deleted. A page of older ones is `man/<id>`.

use bytes::Bytes;
use prost::Message;
use siltstone_format::id::{ObjectId, TraceId};

use crate::block_entry::{id_bytes, id_of};
use crate::message::{self, Damage, Kind, KnownTags, Open};
use crate::time::StoreTime;

/// Most marks of one page.
pub const MAX_PAGE_MARKS: usize = 1024;

/// What is wanted of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MarkKind {
    /// Keep them from now on.
    Archive,
    /// Show them to nobody from now on.
    Delete,
}

/// Which traces a mark is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MarkTarget {
    Trace(TraceId),
}

/// One request to keep or to delete.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Ascends over all marks of the store.
    pub number: u64,
    pub kind: MarkKind,
    pub target: MarkTarget,
    /// When it was asked for, by the store's time; not known of marks of earlier releases.
    pub at: StoreTime,
    /// The record of the deletion that it is part of, `del/<id>`.
    pub record: Option<ObjectId>,
    stored: Open<MarkMessage>,
}

impl Mark {
    pub(crate) fn new(number: u64, kind: MarkKind, target: MarkTarget) -> Self {
        Self { number, kind, target, at: StoreTime::default(), record: None, stored: Open::default() }
    }

    pub(crate) fn asked(self, at: StoreTime, record: Option<ObjectId>) -> Self {
        Self { at, record, ..self }
    }

    /// Whether it hides rows of a block that knows the deletions up to a number.
    pub fn hides_from(&self, clean_through: u64) -> bool {
        self.kind == MarkKind::Delete && self.number > clean_through
    }

    /// The trace that it deletes, with its number.
    pub(crate) fn deletion(&self) -> Option<(u64, TraceId)> {
        let MarkTarget::Trace(trace) = self.target;
        (self.kind == MarkKind::Delete).then_some((self.number, trace))
    }

    pub(crate) fn to_message(&self) -> Open<MarkMessage> {
        let MarkTarget::Trace(trace) = self.target;
        self.stored.with(MarkMessage {
            number: self.number,
            deletes: self.kind == MarkKind::Delete,
            trace: trace.0.to_vec(),
            at: self.at.0,
            record: self.record.map_or_else(Vec::new, |record| id_bytes(record.0)),
        })
    }

    pub(crate) fn from_message(stored: Open<MarkMessage>) -> Result<Self, Damage> {
        let message = &stored.known;
        let trace = message.trace.as_slice().try_into();
        let trace = trace.map_err(|_| Damage::Content("a trace id has not 16 bytes"))?;
        let kind = if message.deletes { MarkKind::Delete } else { MarkKind::Archive };
        let record = match message.record.as_slice() {
            [] => None,
            bytes => Some(ObjectId(id_of(bytes)?)),
        };
        let (number, at, target) = (message.number, StoreTime(message.at), MarkTarget::Trace(TraceId(trace)));
        Ok(Self { number, kind, target, at, record, stored: stored.rest() })
    }
}

pub(crate) fn encode_page(marks: &[Mark]) -> Bytes {
    let message = PageMessage { marks: marks.iter().map(Mark::to_message).collect() };
    message::encode(Kind::MarkPage, &message)
}

pub(crate) fn decode_page(object: &Bytes) -> Result<Vec<Mark>, Damage> {
    let page: PageMessage = message::decode(Kind::MarkPage, object)?;
    page.marks.into_iter().map(Mark::from_message).collect()
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MarkMessage {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bool, tag = "2")]
    deletes: bool,
    #[prost(bytes = "vec", tag = "3")]
    trace: Vec<u8>,
    #[prost(uint64, tag = "7")]
    at: u64,
    #[prost(bytes = "vec", tag = "8")]
    record: Vec<u8>,
}

/// Never rewritten.
#[derive(Clone, PartialEq, Message)]
struct PageMessage {
    #[prost(message, repeated, tag = "1")]
    marks: Vec<Open<MarkMessage>>,
}

impl KnownTags for MarkMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3, 7, 8];
}
