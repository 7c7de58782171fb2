//! Attributes as SQL sees them: text, whatever the type; under each key one value.
//!
//! A holder may have several values under one key, which OTLP forbids and senders do. The map has them all, and
//! `map['key']` is the first: by type in the order of [`ValueType`], then by text, an empty value last.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, MapArray, StringBuilder, StringViewBuilder, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use siltstone_format::columns::SpanColumns;
use siltstone_format::columns::attributes::{AttributeColumn, ColumnValues};
use siltstone_format::value::{Attribute, Value, ValueType, write_double, write_int, write_json_bytes};

use super::arrays::ArrayOf;
use super::schema::attributes_type;
use super::texts::Texts;

/// The text of a value; of an empty one, nothing. Bytes are written as within a JSON text, so that no string's text
/// looks like theirs unless it begins like a JSON object.
pub(super) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Empty => None,
        Value::Str(text) => Some(Cow::Borrowed(text)),
        Value::Bytes(bytes) => {
            let mut text = String::new();
            write_json_bytes(bytes, &mut text);
            Some(Cow::Owned(text))
        }
        other => Some(Cow::Owned(other.text())),
    }
}

/// Smaller comes first.
fn rank(kind: ValueType) -> (bool, u8) {
    (kind == ValueType::Empty, kind as u8)
}

/// Keys and texts of attributes in the order of the map.
pub(super) fn in_order(attributes: &[Attribute]) -> Vec<(&str, Option<Cow<'_, str>>)> {
    let mut all: Vec<_> = attributes
        .iter()
        .map(|attribute| {
            (attribute.key.as_str(), rank(attribute.value.value_type()), text_of(&attribute.value))
        })
        .collect();
    all.sort_unstable();
    all.into_iter().map(|(key, _, text)| (key, text)).collect()
}

/// The value under a key.
pub(super) fn first_text<'a>(attributes: &'a [Attribute], key: &str) -> Option<Cow<'a, str>> {
    let values = attributes.iter().filter(|attribute| attribute.key == key).map(|attribute| &attribute.value);
    values.map(|value| (rank(value.value_type()), text_of(value))).min()?.1
}

/// Maps on their way to an array.
#[derive(Default)]
pub(super) struct Maps {
    keys: StringBuilder,
    values: StringViewBuilder,
    lengths: Vec<usize>,
}

impl Maps {
    pub(super) fn push(&mut self, attributes: &[Attribute]) {
        self.push_texts(&in_order(attributes));
    }

    pub(super) fn push_texts(&mut self, entries: &[(&str, Option<Cow<'_, str>>)]) {
        for (key, text) in entries {
            self.keys.append_value(key);
            self.values.append_option(text.as_deref());
        }
        self.lengths.push(entries.len());
    }

    pub(super) fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        let DataType::Map(entries, is_sorted) = attributes_type() else {
            return Err(ArrowError::SchemaError("attributes are no map".to_owned()));
        };
        let DataType::Struct(fields) = entries.data_type().clone() else {
            return Err(ArrowError::SchemaError("entries of a map are no struct".to_owned()));
        };
        let children: Vec<ArrayRef> = vec![Arc::new(self.keys.finish()), Arc::new(self.values.finish())];
        let structs = StructArray::try_new(fields, children, None)?;
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        Ok(Arc::new(MapArray::try_new(entries, offsets, structs, None, is_sorted)?))
    }
}

/// The text of one attribute of spans.
pub(super) fn of_spans<'a>(columns: &'a SpanColumns, key: &str) -> ArrayOf<'a> {
    let number = columns.keys.find(key);
    let mut of_types: Vec<&AttributeColumn> =
        columns.attributes.iter().filter(|column| Some(column.key) == number).collect();
    of_types.sort_by_key(|column| rank(column.values.value_type()));
    let overflow_key = columns.list_texts.keys.find(key.as_bytes());
    match (&of_types[..], overflow_key) {
        ([], None) => Box::new(|rows| Ok(Arc::new(new_null_texts(rows.len())))),
        ([column], None) => of_column(column),
        _ => Box::new(move |rows| {
            let mut texts = StringViewBuilder::new();
            for row in rows {
                texts.append_option(first_of_row(columns, &of_types, overflow_key, *row)?.as_deref());
            }
            Ok(Arc::new(texts.finish()))
        }),
    }
}

fn new_null_texts(len: usize) -> datafusion::arrow::array::StringViewArray {
    std::iter::repeat_n(None::<&str>, len).collect()
}

/// Of values that all lie in one column.
fn of_column(column: &AttributeColumn) -> ArrayOf<'_> {
    match &column.values {
        ColumnValues::Str { texts, numbers } => {
            let texts = Texts::of(texts, false);
            Box::new(move |rows| {
                Ok(texts
                    .take(indexes_of(&column.rows, rows).map(|index| index.map(|index| numbers[index])))?)
            })
        }
        values => Box::new(move |rows| {
            let mut texts = StringViewBuilder::new();
            for index in indexes_of(&column.rows, rows) {
                texts.append_option(index.map(|index| scalar_text(values, index)).as_deref());
            }
            Ok(Arc::new(texts.finish()))
        }),
    }
}

/// Where each of some ascending rows is among ascending rows.
fn indexes_of<'a>(among: &'a [u32], rows: &'a [u32]) -> impl Iterator<Item = Option<usize>> + 'a {
    let mut from = rows.first().map_or(0, |first| among.partition_point(|row| row < first));
    rows.iter().map(move |row| {
        while among.get(from).is_some_and(|at| at < row) {
            from += 1;
        }
        (among.get(from) == Some(row)).then_some(from)
    })
}

fn scalar_text(values: &ColumnValues, index: usize) -> Cow<'_, str> {
    let mut text = String::new();
    match values {
        ColumnValues::Str { texts, numbers } => return Cow::Borrowed(texts.get(numbers[index])),
        ColumnValues::Int(values) => write_int(values[index], &mut text),
        ColumnValues::Double(values) => write_double(values[index], &mut text),
        ColumnValues::Bool(values) => text.push_str(if values[index] { "true" } else { "false" }),
    }
    Cow::Owned(text)
}

fn first_of_row<'a>(
    columns: &'a SpanColumns,
    of_types: &[&'a AttributeColumn],
    overflow_key: Option<u32>,
    row: u32,
) -> Result<Option<Cow<'a, str>>, super::arrays::ArrayError> {
    let owned = of_types.iter().find_map(|column| {
        let index = column.rows.binary_search(&row).ok()?;
        Some((rank(column.values.value_type()), Some(scalar_text(&column.values, index))))
    });
    let overflow = &columns.overflow;
    let from = overflow.rows.partition_point(|at| *at < row);
    let mut best = owned;
    for index in (from..overflow.rows.len()).take_while(|index| overflow.rows[*index] == row) {
        let (kind, text) = (overflow.entries.types[index], overflow.entries.texts[index]);
        if Some(overflow.entries.keys[index]) != overflow_key {
            continue;
        }
        let value = Value::from_text(kind, columns.list_texts.texts.get(text))?;
        let found = (rank(kind), text_of(&value).map(|text| Cow::Owned(text.into_owned())));
        best = Some(best.map_or_else(|| found.clone(), |best| best.min(found.clone())));
    }
    Ok(best.and_then(|(_, text)| text))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, AsArray};
    use siltstone_format::span::Span;

    use super::*;

    fn attribute(key: &str, value: Value) -> Attribute {
        Attribute { key: key.to_owned(), value }
    }

    /// Values of all types, some twice under one key, in an order of their own.
    fn lists() -> Vec<Vec<Attribute>> {
        vec![
            vec![],
            vec![attribute("k", Value::Int(7)), attribute("k", Value::Str("b".to_owned()))],
            vec![attribute("k", Value::Str("b".to_owned())), attribute("k", Value::Str("a".to_owned()))],
            vec![
                attribute("k", Value::Empty),
                attribute("k", Value::Double(0.5)),
                attribute("j", Value::Bool(true)),
            ],
            vec![attribute("k", Value::Empty)],
            vec![attribute("k", Value::Array(vec![Value::Int(1)])), attribute("k", Value::Bytes(vec![1, 2]))],
            vec![attribute("j", Value::Bool(false)), attribute("only", Value::Int(-1))],
        ]
    }

    #[test]
    fn should_give_the_same_value_alone_and_by_the_map() {
        let mut columns = SpanColumns::default();
        for attributes in lists() {
            columns.push(&Span { attributes, ..Span::default() }).unwrap();
        }
        let rows: Vec<u32> = (0..columns.len() as u32).collect();
        for (key, expected) in [
            ("k", vec![None, Some("b"), Some("a"), Some("0.5"), None, Some("{\"$bytes\":\"AQI=\"}"), None]),
            ("j", vec![None, None, None, Some("true"), None, None, Some("false")]),
            ("only", vec![None, None, None, None, None, None, Some("-1")]),
            ("absent", vec![None; 7]),
        ] {
            let array = of_spans(&columns, key)(&rows).unwrap();
            let found: Vec<_> = array.as_string_view().iter().collect();
            assert_eq!(found, expected, "{key}");
            let by_list: Vec<_> =
                lists().iter().map(|list| first_text(list, key).map(Cow::into_owned)).collect();
            assert_eq!(by_list, expected.iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>());
            for (list, expected) in lists().iter().zip(expected) {
                let in_map = in_order(list).into_iter().find(|(found, _)| *found == key);
                assert_eq!(in_map.and_then(|(_, text)| text).as_deref(), expected, "{key}");
            }
        }
        let some = of_spans(&columns, "k")(&[2, 5]).unwrap();
        assert_eq!(some.as_string_view().value(0), "a");
    }

    #[test]
    fn should_lay_out_maps_row_by_row() {
        let mut maps = Maps::default();
        lists().iter().for_each(|list| maps.push(list));
        let array = maps.finish().unwrap();
        let maps = array.as_map();
        assert_eq!(maps.len(), lists().len());
        assert_eq!(maps.value_length(3), 3);
        let entries = maps.value(3);
        assert_eq!(
            entries.column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(),
            ["j", "k", "k"]
        );
        let texts: Vec<_> = entries.column(1).as_string_view().iter().collect();
        assert_eq!(texts, [Some("true"), Some("0.5"), None]);
    }
}
