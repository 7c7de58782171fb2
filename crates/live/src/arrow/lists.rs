//! What a row may have many of, into list columns.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, FixedSizeBinaryBuilder, Int64Builder, UInt8Builder, UInt32Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, ListArray, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::Fields;
use siltstone_format::columns::SpanColumns;
use siltstone_format::columns::attributes::ColumnValues;
use siltstone_format::value::ValueType;

use super::BatchError;
use super::schema::{ATTRIBUTE, EVENT, LINK, SPAN_ID, TRACE_ID, list_item};

/// A walk along an ascending list of rows.
#[derive(Default)]
pub(super) struct Walk {
    at: usize,
}

impl Walk {
    pub(super) fn starting(rows: &[u32], row: u32) -> Self {
        Self { at: rows.partition_point(|at| *at < row) }
    }

    /// The place of the next entry, if it belongs to this row.
    pub(super) fn next(&mut self, rows: &[u32], row: u32) -> Option<usize> {
        (rows.get(self.at) == Some(&row)).then(|| {
            self.at += 1;
            self.at - 1
        })
    }
}

fn list(fields: &Fields, lengths: Vec<usize>, children: Vec<ArrayRef>) -> Result<ArrayRef, BatchError> {
    let items = StructArray::try_new(fields.clone(), children, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(list_item(fields), offsets, Arc::new(items), None)?))
}

#[derive(Default)]
pub(super) struct AttributesBuilder {
    lengths: Vec<usize>,
    keys: BinaryBuilder,
    types: UInt8Builder,
    texts: BinaryBuilder,
    bits: Int64Builder,
}

impl AttributesBuilder {
    pub(super) fn push(
        &mut self,
        columns: &SpanColumns,
        placed: &[(usize, usize)],
        overflow: &mut Walk,
        row: u32,
    ) -> usize {
        let mut bytes = 0;
        for (number, index) in placed {
            let column = &columns.attributes[*number];
            let key = columns.keys.name(column.key).as_bytes();
            let (text, bits): (&[u8], i64) = match &column.values {
                ColumnValues::Str { texts, numbers } => (texts.bytes_of(numbers[*index]), 0),
                ColumnValues::Int(values) => (&[], values[*index]),
                ColumnValues::Double(values) => (&[], values[*index].to_bits().cast_signed()),
                ColumnValues::Bool(values) => (&[], i64::from(values[*index])),
            };
            bytes += self.entry(key, column.values.value_type(), text, bits);
        }
        let mut length = placed.len();
        let entries = &columns.overflow.entries;
        while let Some(at) = overflow.next(&columns.overflow.rows, row) {
            let key = columns.list_texts.keys.bytes_of(entries.keys[at]);
            let text = columns.list_texts.texts.bytes_of(entries.texts[at]);
            bytes += self.entry(key, entries.types[at], text, 0);
            length += 1;
        }
        self.lengths.push(length);
        bytes
    }

    fn entry(&mut self, key: &[u8], kind: ValueType, text: &[u8], bits: i64) -> usize {
        self.keys.append_value(key);
        self.types.append_value(type_number(kind));
        self.texts.append_value(text);
        self.bits.append_value(bits);
        17 + key.len() + text.len()
    }

    pub(super) fn finish(mut self) -> Result<ArrayRef, BatchError> {
        let children: Vec<ArrayRef> = vec![
            Arc::new(self.keys.finish()),
            Arc::new(self.types.finish()),
            Arc::new(self.texts.finish()),
            Arc::new(self.bits.finish()),
        ];
        list(&ATTRIBUTE, self.lengths, children)
    }
}

/// The number of a type of value in this form of the protocol.
fn type_number(kind: ValueType) -> u8 {
    match kind {
        ValueType::Empty => 0,
        ValueType::Str => 1,
        ValueType::Int => 2,
        ValueType::Double => 3,
        ValueType::Bool => 4,
        ValueType::Bytes => 5,
        ValueType::Array => 6,
        ValueType::Map => 7,
    }
}

/// The type of value that has a number.
pub(crate) fn type_of(number: u8) -> Option<ValueType> {
    ValueType::ALL.into_iter().find(|kind| type_number(*kind) == number)
}

#[derive(Default)]
pub(super) struct EventsBuilder {
    lengths: Vec<usize>,
    times: UInt64Builder,
    names: BinaryBuilder,
    dropped: UInt32Builder,
    attributes: BinaryBuilder,
}

impl EventsBuilder {
    pub(super) fn push(&mut self, columns: &SpanColumns, walk: &mut Walk, row: u32) -> usize {
        let (events, texts) = (&columns.events, &columns.list_texts.texts);
        let (mut bytes, mut length) = (0, 0);
        while let Some(at) = walk.next(&events.rows, row) {
            let name = texts.bytes_of(events.names[at]);
            let attributes = texts.bytes_of(events.attributes[at]);
            self.times.append_value(events.times[at]);
            self.names.append_value(name);
            self.dropped.append_value(events.dropped[at]);
            self.attributes.append_value(attributes);
            bytes += 20 + name.len() + attributes.len();
            length += 1;
        }
        self.lengths.push(length);
        bytes
    }

    pub(super) fn finish(mut self) -> Result<ArrayRef, BatchError> {
        let children: Vec<ArrayRef> = vec![
            Arc::new(self.times.finish()),
            Arc::new(self.names.finish()),
            Arc::new(self.dropped.finish()),
            Arc::new(self.attributes.finish()),
        ];
        list(&EVENT, self.lengths, children)
    }
}

pub(super) struct LinksBuilder {
    lengths: Vec<usize>,
    trace_ids: FixedSizeBinaryBuilder,
    span_ids: FixedSizeBinaryBuilder,
    trace_states: BinaryBuilder,
    flags: UInt32Builder,
    dropped: UInt32Builder,
    attributes: BinaryBuilder,
}

impl LinksBuilder {
    pub(super) fn new() -> Self {
        Self {
            lengths: Vec::new(),
            trace_ids: FixedSizeBinaryBuilder::new(TRACE_ID),
            span_ids: FixedSizeBinaryBuilder::new(SPAN_ID),
            trace_states: BinaryBuilder::new(),
            flags: UInt32Builder::new(),
            dropped: UInt32Builder::new(),
            attributes: BinaryBuilder::new(),
        }
    }

    pub(super) fn push(
        &mut self,
        columns: &SpanColumns,
        walk: &mut Walk,
        row: u32,
    ) -> Result<usize, BatchError> {
        let (links, texts) = (&columns.links, &columns.list_texts.texts);
        let (mut bytes, mut length) = (0, 0);
        while let Some(at) = walk.next(&links.rows, row) {
            let state = texts.bytes_of(links.trace_states[at]);
            let attributes = texts.bytes_of(links.attributes[at]);
            self.trace_ids.append_value(links.trace_ids[at].0)?;
            self.span_ids.append_value(links.span_ids[at].0)?;
            self.trace_states.append_value(state);
            self.flags.append_value(links.flags[at]);
            self.dropped.append_value(links.dropped[at]);
            self.attributes.append_value(attributes);
            bytes += 40 + state.len() + attributes.len();
            length += 1;
        }
        self.lengths.push(length);
        Ok(bytes)
    }

    pub(super) fn finish(mut self) -> Result<ArrayRef, BatchError> {
        let children: Vec<ArrayRef> = vec![
            Arc::new(self.trace_ids.finish()),
            Arc::new(self.span_ids.finish()),
            Arc::new(self.trace_states.finish()),
            Arc::new(self.flags.finish()),
            Arc::new(self.dropped.finish()),
            Arc::new(self.attributes.finish()),
        ];
        list(&LINK, self.lengths, children)
    }
}
