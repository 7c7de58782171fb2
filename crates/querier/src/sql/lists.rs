//! Events and links as lists of structs.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, ListArray, StringViewBuilder, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::Fields;
use datafusion::arrow::error::ArrowError;
use siltstone_format::columns::SpanColumns;

use super::arrays::{ArrayError, ids, times};
use super::attributes::Maps;
use super::schema::{event_fields, item_field, link_fields};

pub(super) fn events(columns: &SpanColumns, rows: &[u32]) -> Result<ArrayRef, ArrayError> {
    let (mut lengths, mut all_times) = (Vec::with_capacity(rows.len()), Vec::new());
    let (mut names, mut attributes) = (StringViewBuilder::new(), Maps::default());
    for row in rows {
        let events = columns.events_of(*row)?;
        lengths.push(events.len());
        for event in &events {
            all_times.push(i64::try_from(event.time_unix_nano).ok());
            names.append_value(&event.name);
            attributes.push(&event.attributes);
        }
    }
    let children = vec![times(all_times.into_iter()), Arc::new(names.finish()), attributes.finish()?];
    Ok(list(event_fields(), lengths, children)?)
}

pub(super) fn links(columns: &SpanColumns, rows: &[u32]) -> Result<ArrayRef, ArrayError> {
    let (mut lengths, mut all) = (Vec::with_capacity(rows.len()), Vec::new());
    let (mut states, mut attributes) = (StringViewBuilder::new(), Maps::default());
    for row in rows {
        let links = columns.links_of(*row)?;
        lengths.push(links.len());
        for link in links {
            let state = &link.trace_state;
            states.append_option((!state.is_empty()).then_some(state));
            attributes.push(&link.attributes);
            all.push((link.trace_id, link.span_id));
        }
    }
    let trace_ids = ids(all.iter().map(|(trace, _)| Some(&trace.0[..])));
    let span_ids = ids(all.iter().map(|(_, span)| Some(&span.0[..])));
    let children = vec![trace_ids, span_ids, Arc::new(states.finish()), attributes.finish()?];
    Ok(list(link_fields(), lengths, children)?)
}

fn list(fields: Fields, lengths: Vec<usize>, children: Vec<ArrayRef>) -> Result<ArrayRef, ArrowError> {
    let structs = StructArray::try_new(fields.clone(), children, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(item_field(fields), offsets, Arc::new(structs), None)?))
}
