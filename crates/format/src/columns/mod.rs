//! Spans as columns in memory: what requests are decoded into, blocks are encoded
//! from, and blocks are decoded into again.
//!
//! Attribute values lie in one sparse column for each key and type, so that a key
//! costs nothing in rows that lack it, and a span that turns out to be bad is taken
//! back by popping its row. Texts are stored once ([`Dictionary`]), origins too.

pub mod attributes;
pub mod dictionary;
pub mod lists;
pub mod row;
mod spans;

use std::sync::Arc;

use hashbrown::HashMap;

use self::attributes::{AttributeColumn, Keys};
use self::dictionary::Dictionary;
use self::lists::{Events, Links, ListTexts, Overflow};
use self::row::SpanRow;
use crate::id::{SpanId, TraceId};
use crate::origin::Origin;

/// Why a span cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("a text is not UTF-8")]
    NotUtf8,
    #[error("the start time is after the year 2262")]
    StartOutOfRange,
    #[error("a value is nested deeper than {} levels", crate::value::MAX_NESTING)]
    TooDeep,
    #[error("the buffer holds as many spans or texts as it can number: flush it")]
    Full,
}

/// An origin within one [`SpanColumns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OriginNumber(pub(crate) u32);

/// Texts that few rows have; a row without one has the empty text.
#[derive(Clone, Debug, Default)]
pub struct RareTexts {
    pub rows: Vec<u32>,
    pub numbers: Vec<u32>,
    pub texts: Dictionary,
}

/// Counts that are zero in nearly every row.
#[derive(Clone, Debug, Default)]
pub struct RareCounts {
    pub rows: Vec<u32>,
    pub counts: Vec<u32>,
}

/// Spans as columns. Rows are in the order of their coming.
#[derive(Clone, Debug, Default)]
pub struct SpanColumns {
    pub trace_ids: Vec<TraceId>,
    pub span_ids: Vec<SpanId>,
    pub parents: Vec<Option<SpanId>>,
    pub starts: Vec<i64>,
    pub durations: Vec<i64>,
    pub kinds: Vec<i32>,
    pub status_codes: Vec<i32>,
    pub flags: Vec<u32>,
    pub names: Dictionary,
    pub names_of_rows: Vec<u32>,
    pub origins_of_rows: Vec<u32>,
    pub status_messages: RareTexts,
    pub trace_states: RareTexts,
    pub dropped_attributes: RareCounts,
    pub dropped_events: RareCounts,
    pub dropped_links: RareCounts,
    pub keys: Keys,
    pub attributes: Vec<AttributeColumn>,
    pub list_texts: ListTexts,
    pub overflow: Overflow,
    pub events: Events,
    pub links: Links,
    pub origins: Vec<Arc<Origin>>,
    origin_numbers: HashMap<Vec<u8>, u32, foldhash::fast::RandomState>,
}

impl RareTexts {
    pub(crate) fn push(&mut self, row: u32, text: &[u8]) -> Result<(), Rejected> {
        if !text.is_empty() {
            self.numbers.push(self.texts.intern(text)?);
            self.rows.push(row);
        }
        Ok(())
    }

    fn take_back(&mut self, row: u32) {
        if self.rows.last() == Some(&row) {
            self.rows.pop();
            self.numbers.pop();
        }
    }

    fn get(&self, row: u32) -> &str {
        self.rows.binary_search(&row).map_or("", |index| self.texts.get(self.numbers[index]))
    }
}

impl RareCounts {
    pub(crate) fn push(&mut self, row: u32, count: u32) {
        if count != 0 {
            self.rows.push(row);
            self.counts.push(count);
        }
    }

    fn take_back(&mut self, row: u32) {
        if self.rows.last() == Some(&row) {
            self.rows.pop();
            self.counts.pop();
        }
    }

    fn get(&self, row: u32) -> u32 {
        self.rows.binary_search(&row).map_or(0, |index| self.counts[index])
    }
}

impl SpanColumns {
    /// How many spans there are.
    pub fn len(&self) -> usize {
        self.trace_ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.trace_ids.is_empty()
    }

    /// Begins a span.
    pub fn span(&mut self) -> SpanRow<'_> {
        SpanRow::new(self)
    }

    /// The number of an origin, the same for the same content.
    pub fn origin(&mut self, origin: Arc<Origin>) -> OriginNumber {
        let next = self.origins.len() as u32;
        let number = *self.origin_numbers.entry(origin.canonical()).or_insert(next);
        if number == next {
            self.origins.push(origin);
        }
        OriginNumber(number)
    }

    /// Undoes what a span that is not finished has added.
    #[cold]
    fn take_back(&mut self, row: u32) {
        self.attributes.iter_mut().for_each(|column| column.take_back(row));
        self.overflow.take_back(row);
        self.events.take_back(row);
        self.links.take_back(row);
        self.status_messages.take_back(row);
        self.trace_states.take_back(row);
        self.dropped_attributes.take_back(row);
        self.dropped_events.take_back(row);
        self.dropped_links.take_back(row);
    }
}
