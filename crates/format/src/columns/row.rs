//! One span on its way into the columns: complete, or as if it had never come.

use super::{OriginNumber, Rejected, SpanColumns};
use crate::columns::attributes::Scalar;
use crate::id::{SpanId, TraceId};
use crate::value::{Attribute, Value, ValueType};

/// The fields of a span that are there once. Texts are bytes as they came; they are
/// refused if they are not UTF-8.
#[derive(Clone, Debug, Default)]
pub struct SpanFields<'a> {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent_span_id: Option<SpanId>,
    pub trace_state: &'a [u8],
    pub flags: u32,
    pub name: &'a [u8],
    pub kind: i32,
    pub start_unix_nano: u64,
    pub end_unix_nano: u64,
    pub status_code: i32,
    pub status_message: &'a [u8],
    pub dropped_attributes_count: u32,
    pub dropped_events_count: u32,
    pub dropped_links_count: u32,
}

/// The fields of an event.
#[derive(Clone, Debug, Default)]
pub struct EventFields<'a> {
    pub time_unix_nano: u64,
    pub name: &'a [u8],
    pub dropped_attributes_count: u32,
}

/// The fields of a link.
#[derive(Clone, Debug, Default)]
pub struct LinkFields<'a> {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub trace_state: &'a [u8],
    pub flags: u32,
    pub dropped_attributes_count: u32,
}

/// A span that is being added. Dropped before [`SpanRow::finish`], or refused by it,
/// it leaves no trace in the columns (texts that it brought may stay unused).
pub struct SpanRow<'a> {
    columns: &'a mut SpanColumns,
    row: u32,
    last_key: Option<u32>,
    most_listed_bytes: usize,
    finished: bool,
}

impl<'a> SpanRow<'a> {
    pub(crate) fn new(columns: &'a mut SpanColumns) -> Self {
        let row = columns.len() as u32;
        columns.touched.clear();
        Self { columns, row, last_key: None, most_listed_bytes: usize::MAX, finished: false }
    }

    /// From now on [`SpanColumns::listed_bytes`] may become so many; what exceeds it is refused.
    pub fn limit_lists(&mut self, most_bytes: usize) {
        self.most_listed_bytes = most_bytes;
    }

    fn check_lists(&self) -> Result<(), Rejected> {
        if self.columns.listed_bytes() > self.most_listed_bytes {
            Err(Rejected::ListsTooLarge)
        } else {
            Ok(())
        }
    }

    /// Adds an attribute of a type that may have a column. A second value of the same
    /// key and type goes into the overflow, and so does what finds all columns taken.
    #[inline]
    pub fn scalar(&mut self, key: &[u8], value: Scalar<'_>) -> Result<(), Rejected> {
        let columns = &mut *self.columns;
        let Some(number) = columns.keys.intern_after(self.last_key, key)? else {
            return self.overflow(key, value);
        };
        self.last_key = Some(number);
        let Some(index) = columns.keys.column(number, value.slot(), &mut columns.attributes) else {
            return self.overflow(key, value);
        };
        let column = &mut columns.attributes[index];
        if column.rows.last() == Some(&self.row) {
            return self.overflow(key, value);
        }
        column.values.push(value)?;
        column.rows.push(self.row);
        columns.touched.push(index as u32);
        Ok(())
    }

    /// Adds an attribute of any type.
    pub fn attribute(&mut self, key: &[u8], value: &Value) -> Result<(), Rejected> {
        match value {
            Value::Str(text) => self.scalar(key, Scalar::Str(text.as_bytes())),
            Value::Int(int) => self.scalar(key, Scalar::Int(*int)),
            Value::Double(double) => self.scalar(key, Scalar::Double(*double)),
            Value::Bool(flag) => self.scalar(key, Scalar::Bool(*flag)),
            Value::Empty | Value::Bytes(_) | Value::Array(_) | Value::Map(_) => {
                let columns = &mut *self.columns;
                columns.overflow.entries.push_value(&mut columns.list_texts, key, value)?;
                columns.overflow.rows.push(self.row);
                self.check_lists()
            }
        }
    }

    #[cold]
    fn overflow(&mut self, key: &[u8], value: Scalar<'_>) -> Result<(), Rejected> {
        let columns = &mut *self.columns;
        columns.overflow.entries.push_scalar(&mut columns.list_texts, key, value)?;
        columns.overflow.rows.push(self.row);
        self.check_lists()
    }

    /// Adds an attribute of a type that has no column, by its exact text (see
    /// [`crate::value`]). The caller vouches that the text is one of that type.
    pub fn written(&mut self, key: &[u8], kind: ValueType, text: &str) -> Result<(), Rejected> {
        let columns = &mut *self.columns;
        columns.overflow.entries.push(&mut columns.list_texts, key, kind, text.as_bytes())?;
        columns.overflow.rows.push(self.row);
        self.check_lists()
    }

    /// Adds an event.
    pub fn event(&mut self, event: &EventFields<'_>, attributes: &[Attribute]) -> Result<(), Rejected> {
        let attributes = self.columns.list_texts.intern_attributes(attributes)?;
        self.event_with(event, attributes)
    }

    /// Adds an event with its attributes as [`crate::value::attributes_text`] writes them; the caller
    /// vouches for that.
    pub fn event_written(&mut self, event: &EventFields<'_>, attributes: &str) -> Result<(), Rejected> {
        let attributes = self.columns.list_texts.texts.intern(attributes.as_bytes())?;
        self.event_with(event, attributes)
    }

    fn event_with(&mut self, event: &EventFields<'_>, attributes: u32) -> Result<(), Rejected> {
        let columns = &mut *self.columns;
        let name = columns.list_texts.texts.intern(event.name)?;
        let events = &mut columns.events;
        events.rows.push(self.row);
        events.times.push(event.time_unix_nano);
        events.names.push(name);
        events.dropped.push(event.dropped_attributes_count);
        events.attributes.push(attributes);
        self.check_lists()
    }

    /// Adds a link.
    pub fn link(&mut self, link: &LinkFields<'_>, attributes: &[Attribute]) -> Result<(), Rejected> {
        let attributes = self.columns.list_texts.intern_attributes(attributes)?;
        self.link_with(link, attributes)
    }

    /// Adds a link with its attributes as text, see [`Self::event_written`].
    pub fn link_written(&mut self, link: &LinkFields<'_>, attributes: &str) -> Result<(), Rejected> {
        let attributes = self.columns.list_texts.texts.intern(attributes.as_bytes())?;
        self.link_with(link, attributes)
    }

    fn link_with(&mut self, link: &LinkFields<'_>, attributes: u32) -> Result<(), Rejected> {
        let columns = &mut *self.columns;
        let trace_state = columns.list_texts.texts.intern(link.trace_state)?;
        let links = &mut columns.links;
        links.rows.push(self.row);
        links.trace_ids.push(link.trace_id);
        links.span_ids.push(link.span_id);
        links.trace_states.push(trace_state);
        links.flags.push(link.flags);
        links.dropped.push(link.dropped_attributes_count);
        links.attributes.push(attributes);
        self.check_lists()
    }

    /// Ends the span. `origin` is from [`SpanColumns::origin`].
    pub fn finish(mut self, fields: &SpanFields<'_>, origin: OriginNumber) -> Result<(), Rejected> {
        let start = i64::try_from(fields.start_unix_nano).map_err(|_| Rejected::StartOutOfRange)?;
        let columns = &mut *self.columns;
        if columns.len() >= u32::MAX as usize - 1 {
            return Err(Rejected::Full);
        }
        let name = columns.names.intern(fields.name)?;
        columns.status_messages.push(self.row, fields.status_message)?;
        columns.trace_states.push(self.row, fields.trace_state)?;
        for (counts, count) in [
            (&mut columns.dropped_attributes, fields.dropped_attributes_count),
            (&mut columns.dropped_events, fields.dropped_events_count),
            (&mut columns.dropped_links, fields.dropped_links_count),
        ] {
            counts.push(self.row, count);
        }
        columns.trace_ids.push(fields.trace_id);
        columns.span_ids.push(fields.span_id);
        columns.parents.push(fields.parent_span_id);
        columns.starts.push(start);
        columns.durations.push(fields.end_unix_nano.wrapping_sub(fields.start_unix_nano).cast_signed());
        columns.names_of_rows.push(name);
        columns.kinds.push(fields.kind);
        columns.status_codes.push(fields.status_code);
        columns.flags.push(fields.flags);
        columns.origins_of_rows.push(origin.0);
        self.finished = true;
        Ok(())
    }
}

impl Drop for SpanRow<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.columns.take_back(self.row);
        }
    }
}
