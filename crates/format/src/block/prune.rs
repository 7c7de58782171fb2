//! Rows that need not be read: what the metadata and the distinct values of columns tell.
//!
//! A chunk with a dictionary says each value once. Whoever knows which of these it wants
//! learns from the chunk alone which rows have one: nothing else of a row group is read
//! for the others, and of a group that has none of them no page at all. Chunks without a
//! dictionary are looked at value by value.

use std::ops::Range;

use parquet::basic::Type as Physical;
use parquet::file::statistics::Statistics;

use super::decode::{NOT_UTF8, Raw, WRONG_TYPE};
use super::error::ReadError;
use super::leaf::Damage;
use super::ranges::Fetched;
use super::read::{GroupRows, Pick, SpansFile};
use super::schema::Fixed;

/// A dictionary of no more bytes, compressed, has few values.
const FEW_VALUES_BYTES: u64 = 4 << 10;

/// What of spans lies in columns of single values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistinctPart<'a> {
    Name,
    ServiceName,
    /// A message that is empty counts as none.
    StatusMessage,
    Kind,
    StatusCode,
    /// Values of the attribute with this key, of any type.
    Attribute(&'a str),
}

/// A value as it stands in a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distinct<'a> {
    Str(&'a str),
    Int(i64),
    Double(f64),
    Bool(bool),
}

/// Which values of a row group are wanted, as far as dictionaries tell.
#[derive(Clone, Debug)]
pub struct WantedValues {
    group: usize,
    /// Columns that may have one.
    columns: Vec<(usize, InColumn)>,
}

/// Which values of a column are wanted.
#[derive(Clone, Debug)]
enum InColumn {
    /// For each number in the dictionary whether it is.
    Numbers(Vec<bool>),
    /// Every value must be looked at.
    Unknown,
}

impl WantedValues {
    /// No row has one of them.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }
}

impl SpansFile {
    /// Whether a span of a row group may have an attribute with this key, by the metadata
    /// alone.
    pub fn may_hold_attribute(&self, group: usize, key: &str) -> bool {
        let mut own = self.columns_of_part(group, DistinctPart::Attribute(key));
        own.next().is_some() || self.may_overflow(group)
    }

    /// The earliest and the latest start in a row group, if its metadata says so.
    pub fn starts_of(&self, group: usize) -> Option<(u64, u64)> {
        match self.metadata().row_group(group).column(Fixed::StartTime as usize).statistics()? {
            Statistics::Int64(starts) => {
                Some((starts.min_opt()?.cast_unsigned(), starts.max_opt()?.cast_unsigned()))
            }
            _ => None,
        }
    }

    /// Whether the values of a row group are few, as those of a service or a status are: so few that a row is likely
    /// to have any one of them. Told by the metadata alone.
    pub fn has_few_values(&self, group: usize, part: DistinctPart<'_>) -> bool {
        let is_small = |column: usize| {
            let dictionary = self.leaves[group][column].dictionary_range.as_ref();
            dictionary.is_some_and(|range| range.end - range.start <= FEW_VALUES_BYTES)
        };
        self.overflow_keys(group, part).is_none() && self.columns_of_part(group, part).all(is_small)
    }

    /// The ranges that [`Self::wanted_values`] and [`Self::rows_with`] need for some rows of a group, which ascend.
    pub fn distinct_ranges(
        &self,
        group: usize,
        part: DistinctPart<'_>,
        among: &[GroupRows],
    ) -> Vec<Range<u64>> {
        let own = self.columns_of_part(group, part).flat_map(|column| self.column_ranges(column, among));
        let overflow = self.overflow_keys(group, part);
        own.chain(overflow.and_then(|column| self.unread_dictionary(group, column))).collect()
    }

    /// The values of a row group that are wanted, as far as dictionaries tell. None if the
    /// attribute may stand among those without a column, so that other rows may have it.
    pub fn wanted_values(
        &self,
        group: usize,
        part: DistinctPart<'_>,
        fetched: &Fetched,
        mut is_wanted: impl FnMut(Distinct<'_>) -> bool,
    ) -> Result<Option<WantedValues>, ReadError> {
        if let (Some(keys), DistinctPart::Attribute(key)) = (self.overflow_keys(group, part), part) {
            let is_key = |found: Distinct<'_>| found == Distinct::Str(key);
            match self.wanted_in(group, keys, fetched, is_key)? {
                InColumn::Numbers(wanted) if !wanted.contains(&true) => {}
                _ => return Ok(None),
            }
        }
        let mut columns = Vec::new();
        for column in self.columns_of_part(group, part) {
            match self.wanted_in(group, column, fetched, &mut is_wanted)? {
                InColumn::Numbers(wanted) if !wanted.contains(&true) => {}
                wanted => columns.push((column, wanted)),
            }
        }
        Ok(Some(WantedValues { group, columns }))
    }

    /// Calls `each` with every row that has a wanted value among some of the group, which ascend; column by column.
    pub fn rows_with(
        &self,
        values: &WantedValues,
        among: &[GroupRows],
        fetched: &Fetched,
        mut is_wanted: impl FnMut(Distinct<'_>) -> bool,
        mut each: impl FnMut(usize),
    ) -> Result<(), ReadError> {
        let pick = Pick { group: values.group, parts: among, base: 0 };
        for (column, wanted) in &values.columns {
            let leaf = &self.leaves[pick.group][*column];
            let (mut present, mut passing) = (Vec::new(), Vec::new());
            self.read_flat(pick, *column, fetched, &mut present, |values| match wanted {
                InColumn::Numbers(wanted) => values.passing(wanted, &mut passing),
                InColumn::Unknown => values.each(|value| {
                    passing.push(is_wanted(distinct(leaf.physical, value)?));
                    Ok(())
                }),
            })?;
            let passing = passing.iter().enumerate().filter(|(_, passes)| **passes);
            let mut rows = RowAt { runs: among, before: 0 };
            match leaf.is_required() {
                true => passing.for_each(|(place, _)| each(rows.row(place))),
                false => passing.for_each(|(index, _)| each(rows.row(present[index] as usize))),
            }
        }
        Ok(())
    }

    fn wanted_in(
        &self,
        group: usize,
        column: usize,
        fetched: &Fetched,
        mut is_wanted: impl FnMut(Distinct<'_>) -> bool,
    ) -> Result<InColumn, ReadError> {
        let Some(dictionary) = self.dictionary(group, column, fetched)? else { return Ok(InColumn::Unknown) };
        let physical = self.leaves[group][column].physical;
        let wanted: Result<Vec<bool>, Damage> = (0..dictionary.len() as u32)
            .map(|number| Ok(is_wanted(distinct(physical, dictionary.raw(physical, number)?)?)))
            .collect();
        wanted.map(InColumn::Numbers).map_err(|what| self.damage(group, column, what))
    }

    /// Columns with a value of the part in some row.
    fn columns_of_part<'a>(
        &'a self,
        group: usize,
        part: DistinctPart<'a>,
    ) -> impl Iterator<Item = usize> + 'a {
        let fixed = match part {
            DistinctPart::Name => Some(Fixed::Name),
            DistinctPart::ServiceName => Some(Fixed::ServiceName),
            DistinctPart::StatusMessage => Some(Fixed::StatusMessage),
            DistinctPart::Kind => Some(Fixed::Kind),
            DistinctPart::StatusCode => Some(Fixed::StatusCode),
            DistinctPart::Attribute(_) => None,
        };
        let attributes = (Fixed::ALL.len()..).zip(&self.attributes);
        let of_key = attributes.filter(move |(_, (_, name))| part == DistinctPart::Attribute(name));
        let columns = fixed.map(|fixed| fixed as usize).into_iter().chain(of_key.map(|(column, _)| column));
        columns.filter(move |column| !self.is_empty(group, *column))
    }

    /// The keys of attributes without a column, where the wanted one may be among them.
    fn overflow_keys(&self, group: usize, part: DistinctPart<'_>) -> Option<usize> {
        (matches!(part, DistinctPart::Attribute(_)) && self.may_overflow(group))
            .then_some(self.lists.overflow.start)
    }

    fn may_overflow(&self, group: usize) -> bool {
        !self.is_empty(group, self.lists.overflow.start)
    }
}

/// Which rows ascending places are where only these runs stand one behind the other.
struct RowAt<'a> {
    runs: &'a [GroupRows],
    /// Rows of the runs that were passed.
    before: usize,
}

impl RowAt<'_> {
    fn row(&mut self, place: usize) -> usize {
        while let [run, rest @ ..] = self.runs
            && place - self.before >= run.rows.len()
        {
            self.before += run.rows.len();
            self.runs = rest;
        }
        self.runs.first().map_or(place, |run| run.rows.start + place - self.before)
    }
}

fn distinct(physical: Physical, value: Raw<'_>) -> Result<Distinct<'_>, Damage> {
    Ok(match (physical, value) {
        (Physical::BYTE_ARRAY, Raw::Bytes(text)) => {
            Distinct::Str(std::str::from_utf8(text).map_err(|_| NOT_UTF8)?)
        }
        (Physical::INT32, Raw::Four(bytes)) => Distinct::Int(i32::from_le_bytes(bytes).into()),
        (Physical::INT64, Raw::Eight(bytes)) => Distinct::Int(i64::from_le_bytes(bytes)),
        (Physical::DOUBLE, Raw::Eight(bytes)) => Distinct::Double(f64::from_le_bytes(bytes)),
        (Physical::BOOLEAN, Raw::Bool(flag)) => Distinct::Bool(flag),
        _ => return Err(WRONG_TYPE),
    })
}
