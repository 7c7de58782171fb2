//! Whole spans into the columns and out of them.

use std::ops::Range;

use super::attributes::{AttributeColumn, ColumnValues};
use super::row::{EventFields, LinkFields, SpanFields};
use super::{Rejected, SpanColumns};
use crate::span::{Event, Link, Span};
use crate::value::{Attribute, Value, ValueError};

impl SpanColumns {
    /// Adds a span.
    pub fn push(&mut self, span: &Span) -> Result<(), Rejected> {
        let origin = self.origin(span.origin.clone());
        let mut row = self.span();
        for attribute in &span.attributes {
            row.attribute(attribute.key.as_bytes(), &attribute.value)?;
        }
        for event in &span.events {
            let fields = EventFields {
                time_unix_nano: event.time_unix_nano,
                name: event.name.as_bytes(),
                dropped_attributes_count: event.dropped_attributes_count,
            };
            row.event(&fields, &event.attributes)?;
        }
        for link in &span.links {
            let fields = LinkFields {
                trace_id: link.trace_id,
                span_id: link.span_id,
                trace_state: link.trace_state.as_bytes(),
                flags: link.flags,
                dropped_attributes_count: link.dropped_attributes_count,
            };
            row.link(&fields, &link.attributes)?;
        }
        let fields = SpanFields {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            trace_state: span.trace_state.as_bytes(),
            flags: span.flags,
            name: span.name.as_bytes(),
            kind: span.kind,
            start_unix_nano: span.start_unix_nano,
            end_unix_nano: span.end_unix_nano,
            status_code: span.status_code,
            status_message: span.status_message.as_bytes(),
            dropped_attributes_count: span.dropped_attributes_count,
            dropped_events_count: span.dropped_events_count,
            dropped_links_count: span.dropped_links_count,
        };
        row.finish(&fields, origin)
    }

    /// The span of a row. Fails only if a list holds a text that is not a value of its
    /// type, which columns that were built here never do.
    pub fn get(&self, row: usize) -> Result<Span, ValueError> {
        let number = row as u32;
        Ok(Span {
            attributes: self.attributes_of(number)?,
            events: self.events_of(number)?,
            links: self.links_of(number)?,
            ..self.without_lists(row)
        })
    }

    fn without_lists(&self, row: usize) -> Span {
        let number = row as u32;
        let start = self.starts[row].cast_unsigned();
        Span {
            trace_id: self.trace_ids[row],
            span_id: self.span_ids[row],
            parent_span_id: self.parents[row],
            trace_state: self.trace_states.get(number).to_owned(),
            flags: self.flags[row],
            name: self.names.get(self.names_of_rows[row]).to_owned(),
            kind: self.kinds[row],
            start_unix_nano: start,
            end_unix_nano: start.wrapping_add(self.durations[row].cast_unsigned()),
            status_code: self.status_codes[row],
            status_message: self.status_messages.get(number).to_owned(),
            attributes: Vec::new(),
            dropped_attributes_count: self.dropped_attributes.get(number),
            events: Vec::new(),
            dropped_events_count: self.dropped_events.get(number),
            links: Vec::new(),
            dropped_links_count: self.dropped_links.get(number),
            origin: self.origins[self.origins_of_rows[row] as usize].clone(),
        }
    }

    /// All spans in the order of their rows.
    pub fn spans(&self) -> Result<Vec<Span>, ValueError> {
        let mut spans: Vec<Span> = (0..self.len()).map(|row| self.without_lists(row)).collect();
        // Column by column, so that no row is searched for.
        for column in &self.attributes {
            for (index, row) in column.rows.iter().enumerate() {
                spans[*row as usize].attributes.push(self.attribute_at(column, index));
            }
        }
        for (row, places) in places_of_rows(&self.overflow.rows) {
            let attributes = self.overflow.entries.attributes(&self.list_texts, places)?;
            spans[row as usize].attributes.extend(attributes);
        }
        for (row, places) in places_of_rows(&self.events.rows) {
            spans[row as usize].events = self.events_at(places)?;
        }
        for (row, places) in places_of_rows(&self.links.rows) {
            spans[row as usize].links = self.links_at(places)?;
        }
        Ok(spans)
    }

    /// The attributes of a row.
    pub fn attributes_of(&self, row: u32) -> Result<Vec<Attribute>, ValueError> {
        let mut attributes = Vec::new();
        for column in &self.attributes {
            let index = column.rows.binary_search(&row);
            attributes.extend(index.ok().map(|index| self.attribute_at(column, index)));
        }
        let overflow = rows_equal(&self.overflow.rows, row);
        attributes.extend(self.overflow.entries.attributes(&self.list_texts, overflow)?);
        Ok(attributes)
    }

    fn attribute_at(&self, column: &AttributeColumn, index: usize) -> Attribute {
        let value = match &column.values {
            ColumnValues::Str { texts, numbers } => Value::Str(texts.get(numbers[index]).to_owned()),
            ColumnValues::Int(values) => Value::Int(values[index]),
            ColumnValues::Double(values) => Value::Double(values[index]),
            ColumnValues::Bool(values) => Value::Bool(values[index]),
        };
        Attribute { key: self.keys.name(column.key).to_owned(), value }
    }

    /// The events of a row.
    pub fn events_of(&self, row: u32) -> Result<Vec<Event>, ValueError> {
        self.events_at(rows_equal(&self.events.rows, row))
    }

    fn events_at(&self, places: Range<usize>) -> Result<Vec<Event>, ValueError> {
        let events = &self.events;
        places
            .map(|index| {
                Ok(Event {
                    time_unix_nano: events.times[index],
                    name: self.list_texts.texts.get(events.names[index]).to_owned(),
                    attributes: self.list_texts.attributes(events.attributes[index])?,
                    dropped_attributes_count: events.dropped[index],
                })
            })
            .collect()
    }

    /// The links of a row.
    pub fn links_of(&self, row: u32) -> Result<Vec<Link>, ValueError> {
        self.links_at(rows_equal(&self.links.rows, row))
    }

    fn links_at(&self, places: Range<usize>) -> Result<Vec<Link>, ValueError> {
        let links = &self.links;
        places
            .map(|index| {
                Ok(Link {
                    trace_id: links.trace_ids[index],
                    span_id: links.span_ids[index],
                    trace_state: self.list_texts.texts.get(links.trace_states[index]).to_owned(),
                    flags: links.flags[index],
                    attributes: self.list_texts.attributes(links.attributes[index])?,
                    dropped_attributes_count: links.dropped[index],
                })
            })
            .collect()
    }
}

/// The places of one row in an ascending list of rows.
pub(crate) fn rows_equal(rows: &[u32], row: u32) -> Range<usize> {
    rows.partition_point(|at| *at < row)..rows.partition_point(|at| *at <= row)
}

/// Each row in an ascending list of rows, and its places.
fn places_of_rows(rows: &[u32]) -> impl Iterator<Item = (u32, Range<usize>)> {
    let mut start = 0;
    rows.chunk_by(|one, next| one == next).map(move |same| {
        let places = start..start + same.len();
        start = places.end;
        (same[0], places)
    })
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Scalar;
    use super::*;
    use crate::content::same_span;
    use crate::id::{SpanId, TraceId};

    fn attribute(key: &str, value: Value) -> Attribute {
        Attribute { key: key.to_owned(), value }
    }

    fn nasty() -> Span {
        Span {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([2; 8]),
            parent_span_id: Some(SpanId([2; 8])),
            trace_state: "a=b".to_owned(),
            start_unix_nano: 100,
            end_unix_nano: 50,
            status_message: "no".to_owned(),
            attributes: vec![
                attribute("", Value::Int(1)),
                attribute("k", Value::Int(1)),
                attribute("k", Value::Int(1)),
                attribute("k", Value::Str("1".to_owned())),
                attribute("a", Value::Array(vec![])),
                attribute("e", Value::Empty),
            ],
            events: vec![
                Event { time_unix_nano: u64::MAX, ..Event::default() },
                Event { attributes: vec![attribute("x", Value::Double(f64::NAN))], ..Event::default() },
            ],
            links: vec![Link { attributes: vec![attribute("y", Value::Bool(true))], ..Link::default() }],
            dropped_links_count: u32::MAX,
            ..Span::default()
        }
    }

    #[test]
    fn should_give_spans_back() {
        let mut columns = SpanColumns::default();
        let spans = [Span::default(), nasty(), Span::default(), nasty()];
        spans.iter().for_each(|span| columns.push(span).unwrap());
        for (row, span) in spans.iter().enumerate() {
            assert!(same_span(&columns.get(row).unwrap(), span), "row {row}");
        }
        assert_eq!(columns.origins.len(), 1);
    }

    #[test]
    fn should_forget_a_refused_span_completely() {
        let mut columns = SpanColumns::default();
        columns.push(&nasty()).unwrap();
        let late = Span { start_unix_nano: u64::MAX, ..nasty() };
        assert_eq!(columns.push(&late), Err(Rejected::StartOutOfRange));
        let deep = (0..=crate::value::MAX_NESTING).fold(Value::Empty, |inner, _| Value::Array(vec![inner]));
        let too_deep =
            Span { attributes: vec![attribute("k", Value::Int(2)), attribute("d", deep)], ..nasty() };
        assert_eq!(columns.push(&too_deep), Err(Rejected::TooDeep));
        columns.span().scalar(b"k", Scalar::Str(&[0xff])).unwrap_err();
        columns.push(&nasty()).unwrap();
        assert_eq!(columns.len(), 2);
        for row in 0..2 {
            assert!(same_span(&columns.get(row).unwrap(), &nasty()), "row {row}");
        }
    }

    #[test]
    fn should_forget_the_last_spans_completely() {
        let mut columns = SpanColumns::default();
        let other = Span { attributes: vec![attribute("other", Value::Int(1))], ..Span::default() };
        for span in [nasty(), other.clone(), nasty(), other] {
            columns.push(&span).unwrap();
        }
        columns.truncate(4);
        assert_eq!(columns.len(), 4);
        columns.truncate(1);
        let plain = Span { name: "plain".to_owned(), ..Span::default() };
        columns.push(&plain).unwrap();
        let spans = columns.spans().unwrap();
        assert_eq!(spans.len(), 2);
        assert!(same_span(&spans[0], &nasty()));
        assert!(same_span(&spans[1], &plain));
        let mut fresh = SpanColumns::default();
        fresh.push(&nasty()).unwrap();
        fresh.push(&plain).unwrap();
        assert_eq!(fresh.events.attributes.len(), columns.events.attributes.len());
        assert_eq!(fresh.overflow.entries.len(), columns.overflow.entries.len());
    }

    #[test]
    fn should_give_spans_back_whose_keys_find_all_columns_taken() {
        let keys = super::super::attributes::MAX_COLUMNS + 10;
        let each = |number: usize| {
            let key = format!("{number}");
            let int = number.cast_signed() as i64;
            vec![
                attribute(&key, Value::Str(key.clone())),
                attribute(&key, Value::Int(int)),
                attribute(&key, Value::Double(0.5)),
                attribute(&key, Value::Bool(number.is_multiple_of(2))),
            ]
        };
        let many = Span { attributes: (0..keys).flat_map(each).collect(), ..nasty() };
        let mut columns = SpanColumns::default();
        let spans = [nasty(), many.clone(), nasty(), many];
        spans.iter().for_each(|span| columns.push(span).unwrap());
        assert_eq!(columns.attributes.len(), super::super::attributes::MAX_COLUMNS);
        for (row, span) in spans.iter().enumerate() {
            assert!(same_span(&columns.get(row).unwrap(), span), "row {row}");
        }
    }
}
