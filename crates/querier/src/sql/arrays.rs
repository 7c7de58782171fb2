//! Rows of spans as arrow arrays.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringViewBuilder, TimestampNanosecondArray};
use datafusion::arrow::error::ArrowError;
use siltstone_ask::Field;
use siltstone_format::columns::{RareTexts, SpanColumns};
use siltstone_format::origin::Origin;
use siltstone_format::value::ValueError;

use super::attributes::{Maps, first_text, in_order, of_spans};
use super::lists::{events, links};
use super::output::Output;
use super::schema::{Holder, SpanColumn};
use super::texts::Texts;

/// Why rows cannot be put out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArrayError {
    #[error("a span holds what is no value: {0}")]
    Value(#[from] ValueError),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// Makes the array of some ascending rows. What rows have in common was done before.
pub(super) type ArrayOf<'a> = Box<dyn Fn(&[u32]) -> Result<ArrayRef, ArrayError> + 'a>;

/// How an output is made of these columns.
pub(super) fn array_of<'a>(output: &Output, columns: &'a SpanColumns) -> ArrayOf<'a> {
    match output {
        Output::Column(column) => of_column(*column, columns),
        Output::Attribute { holder: Holder::Span, key } => of_spans(columns, key),
        Output::Attribute { holder: Holder::Resource, key } => {
            of_origins(columns, |origin| first_text(&origin.resource_attributes, key))
        }
        Output::Attribute { holder: Holder::Scope, key } => {
            of_origins(columns, |origin| first_text(&origin.scope_attributes, key))
        }
    }
}

fn of_column(column: SpanColumn, columns: &SpanColumns) -> ArrayOf<'_> {
    match column {
        SpanColumn::TraceId => {
            Box::new(|rows| Ok(ids(rows.iter().map(|row| Some(&columns.trace_ids[*row as usize].0[..])))))
        }
        SpanColumn::SpanId => {
            Box::new(|rows| Ok(ids(rows.iter().map(|row| Some(&columns.span_ids[*row as usize].0[..])))))
        }
        SpanColumn::ParentSpanId => {
            let parent = |row: &u32| columns.parents[*row as usize].as_ref().map(|id| &id.0[..]);
            Box::new(move |rows| Ok(ids(rows.iter().map(parent))))
        }
        SpanColumn::StartTime => {
            Box::new(|rows| Ok(times(rows.iter().map(|row| Some(columns.starts[*row as usize])))))
        }
        SpanColumn::EndTime => {
            Box::new(|rows| Ok(times(rows.iter().map(|row| i64::try_from(end_of(columns, *row)).ok()))))
        }
        SpanColumn::Duration => Box::new(|rows| {
            let durations = rows.iter().map(|row| duration_of(columns, *row));
            Ok(Arc::new(durations.collect::<Int64Array>()))
        }),
        SpanColumn::ServiceName => {
            let (names, of_rows) = columns.services();
            let texts =
                Texts::collect(names.iter().map(|name| Some(&**name).filter(|name| !name.is_empty())));
            Box::new(move |rows| Ok(texts.take_all(rows.iter().map(|row| of_rows[*row as usize]))?))
        }
        SpanColumn::ScopeName => of_origins(columns, |origin| some(origin.scope_name.as_str().into())),
        SpanColumn::ScopeVersion => of_origins(columns, |origin| some(origin.scope_version.as_str().into())),
        SpanColumn::Name => {
            let texts = Texts::of(&columns.names, false);
            let name_of = |row: &u32| columns.names_of_rows[*row as usize];
            Box::new(move |rows| Ok(texts.take_all(rows.iter().map(name_of))?))
        }
        SpanColumn::Kind => of_names(Field::Kind, &columns.kinds),
        SpanColumn::StatusCode => of_names(Field::StatusCode, &columns.status_codes),
        SpanColumn::StatusMessage => of_rare(&columns.status_messages),
        SpanColumn::TraceState => of_rare(&columns.trace_states),
        SpanColumn::Attributes(Holder::Span) => Box::new(|rows| {
            let mut maps = Maps::default();
            for row in rows {
                maps.push(&columns.attributes_of(*row)?);
            }
            Ok(maps.finish()?)
        }),
        SpanColumn::Attributes(Holder::Resource) => {
            maps_of_origins(columns, |origin| in_order(&origin.resource_attributes))
        }
        SpanColumn::Attributes(Holder::Scope) => {
            maps_of_origins(columns, |origin| in_order(&origin.scope_attributes))
        }
        SpanColumn::Events => Box::new(|rows| events(columns, rows)),
        SpanColumn::Links => Box::new(|rows| links(columns, rows)),
    }
}

fn end_of(columns: &SpanColumns, row: u32) -> u64 {
    columns.starts[row as usize].cast_unsigned().wrapping_add(columns.durations[row as usize].cast_unsigned())
}

/// Nothing if it is longer than the column can say, which is 292 years.
fn duration_of(columns: &SpanColumns, row: u32) -> Option<i64> {
    let start = columns.starts[row as usize].cast_unsigned();
    i64::try_from(i128::from(end_of(columns, row)) - i128::from(start)).ok()
}

pub(super) fn times(times: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(times.collect::<TimestampNanosecondArray>().with_timezone("UTC"))
}

/// Ids as hex text.
pub(super) fn ids<'a>(ids: impl Iterator<Item = Option<&'a [u8]>>) -> ArrayRef {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut texts = StringViewBuilder::new();
    let mut text = String::new();
    for id in ids {
        text.clear();
        for byte in id.unwrap_or_default() {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        texts.append_option(id.map(|_| text.as_str()));
    }
    Arc::new(texts.finish())
}

/// What says nothing is nothing.
fn some(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then_some(text)
}

fn of_origins<'a>(
    columns: &'a SpanColumns,
    text_of: impl Fn(&'a Origin) -> Option<Cow<'a, str>>,
) -> ArrayOf<'a> {
    let of_each: Vec<_> = columns.origins.iter().map(|origin| text_of(origin)).collect();
    let texts = Texts::collect(of_each.iter().map(Option::as_deref));
    let origin_of = |row: &u32| columns.origins_of_rows[*row as usize];
    Box::new(move |rows| Ok(texts.take_all(rows.iter().map(origin_of))?))
}

fn maps_of_origins<'a>(
    columns: &'a SpanColumns,
    entries_of: impl Fn(&'a Origin) -> Vec<(&'a str, Option<Cow<'a, str>>)>,
) -> ArrayOf<'a> {
    let of_each: Vec<_> = columns.origins.iter().map(|origin| entries_of(origin)).collect();
    Box::new(move |rows| {
        let mut maps = Maps::default();
        rows.iter().for_each(|row| {
            maps.push_texts(&of_each[columns.origins_of_rows[*row as usize] as usize]);
        });
        Ok(maps.finish()?)
    })
}

/// Numbers that have names; the others by themselves.
fn of_names(field: Field, numbers: &[i32]) -> ArrayOf<'_> {
    let (mut distinct, mut places_of) = (Vec::new(), HashMap::new());
    let places: Vec<u32> = numbers
        .iter()
        .map(|number| {
            *places_of.entry(*number).or_insert_with(|| {
                distinct.push(*number);
                distinct.len() as u32 - 1
            })
        })
        .collect();
    let names: Vec<String> = distinct
        .iter()
        .map(|number| field.name_of(*number).map_or_else(|| number.to_string(), str::to_owned))
        .collect();
    let texts = Texts::collect(names.iter().map(|name| Some(name.as_str())));
    Box::new(move |rows| Ok(texts.take_all(rows.iter().map(|row| places[*row as usize]))?))
}

fn of_rare(rare: &RareTexts) -> ArrayOf<'_> {
    let texts = Texts::of(&rare.texts, true);
    Box::new(move |rows| {
        let number_of = |row: &u32| rare.rows.binary_search(row).ok().map(|index| rare.numbers[index]);
        Ok(texts.take(rows.iter().map(number_of))?)
    })
}
