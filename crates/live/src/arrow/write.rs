//! Rows of columns into a batch.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, FixedSizeBinaryBuilder, Int32Builder, Int64Builder, UInt32Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use siltstone_format::columns::{RareCounts, RareTexts, SpanColumns};

use super::lists::{AttributesBuilder, EventsBuilder, LinksBuilder, Walk};
use super::schema::{SPAN_ID, TRACE_ID, Table};
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
