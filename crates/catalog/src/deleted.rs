//! Which traces of a tenant are deleted, and from which rows.
//!
//! Every deletion has a number, and all rows know the deletions up to one: those that whoever accepted them knew, or
//! that were taken out of them since. A deletion hides the rows that do not know it. Few traces have a mark each; many
//! have pages of their own, `man/<id>`, which are never rewritten.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use siltstone_format::id::{ObjectId, TraceId};

use crate::block_entry::{id_bytes, id_of};
use crate::mark::{Mark, MarkKind, MarkTarget};
use crate::message::{self, Damage, Kind, KnownTags, Open};
use crate::tenant_page::TenantPage;
use crate::time::StoreTime;

/// Most traces of one page.
pub const MAX_PAGE_TRACES: usize = 64 * 1024;
const TRACE_BYTES: usize = 16;

/// Traces that one deletion names, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracePage {
    /// Of the deletion.
    pub number: u64,
    pub traces: Vec<TraceId>,
}

/// Such a page, in short.
#[derive(Clone, Debug, PartialEq)]
pub struct TracePageRef {
    pub id: ObjectId,
    /// Of the deletion.
    pub number: u64,
    /// When it was asked for.
    pub at: StoreTime,
    /// Its record, `del/<id>`.
    pub record: ObjectId,
    pub traces: u64,
    stored: Open<TracePageRefMessage>,
}

/// A deletion before it is part of the catalog.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewDeletion<'a> {
    pub(crate) number: u64,
    pub(crate) at: StoreTime,
    pub(crate) record: ObjectId,
    /// Ascending.
    pub(crate) traces: &'a [TraceId],
}

/// More than that have pages of their own.
pub(crate) const MOST_MARKED: usize = 256;

impl NewDeletion<'_> {
    /// Adds it to its tenant's page, and gives the pages that must be written before that one.
    pub(crate) fn add_to(
        &self,
        page: &mut TenantPage,
        mut next_id: impl FnMut() -> ObjectId,
    ) -> Vec<(ObjectId, Bytes)> {
        let Self { number, at, record, traces } = *self;
        if traces.len() <= MOST_MARKED {
            let marks = traces.iter().map(|trace| {
                let mark = Mark::new(number, MarkKind::Delete, MarkTarget::Trace(*trace));
                mark.asked(at, Some(record))
            });
            page.marks.extend(marks);
            return Vec::new();
        }
        let mut written = Vec::new();
        for some in traces.chunks(MAX_PAGE_TRACES) {
            let (id, of_traces) = (next_id(), TracePage { number, traces: some.to_vec() });
            page.trace_pages.push(TracePageRef::of(id, &of_traces, at, record));
            written.push((id, of_traces.encode()));
        }
        written
    }
}

/// What is deleted of one tenant.
#[derive(Clone, Debug, Default)]
pub struct DeletedTraces {
    /// The newest deletion of each trace.
    numbers: HashMap<TraceId, u64>,
    newest: u64,
}

impl DeletedTraces {
    /// Traces with the numbers of their deletions, and pages of more.
    pub fn new(traces: impl IntoIterator<Item = (u64, TraceId)>, pages: &[Arc<TracePage>]) -> Self {
        let mut all = Self::default();
        traces.into_iter().for_each(|(number, trace)| all.add(trace, number));
        pages.iter().for_each(|page| all.add_page(page));
        all
    }

    fn add(&mut self, trace: TraceId, number: u64) {
        let known = self.numbers.entry(trace).or_default();
        *known = number.max(*known);
        self.newest = number.max(self.newest);
    }

    fn add_page(&mut self, page: &TracePage) {
        page.traces.iter().for_each(|trace| self.add(*trace, page.number));
    }

    /// With more pages.
    pub(crate) fn and(&self, pages: impl IntoIterator<Item = TracePage>) -> Self {
        let mut all = self.clone();
        pages.into_iter().for_each(|page| all.add_page(&page));
        all
    }

    /// Whether a row of this trace is hidden that knows the deletions up to a number.
    pub fn hides(&self, trace: &TraceId, known: u64) -> bool {
        self.hides_any(known) && self.numbers.get(trace).is_some_and(|number| *number > known)
    }

    /// Whether any row can be hidden that knows the deletions up to a number.
    pub fn hides_any(&self, known: u64) -> bool {
        self.newest > known
    }

    /// What rows do not know that know the deletions up to a number: traces, each with the number of its newest
    /// deletion, in no order.
    pub fn unknown_to(&self, known: u64) -> impl Iterator<Item = (u64, TraceId)> {
        let all = self.numbers.iter().map(|(trace, number)| (*number, *trace));
        all.filter(move |(number, _)| *number > known)
    }
}

impl TracePage {
    pub fn holds(&self, trace: &TraceId) -> bool {
        self.traces.binary_search(trace).is_ok()
    }

    pub(crate) fn encode(&self) -> Bytes {
        let traces = packed(&self.traces);
        message::encode(Kind::TracePage, &TracePageMessage { number: self.number, traces })
    }

    pub(crate) fn decode(object: &Bytes) -> Result<Self, Damage> {
        let message: TracePageMessage = message::decode(Kind::TracePage, object)?;
        let traces = unpacked(&message.traces)?;
        match traces.is_sorted() {
            true => Ok(Self { number: message.number, traces }),
            false => Err(Damage::Content("its traces do not ascend")),
        }
    }
}

impl TracePageRef {
    pub(crate) fn of(id: ObjectId, page: &TracePage, at: StoreTime, record: ObjectId) -> Self {
        let (number, traces) = (page.number, page.traces.len() as u64);
        Self { id, number, at, record, traces, stored: Open::default() }
    }

    pub(crate) fn to_message(&self) -> Open<TracePageRefMessage> {
        self.stored.with(TracePageRefMessage {
            id: id_bytes(self.id.0),
            number: self.number,
            at: self.at.0,
            record: id_bytes(self.record.0),
            traces: self.traces,
        })
    }

    pub(crate) fn from_message(stored: Open<TracePageRefMessage>) -> Result<Self, Damage> {
        let message = &stored.known;
        Ok(Self {
            id: ObjectId(id_of(&message.id)?),
            number: message.number,
            at: StoreTime(message.at),
            record: ObjectId(id_of(&message.record)?),
            traces: message.traces,
            stored: stored.rest(),
        })
    }
}

/// Trace ids, end to end.
pub(crate) fn packed(traces: &[TraceId]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(traces.len() * TRACE_BYTES);
    traces.iter().for_each(|trace| bytes.extend_from_slice(&trace.0));
    bytes
}

pub(crate) fn unpacked(bytes: &[u8]) -> Result<Vec<TraceId>, Damage> {
    let (traces, []) = bytes.as_chunks::<TRACE_BYTES>() else {
        return Err(Damage::Content("a trace id has not 16 bytes"));
    };
    Ok(traces.iter().copied().map(TraceId).collect())
}

/// Never rewritten.
#[derive(Clone, PartialEq, Message)]
struct TracePageMessage {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "vec", tag = "2")]
    traces: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TracePageRefMessage {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(uint64, tag = "3")]
    at: u64,
    #[prost(bytes = "vec", tag = "4")]
    record: Vec<u8>,
    #[prost(uint64, tag = "5")]
    traces: u64,
}

impl KnownTags for TracePageRefMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3, 4, 5];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(number: u8) -> TraceId {
        TraceId([number; 16])
    }

    fn page(number: u64, traces: &[u8]) -> Arc<TracePage> {
        Arc::new(TracePage { number, traces: traces.iter().copied().map(trace).collect() })
    }

    #[test]
    fn should_hide_what_does_not_know_the_newest_deletion_of_its_trace() {
        let marked = [(4, trace(7)), (1, trace(7)), (5, trace(9))];
        let deleted = DeletedTraces::new(marked, &[page(3, &[7, 9, 11]), page(6, &[11])]);
        for known in 0..8 {
            let hidden: Vec<u8> = (0..15).filter(|of| deleted.hides(&trace(*of), known)).collect();
            let expected: &[u8] = match known {
                0..4 => &[7, 9, 11],
                4 => &[9, 11],
                5 => &[11],
                _ => &[],
            };
            assert_eq!(hidden, expected, "{known}");
            assert_eq!(deleted.hides_any(known), known < 6);
            assert!(
                deleted
                    .unknown_to(known)
                    .all(|(number, trace)| { number > known && deleted.hides(&trace, known) })
            );
        }
    }

    #[test]
    fn should_round_trip_and_refuse_what_does_not_ascend() {
        let page = TracePage { number: 3, traces: vec![trace(1), trace(2)] };
        assert_eq!(TracePage::decode(&page.encode()).unwrap(), page);
        let wrong = TracePage { number: 3, traces: vec![trace(2), trace(1)] };
        assert!(TracePage::decode(&wrong.encode()).is_err());
    }
}
