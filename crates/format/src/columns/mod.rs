//! Spans as columns in memory: what requests are decoded into, blocks are encoded
//! from, and blocks are decoded into again.
//!
//! Attribute values lie in one sparse column for each key and type, so that a key
//! costs nothing in rows that lack it, and a span that turns out to be bad is taken
//! back by popping its row. Texts are stored once ([`Dictionary`]), origins too.

mod append;
pub mod attributes;
pub mod dictionary;
mod known_origin;
pub mod lists;
mod memory;
mod room;
pub mod row;
mod spans;

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashMap;

use self::attributes::{AttributeColumn, Keys};
use self::dictionary::Dictionary;
pub use self::known_origin::{KnownOrigin, OriginPool};
use self::lists::{Events, Links, ListTexts, Overflow, keep_before};
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
    #[error("events, links and attributes without a column take more memory than they may")]
    ListsTooLarge,
    #[error("the buffer holds as many spans or texts as it can number: flush it")]
    Full,
}

/// An origin within one [`SpanColumns`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
    /// The service of each row, where it was read without the rest of its origin.
    pub(crate) read_services: (Dictionary, Vec<u32>),
    /// How many rows there are, if the ids of their traces were not read.
    pub(crate) unnamed: usize,
    /// Columns with a value of the span that is being added.
    touched: Vec<u32>,
    /// Memory behind the origins and their numbers.
    origin_bytes: usize,
    /// What each origin is known by, see [`Origin::canonical`].
    pub(crate) canonical_origins: Vec<Arc<[u8]>>,
    origin_numbers: HashMap<Arc<[u8]>, u32, foldhash::fast::RandomState>,
    /// The same by where the content lies in memory: it does as long as the origin is here.
    origin_places: HashMap<usize, u32, foldhash::fast::RandomState>,
}

impl RareTexts {
    pub(crate) fn push(&mut self, row: u32, text: &[u8]) -> Result<(), Rejected> {
        if !text.is_empty() {
            self.numbers.push(self.texts.intern(text)?);
            self.rows.push(row);
        }
        Ok(())
    }

    /// Forgets the rows whose text is empty, among those from an index on.
    pub(crate) fn drop_empty(&mut self, from: usize) {
        if let Some(empty) = self.texts.find(b"") {
            drop_equal(&mut self.rows, &mut self.numbers, from, empty);
        }
    }

    fn truncate(&mut self, row: u32) {
        let keep = keep_before(&self.rows, &row);
        self.rows.truncate(keep);
        self.numbers.truncate(keep);
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

    /// Forgets the rows whose count is zero, among those from an index on.
    pub(crate) fn drop_zeros(&mut self, from: usize) {
        drop_equal(&mut self.rows, &mut self.counts, from, 0);
    }

    fn truncate(&mut self, row: u32) {
        let keep = keep_before(&self.rows, &row);
        self.rows.truncate(keep);
        self.counts.truncate(keep);
    }

    fn get(&self, row: u32) -> u32 {
        self.rows.binary_search(&row).map_or(0, |index| self.counts[index])
    }
}

/// Drops a value, wherever it stands from an index on, and its row.
fn drop_equal(rows: &mut Vec<u32>, values: &mut Vec<u32>, from: usize, dropped: u32) {
    if values[from..].contains(&dropped) {
        let mut kept = values.iter().enumerate().map(|(index, value)| index < from || *value != dropped);
        rows.retain(|_| kept.next().unwrap_or(false));
        let mut index = 0..;
        values.retain(|value| index.next().is_none_or(|index| index < from) || *value != dropped);
    }
}

impl SpanColumns {
    /// How many spans there are.
    pub fn len(&self) -> usize {
        self.trace_ids.len().max(self.unnamed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins a span.
    pub fn span(&mut self) -> SpanRow<'_> {
        SpanRow::new(self)
    }

    /// The services of all rows: names, and the number of each row's.
    pub fn services(&self) -> (Vec<Cow<'_, str>>, &[u32]) {
        let (names, of_rows) = &self.read_services;
        if of_rows.is_empty() {
            let names = self.origins.iter().map(|origin| origin.service_name().into()).collect();
            return (names, &self.origins_of_rows);
        }
        ((0..names.len() as u32).map(|number| names.get(number).into()).collect(), of_rows)
    }

    /// The number of an origin, the same for the same content.
    pub fn origin(&mut self, origin: Arc<Origin>) -> OriginNumber {
        self.origin_of(origin.canonical().into(), origin)
    }

    fn origin_of(&mut self, canonical: Arc<[u8]>, origin: Arc<Origin>) -> OriginNumber {
        if let Some(number) = self.origin_places.get(&canonical.as_ptr().addr()) {
            return OriginNumber(*number);
        }
        // Those of a block are numbered without their content being looked at.
        for number in self.origin_numbers.len()..self.canonical_origins.len() {
            self.origin_numbers.insert(Arc::clone(&self.canonical_origins[number]), number as u32);
        }
        if let Some(number) = self.origin_numbers.get(&canonical) {
            return OriginNumber(*number);
        }
        self.origin_numbers.insert(Arc::clone(&canonical), self.origins.len() as u32);
        let memory_bytes = memory::of_origin(&origin, &canonical);
        OriginNumber(self.new_origin(KnownOrigin { origin, canonical, memory_bytes }))
    }

    /// An origin that is known to be none of those that are here.
    pub(crate) fn new_origin(&mut self, known: KnownOrigin) -> u32 {
        let number = self.origins.len() as u32;
        self.origin_bytes += known.memory_bytes;
        self.origin_places.insert(known.canonical.as_ptr().addr(), number);
        self.canonical_origins.push(known.canonical);
        self.origins.push(known.origin);
        number
    }

    /// Gives the spans from a row on an origin: in requests it may stand behind them.
    pub fn set_origin(&mut self, first_row: usize, origin: OriginNumber) {
        let rows = self.origins_of_rows.get_mut(first_row..).unwrap_or_default();
        rows.fill(origin.0);
    }

    /// Forgets all rows but the first ones. Texts and origins that they brought may stay.
    pub fn truncate(&mut self, rows: usize) {
        if rows >= self.len() {
            return;
        }
        self.unnamed = self.unnamed.min(rows);
        self.trace_ids.truncate(rows);
        self.span_ids.truncate(rows);
        self.parents.truncate(rows);
        self.starts.truncate(rows);
        self.durations.truncate(rows);
        self.kinds.truncate(rows);
        self.status_codes.truncate(rows);
        self.flags.truncate(rows);
        self.names_of_rows.truncate(rows);
        self.origins_of_rows.truncate(rows);
        let row = rows as u32;
        self.attributes.iter_mut().for_each(|column| column.truncate(row));
        self.truncate_lists(row);
    }

    /// Undoes what a span that is not finished has added.
    #[cold]
    fn take_back(&mut self, row: u32) {
        // Only what it touched: a request full of bad spans costs no more than one of good ones.
        let Self { touched, attributes, .. } = self;
        touched.drain(..).for_each(|column| attributes[column as usize].take_back(row));
        self.truncate_lists(row);
    }

    fn truncate_lists(&mut self, row: u32) {
        self.overflow.truncate(row);
        self.events.truncate(row);
        self.links.truncate(row);
        self.status_messages.truncate(row);
        self.trace_states.truncate(row);
        self.dropped_attributes.truncate(row);
        self.dropped_events.truncate(row);
        self.dropped_links.truncate(row);
    }
}
