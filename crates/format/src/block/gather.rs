//! Values out of the columns, in the order of the block's rows.

use std::ops::Range;

use super::levels::ListLevels;
use super::order::{NOWHERE, Order};
use super::values::{TextSource, Values};
use crate::columns::SpanColumns;
use crate::columns::attributes::{AttributeColumn, ColumnValues};
use crate::columns::dictionary::Dictionary;
use crate::columns::lists::{Entries, ListTexts};
use crate::columns::{RareCounts, RareTexts, Rejected};
use crate::value::ValueType;

/// Values that only some rows have, by place: `places` ascending, `indices` says which
/// value stands there.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    places: Vec<u32>,
    indices: Vec<u32>,
}

/// A part of [`Placed`] that lies in one row group.
pub(crate) struct PlacedGroup<'a> {
    /// Counted from the group's first row.
    pub(crate) present: Vec<u32>,
    pub(crate) indices: &'a [u32],
}

const NOTHING: u32 = u32::MAX;

/// Brings sparse values into the order of places. Holds a table as long as the block,
/// which is empty between uses.
pub(crate) struct Placer {
    slots: Vec<u32>,
}

impl Placer {
    pub(crate) fn new(rows: usize) -> Self {
        Self { slots: vec![NOTHING; rows] }
    }

    pub(crate) fn place(&mut self, rows: &[u32], order: &Order) -> Placed {
        let mut placed =
            Placed { places: Vec::with_capacity(rows.len()), indices: Vec::with_capacity(rows.len()) };
        if rows.len() * 16 < self.slots.len() {
            let mut pairs: Vec<(u32, u32)> = rows
                .iter()
                .enumerate()
                .map(|(index, row)| (order.places[*row as usize], index as u32))
                .filter(|(place, _)| *place != NOWHERE)
                .collect();
            pairs.sort_unstable();
            (placed.places, placed.indices) = pairs.into_iter().unzip();
            return placed;
        }
        for (index, row) in rows.iter().enumerate() {
            if let Some(slot) = self.slots.get_mut(order.places[*row as usize] as usize) {
                *slot = index as u32;
            }
        }
        for (place, slot) in self.slots.iter_mut().enumerate() {
            if *slot != NOTHING {
                placed.places.push(place as u32);
                placed.indices.push(*slot);
                *slot = NOTHING;
            }
        }
        placed
    }
}

impl Placed {
    pub(crate) fn group(&self, places: &Range<usize>) -> PlacedGroup<'_> {
        let at = |place: usize| self.places.partition_point(|present| (*present as usize) < place);
        let range = at(places.start)..at(places.end);
        let first = places.start as u32;
        PlacedGroup {
            present: self.places[range.clone()].iter().map(|place| place - first).collect(),
            indices: &self.indices[range],
        }
    }
}

pub(crate) fn attribute_values<'a>(column: &'a AttributeColumn, indices: &[u32]) -> Values<'a> {
    match &column.values {
        ColumnValues::Str { texts, numbers } => {
            Values::Texts { texts: TextSource::Dictionary(texts), numbers: pick(numbers, indices) }
        }
        ColumnValues::Int(values) => Values::Ints64(pick(values, indices)),
        ColumnValues::Double(values) => Values::Doubles(pick(values, indices)),
        ColumnValues::Bool(values) => Values::Bools(pick(values, indices)),
    }
}

/// What an attribute column has where no row has a value.
pub(crate) fn no_values(kind: ValueType) -> Values<'static> {
    match kind {
        ValueType::Int => Values::Ints64(Vec::new()),
        ValueType::Double => Values::Doubles(Vec::new()),
        ValueType::Bool => Values::Bools(Vec::new()),
        _ => Values::Texts { texts: TextSource::Fixed(&[]), numbers: Vec::new() },
    }
}

pub(crate) fn rare_texts<'a>(column: &'a RareTexts, indices: &[u32]) -> Values<'a> {
    Values::Texts { texts: TextSource::Dictionary(&column.texts), numbers: pick(&column.numbers, indices) }
}

pub(crate) fn rare_counts(column: &RareCounts, indices: &[u32]) -> Values<'static> {
    Values::Unsigned32(pick(&column.counts, indices))
}

pub(crate) fn pick<T: Copy>(values: &[T], indices: &[u32]) -> Vec<T> {
    indices.iter().map(|index| values[*index as usize]).collect()
}

/// The elements of a list column, by place.
#[derive(Debug)]
pub(crate) struct PlacedLists {
    /// Place of each row that has elements, ascending, and where they lie.
    runs: Vec<(u32, Range<u32>)>,
}

impl PlacedLists {
    /// `rows` has the row of each element, ascending.
    pub(crate) fn of(rows: &[u32], order: &Order) -> Self {
        let mut runs = Vec::new();
        let mut start = 0;
        for run in rows.chunk_by(|a, b| a == b) {
            let end = start + run.len() as u32;
            runs.push((order.places[run[0] as usize], start..end));
            start = end;
        }
        runs.retain(|run| run.0 != NOWHERE);
        runs.sort_unstable_by_key(|run| run.0);
        Self { runs }
    }

    /// Each row of a group with its run of elements.
    fn rows(&self, places: &Range<usize>) -> impl Iterator<Item = Range<u32>> {
        let from = self.runs.partition_point(|run| (run.0 as usize) < places.start);
        let mut rest = self.runs[from..].iter().peekable();
        places.clone().map(move |place| match rest.next_if(|run| run.0 as usize == place) {
            Some(run) => run.1.clone(),
            None => 0..0,
        })
    }

    pub(crate) fn elements(&self, places: &Range<usize>) -> Vec<u32> {
        self.rows(places).flatten().collect()
    }

    pub(crate) fn levels(&self, places: &Range<usize>) -> ListLevels {
        ListLevels::of_list(self.rows(places).map(|run| run.len()))
    }
}

const TYPE_NAMES: [&str; ValueType::ALL.len()] = {
    let mut names = [""; ValueType::ALL.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = ValueType::ALL[index].name();
        index += 1;
    }
    names
};

/// The three leaves of a list of attributes: key, type, value.
pub(crate) fn entry_values<'a>(entries: &Entries, texts: &'a ListTexts, picked: &[u32]) -> [Values<'a>; 3] {
    let types = picked.iter().map(|index| entries.types[*index as usize] as u32).collect();
    [
        Values::Texts { texts: TextSource::Dictionary(&texts.keys), numbers: pick(&entries.keys, picked) },
        Values::Texts { texts: TextSource::Fixed(&TYPE_NAMES), numbers: types },
        Values::Texts { texts: TextSource::Dictionary(&texts.texts), numbers: pick(&entries.texts, picked) },
    ]
}

/// The overflow column of a block: what had no column, and what lost it.
#[derive(Debug)]
pub(crate) struct BlockOverflow {
    pub(crate) lists: PlacedLists,
    pub(crate) entries: Entries,
    pub(crate) texts: ListTexts,
}

impl BlockOverflow {
    pub(crate) fn of(columns: &SpanColumns, spilled: &[usize], order: &Order) -> Result<Self, Rejected> {
        // (row, source, index): the source is the overflow itself or a spilled column.
        let mut found: Vec<(u32, u32, u32)> = columns
            .overflow
            .rows
            .iter()
            .enumerate()
            .map(|(index, row)| (*row, NOTHING, index as u32))
            .collect();
        for column in spilled {
            let rows = columns.attributes[*column].rows.iter().enumerate();
            found.extend(rows.map(|(index, row)| (*row, *column as u32, index as u32)));
        }
        found.sort_unstable();
        let rows: Vec<u32> = found.iter().map(|entry| entry.0).collect();
        let (mut entries, mut texts) = (Entries::default(), ListTexts::default());
        for (_, source, index) in found {
            let index = index as usize;
            if source == NOTHING {
                let old = &columns.overflow.entries;
                let key = columns.list_texts.keys.bytes_of(old.keys[index]);
                let text = columns.list_texts.texts.bytes_of(old.texts[index]);
                entries.push(&mut texts, key, old.types[index], text)?;
            } else {
                let column = &columns.attributes[source as usize];
                let key = columns.keys.name(column.key).as_bytes();
                entries.push_scalar(&mut texts, key, column.values.get(index))?;
            }
        }
        Ok(Self { lists: PlacedLists::of(&rows, order), entries, texts })
    }
}

/// The service of each origin, as numbered texts.
pub(crate) fn services(columns: &SpanColumns) -> Result<(Dictionary, Vec<u32>), Rejected> {
    let mut services = Dictionary::default();
    let mut numbers = Vec::with_capacity(columns.origins.len());
    for origin in &columns.origins {
        numbers.push(services.intern(origin.service_name().as_bytes())?);
    }
    Ok((services, numbers))
}
