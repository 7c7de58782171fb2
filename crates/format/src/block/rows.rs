//! Rows of a spans file into columns: the way back of [`super::write`].

use std::ops::Range;

use hashbrown::HashMap;

use super::decode::{FlatValues, NOT_UTF8, Raw, TextNumbers, WRONG_TYPE, not_utf8};
use super::error::{ReadError, Wrong};
use super::leaf::Damage;
use super::parts::{AttributeParts, Parts};
use super::ranges::Fetched;
use super::read::{GroupRows, Origins, Pick, SpansFile};
use super::schema::Fixed;
use crate::columns::attributes::ColumnValues;
use crate::columns::dictionary::Dictionary;
use crate::columns::lists::Entries;
use crate::columns::{RareCounts, RareTexts, SpanColumns};
use crate::id::{SpanId, TraceId};
use crate::value::ValueType;

const OTHER_LENGTHS: Damage = "a list whose parts have different lengths";
const TOO_MANY_COLUMNS: Damage = "more attribute columns than a block can have";

const UNKNOWN_ORIGIN: u32 = u32::MAX;
/// Rows for which a table of origins is made, and the ids that it may have.
const WORTH_AN_ORIGIN_TABLE: usize = 4_096;
const MOST_ORIGIN_TABLE: usize = 1 << 16;

/// Reads wanted parts of rows, one run of rows after the other, into new columns.
pub(crate) struct RowsReader<'a> {
    file: &'a SpansFile,
    fetched: &'a Fetched,
    parts: &'a Parts,
    origins: &'a dyn Origins,
    columns: SpanColumns,
    /// The traces of all rows, if they are known: then their column is not read again.
    traces: Option<Vec<TraceId>>,
    /// The ids of all spans of the one trace of which parts are read, in their order.
    siblings: Option<&'a [SpanId]>,
    seq: Vec<u32>,
    /// Rows whose parent is in the block, and its number.
    parent_rows: Vec<u32>,
    parent_seqs: Vec<u32>,
    /// By column of the file.
    text_numbers: Vec<TextNumbers>,
    origin_numbers: HashMap<u32, u32, foldhash::fast::RandomState>,
}

impl<'a> RowsReader<'a> {
    pub(crate) fn new(
        file: &'a SpansFile,
        fetched: &'a Fetched,
        parts: &'a Parts,
        origins: &'a dyn Origins,
    ) -> Self {
        Self {
            file,
            fetched,
            parts,
            origins,
            columns: SpanColumns::default(),
            traces: None,
            siblings: None,
            seq: Vec::new(),
            parent_rows: Vec::new(),
            parent_seqs: Vec::new(),
            text_numbers: vec![TextNumbers::default(); file.lists.overflow.start],
            origin_numbers: HashMap::default(),
        }
    }

    /// Reads rows of these traces, one for each row.
    pub(crate) fn of_traces(mut self, traces: Vec<TraceId>) -> Self {
        self.traces = Some(traces);
        self
    }

    /// Reads rows that lie anywhere within a trace of which these are the spans.
    pub(crate) fn of_siblings(mut self, siblings: &'a [SpanId]) -> Self {
        self.siblings = Some(siblings);
        self
    }

    /// Appends rows of one group, which are ascending.
    pub(crate) fn read(&mut self, rows: &[GroupRows]) -> Result<(), ReadError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let pick = Pick { group: first.group, parts: rows, base: self.columns.len() as u32 };
        let end = self.columns.len() + rows.iter().map(|part| part.rows.len()).sum::<usize>();
        for fixed in Fixed::ALL {
            if self.parts.holds(fixed) && (fixed != Fixed::TraceId || self.traces.is_none()) {
                self.fixed(pick, fixed)?;
            }
        }
        if let Some(traces) = &self.traces {
            self.columns.trace_ids.extend(traces.get(self.columns.trace_ids.len()..end).unwrap_or_default());
        }
        if self.columns.trace_ids.is_empty() {
            self.columns.unnamed = end;
        }
        if self.parts.parents {
            // Absent values at the end have left no row behind.
            self.columns.parents.resize(end, None);
        }
        for index in 0..self.file.attributes.len() {
            if self.parts.attributes.holds(&self.file.attributes[index].1) {
                self.attribute(pick, index)?;
            }
        }
        let lists = &self.file.lists;
        let list = |leaves: &Range<usize>| ListReader {
            file: self.file,
            fetched: self.fetched,
            pick,
            leaf: leaves.start,
        };
        if !self.parts.attributes.is_empty() {
            list(&lists.overflow).overflow(&self.parts.attributes, &mut self.columns)?;
        }
        if self.parts.events {
            list(&lists.events).events(&mut self.columns)?;
        }
        if self.parts.links {
            list(&lists.links).links(&mut self.columns)?;
        }
        Ok(())
    }

    /// Resolves parents and gives the columns.
    pub(crate) fn finish(mut self) -> Result<SpanColumns, ReadError> {
        for (row, parent) in self.parent_rows.iter().zip(&self.parent_seqs) {
            let row = *row as usize;
            let found = match self.siblings {
                Some(siblings) => self.parent_among(siblings, row, *parent),
                None => self.parent_here(row, *parent),
            };
            if found.is_none() {
                let what =
                    Wrong::Damaged("a parent is not where its number says, or rows begin within a trace");
                return Err(ReadError::new(&self.file.object, what));
            }
            self.columns.parents[row] = found;
        }
        Ok(self.columns)
    }

    /// The parent of a row among the rows that were read, by its number in the trace.
    fn parent_here(&self, row: usize, parent: u32) -> Option<SpanId> {
        let place = (row + parent as usize).checked_sub(self.seq[row] as usize)?;
        let is_it = self.seq.get(place) == Some(&parent)
            && self.columns.trace_ids[place] == self.columns.trace_ids[row];
        is_it.then(|| self.columns.span_ids[place])
    }

    fn parent_among(&self, siblings: &[SpanId], row: usize, parent: u32) -> Option<SpanId> {
        let own = siblings.get(self.seq[row] as usize);
        // They are of this trace only if the row finds itself among them.
        if own == Some(&self.columns.span_ids[row]) { siblings.get(parent as usize).copied() } else { None }
    }

    fn fixed(&mut self, pick: Pick<'_>, fixed: Fixed) -> Result<(), ReadError> {
        let column = Column { file: self.file, fetched: self.fetched, pick, number: fixed as usize };
        let columns = &mut self.columns;
        let known = &mut self.text_numbers[fixed as usize];
        match fixed {
            Fixed::TraceId => column.required(TraceId, &mut columns.trace_ids),
            Fixed::Seq => column.required(u32::from_le_bytes, &mut self.seq),
            Fixed::SpanId => column.required(SpanId, &mut columns.span_ids),
            Fixed::ParentSeq => {
                column.optional(u32::from_le_bytes, &mut self.parent_rows, &mut self.parent_seqs)
            }
            Fixed::ParentSpanId => {
                let (mut rows, mut ids) = (Vec::new(), Vec::new());
                column.optional(SpanId, &mut rows, &mut ids)?;
                for (row, id) in rows.into_iter().zip(ids) {
                    columns.parents.resize(row as usize, None);
                    columns.parents.push(Some(id));
                }
                Ok(())
            }
            Fixed::StartTime => column.required(i64::from_le_bytes, &mut columns.starts),
            Fixed::Duration => column.required(i64::from_le_bytes, &mut columns.durations),
            Fixed::ServiceName => {
                let (names, of_rows) = &mut columns.read_services;
                column.texts(known, &mut Vec::new(), names, of_rows)
            }
            Fixed::Name => {
                column.texts(known, &mut Vec::new(), &mut columns.names, &mut columns.names_of_rows)
            }
            Fixed::Kind => column.required(i32::from_le_bytes, &mut columns.kinds),
            Fixed::StatusCode => column.required(i32::from_le_bytes, &mut columns.status_codes),
            Fixed::StatusMessage => column.rare_texts(known, &mut columns.status_messages),
            Fixed::TraceState => column.rare_texts(known, &mut columns.trace_states),
            Fixed::Flags => column.required(u32::from_le_bytes, &mut columns.flags),
            Fixed::DroppedAttributes => column.rare_counts(&mut columns.dropped_attributes),
            Fixed::DroppedEvents => column.rare_counts(&mut columns.dropped_events),
            Fixed::DroppedLinks => column.rare_counts(&mut columns.dropped_links),
            Fixed::OriginId => self.origins(&column),
        }
    }

    fn origins(&mut self, column: &Column<'_>) -> Result<(), ReadError> {
        let mut ids = Vec::new();
        column.required(u32::from_le_bytes, &mut ids)?;
        self.columns.origins_of_rows.reserve(ids.len());
        // Of many rows few are followed by one of the same origin: a table finds numbers without hashing.
        let highest = ids.iter().max().map_or(0, |id| *id as usize);
        let mut table = match ids.len() >= WORTH_AN_ORIGIN_TABLE && highest < MOST_ORIGIN_TABLE {
            true => vec![UNKNOWN_ORIGIN; highest + 1],
            false => Vec::new(),
        };
        for run in ids.chunk_by(|a, b| a == b) {
            let known = table.get(run[0] as usize).copied().filter(|number| *number != UNKNOWN_ORIGIN);
            let number = match known {
                Some(number) => number,
                None => {
                    let number = self.origin_number(run[0], column)?;
                    if let Some(known) = table.get_mut(run[0] as usize) {
                        *known = number;
                    }
                    number
                }
            };
            self.columns.origins_of_rows.extend(std::iter::repeat_n(number, run.len()));
        }
        Ok(())
    }

    /// The number that an origin of the block has in the columns.
    fn origin_number(&mut self, id: u32, column: &Column<'_>) -> Result<u32, ReadError> {
        if let Some(number) = self.origin_numbers.get(&id) {
            return Ok(*number);
        }
        let known = self.origins.origin(id);
        let known = known.ok_or_else(|| column.damage("an origin that the block does not have"))?;
        let number = self.columns.new_origin(known);
        self.origin_numbers.insert(id, number);
        Ok(number)
    }

    fn attribute(&mut self, pick: Pick<'_>, index: usize) -> Result<(), ReadError> {
        let (kind, key) = &self.file.attributes[index];
        let number = Fixed::ALL.len() + index;
        let columns = &mut self.columns;
        let known = &mut self.text_numbers[number];
        known.begin(pick.group);
        let mut rows = Vec::new();
        // Made for the first value: what has none has no column.
        let mut target = None;
        self.file.read_flat(pick, number, self.fetched, &mut rows, |values| {
            let target = match target {
                Some(target) => target,
                None => *target.insert(attribute_target(columns, *kind, key)?),
            };
            match &mut columns.attributes[target].values {
                ColumnValues::Str { texts, numbers } => values.texts(known, texts, numbers),
                ColumnValues::Int(ints) => values.fixed(i64::from_le_bytes, ints),
                ColumnValues::Double(doubles) => values.fixed(f64::from_le_bytes, doubles),
                ColumnValues::Bool(flags) => values.bools(flags),
            }
        })?;
        if let Some(target) = target {
            columns.attributes[target].rows.append(&mut rows);
        }
        Ok(())
    }
}

/// The place of the column for a key and a type.
fn attribute_target(columns: &mut SpanColumns, kind: ValueType, key: &str) -> Result<usize, Damage> {
    let slot = ColumnValues::slot_of(kind).ok_or(WRONG_TYPE)?;
    let key = columns.keys.intern_after(None, key.as_bytes()).map_err(not_utf8)?;
    let column = key.and_then(|key| columns.keys.column(key, slot, &mut columns.attributes));
    column.ok_or(TOO_MANY_COLUMNS)
}

/// A column of single values that is read.
struct Column<'a> {
    file: &'a SpansFile,
    fetched: &'a Fetched,
    pick: Pick<'a>,
    number: usize,
}

impl Column<'_> {
    fn required<const N: usize, T>(
        &self,
        make: impl Fn([u8; N]) -> T,
        out: &mut Vec<T>,
    ) -> Result<(), ReadError> {
        self.optional(make, &mut Vec::new(), out)
    }

    /// Appends the rows that have a value, and the values.
    fn optional<const N: usize, T>(
        &self,
        make: impl Fn([u8; N]) -> T,
        rows: &mut Vec<u32>,
        out: &mut Vec<T>,
    ) -> Result<(), ReadError> {
        self.file.read_flat(self.pick, self.number, self.fetched, rows, |values| values.fixed(&make, out))
    }

    fn texts(
        &self,
        known: &mut TextNumbers,
        rows: &mut Vec<u32>,
        texts: &mut Dictionary,
        out: &mut Vec<u32>,
    ) -> Result<(), ReadError> {
        known.begin(self.pick.group);
        let each = |values: FlatValues<'_>| values.texts(known, texts, out);
        self.file.read_flat(self.pick, self.number, self.fetched, rows, each)
    }

    fn rare_texts(&self, known: &mut TextNumbers, rare: &mut RareTexts) -> Result<(), ReadError> {
        let before = rare.rows.len();
        self.texts(known, &mut rare.rows, &mut rare.texts, &mut rare.numbers)?;
        rare.drop_empty(before);
        Ok(())
    }

    fn rare_counts(&self, rare: &mut RareCounts) -> Result<(), ReadError> {
        let before = rare.rows.len();
        self.optional(u32::from_le_bytes, &mut rare.rows, &mut rare.counts)?;
        rare.drop_zeros(before);
        Ok(())
    }

    fn damage(&self, what: Damage) -> ReadError {
        self.file.damage(self.pick.group, self.number, what)
    }
}

/// Reads the list columns, leaf by leaf.
struct ListReader<'a> {
    file: &'a SpansFile,
    fetched: &'a Fetched,
    pick: Pick<'a>,
    /// The next leaf that is read.
    leaf: usize,
}

impl ListReader<'_> {
    /// Reads the next leaf: each value with its row.
    fn next(&mut self, mut each: impl FnMut(u32, Raw<'_>) -> Result<(), Damage>) -> Result<(), ReadError> {
        let mut next_row = self.pick.base;
        self.leaf += 1;
        self.file.read_list(self.pick, self.leaf - 1, self.fetched, |entry| {
            if entry.repetition == 0 {
                next_row += 1;
            }
            entry.value.map_or(Ok(()), |value| each(next_row - 1, value))
        })
    }

    fn next_texts(&mut self, texts: &mut Dictionary, numbers: &mut Vec<u32>) -> Result<(), ReadError> {
        self.next(|_, value| {
            numbers.push(texts.intern(text(Some(value))?).map_err(not_utf8)?);
            Ok(())
        })
    }

    fn next_numbers(&mut self, numbers: &mut Vec<u32>) -> Result<(), ReadError> {
        self.next(|_, value| {
            numbers.push(number(Some(value))?);
            Ok(())
        })
    }

    /// Reads the next leaf: the values of those elements that are kept.
    fn next_kept(
        &mut self,
        kept: &[bool],
        mut each: impl FnMut(Raw<'_>) -> Result<(), Damage>,
    ) -> Result<(), ReadError> {
        let mut elements = kept.iter();
        self.next(|_, value| match elements.next() {
            Some(true) => each(value),
            Some(false) => Ok(()),
            None => Err(OTHER_LENGTHS),
        })?;
        if elements.next().is_some() { Err(self.damage(OTHER_LENGTHS)) } else { Ok(()) }
    }

    fn overflow(&mut self, wanted: &AttributeParts, columns: &mut SpanColumns) -> Result<(), ReadError> {
        let texts = &mut columns.list_texts;
        let list = &mut columns.overflow;
        let mut kept = Vec::new();
        self.next(|row, value| {
            let key = std::str::from_utf8(text(Some(value))?).map_err(|_| NOT_UTF8)?;
            kept.push(wanted.holds(key));
            if kept.last() == Some(&true) {
                list.rows.push(row);
                list.entries.keys.push(texts.keys.intern(key.as_bytes()).map_err(not_utf8)?);
            }
            Ok(())
        })?;
        // The other leaves of a list without elements need not be there.
        if !kept.contains(&true) {
            return Ok(());
        }
        self.next_kept(&kept, |value| push_type(&mut list.entries, value))?;
        self.next_kept(&kept, |value| {
            list.entries.texts.push(texts.texts.intern(text(Some(value))?).map_err(not_utf8)?);
            Ok(())
        })
    }

    fn events(&mut self, columns: &mut SpanColumns) -> Result<(), ReadError> {
        let texts = &mut columns.list_texts;
        let list = &mut columns.events;
        let before = list.rows.len();
        self.next(|row, value| {
            list.rows.push(row);
            list.times.push(long(Some(value))?.cast_unsigned());
            Ok(())
        })?;
        if list.rows.len() == before {
            return Ok(());
        }
        self.next_texts(&mut texts.texts, &mut list.names)?;
        self.next_texts(&mut texts.texts, &mut list.attributes)?;
        self.next_numbers(&mut list.dropped)?;
        self.same_lengths(&[list.rows.len(), list.names.len(), list.attributes.len(), list.dropped.len()])
    }

    fn links(&mut self, columns: &mut SpanColumns) -> Result<(), ReadError> {
        let texts = &mut columns.list_texts;
        let list = &mut columns.links;
        let before = list.rows.len();
        self.next(|row, value| {
            list.rows.push(row);
            list.trace_ids.push(TraceId(bytes(Some(value))?));
            Ok(())
        })?;
        if list.rows.len() == before {
            return Ok(());
        }
        self.next(|_, value| {
            list.span_ids.push(SpanId(bytes(Some(value))?));
            Ok(())
        })?;
        self.next_texts(&mut texts.texts, &mut list.trace_states)?;
        self.next_numbers(&mut list.flags)?;
        self.next_texts(&mut texts.texts, &mut list.attributes)?;
        self.next_numbers(&mut list.dropped)?;
        self.same_lengths(&[
            list.rows.len(),
            list.span_ids.len(),
            list.trace_states.len(),
            list.flags.len(),
            list.attributes.len(),
            list.dropped.len(),
        ])
    }

    /// Leaves of one list must agree on how many elements there are.
    fn same_lengths(&self, lengths: &[usize]) -> Result<(), ReadError> {
        if lengths.iter().all(|length| *length == lengths[0]) {
            return Ok(());
        }
        Err(self.damage(OTHER_LENGTHS))
    }

    /// Of the leaf that was read last.
    fn damage(&self, what: Damage) -> ReadError {
        self.file.damage(self.pick.group, self.leaf - 1, what)
    }
}

fn push_type(entries: &mut Entries, value: Raw<'_>) -> Result<(), Damage> {
    let name = std::str::from_utf8(text(Some(value))?).map_err(|_| NOT_UTF8)?;
    entries.types.push(ValueType::from_name(name).map_err(|_| "an attribute of an unknown type")?);
    Ok(())
}

pub(crate) fn text(value: Option<Raw<'_>>) -> Result<&[u8], Damage> {
    match value {
        Some(Raw::Bytes(bytes)) => Ok(bytes),
        _ => Err(WRONG_TYPE),
    }
}

fn bytes<const N: usize>(value: Option<Raw<'_>>) -> Result<[u8; N], Damage> {
    text(value)?.try_into().map_err(|_| WRONG_TYPE)
}

pub(crate) fn number(value: Option<Raw<'_>>) -> Result<u32, Damage> {
    match value {
        Some(Raw::Four(bytes)) => Ok(u32::from_le_bytes(bytes)),
        _ => Err(WRONG_TYPE),
    }
}

fn long(value: Option<Raw<'_>>) -> Result<i64, Damage> {
    match value {
        Some(Raw::Eight(bytes)) => Ok(i64::from_le_bytes(bytes)),
        _ => Err(WRONG_TYPE),
    }
}
