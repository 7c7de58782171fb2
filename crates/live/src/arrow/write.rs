//! Rows of columns into a batch.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, FixedSizeBinaryBuilder, Int32Builder, Int64Builder, UInt8Builder, UInt32Builder,
    UInt64Builder,
};
use arrow_array::{ArrayRef, ListArray, RecordBatch, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::Fields;
use siltstone_format::columns::attributes::ColumnValues;
use siltstone_format::columns::{RareCounts, RareTexts, SpanColumns};
use siltstone_format::value::ValueType;

use super::schema::{ATTRIBUTE, EVENT, LINK, SPAN_ID, TRACE_ID, Table, list_item};
use super::{BATCH_BYTES, BatchError};

/// Most rows of a batch.
const BATCH_ROWS: usize = 1024;
/// About what a row takes without its texts and lists.
const ROW_BYTES: usize = 100;

/// The rows from one on that make a batch, and the row after it.
pub(crate) fn next_spans(columns: &SpanColumns, first: usize) -> Result<(RecordBatch, usize), BatchError> {
    let window = first..columns.len().min(first + BATCH_ROWS);
    let placed = Placed::of(columns, &window)?;
    let mut builder = SpansBuilder::new(columns, &placed, number(first)?);
    let mut row = window.start;
    while row < window.end && builder.bytes < BATCH_BYTES {
        builder.push(row, row - window.start)?;
        row += 1;
    }
    Ok((builder.finish()?, row))
}

fn number(row: usize) -> Result<u32, BatchError> {
    u32::try_from(row).map_err(|_| BatchError::Damaged("more rows than can be numbered"))
}

/// The places of some rows in an ascending list of rows.
fn places(rows: &[u32], window: &Range<u32>) -> Range<usize> {
    rows.partition_point(|row| *row < window.start)..rows.partition_point(|row| *row < window.end)
}

/// Values of attribute columns by row: columns are stored one by one, rows are sent one by one.
struct Placed {
    /// For each row of the window, where its values end in `values`; they begin where the row before ends.
    ends: Vec<usize>,
    /// Number of the column, and place in it.
    values: Vec<(usize, usize)>,
}

impl Placed {
    fn of(columns: &SpanColumns, window: &Range<usize>) -> Result<Self, BatchError> {
        let rows = number(window.start)?..number(window.end)?;
        let of_window: Vec<Range<usize>> =
            columns.attributes.iter().map(|column| places(&column.rows, &rows)).collect();
        let place = |row: u32| (row - rows.start) as usize;
        let mut ends = vec![0; window.len()];
        for (column, range) in columns.attributes.iter().zip(&of_window) {
            column.rows[range.clone()].iter().for_each(|row| ends[place(*row)] += 1);
        }
        let mut sum = 0;
        for end in &mut ends {
            // Where the row begins, until its values are placed.
            sum += std::mem::replace(end, sum);
        }
        let mut values = vec![(0, 0); sum];
        for (number, (column, range)) in columns.attributes.iter().zip(of_window).enumerate() {
            for index in range {
                let end = &mut ends[place(column.rows[index])];
                values[*end] = (number, index);
                *end += 1;
            }
        }
        Ok(Self { ends, values })
    }

    fn of_row(&self, place: usize) -> &[(usize, usize)] {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.values[start..self.ends[place]]
    }
}

/// A walk along an ascending list of rows.
#[derive(Default)]
struct Walk {
    at: usize,
}

impl Walk {
    fn starting(rows: &[u32], row: u32) -> Self {
        Self { at: rows.partition_point(|at| *at < row) }
    }

    /// The place of the next entry, if it belongs to this row.
    fn next(&mut self, rows: &[u32], row: u32) -> Option<usize> {
        (rows.get(self.at) == Some(&row)).then(|| {
            self.at += 1;
            self.at - 1
        })
    }
}

struct Walks {
    status_messages: Walk,
    trace_states: Walk,
    dropped_attributes: Walk,
    dropped_events: Walk,
    dropped_links: Walk,
    overflow: Walk,
    events: Walk,
    links: Walk,
}

struct SpansBuilder<'a> {
    columns: &'a SpanColumns,
    placed: &'a Placed,
    walks: Walks,
    trace_ids: FixedSizeBinaryBuilder,
    span_ids: FixedSizeBinaryBuilder,
    parents: FixedSizeBinaryBuilder,
    starts: Int64Builder,
    durations: Int64Builder,
    kinds: Int32Builder,
    status_codes: Int32Builder,
    flags: UInt32Builder,
    names: BinaryBuilder,
    status_messages: BinaryBuilder,
    trace_states: BinaryBuilder,
    dropped: [UInt32Builder; 3],
    origins: UInt32Builder,
    attributes: AttributesBuilder,
    events: EventsBuilder,
    links: LinksBuilder,
    bytes: usize,
}

impl<'a> SpansBuilder<'a> {
    fn new(columns: &'a SpanColumns, placed: &'a Placed, first: u32) -> Self {
        let walk = |rows: &[u32]| Walk::starting(rows, first);
        Self {
            columns,
            placed,
            walks: Walks {
                status_messages: walk(&columns.status_messages.rows),
                trace_states: walk(&columns.trace_states.rows),
                dropped_attributes: walk(&columns.dropped_attributes.rows),
                dropped_events: walk(&columns.dropped_events.rows),
                dropped_links: walk(&columns.dropped_links.rows),
                overflow: walk(&columns.overflow.rows),
                events: walk(&columns.events.rows),
                links: walk(&columns.links.rows),
            },
            trace_ids: FixedSizeBinaryBuilder::new(TRACE_ID),
            span_ids: FixedSizeBinaryBuilder::new(SPAN_ID),
            parents: FixedSizeBinaryBuilder::new(SPAN_ID),
            starts: Int64Builder::new(),
            durations: Int64Builder::new(),
            kinds: Int32Builder::new(),
            status_codes: Int32Builder::new(),
            flags: UInt32Builder::new(),
            names: BinaryBuilder::new(),
            status_messages: BinaryBuilder::new(),
            trace_states: BinaryBuilder::new(),
            dropped: Default::default(),
            origins: UInt32Builder::new(),
            attributes: AttributesBuilder::default(),
            events: EventsBuilder::default(),
            links: LinksBuilder::new(),
            bytes: 0,
        }
    }

    /// Adds a row, which has this place in the window.
    fn push(&mut self, row: usize, place: usize) -> Result<(), BatchError> {
        let columns = self.columns;
        let row_number = number(row)?;
        self.trace_ids.append_value(columns.trace_ids[row].0)?;
        self.span_ids.append_value(columns.span_ids[row].0)?;
        match columns.parents[row] {
            Some(parent) => self.parents.append_value(parent.0)?,
            None => self.parents.append_null(),
        }
        self.starts.append_value(columns.starts[row]);
        self.durations.append_value(columns.durations[row]);
        self.kinds.append_value(columns.kinds[row]);
        self.status_codes.append_value(columns.status_codes[row]);
        self.flags.append_value(columns.flags[row]);
        let name = columns.names.bytes_of(columns.names_of_rows[row]);
        let message = rare_text(&columns.status_messages, &mut self.walks.status_messages, row_number);
        let state = rare_text(&columns.trace_states, &mut self.walks.trace_states, row_number);
        self.names.append_value(name);
        self.status_messages.append_value(message);
        self.trace_states.append_value(state);
        let [attributes, events, links] = &mut self.dropped;
        for (builder, counts, walk) in [
            (attributes, &columns.dropped_attributes, &mut self.walks.dropped_attributes),
            (events, &columns.dropped_events, &mut self.walks.dropped_events),
            (links, &columns.dropped_links, &mut self.walks.dropped_links),
        ] {
            builder.append_value(rare_count(counts, walk, row_number));
        }
        self.origins.append_value(columns.origins_of_rows[row]);
        self.bytes += ROW_BYTES + name.len() + message.len() + state.len();
        self.bytes +=
            self.attributes.push(columns, self.placed.of_row(place), &mut self.walks.overflow, row_number);
        self.bytes += self.events.push(columns, &mut self.walks.events, row_number);
        self.bytes += self.links.push(columns, &mut self.walks.links, row_number)?;
        Ok(())
    }

    fn finish(mut self) -> Result<RecordBatch, BatchError> {
        let [dropped_attributes, dropped_events, dropped_links] =
            self.dropped.map(|mut counts| Arc::new(counts.finish()) as ArrayRef);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.trace_ids.finish()),
            Arc::new(self.span_ids.finish()),
            Arc::new(self.parents.finish()),
            Arc::new(self.starts.finish()),
            Arc::new(self.durations.finish()),
            Arc::new(self.kinds.finish()),
            Arc::new(self.status_codes.finish()),
            Arc::new(self.flags.finish()),
            Arc::new(self.names.finish()),
            Arc::new(self.status_messages.finish()),
            Arc::new(self.trace_states.finish()),
            dropped_attributes,
            dropped_events,
            dropped_links,
            Arc::new(self.origins.finish()),
            self.attributes.finish()?,
            self.events.finish()?,
            self.links.finish()?,
        ];
        Ok(RecordBatch::try_new(Table::Spans.schema().clone(), columns)?)
    }
}

fn rare_text<'a>(texts: &'a RareTexts, walk: &mut Walk, row: u32) -> &'a [u8] {
    walk.next(&texts.rows, row).map_or(&[], |at| texts.texts.bytes_of(texts.numbers[at]))
}

fn rare_count(counts: &RareCounts, walk: &mut Walk, row: u32) -> u32 {
    walk.next(&counts.rows, row).map_or(0, |at| counts.counts[at])
}

fn list(fields: &Fields, lengths: Vec<usize>, children: Vec<ArrayRef>) -> Result<ArrayRef, BatchError> {
    let items = StructArray::try_new(fields.clone(), children, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(list_item(fields), offsets, Arc::new(items), None)?))
}

#[derive(Default)]
struct AttributesBuilder {
    lengths: Vec<usize>,
    keys: BinaryBuilder,
    types: UInt8Builder,
    texts: BinaryBuilder,
    bits: Int64Builder,
}

impl AttributesBuilder {
    fn push(
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

    fn finish(mut self) -> Result<ArrayRef, BatchError> {
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
struct EventsBuilder {
    lengths: Vec<usize>,
    times: UInt64Builder,
    names: BinaryBuilder,
    dropped: UInt32Builder,
    attributes: BinaryBuilder,
}

impl EventsBuilder {
    fn push(&mut self, columns: &SpanColumns, walk: &mut Walk, row: u32) -> usize {
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

    fn finish(mut self) -> Result<ArrayRef, BatchError> {
        let children: Vec<ArrayRef> = vec![
            Arc::new(self.times.finish()),
            Arc::new(self.names.finish()),
            Arc::new(self.dropped.finish()),
            Arc::new(self.attributes.finish()),
        ];
        list(&EVENT, self.lengths, children)
    }
}

struct LinksBuilder {
    lengths: Vec<usize>,
    trace_ids: FixedSizeBinaryBuilder,
    span_ids: FixedSizeBinaryBuilder,
    trace_states: BinaryBuilder,
    flags: UInt32Builder,
    dropped: UInt32Builder,
    attributes: BinaryBuilder,
}

impl LinksBuilder {
    fn new() -> Self {
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

    fn push(&mut self, columns: &SpanColumns, walk: &mut Walk, row: u32) -> Result<usize, BatchError> {
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

    fn finish(mut self) -> Result<ArrayRef, BatchError> {
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
