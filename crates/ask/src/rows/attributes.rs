//! Rows by an attribute of their spans.
//!
//! The values that a span has for one key may lie in columns, one for each type, and among the entries without a
//! column: they are one holder's.

use siltstone_format::columns::SpanColumns;
use siltstone_format::columns::attributes::{AttributeColumn, ColumnValues};
use siltstone_format::value::{Value, ValueError, ValueType};

use super::Rows;
use super::lists::any_entry;
use super::numbers::{of_doubles, of_ints};
use super::verdicts::Verdicts;
use crate::coerce::Scalar;
use crate::filter::{Comparison, Test};

/// Those of the rows for whose spans' values the test holds.
pub(super) fn of_attribute(
    key: &str,
    test: &Test,
    columns: &SpanColumns,
    among: &Rows,
) -> Result<Rows, ValueError> {
    let values = ValuesOfKey::new(key, columns);
    match test {
        Test::Exists => Ok(values.present(among)),
        Test::Compare(Comparison::Ne, operand) => {
            let present = values.present(among);
            let equal = values.passing(&Test::Compare(Comparison::Eq, operand.clone()), &present)?;
            Ok(present.and_not(&equal))
        }
        _ => values.passing(test, among),
    }
}

/// All values of spans for one key.
struct ValuesOfKey<'a> {
    columns: &'a SpanColumns,
    of_types: Vec<&'a AttributeColumn>,
    /// The key's number in the overflow, if it occurs there.
    overflow_key: Option<u32>,
}

impl<'a> ValuesOfKey<'a> {
    fn new(key: &str, columns: &'a SpanColumns) -> Self {
        let number = columns.keys.find(key);
        let of_types = columns.attributes.iter().filter(|column| Some(column.key) == number).collect();
        let overflow_key = columns.list_texts.keys.find(key.as_bytes());
        Self { columns, of_types, overflow_key }
    }

    /// The rows with a value.
    fn present(&self, among: &Rows) -> Rows {
        let mut found = Rows::none(among.of());
        for column in &self.of_types {
            column.rows.iter().for_each(|row| found.insert(*row as usize));
        }
        if self.overflow_key.is_some() {
            let overflow = &self.columns.overflow;
            let entries = overflow.rows.iter().zip(&overflow.entries.keys);
            let of_key = entries.filter(|(_, key)| Some(**key) == self.overflow_key);
            of_key.for_each(|(row, _)| found.insert(*row as usize));
        }
        found.and(among)
    }

    /// The rows with a value that passes by itself.
    fn passing(&self, test: &Test, among: &Rows) -> Result<Rows, ValueError> {
        let mut found = Rows::none(among.of());
        for column in &self.of_types {
            found = found.or(&passing_in_column(column, test, among)?);
        }
        let left = among.clone().and_not(&found);
        Ok(found.or(&self.passing_in_overflow(test, &left)?))
    }

    fn passing_in_overflow(&self, test: &Test, among: &Rows) -> Result<Rows, ValueError> {
        let Some(key) = self.overflow_key else { return Ok(Rows::none(among.of())) };
        let (entries, texts) = (&self.columns.overflow.entries, &self.columns.list_texts.texts);
        let mut verdicts_of_types = [const { None }; ValueType::ALL.len()];
        any_entry(&self.columns.overflow.rows, among, |index| {
            let (kind, text) = (entries.types[index], entries.texts[index]);
            if entries.keys[index] != key {
                return Ok(false);
            }
            let verdicts = verdicts_of_types[kind as usize].get_or_insert_with(|| Verdicts::new(texts.len()));
            verdicts
                .try_get(text, || Ok(test.matches([&Value::from_text(kind, texts.get(text))?].into_iter())))
        })
    }
}

fn passing_in_column(column: &AttributeColumn, test: &Test, among: &Rows) -> Result<Rows, ValueError> {
    let rows = &column.rows;
    match &column.values {
        ColumnValues::Str { texts, numbers } => {
            let mut verdicts = Verdicts::new(texts.len());
            any_entry(rows, among, |index| {
                let number = numbers[index];
                Ok(verdicts.get(number, || test.matches_scalar(Scalar::Str(texts.get(number)))))
            })
        }
        ColumnValues::Int(ints) => {
            let holds = of_ints(test);
            any_entry(rows, among, |index| Ok(holds(i128::from(ints[index]))))
        }
        ColumnValues::Double(doubles) => {
            let holds = of_doubles(test);
            any_entry(rows, among, |index| Ok(holds(doubles[index])))
        }
        ColumnValues::Bool(flags) => {
            let [no, yes] = [false, true].map(|flag| test.matches_scalar(Scalar::Bool(flag)));
            any_entry(rows, among, |index| Ok(if flags[index] { yes } else { no }))
        }
    }
}
