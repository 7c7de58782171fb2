//! What attributes rows have, column by column: how many rows have each key, and each value of one key.
//!
//! A row counts once for each, wherever and however often it has it. Nearly all attributes stand in one place only,
//! where a row has one at most (a column, its origin): there rows are counted as they stand. What may stand in
//! several (columns of two types, no column, events, links) is noted with its row, and each such pair counts once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use siltstone_ask::{Level, Rows};
use siltstone_format::columns::SpanColumns;
use siltstone_format::columns::attributes::ColumnValues;
use siltstone_format::value::{Attribute, Value, ValueError, ValueType, attributes_from_text};

/// A value of an attribute: doubles are told apart by their bits, as spans are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeenValue {
    /// `str`, `int`, `double` …
    pub kind: &'static str,
    /// Its exact text.
    pub text: String,
}

/// Rows by the keys that they have.
pub(crate) fn count_keys(
    columns: &SpanColumns,
    rows: &[u32],
    level: Level,
) -> Result<BTreeMap<String, u64>, ValueError> {
    let mut count = Count::of(columns, rows);
    count.origins(level, |attribute| Some(attribute.key.clone()));
    count.lists(level, |attribute| Some(attribute.key.clone()))?;
    if is_at(level, Level::Span) {
        count.overflow(|key, _, _| Ok(Some(key.to_owned())))?;
        for column in &columns.attributes {
            let key = |_| columns.keys.name(column.key).to_owned();
            count.column(&column.rows, Cow::Owned(vec![0; column.rows.len()]), key);
        }
    }
    Ok(count.done())
}

/// Rows by the values that they have under a key.
pub(crate) fn count_values(
    columns: &SpanColumns,
    rows: &[u32],
    level: Level,
    key: &str,
) -> Result<BTreeMap<SeenValue, u64>, ValueError> {
    let of_key = |attribute: &Attribute| (attribute.key == key).then(|| SeenValue::of(&attribute.value));
    let mut count = Count::of(columns, rows);
    count.origins(level, of_key);
    count.lists(level, of_key)?;
    if is_at(level, Level::Span) {
        count.overflow(|found, kind, text| match found == key {
            true => Ok(Some(SeenValue::of(&Value::from_text(kind, text)?))),
            false => Ok(None),
        })?;
        let number = columns.keys.find(key);
        for column in columns.attributes.iter().filter(|column| Some(column.key) == number) {
            count.values(&column.rows, &column.values);
        }
    }
    Ok(count.done())
}

pub(crate) fn is_at(level: Level, wanted: Level) -> bool {
    level == wanted || level == Level::Any
}

impl SeenValue {
    fn of(value: &Value) -> Self {
        Self { kind: value.value_type().name(), text: value.text() }
    }
}

/// Keys, or values, on their way to being counted. They are numbered: a number is looked up once for each distinct
/// text, origin or list of attributes.
struct Count<'a, T> {
    columns: &'a SpanColumns,
    wanted: Rows,
    numbers: HashMap<T, u32>,
    /// By number: whether a row may have it in several places.
    is_shared: Vec<bool>,
    counts: Vec<u64>,
    /// Numbers with rows that have them, some of them twice.
    pairs: Vec<(u32, u32)>,
    of_columns: Vec<OfColumn<'a>>,
    of_origins: Vec<BTreeSet<u32>>,
}

/// What the wanted rows have in a column.
struct OfColumn<'a> {
    rows: &'a [u32],
    /// The distinct value of each row.
    values: Cow<'a, [u32]>,
    /// By distinct value: how many rows have it, and its number if any has.
    found: Vec<(u64, u32)>,
}

impl<'a, T: Clone + Eq + Hash + Ord> Count<'a, T> {
    fn of(columns: &'a SpanColumns, rows: &[u32]) -> Self {
        let mut wanted = Rows::none(columns.len());
        rows.iter().for_each(|row| wanted.insert(*row as usize));
        Self {
            columns,
            wanted,
            numbers: HashMap::new(),
            is_shared: Vec::new(),
            counts: Vec::new(),
            pairs: Vec::new(),
            of_columns: Vec::new(),
            of_origins: Vec::new(),
        }
    }

    /// The number of something that rows have at one more place.
    fn place(&mut self, thing: T) -> u32 {
        let next = self.is_shared.len() as u32;
        let number = *self.numbers.entry(thing).or_insert(next);
        if number == next {
            self.is_shared.push(false);
            self.counts.push(0);
        } else {
            self.is_shared[number as usize] = true;
        }
        number
    }

    /// The number of something that a row may have at one place several times.
    fn scatter(&mut self, thing: T) -> u32 {
        let number = self.place(thing);
        self.is_shared[number as usize] = true;
        number
    }

    /// What resources and scopes say.
    fn origins(&mut self, level: Level, seen: impl Fn(&Attribute) -> Option<T>) {
        let (resource, scope) = (is_at(level, Level::Resource), is_at(level, Level::Scope));
        if !resource && !scope {
            return;
        }
        let columns = self.columns;
        let mut known = HashMap::new();
        for origin in &columns.origins {
            let of_resource = origin.resource_attributes.iter().filter(|_| resource);
            let attributes = of_resource.chain(origin.scope_attributes.iter().filter(|_| scope));
            let mut numbers = BTreeSet::new();
            for thing in attributes.filter_map(&seen) {
                // Many origins are one place: a row has one of them.
                let number = known.get(&thing).copied().unwrap_or_else(|| self.place(thing.clone()));
                known.insert(thing, number);
                numbers.insert(number);
            }
            self.of_origins.push(numbers);
        }
    }

    /// What events and links say.
    fn lists(&mut self, level: Level, seen: impl Fn(&Attribute) -> Option<T>) -> Result<(), ValueError> {
        let columns = self.columns;
        let (events, links) = (&columns.events, &columns.links);
        let texts = &columns.list_texts.texts;
        let mut parsed: HashMap<u32, Vec<u32>> = HashMap::new();
        for (at, rows, attributes) in
            [(Level::Event, &events.rows, &events.attributes), (Level::Link, &links.rows, &links.attributes)]
        {
            if !is_at(level, at) {
                continue;
            }
            for (row, text) in rows.iter().zip(attributes) {
                if !self.wanted.contains(*row as usize) {
                    continue;
                }
                if !parsed.contains_key(text) {
                    let things = attributes_from_text(texts.get(*text))?;
                    let numbers = things.iter().filter_map(&seen).map(|thing| self.scatter(thing));
                    parsed.insert(*text, numbers.collect());
                }
                let numbers = parsed.get(text).map_or(&[][..], Vec::as_slice);
                self.pairs.extend(numbers.iter().map(|number| (*number, *row)));
            }
        }
        Ok(())
    }

    /// What stands among the attributes without a column.
    fn overflow(
        &mut self,
        seen: impl Fn(&str, ValueType, &str) -> Result<Option<T>, ValueError>,
    ) -> Result<(), ValueError> {
        let (overflow, texts) = (&self.columns.overflow, &self.columns.list_texts);
        let entries = &overflow.entries;
        let mut known: HashMap<(u32, ValueType, u32), Option<u32>> = HashMap::new();
        for (index, row) in overflow.rows.iter().enumerate() {
            if !self.wanted.contains(*row as usize) {
                continue;
            }
            let entry = (entries.keys[index], entries.types[index], entries.texts[index]);
            let number = match known.get(&entry) {
                Some(number) => *number,
                None => {
                    let thing = seen(texts.keys.get(entry.0), entry.1, texts.texts.get(entry.2))?;
                    let number = thing.map(|thing| self.scatter(thing));
                    known.insert(entry, number);
                    number
                }
            };
            self.pairs.extend(number.map(|number| (number, *row)));
        }
        Ok(())
    }

    /// A column, by the distinct value of each of its rows.
    fn column(&mut self, rows: &'a [u32], values: Cow<'a, [u32]>, thing: impl Fn(u32) -> T) {
        let mut found: Vec<(u64, u32)> = Vec::new();
        for (_, value) in rows.iter().zip(&*values).filter(|(row, _)| self.wanted.contains(**row as usize)) {
            if found.len() <= *value as usize {
                found.resize(*value as usize + 1, (0, 0));
            }
            found[*value as usize].0 += 1;
        }
        for (value, (_, number)) in found.iter_mut().enumerate().filter(|(_, (count, _))| *count > 0) {
            *number = self.place(thing(value as u32));
        }
        self.of_columns.push(OfColumn { rows, values, found });
    }

    fn done(mut self) -> BTreeMap<T, u64> {
        for column in std::mem::take(&mut self.of_columns) {
            self.count_column(&column);
        }
        self.count_origins();
        self.pairs.sort_unstable();
        self.pairs.dedup();
        self.pairs.iter().for_each(|(number, _)| self.counts[*number as usize] += 1);
        let counts = self.counts;
        let counted = self.numbers.into_iter().map(|(thing, number)| (thing, counts[number as usize]));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    fn count_column(&mut self, column: &OfColumn<'_>) {
        let mut any_shared = false;
        for (count, number) in column.found.iter().filter(|(count, _)| *count > 0) {
            match self.is_shared[*number as usize] {
                true => any_shared = true,
                false => self.counts[*number as usize] += count,
            }
        }
        if !any_shared {
            return;
        }
        for (row, value) in column.rows.iter().zip(&*column.values) {
            if self.wanted.contains(*row as usize) {
                let (_, number) = column.found[*value as usize];
                self.pairs.extend(self.is_shared[number as usize].then_some((number, *row)));
            }
        }
    }

    fn count_origins(&mut self) {
        if self.of_origins.is_empty() {
            return;
        }
        let mut rows = vec![0_u64; self.of_origins.len()];
        let origins_of_rows = &self.columns.origins_of_rows;
        self.wanted.iter().for_each(|row| rows[origins_of_rows[row] as usize] += 1);
        let mut shared: Vec<Vec<u32>> = Vec::new();
        for (numbers, rows) in self.of_origins.iter().zip(rows) {
            let (apart, alone) = numbers.iter().partition(|number| self.is_shared[**number as usize]);
            let alone: Vec<u32> = alone;
            alone.into_iter().for_each(|number| self.counts[number as usize] += rows);
            shared.push(apart);
        }
        if shared.iter().all(Vec::is_empty) {
            return;
        }
        for row in self.wanted.iter() {
            let numbers = &shared[origins_of_rows[row] as usize];
            self.pairs.extend(numbers.iter().map(|number| (*number, row as u32)));
        }
    }
}

impl<'a> Count<'a, SeenValue> {
    /// A column of values.
    fn values(&mut self, rows: &'a [u32], values: &'a ColumnValues) {
        match values {
            ColumnValues::Str { texts, numbers } => self.column(rows, Cow::Borrowed(numbers), |number| {
                SeenValue { kind: ValueType::Str.name(), text: texts.get(number).to_owned() }
            }),
            ColumnValues::Int(ints) => {
                let (distinct, numbers) = numbered(ints.iter().copied());
                self.column(rows, Cow::Owned(numbers), |number| {
                    SeenValue::of(&Value::Int(distinct[number as usize]))
                });
            }
            ColumnValues::Double(doubles) => {
                let (distinct, numbers) = numbered(doubles.iter().map(|double| double.to_bits()));
                self.column(rows, Cow::Owned(numbers), |number| {
                    SeenValue::of(&Value::Double(f64::from_bits(distinct[number as usize])))
                });
            }
            ColumnValues::Bool(flags) => {
                let numbers = flags.iter().map(|flag| u32::from(*flag)).collect();
                self.column(rows, Cow::Owned(numbers), |number| SeenValue::of(&Value::Bool(number == 1)));
            }
        }
    }
}

/// Distinct values, and the number of each value among them.
fn numbered<V: Copy + Eq + Hash>(values: impl Iterator<Item = V>) -> (Vec<V>, Vec<u32>) {
    let (mut known, mut distinct) = (HashMap::new(), Vec::new());
    let numbers = values.map(|value| {
        *known.entry(value).or_insert_with(|| {
            distinct.push(value);
            distinct.len() as u32 - 1
        })
    });
    let numbers = numbers.collect();
    (distinct, numbers)
}
