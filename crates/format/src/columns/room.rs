//! Room for rows that will come.
//!
//! Columns that grow by doubling all double at the same row, and whoever adds it waits for tens of megabytes to
//! be copied. Who knows how far columns will grow makes room early, when there is little to copy; room costs
//! nothing until it is filled.

use super::attributes::{AttributeColumn, ColumnValues};
use super::lists::{Events, Links, Overflow};
use super::{RareCounts, RareTexts, SpanColumns};

/// Room for so many times the elements that there are.
pub(super) fn make_room<T>(vec: &mut Vec<T>, times: usize) {
    vec.reserve_exact(vec.len().saturating_mul(times.saturating_sub(1)));
}

impl SpanColumns {
    /// Room for so many times the spans that there are, if they go on being alike.
    pub fn make_room(&mut self, times: usize) {
        make_room(&mut self.trace_ids, times);
        make_room(&mut self.span_ids, times);
        make_room(&mut self.parents, times);
        make_room(&mut self.starts, times);
        make_room(&mut self.durations, times);
        make_room(&mut self.kinds, times);
        make_room(&mut self.status_codes, times);
        make_room(&mut self.flags, times);
        self.names.make_room(times);
        make_room(&mut self.names_of_rows, times);
        make_room(&mut self.origins_of_rows, times);
        for rare in [&mut self.status_messages, &mut self.trace_states] {
            rare.make_room(times);
        }
        for rare in [&mut self.dropped_attributes, &mut self.dropped_events, &mut self.dropped_links] {
            rare.make_room(times);
        }
        self.attributes.iter_mut().for_each(|column| column.make_room(times));
        self.list_texts.keys.make_room(times);
        self.list_texts.texts.make_room(times);
        self.overflow.make_room(times);
        self.events.make_room(times);
        self.links.make_room(times);
    }
}

impl RareTexts {
    fn make_room(&mut self, times: usize) {
        make_room(&mut self.rows, times);
        make_room(&mut self.numbers, times);
        self.texts.make_room(times);
    }
}

impl RareCounts {
    fn make_room(&mut self, times: usize) {
        make_room(&mut self.rows, times);
        make_room(&mut self.counts, times);
    }
}

impl AttributeColumn {
    fn make_room(&mut self, times: usize) {
        make_room(&mut self.rows, times);
        match &mut self.values {
            ColumnValues::Str { texts, numbers } => {
                texts.make_room(times);
                make_room(numbers, times);
            }
            ColumnValues::Int(values) => make_room(values, times),
            ColumnValues::Double(values) => make_room(values, times),
            ColumnValues::Bool(values) => make_room(values, times),
        }
    }
}

impl Overflow {
    fn make_room(&mut self, times: usize) {
        make_room(&mut self.rows, times);
        make_room(&mut self.entries.keys, times);
        make_room(&mut self.entries.types, times);
        make_room(&mut self.entries.texts, times);
    }
}

impl Events {
    fn make_room(&mut self, times: usize) {
        make_room(&mut self.rows, times);
        make_room(&mut self.times, times);
        make_room(&mut self.names, times);
        make_room(&mut self.dropped, times);
        make_room(&mut self.attributes, times);
    }
}

impl Links {
    fn make_room(&mut self, times: usize) {
        make_room(&mut self.rows, times);
        make_room(&mut self.trace_ids, times);
        make_room(&mut self.span_ids, times);
        make_room(&mut self.trace_states, times);
        make_room(&mut self.flags, times);
        make_room(&mut self.dropped, times);
        make_room(&mut self.attributes, times);
    }
}
