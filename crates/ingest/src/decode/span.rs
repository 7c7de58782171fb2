//! One span: its fields into a row. Of several faults the worst counts, so that the verdict does not depend on
//! the order in which fields were sent.

use siltstone_format::columns::attributes::Scalar;
use siltstone_format::columns::row::{EventFields, LinkFields, SpanFields, SpanRow};
use siltstone_format::columns::{OriginNumber, Rejected, SpanColumns};
use siltstone_format::id::{SpanId, TraceId};

use super::Rules;
use super::depth::Depth;
use super::fields as names;
use super::text::{write_checked_pair, write_columnless};
use super::value::{Any, PairValue, any, joined_value, pair, value_bytes};
use super::wire::{Malformed, Wire};
use crate::export::SpanFault;

/// Why a span is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Fault(SpanFault),
    /// Nothing fits into the columns any more.
    Full,
}

/// What is wrong with a span so far. The worst fault is the first in the order of [`SpanFault`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults(Option<SpanFault>);

impl Faults {
    #[cold]
    pub(crate) fn note(&mut self, fault: SpanFault) {
        self.0 = Some(self.0.map_or(fault, |known| known.min(fault)));
    }

    pub(crate) fn worst(self) -> Option<SpanFault> {
        self.0
    }
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Fault(SpanFault::Malformed)
    }
}

const IN_SPAN: Depth = Depth::REQUEST.down(3);
const IN_MEMBER: Depth = IN_SPAN.down(1);

/// Reads spans, one after the other.
pub(crate) struct SpanReader {
    rules: Rules,
    /// What [`SpanColumns::listed_bytes`] may become in this request.
    most_listed_bytes: usize,
    /// Text of what has no column.
    text: String,
}

/// Ids as they were sent.
#[derive(Default)]
struct SentIds<'a> {
    trace: &'a [u8],
    span: &'a [u8],
    parent: &'a [u8],
}

/// A span that is being read.
struct Reading<'s, 'c> {
    rules: &'s Rules,
    text: &'s mut String,
    row: SpanRow<'c>,
    faults: Faults,
}

impl SpanReader {
    pub(crate) fn new(rules: Rules, columns: &SpanColumns) -> Self {
        let most_listed_bytes = columns.listed_bytes().saturating_add(rules.listed_bytes);
        Self { rules, most_listed_bytes, text: String::new() }
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Adds a span; if it is refused, nothing of it stays.
    pub(crate) fn read(
        &mut self,
        message: &[u8],
        origin: OriginNumber,
        columns: &mut SpanColumns,
    ) -> Result<(), Refusal> {
        // A span that has far too many leaves half of the room to its neighbours.
        let most_of_span = columns.listed_bytes().saturating_add(self.rules.listed_bytes / 2);
        let mut row = columns.span();
        row.limit_lists(self.most_listed_bytes.min(most_of_span));
        let mut reading =
            Reading { rules: &self.rules, text: &mut self.text, row, faults: Faults::default() };
        let mut ids = SentIds::default();
        let mut fields = SpanFields::default();
        reading.fields(message, &mut ids, &mut fields)?;
        reading.check(&ids, &mut fields);
        if let Some(fault) = reading.faults.worst() {
            return Err(Refusal::Fault(fault));
        }
        reading.row.finish(&fields, origin).map_err(|rejected| match fault_of(rejected) {
            Some(fault) => Refusal::Fault(fault),
            None => Refusal::Full,
        })
    }
}

impl Reading<'_, '_> {
    #[inline]
    fn fields<'m>(
        &mut self,
        message: &'m [u8],
        ids: &mut SentIds<'m>,
        fields: &mut SpanFields<'m>,
    ) -> Result<(), Refusal> {
        let mut wire = Wire::new(message);
        while !wire.is_empty() {
            match wire.key()? {
                names::span::ATTRIBUTE => self.attribute(wire.bytes()?)?,
                names::span::TRACE_ID => ids.trace = wire.bytes()?,
                names::span::SPAN_ID => ids.span = wire.bytes()?,
                names::span::PARENT_SPAN_ID => ids.parent = wire.bytes()?,
                names::span::NAME => fields.name = wire.bytes()?,
                names::span::KIND => fields.kind = wire.varint()? as i32,
                names::span::START => fields.start_unix_nano = wire.fixed64()?,
                names::span::END => fields.end_unix_nano = wire.fixed64()?,
                names::span::STATUS => status(wire.bytes()?, fields)?,
                names::span::FLAGS => fields.flags = wire.fixed32()?,
                names::span::TRACE_STATE => fields.trace_state = wire.bytes()?,
                names::span::EVENT => self.event(wire.bytes()?)?,
                names::span::LINK => self.link(wire.bytes()?)?,
                names::span::DROPPED_ATTRIBUTES => fields.dropped_attributes_count = wire.varint()? as u32,
                names::span::DROPPED_EVENTS => fields.dropped_events_count = wire.varint()? as u32,
                names::span::DROPPED_LINKS => fields.dropped_links_count = wire.varint()? as u32,
                other => wire.skip(other, names::span::ALL, IN_SPAN)?,
            }
        }
        Ok(())
    }

    /// Judges ids and start, and fills them in.
    fn check(&mut self, ids: &SentIds<'_>, fields: &mut SpanFields<'_>) {
        match ids.trace.try_into().map(TraceId) {
            Ok(id) if !id.is_zero() => {
                fields.trace_id = id;
                if self
                    .rules
                    .deleted
                    .as_ref()
                    .is_some_and(|lately| lately.has(&id, self.rules.now_unix_millis))
                {
                    self.faults.note(SpanFault::Deleted);
                }
            }
            _ => self.faults.note(SpanFault::TraceId),
        }
        match ids.span.try_into().map(SpanId) {
            Ok(id) if !id.is_zero() => fields.span_id = id,
            _ => self.faults.note(SpanFault::SpanId),
        }
        match ids.parent.try_into().map(SpanId) {
            // Some senders write zeros where there is no parent.
            Ok(id) => fields.parent_span_id = Some(id).filter(|id| !id.is_zero()),
            Err(_) if ids.parent.is_empty() => {}
            Err(_) => self.faults.note(SpanFault::ParentSpanId),
        }
        let start = fields.start_unix_nano;
        if start < self.rules.earliest_start {
            self.faults.note(SpanFault::TooOld);
        } else if start > self.rules.latest_start || i64::try_from(start).is_err() {
            self.faults.note(SpanFault::TooNew);
        }
    }

    #[inline]
    fn attribute(&mut self, message: &[u8]) -> Result<(), Refusal> {
        let pair = pair(message, IN_MEMBER)?;
        let value = match pair.value {
            PairValue::Whole(value) => value,
            PairValue::Missing => &[],
            PairValue::InPieces => return self.attribute_in_pieces(message, pair.key),
        };
        self.value(pair.key, value)
    }

    #[cold]
    fn attribute_in_pieces(&mut self, message: &[u8], key: &[u8]) -> Result<(), Refusal> {
        let value = joined_value(message, IN_MEMBER)?;
        self.value(key, &value)
    }

    #[inline]
    fn value(&mut self, key: &[u8], message: &[u8]) -> Result<(), Refusal> {
        let depth = IN_MEMBER.down(1);
        let value = any(message, depth)?;
        if key.len() + value_bytes(message, &value) > self.rules.attribute_bytes {
            self.faults.note(SpanFault::AttributeTooLarge);
            return Ok(());
        }
        let scalar = match value {
            Any::Str(text) => Scalar::Str(text),
            Any::Int(int) => Scalar::Int(int),
            Any::Double(double) => Scalar::Double(double),
            Any::Bool(flag) => Scalar::Bool(flag),
            other => return self.columnless(key, message, &other, depth),
        };
        // A refused span leaves its texts behind: the fewer the better.
        if self.faults.worst().is_some() {
            return Ok(());
        }
        let added = self.row.scalar(key, scalar);
        self.note(added)
    }

    #[cold]
    fn columnless(
        &mut self,
        key: &[u8],
        message: &[u8],
        value: &Any<'_>,
        depth: Depth,
    ) -> Result<(), Refusal> {
        self.text.clear();
        match write_columnless(message, value, depth, self.text) {
            Ok(kind) if self.faults.worst().is_none() => {
                let added = self.row.written(key, kind, self.text);
                self.note(added)
            }
            Ok(_) => Ok(()),
            Err(fault) => self.fault(fault),
        }
    }

    fn event(&mut self, message: &[u8]) -> Result<(), Refusal> {
        let mut event = EventFields::default();
        self.text.clear();
        self.text.push('{');
        let mut wire = Wire::new(message);
        while !wire.is_empty() {
            match wire.key()? {
                names::event::TIME => event.time_unix_nano = wire.fixed64()?,
                names::event::NAME => event.name = wire.bytes()?,
                names::event::ATTRIBUTE => self.listed_attribute(wire.bytes()?)?,
                names::event::DROPPED_ATTRIBUTES => event.dropped_attributes_count = wire.varint()? as u32,
                other => wire.skip(other, names::event::ALL, IN_MEMBER)?,
            }
        }
        self.text.push('}');
        if self.faults.worst().is_some() {
            return Ok(());
        }
        let added = self.row.event_written(&event, self.text);
        self.note(added)
    }

    fn link(&mut self, message: &[u8]) -> Result<(), Refusal> {
        let mut link = LinkFields::default();
        let mut ids = SentIds::default();
        self.text.clear();
        self.text.push('{');
        let mut wire = Wire::new(message);
        while !wire.is_empty() {
            match wire.key()? {
                names::link::TRACE_ID => ids.trace = wire.bytes()?,
                names::link::SPAN_ID => ids.span = wire.bytes()?,
                names::link::TRACE_STATE => link.trace_state = wire.bytes()?,
                names::link::ATTRIBUTE => self.listed_attribute(wire.bytes()?)?,
                names::link::DROPPED_ATTRIBUTES => link.dropped_attributes_count = wire.varint()? as u32,
                names::link::FLAGS => link.flags = wire.fixed32()?,
                other => wire.skip(other, names::link::ALL, IN_MEMBER)?,
            }
        }
        self.text.push('}');
        match (ids.trace.try_into(), ids.span.try_into()) {
            (Ok(trace), Ok(span)) => (link.trace_id, link.span_id) = (TraceId(trace), SpanId(span)),
            _ => self.faults.note(SpanFault::LinkId),
        }
        if self.faults.worst().is_some() {
            return Ok(());
        }
        let added = self.row.link_written(&link, self.text);
        self.note(added)
    }

    /// An attribute of an event or a link, onto the text.
    fn listed_attribute(&mut self, message: &[u8]) -> Result<(), Refusal> {
        match write_checked_pair(message, self.rules.attribute_bytes, IN_MEMBER.down(1), self.text) {
            Ok(()) if self.text.len() > self.rules.listed_bytes / 2 => self.fault(SpanFault::TooManyParts),
            Ok(()) => Ok(()),
            Err(fault) => self.fault(fault),
        }
    }

    /// Damage ends a span at once: nothing behind it can be trusted. So does excess: all that follows would cost
    /// as much.
    fn fault(&mut self, fault: SpanFault) -> Result<(), Refusal> {
        if matches!(fault, SpanFault::Malformed | SpanFault::TooManyParts) {
            return Err(Refusal::Fault(fault));
        }
        self.faults.note(fault);
        Ok(())
    }

    #[inline]
    fn note(&mut self, added: Result<(), Rejected>) -> Result<(), Refusal> {
        let Err(rejected) = added else { return Ok(()) };
        match fault_of(rejected) {
            Some(fault) => self.fault(fault),
            None => Err(Refusal::Full),
        }
    }
}

/// Status may come in pieces: each adds to what the ones before said.
fn status<'m>(message: &'m [u8], fields: &mut SpanFields<'m>) -> Result<(), Malformed> {
    let mut wire = Wire::new(message);
    while !wire.is_empty() {
        match wire.key()? {
            names::status::MESSAGE => fields.status_message = wire.bytes()?,
            names::status::CODE => fields.status_code = wire.varint()? as i32,
            other => wire.skip(other, names::status::ALL, IN_MEMBER)?,
        }
    }
    Ok(())
}

/// What a refusal of the columns says of the span. None: it is not the span's fault.
fn fault_of(rejected: Rejected) -> Option<SpanFault> {
    match rejected {
        Rejected::NotUtf8 => Some(SpanFault::NotUtf8),
        Rejected::StartOutOfRange => Some(SpanFault::TooNew),
        Rejected::TooDeep => Some(SpanFault::TooDeep),
        Rejected::ListsTooLarge => Some(SpanFault::TooManyParts),
        Rejected::Full => None,
    }
}
