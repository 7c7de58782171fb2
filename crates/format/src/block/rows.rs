//! Rows of a spans file into columns: the way back of [`super::write`].

use super::error::{ReadError, Wrong};
use super::leaf::Raw;
use super::ranges::Fetched;
use super::read::{GroupRows, Origins, SpansFile};
use super::schema::{EVENT_LEAVES, Fixed, LINK_LEAVES, OVERFLOW_LEAVES};
use crate::columns::attributes::Scalar;
use crate::columns::dictionary::Dictionary;
use crate::columns::lists::Entries;
use crate::columns::{Rejected, SpanColumns};
use crate::id::{SpanId, TraceId};
use crate::value::ValueType;

type Damage = &'static str;

const WRONG_TYPE: Damage = "a value of another type than its column";
const TOO_MANY_COLUMNS: Damage = "more attribute columns than a block can have";

/// Reads rows, one part after the other, into new columns.
pub(crate) struct RowsReader<'a> {
    file: &'a SpansFile,
    fetched: &'a Fetched,
    columns: SpanColumns,
    seq: Vec<u32>,
    parent_seq: Vec<Option<u32>>,
    /// The trace of all rows, if it is known: then its column is not read again.
    trace: Option<TraceId>,
}

impl<'a> RowsReader<'a> {
    pub(crate) fn new(file: &'a SpansFile, fetched: &'a Fetched, trace: Option<TraceId>) -> Self {
        Self {
            file,
            fetched,
            columns: SpanColumns::default(),
            seq: Vec::new(),
            parent_seq: Vec::new(),
            trace,
        }
    }

    /// Appends the spans of some rows.
    pub(crate) fn read(&mut self, part: &GroupRows, origins: &dyn Origins) -> Result<(), ReadError> {
        let base = self.columns.len() as u32;
        self.fixed(part, base, origins)?;
        for index in 0..self.file.attributes.len() {
            self.attribute(part, base, index)?;
        }
        let first = Fixed::ALL.len() + self.file.attributes.len();
        let mut lists = ListReader { file: self.file, fetched: self.fetched, part, base, leaf: first };
        lists.overflow(&mut self.columns)?;
        debug_assert_eq!(lists.leaf, first + OVERFLOW_LEAVES);
        lists.events(&mut self.columns)?;
        lists.links(&mut self.columns)
    }

    /// Resolves parents and gives the columns.
    pub(crate) fn finish(mut self) -> Result<SpanColumns, ReadError> {
        for row in 0..self.columns.len() {
            let Some(parent) = self.parent_seq[row] else { continue };
            let place = (row + parent as usize).checked_sub(self.seq[row] as usize);
            let place = place.filter(|place| {
                self.seq.get(*place) == Some(&parent)
                    && self.columns.trace_ids[*place] == self.columns.trace_ids[row]
            });
            let Some(place) = place else {
                let what =
                    Wrong::Damaged("a parent is not where its number says, or rows begin within a trace");
                return Err(ReadError::new(&self.file.object, what));
            };
            self.columns.parents[row] = Some(self.columns.span_ids[place]);
        }
        Ok(self.columns)
    }

    fn fixed(&mut self, part: &GroupRows, base: u32, origins: &dyn Origins) -> Result<(), ReadError> {
        for fixed in Fixed::ALL {
            match (fixed, self.trace) {
                // The origins tell it.
                (Fixed::ServiceName, _) => continue,
                (Fixed::TraceId, Some(trace)) => {
                    self.columns.trace_ids.resize(self.columns.len() + part.rows.len(), trace);
                    continue;
                }
                _ => {}
            }
            let (columns, seq, parent_seq) = (&mut self.columns, &mut self.seq, &mut self.parent_seq);
            let mut row = base;
            let mut last_origin = None;
            self.file.read_column(part, fixed as usize, self.fetched, |entry| {
                let value = entry.value;
                match fixed {
                    Fixed::TraceId => columns.trace_ids.push(TraceId(bytes(value)?)),
                    Fixed::Seq => seq.push(number(value)?),
                    Fixed::SpanId => columns.span_ids.push(SpanId(bytes(value)?)),
                    Fixed::ParentSeq => parent_seq.push(optional(value, number)?),
                    Fixed::ParentSpanId => columns.parents.push(optional(value, bytes)?.map(SpanId)),
                    Fixed::StartTime => columns.starts.push(long(value)?),
                    Fixed::Duration => columns.durations.push(long(value)?),
                    Fixed::ServiceName => {}
                    Fixed::Name => {
                        columns.names_of_rows.push(columns.names.intern(text(value)?).map_err(damage)?)
                    }
                    Fixed::Kind => columns.kinds.push(number(value)?.cast_signed()),
                    Fixed::StatusCode => columns.status_codes.push(number(value)?.cast_signed()),
                    Fixed::StatusMessage => {
                        columns
                            .status_messages
                            .push(row, optional(value, text)?.unwrap_or_default())
                            .map_err(damage)?;
                    }
                    Fixed::TraceState => {
                        columns
                            .trace_states
                            .push(row, optional(value, text)?.unwrap_or_default())
                            .map_err(damage)?;
                    }
                    Fixed::Flags => columns.flags.push(number(value)?),
                    Fixed::DroppedAttributes => {
                        columns.dropped_attributes.push(row, optional(value, number)?.unwrap_or(0))
                    }
                    Fixed::DroppedEvents => {
                        columns.dropped_events.push(row, optional(value, number)?.unwrap_or(0))
                    }
                    Fixed::DroppedLinks => {
                        columns.dropped_links.push(row, optional(value, number)?.unwrap_or(0))
                    }
                    Fixed::OriginId => {
                        let id = number(value)?;
                        let number = match last_origin {
                            Some((last, number)) if last == id => number,
                            _ => match origins.origin(id) {
                                Some(origin) => columns.origin(origin).0,
                                None => return Err("an origin that the block does not have"),
                            },
                        };
                        last_origin = Some((id, number));
                        columns.origins_of_rows.push(number);
                    }
                }
                row += 1;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn attribute(&mut self, part: &GroupRows, base: u32, index: usize) -> Result<(), ReadError> {
        let (kind, key) = &self.file.attributes[index];
        let columns = &mut self.columns;
        let column = Fixed::ALL.len() + index;
        let mut row = base;
        let mut target = None;
        self.file.read_column(part, column, self.fetched, |entry| {
            if let Some(value) = entry.value {
                let scalar = scalar(*kind, value)?;
                let target = match target {
                    Some(target) => target,
                    None => {
                        let key = columns.keys.intern_after(None, key.as_bytes()).map_err(damage)?;
                        let column = key
                            .and_then(|key| columns.keys.column(key, scalar.slot(), &mut columns.attributes));
                        *target.insert(column.ok_or(TOO_MANY_COLUMNS)?)
                    }
                };
                let column = &mut columns.attributes[target];
                column.values.push(scalar).map_err(damage)?;
                column.rows.push(row);
            }
            row += 1;
            Ok(())
        })
    }
}

/// Reads the list columns, leaf by leaf.
struct ListReader<'a> {
    file: &'a SpansFile,
    fetched: &'a Fetched,
    part: &'a GroupRows,
    base: u32,
    leaf: usize,
}

impl ListReader<'_> {
    /// Reads the next leaf: each value with its row.
    fn next(&mut self, mut each: impl FnMut(u32, Raw<'_>) -> Result<(), Damage>) -> Result<(), ReadError> {
        let mut next_row = self.base;
        self.leaf += 1;
        self.file.read_column(self.part, self.leaf - 1, self.fetched, |entry| {
            if entry.repetition == 0 {
                next_row += 1;
            }
            entry.value.map_or(Ok(()), |value| each(next_row - 1, value))
        })
    }

    fn next_texts(&mut self, texts: &mut Dictionary, numbers: &mut Vec<u32>) -> Result<(), ReadError> {
        self.next(|_, value| {
            numbers.push(texts.intern(text(Some(value))?).map_err(damage)?);
            Ok(())
        })
    }

    fn next_numbers(&mut self, numbers: &mut Vec<u32>) -> Result<(), ReadError> {
        self.next(|_, value| {
            numbers.push(number(Some(value))?);
            Ok(())
        })
    }

    /// Passes leaves of a list whose first leaf has no element.
    fn skip(&mut self, leaves: usize) {
        self.leaf += leaves;
    }

    fn overflow(&mut self, columns: &mut SpanColumns) -> Result<(), ReadError> {
        let texts = &mut columns.list_texts;
        let list = &mut columns.overflow;
        self.next(|row, value| {
            list.rows.push(row);
            list.entries.keys.push(texts.keys.intern(text(Some(value))?).map_err(damage)?);
            Ok(())
        })?;
        if list.rows.is_empty() {
            self.skip(OVERFLOW_LEAVES - 1);
            return Ok(());
        }
        self.next(|_, value| push_type(&mut list.entries, value))?;
        self.next_texts(&mut texts.texts, &mut list.entries.texts)?;
        self.same_lengths(&[list.rows.len(), list.entries.types.len(), list.entries.texts.len()])
    }

    fn events(&mut self, columns: &mut SpanColumns) -> Result<(), ReadError> {
        let texts = &mut columns.list_texts;
        let list = &mut columns.events;
        self.next(|row, value| {
            list.rows.push(row);
            list.times.push(long(Some(value))?.cast_unsigned());
            Ok(())
        })?;
        if list.rows.is_empty() {
            self.skip(EVENT_LEAVES - 1);
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
        self.next(|row, value| {
            list.rows.push(row);
            list.trace_ids.push(TraceId(bytes(Some(value))?));
            Ok(())
        })?;
        if list.rows.is_empty() {
            self.skip(LINK_LEAVES - 1);
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
        Err(self.file.damage(self.part.group, self.leaf - 1, "a list whose parts have different lengths"))
    }
}

fn damage(_: Rejected) -> Damage {
    "a text that is not UTF-8"
}

pub(crate) fn push_type(entries: &mut Entries, value: Raw<'_>) -> Result<(), Damage> {
    let name = std::str::from_utf8(text(Some(value))?).map_err(|_| "a text that is not UTF-8")?;
    entries.types.push(ValueType::from_name(name).map_err(|_| "an attribute of an unknown type")?);
    Ok(())
}

fn optional<'a, T>(
    value: Option<Raw<'a>>,
    read: impl FnOnce(Option<Raw<'a>>) -> Result<T, Damage>,
) -> Result<Option<T>, Damage> {
    value.map(|value| read(Some(value))).transpose()
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

pub(crate) fn long(value: Option<Raw<'_>>) -> Result<i64, Damage> {
    match value {
        Some(Raw::Eight(bytes)) => Ok(i64::from_le_bytes(bytes)),
        _ => Err(WRONG_TYPE),
    }
}

fn scalar(kind: ValueType, value: Raw<'_>) -> Result<Scalar<'_>, Damage> {
    Ok(match (kind, value) {
        (ValueType::Str, Raw::Bytes(text)) => Scalar::Str(text),
        (ValueType::Int, Raw::Eight(bytes)) => Scalar::Int(i64::from_le_bytes(bytes)),
        (ValueType::Double, Raw::Eight(bytes)) => Scalar::Double(f64::from_le_bytes(bytes)),
        (ValueType::Bool, Raw::Bool(flag)) => Scalar::Bool(flag),
        _ => return Err(WRONG_TYPE),
    })
}
