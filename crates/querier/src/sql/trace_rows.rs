//! The columns of the table `traces`, and its rows from whole traces.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, ListArray, StringViewArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use siltstone_ask::red::ERROR;
use siltstone_ask::slice::{At, Slice};
use siltstone_format::block::parts::Parts;
use siltstone_format::id::{SpanId, TraceId};

use super::arrays::{ids, times};
use super::schema::time_type;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TraceColumn {
    TraceId,
    StartTime,
    EndTime,
    Duration,
    SpanCount,
    ErrorCount,
    Services,
    RootService,
    RootName,
    Complete,
}

/// What the table says of one trace.
#[derive(Debug, Default)]
pub(super) struct TraceRow {
    trace: TraceId,
    start: u64,
    end: u64,
    spans: i64,
    errors: i64,
    services: Vec<String>,
    /// Of the first span without a parent.
    root: Option<Root>,
    is_complete: bool,
}

#[derive(Debug)]
struct Root {
    service: String,
    name: String,
}

impl TraceColumn {
    pub(super) const ALL: [Self; 10] = [
        Self::TraceId,
        Self::StartTime,
        Self::EndTime,
        Self::Duration,
        Self::SpanCount,
        Self::ErrorCount,
        Self::Services,
        Self::RootService,
        Self::RootName,
        Self::Complete,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TraceId => "trace_id",
            Self::StartTime => "start_time",
            Self::EndTime => "end_time",
            Self::Duration => "duration",
            Self::SpanCount => "span_count",
            Self::ErrorCount => "error_count",
            Self::Services => "services",
            Self::RootService => "root_service",
            Self::RootName => "root_name",
            Self::Complete => "complete",
        }
    }

    fn field(self) -> Field {
        let (kind, nullable) = match self {
            Self::TraceId => (DataType::Utf8View, false),
            Self::StartTime => (time_type(), false),
            Self::EndTime => (time_type(), true),
            Self::Duration => (DataType::Int64, true),
            Self::SpanCount | Self::ErrorCount => (DataType::Int64, false),
            Self::Services => (DataType::List(service_field()), false),
            Self::RootService | Self::RootName => (DataType::Utf8View, true),
            Self::Complete => (DataType::Boolean, false),
        };
        Field::new(self.name(), kind, nullable)
    }

    pub(super) fn array(self, rows: &[TraceRow]) -> Result<ArrayRef, ArrowError> {
        let int = |of_row: fn(&TraceRow) -> Option<i64>| {
            Arc::new(rows.iter().map(of_row).collect::<Int64Array>()) as ArrayRef
        };
        Ok(match self {
            Self::TraceId => ids(rows.iter().map(|row| Some(&row.trace.0[..]))),
            Self::StartTime => times(rows.iter().map(|row| i64::try_from(row.start).ok())),
            Self::EndTime => times(rows.iter().map(|row| i64::try_from(row.end).ok())),
            Self::Duration => int(|row| i64::try_from(i128::from(row.end) - i128::from(row.start)).ok()),
            Self::SpanCount => int(|row| Some(row.spans)),
            Self::ErrorCount => int(|row| Some(row.errors)),
            Self::Services => services(rows)?,
            Self::RootService => roots(rows, |root| &root.service),
            Self::RootName => roots(rows, |root| &root.name),
            Self::Complete => {
                Arc::new(rows.iter().map(|row| Some(row.is_complete)).collect::<BooleanArray>())
            }
        })
    }
}

pub(super) fn traces_schema() -> SchemaRef {
    Arc::new(Schema::new(TraceColumn::ALL.map(TraceColumn::field).to_vec()))
}

/// What must be read of spans for any of these columns.
pub(super) fn parts_of(columns: &[TraceColumn]) -> Parts {
    let has = |wanted: &[TraceColumn]| columns.iter().any(|column| wanted.contains(column));
    let is_root = has(&[TraceColumn::RootService, TraceColumn::RootName]);
    Parts {
        starts: true,
        durations: has(&[TraceColumn::EndTime, TraceColumn::Duration]),
        status_codes: has(&[TraceColumn::ErrorCount]),
        origins: has(&[TraceColumn::Services, TraceColumn::RootService]),
        names: has(&[TraceColumn::RootName]),
        parents: is_root || has(&[TraceColumn::Complete]),
        ..Parts::default()
    }
}

/// Rows of all traces of a slice. What was not read of spans says nothing.
pub(super) fn rows_of(slice: &Slice) -> Vec<TraceRow> {
    let of_chunk = |chunk: &siltstone_format::columns::SpanColumns| {
        chunk.origins.iter().map(|origin| origin.service_name()).collect()
    };
    let services: Vec<Vec<String>> = slice.chunks().iter().map(of_chunk).collect();
    slice.traces().map(|spans| row_of(slice, spans, &services)).collect()
}

fn row_of(slice: &Slice, spans: &[At], services: &[Vec<String>]) -> TraceRow {
    let mut row = TraceRow { start: u64::MAX, spans: spans.len() as i64, ..TraceRow::default() };
    let (mut of_trace, mut seen) = (BTreeSet::new(), HashSet::<SpanId>::new());
    let mut parents = Vec::new();
    for at in spans {
        let (columns, place) = slice.span(*at);
        let start = columns.starts[place].cast_unsigned();
        row.trace = columns.trace_ids[place];
        row.start = row.start.min(start);
        row.end = row.end.max(start.wrapping_add(columns.durations[place].cast_unsigned()));
        row.errors += i64::from(columns.status_codes[place] == ERROR);
        seen.insert(columns.span_ids[place]);
        let service = services[at.chunk as usize].get(columns.origins_of_rows[place] as usize);
        of_trace.extend(service.filter(|service| !service.is_empty()));
        match columns.parents[place] {
            Some(parent) => parents.push(parent),
            // Spans are in the order of their starts.
            None if row.root.is_none() => {
                let name = columns.names_of_rows[place];
                let name = if columns.names.is_empty() { "" } else { columns.names.get(name) };
                row.root =
                    Some(Root { service: service.cloned().unwrap_or_default(), name: name.to_owned() });
            }
            None => {}
        }
    }
    row.is_complete = row.root.is_some() && parents.iter().all(|parent| seen.contains(parent));
    row.services = of_trace.into_iter().cloned().collect();
    row
}

fn service_field() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Utf8View, false))
}

fn services(rows: &[TraceRow]) -> Result<ArrayRef, ArrowError> {
    let texts: StringViewArray =
        rows.iter().flat_map(|row| &row.services).map(|text| Some(text.as_str())).collect();
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.services.len()));
    Ok(Arc::new(ListArray::try_new(service_field(), offsets, Arc::new(texts), None)?))
}

/// Texts of roots; a service that has no name is none.
fn roots(rows: &[TraceRow], text_of: fn(&Root) -> &String) -> ArrayRef {
    let text_of_row = |row: &TraceRow| row.root.as_ref().map(|root| text_of(root).clone());
    let is_there = |text: &String| !text.is_empty();
    Arc::new(rows.iter().map(|row| text_of_row(row).filter(is_there)).collect::<StringViewArray>())
}
