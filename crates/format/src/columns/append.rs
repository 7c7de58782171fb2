//! Some rows of other columns, column by column: a trace out of what is buffered, or what matches.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::attributes::{AttributeColumn, ColumnValues};
use super::dictionary::Dictionary;
use super::{RareCounts, RareTexts, Rejected, SpanColumns};

/// Entries of a sparse column, or of lists, that belong to the chosen rows.
#[derive(Default)]
struct Found {
    /// The row of each in the columns that they are added to.
    rows: Vec<u32>,
    /// Where each lies in the column.
    indices: Vec<u32>,
}

/// The chosen rows of some columns.
#[derive(Clone, Copy)]
struct Chosen<'a> {
    from: &'a SpanColumns,
    /// Ascending.
    rows: &'a [u32],
    /// What the first one is in the columns that they are added to.
    first: u32,
}

/// Numbers of something in other columns, and what they are here: each is looked for once.
type Known = HashMap<u32, u32, foldhash::fast::RandomState>;

/// An entry that goes into the overflow: its row, the column that it is from or none, its place there.
type Overflowing = (u32, Option<u32>, u32);

impl SpanColumns {
    /// Adds some spans of other columns. `rows` are theirs, ascending.
    ///
    /// Fails if spans or texts become more than can be numbered; then some columns have the spans and others
    /// do not: they are of no use any more.
    pub fn append(&mut self, from: &Self, rows: &[u32]) -> Result<(), Rejected> {
        debug_assert!(rows.is_sorted_by(|row, next| row < next));
        if self.len() + rows.len() >= u32::MAX as usize {
            return Err(Rejected::Full);
        }
        let chosen = Chosen { from, rows, first: self.len() as u32 };
        let columnless = self.append_attributes(chosen)?;
        self.append_overflow(chosen, columnless)?;
        self.append_events(chosen)?;
        self.append_links(chosen)?;
        self.status_messages.append(&from.status_messages, chosen)?;
        self.trace_states.append(&from.trace_states, chosen)?;
        self.dropped_attributes.append(&from.dropped_attributes, chosen);
        self.dropped_events.append(&from.dropped_events, chosen);
        self.dropped_links.append(&from.dropped_links, chosen);
        self.append_fixed(chosen)
    }

    fn append_fixed(&mut self, chosen: Chosen<'_>) -> Result<(), Rejected> {
        let Chosen { from, rows, .. } = chosen;
        add(&mut self.trace_ids, &from.trace_ids, rows);
        add(&mut self.span_ids, &from.span_ids, rows);
        add(&mut self.parents, &from.parents, rows);
        add(&mut self.starts, &from.starts, rows);
        add(&mut self.durations, &from.durations, rows);
        add(&mut self.kinds, &from.kinds, rows);
        add(&mut self.status_codes, &from.status_codes, rows);
        add(&mut self.flags, &from.flags, rows);
        add_texts(&mut self.names, &mut self.names_of_rows, &from.names, &from.names_of_rows, rows)?;
        let mut known = Known::default();
        for row in rows {
            let old = from.origins_of_rows[*row as usize];
            let number = *known.entry(old).or_insert_with(|| {
                let canonical = Arc::clone(&from.canonical_origins[old as usize]);
                self.origin_of(canonical, Arc::clone(&from.origins[old as usize])).0
            });
            self.origins_of_rows.push(number);
        }
        Ok(())
    }

    /// Gives back what finds all columns taken.
    fn append_attributes(&mut self, chosen: Chosen<'_>) -> Result<Vec<Overflowing>, Rejected> {
        let mut columnless = Vec::new();
        for (number, column) in chosen.from.attributes.iter().enumerate() {
            let found = chosen.find(&column.rows);
            let Some(first) = found.indices.first() else { continue };
            let slot = column.values.get(*first as usize).slot();
            let key = self.keys.intern_after(None, chosen.from.keys.name(column.key).as_bytes())?;
            match key.and_then(|key| self.keys.column(key, slot, &mut self.attributes)) {
                Some(target) => self.attributes[target].append(&column.values, found)?,
                None => {
                    let entries = found.rows.into_iter().zip(found.indices);
                    columnless.extend(entries.map(|(row, index)| (row, Some(number as u32), index)));
                }
            }
        }
        Ok(columnless)
    }

    fn append_overflow(&mut self, chosen: Chosen<'_>, mut entries: Vec<Overflowing>) -> Result<(), Rejected> {
        let from = chosen.from;
        let found = chosen.find(&from.overflow.rows);
        entries.extend(found.rows.into_iter().zip(found.indices).map(|(row, index)| (row, None, index)));
        entries.sort_unstable();
        for (row, column, index) in entries {
            let (target, index) = (&mut self.overflow.entries, index as usize);
            if let Some(column) = column {
                let column = &from.attributes[column as usize];
                let key = from.keys.name(column.key).as_bytes();
                target.push_scalar(&mut self.list_texts, key, column.values.get(index))?;
            } else {
                let old = &from.overflow.entries;
                let key = from.list_texts.keys.bytes_of(old.keys[index]);
                let text = from.list_texts.texts.bytes_of(old.texts[index]);
                target.push(&mut self.list_texts, key, old.types[index], text)?;
            }
            self.overflow.rows.push(row);
        }
        Ok(())
    }

    fn append_events(&mut self, chosen: Chosen<'_>) -> Result<(), Rejected> {
        let (events, from) = (&mut self.events, &chosen.from.events);
        let (texts, old_texts) = (&mut self.list_texts.texts, &chosen.from.list_texts.texts);
        let Found { rows, indices } = chosen.find(&from.rows);
        add(&mut events.times, &from.times, &indices);
        add_texts(texts, &mut events.names, old_texts, &from.names, &indices)?;
        add(&mut events.dropped, &from.dropped, &indices);
        add_texts(texts, &mut events.attributes, old_texts, &from.attributes, &indices)?;
        events.rows.extend(rows);
        Ok(())
    }

    fn append_links(&mut self, chosen: Chosen<'_>) -> Result<(), Rejected> {
        let (links, from) = (&mut self.links, &chosen.from.links);
        let (texts, old_texts) = (&mut self.list_texts.texts, &chosen.from.list_texts.texts);
        let Found { rows, indices } = chosen.find(&from.rows);
        add(&mut links.trace_ids, &from.trace_ids, &indices);
        add(&mut links.span_ids, &from.span_ids, &indices);
        add_texts(texts, &mut links.trace_states, old_texts, &from.trace_states, &indices)?;
        add(&mut links.flags, &from.flags, &indices);
        add(&mut links.dropped, &from.dropped, &indices);
        add_texts(texts, &mut links.attributes, old_texts, &from.attributes, &indices)?;
        links.rows.extend(rows);
        Ok(())
    }
}

impl AttributeColumn {
    /// `from` is of the same type.
    fn append(&mut self, from: &ColumnValues, found: Found) -> Result<(), Rejected> {
        let indices = &found.indices;
        match (&mut self.values, from) {
            (ColumnValues::Str { texts, numbers }, ColumnValues::Str { texts: old_texts, numbers: old }) => {
                add_texts(texts, numbers, old_texts, old, indices)?;
            }
            (ColumnValues::Int(values), ColumnValues::Int(old)) => add(values, old, indices),
            (ColumnValues::Double(values), ColumnValues::Double(old)) => add(values, old, indices),
            (ColumnValues::Bool(values), ColumnValues::Bool(old)) => add(values, old, indices),
            _ => debug_assert!(false, "values in a column of another type"),
        }
        self.rows.extend(found.rows);
        Ok(())
    }
}

impl RareTexts {
    fn append(&mut self, from: &Self, chosen: Chosen<'_>) -> Result<(), Rejected> {
        let Found { rows, indices } = chosen.find(&from.rows);
        add_texts(&mut self.texts, &mut self.numbers, &from.texts, &from.numbers, &indices)?;
        self.rows.extend(rows);
        Ok(())
    }
}

impl RareCounts {
    fn append(&mut self, from: &Self, chosen: Chosen<'_>) {
        let Found { rows, indices } = chosen.find(&from.rows);
        add(&mut self.counts, &from.counts, &indices);
        self.rows.extend(rows);
    }
}

impl Chosen<'_> {
    /// `present` has the row of each entry, ascending; a row may have several.
    fn find(self, present: &[u32]) -> Found {
        if let Some(range) = contiguous(self.rows) {
            // All that lie between two rows: nothing has to be compared.
            let start = present.partition_point(|row| (*row as usize) < range.start);
            let end = start + present[start..].partition_point(|row| (*row as usize) < range.end);
            let rows = present[start..end].iter().map(|row| self.first + (row - range.start as u32));
            return Found { rows: rows.collect(), indices: (start as u32..end as u32).collect() };
        }
        let mut found = Found::default();
        let (mut at, mut index) = (0, 0);
        while let (Some(wanted), Some(row)) = (self.rows.get(at), present.get(index)) {
            match wanted.cmp(row) {
                Ordering::Less => at += count_below(&self.rows[at..], *row),
                Ordering::Greater => index += count_below(&present[index..], *wanted),
                Ordering::Equal => {
                    found.rows.push(self.first + at as u32);
                    found.indices.push(index as u32);
                    index += 1;
                }
            }
        }
        found
    }
}

/// How many of some ascending rows are below another: in steps that double, so that a near one is found at
/// once and a far one without looking at all between.
fn count_below(rows: &[u32], row: u32) -> usize {
    let mut end = 1;
    while rows.get(end).is_some_and(|at| *at < row) {
        end *= 2;
    }
    let start = end / 2;
    start + rows[start..end.min(rows.len())].partition_point(|at| *at < row)
}

/// Ascending numbers that leave none out, as a range.
fn contiguous(numbers: &[u32]) -> Option<Range<usize>> {
    let (first, last) = (*numbers.first()? as usize, *numbers.last()? as usize);
    (last - first + 1 == numbers.len()).then_some(first..last + 1)
}

/// `indices` ascend.
fn add<T: Copy>(to: &mut Vec<T>, from: &[T], indices: &[u32]) {
    match contiguous(indices) {
        Some(range) => to.extend_from_slice(&from[range]),
        None => to.extend(indices.iter().map(|index| from[*index as usize])),
    }
}

/// Numbers of texts that were looked for, each once.
enum KnownTexts {
    Table(Vec<u32>),
    Map(Known),
}

const UNKNOWN: u32 = u32::MAX;

impl KnownTexts {
    /// A table if it costs little beside what is looked for.
    fn of(texts: usize, looked_for: usize) -> Self {
        if texts <= looked_for.saturating_mul(4) {
            Self::Table(vec![UNKNOWN; texts])
        } else {
            Self::Map(Known::default())
        }
    }

    fn get(&mut self, old: u32, find: impl FnOnce() -> Result<u32, Rejected>) -> Result<u32, Rejected> {
        match self {
            Self::Table(table) => {
                let known = &mut table[old as usize];
                if *known == UNKNOWN {
                    *known = find()?;
                }
                Ok(*known)
            }
            Self::Map(known) => Ok(match known.entry(old) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => *new.insert(find()?),
            }),
        }
    }
}

fn add_texts(
    texts: &mut Dictionary,
    numbers: &mut Vec<u32>,
    old_texts: &Dictionary,
    old_numbers: &[u32],
    indices: &[u32],
) -> Result<(), Rejected> {
    let mut known = KnownTexts::of(old_texts.len(), indices.len());
    numbers.reserve(indices.len());
    for index in indices {
        let old = old_numbers[*index as usize];
        numbers.push(known.get(old, || texts.intern(old_texts.bytes_of(old)))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::attributes::MAX_COLUMNS;
    use super::*;
    use crate::content::same_span;
    use crate::span::Span;
    use crate::value::{Attribute, Value};

    proptest! {
        #[test]
        fn should_find_all_entries_of_the_chosen_rows(
            chosen in prop::collection::btree_set(0u32..300, 0..100),
            mut present in prop::collection::vec(0u32..300, 0..400),
            first in 0u32..10,
        ) {
            present.sort_unstable();
            let rows: Vec<u32> = chosen.into_iter().collect();
            let found = Chosen { from: &SpanColumns::default(), rows: &rows, first }.find(&present);
            let naive = present.iter().enumerate().filter_map(|(index, row)| {
                let at = rows.iter().position(|wanted| wanted == row)?;
                Some((first + at as u32, index as u32))
            });
            let found: Vec<(u32, u32)> = found.rows.into_iter().zip(found.indices).collect();
            prop_assert_eq!(found, naive.collect::<Vec<_>>());
        }
    }

    #[test]
    fn should_add_spans_whose_keys_find_all_columns_taken() {
        let value = |number: usize| match number % 4 {
            0 => Value::Str(format!("text {number}")),
            1 => Value::Int(7),
            2 => Value::Double(0.5),
            _ => Value::Bool(true),
        };
        let with = |keys: std::ops::Range<usize>| Span {
            attributes: keys
                .map(|number| Attribute { key: number.to_string(), value: value(number) })
                .chain([Attribute { key: "list".to_owned(), value: Value::Array(Vec::new()) }])
                .collect(),
            ..Span::default()
        };
        let most = MAX_COLUMNS / 2 + 10;
        let halves = [[with(0..most), with(0..8)], [with(most..2 * most), with(2 * most - 8..2 * most)]];
        let mut columns = SpanColumns::default();
        for half in &halves {
            let mut from = SpanColumns::default();
            half.iter().for_each(|span| from.push(span).unwrap());
            columns.append(&from, &[0, 1]).unwrap();
        }
        assert_eq!(columns.attributes.len(), MAX_COLUMNS);
        assert!(columns.overflow.rows.is_sorted());
        let rows: BTreeSet<u32> = columns.overflow.rows.iter().copied().collect();
        assert_eq!(rows.len(), halves.len() * 2);
        for (row, span) in halves.iter().flatten().enumerate() {
            assert!(same_span(&columns.get(row).unwrap(), span), "row {row}");
        }
    }
}
