//! Marks: what is archived and what is deleted. A page of older ones is `man/<id>`.

use bytes::Bytes;
use prost::Message;
use siltstone_format::id::TraceId;

use crate::message::{self, Damage, Kind, KnownTags, Open};

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
    /// Traces with a span in the time range that this filter matches; the catalog does
    /// not look into it.
    Filter {
        expression: String,
        from_unix_nano: u64,
        to_unix_nano: u64,
    },
}

/// One request to keep or to delete.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Ascends over all marks of the store.
    pub number: u64,
    pub kind: MarkKind,
    pub target: MarkTarget,
    stored: Open<MarkMessage>,
}

impl Mark {
    pub(crate) fn new(number: u64, kind: MarkKind, target: MarkTarget) -> Self {
        Self { number, kind, target, stored: Open::default() }
    }

    /// Whether it hides rows of a block that knows the deletions up to a number.
    pub fn hides_from(&self, clean_through: u64) -> bool {
        self.kind == MarkKind::Delete && self.number > clean_through
    }

    pub(crate) fn to_message(&self) -> Open<MarkMessage> {
        let mut message = MarkMessage {
            number: self.number,
            deletes: self.kind == MarkKind::Delete,
            ..MarkMessage::default()
        };
        match &self.target {
            MarkTarget::Trace(trace) => message.trace = trace.0.to_vec(),
            MarkTarget::Filter { expression, from_unix_nano, to_unix_nano } => {
                message.expression.clone_from(expression);
                (message.from_unix_nano, message.to_unix_nano) = (*from_unix_nano, *to_unix_nano);
            }
        }
        self.stored.with(message)
    }

    pub(crate) fn from_message(stored: Open<MarkMessage>) -> Result<Self, Damage> {
        let message = &stored.known;
        let target = match message.trace.as_slice() {
            [] => MarkTarget::Filter {
                expression: message.expression.clone(),
                from_unix_nano: message.from_unix_nano,
                to_unix_nano: message.to_unix_nano,
            },
            bytes => MarkTarget::Trace(TraceId(
                bytes.try_into().map_err(|_| Damage::Content("a trace id has not 16 bytes"))?,
            )),
        };
        let kind = if message.deletes { MarkKind::Delete } else { MarkKind::Archive };
        Ok(Self { number: message.number, kind, target, stored: stored.rest() })
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
    #[prost(string, tag = "4")]
    expression: String,
    #[prost(fixed64, tag = "5")]
    from_unix_nano: u64,
    #[prost(fixed64, tag = "6")]
    to_unix_nano: u64,
}

/// Never rewritten.
#[derive(Clone, PartialEq, Message)]
struct PageMessage {
    #[prost(message, repeated, tag = "1")]
    marks: Vec<Open<MarkMessage>>,
}

impl KnownTags for MarkMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3, 4, 5, 6];
}
