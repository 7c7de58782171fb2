//! WHERE clauses as SQL text, and what they say of a span: nothing shared with the engine.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};

/// A condition whose values are taken from the spans at hand.
#[derive(Clone, Debug)]
pub(crate) enum Described {
    And(Box<Described>, Box<Described>),
    Or(Box<Described>, Box<Described>),
    Not(Box<Described>),
    Text {
        column: Column,
        op: &'static str,
        from: Index,
    },
    In {
        column: Column,
        from: [Index; 2],
    },
    Like {
        column: Column,
        from: Index,
    },
    IsNull {
        column: Column,
        is: bool,
    },
    /// As a number, compared with a number.
    Number {
        key: &'static str,
        op: &'static str,
        number: &'static str,
    },
    Between {
        key: &'static str,
        from: i64,
        to: i64,
    },
    Cast {
        key: &'static str,
        op: &'static str,
        number: i64,
    },
    Duration {
        op: &'static str,
        from: Index,
    },
    Start {
        op: &'static str,
        from: Index,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    TraceId,
    SpanId,
    ParentSpanId,
    Service,
    Name,
    Kind,
    StatusCode,
    StatusMessage,
    Span(&'static str),
    Resource(&'static str),
}

const OPS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];
const KEYS: [&str; 6] = ["", "a", "b", "http.route", "name", "absent"];
const NUMBERS: [&str; 6] = ["72", "72.5", "-1", "9007199254740993", "0", "72.0"];

pub(crate) fn described() -> impl Strategy<Value = Described> {
    let leaf = prop_oneof![
        6 => (column(), select(&OPS[..]), any::<Index>())
            .prop_map(|(column, op, from)| Described::Text { column, op, from }),
        1 => (column(), any::<[Index; 2]>()).prop_map(|(column, from)| Described::In { column, from }),
        1 => (column(), any::<Index>()).prop_map(|(column, from)| Described::Like { column, from }),
        1 => (column(), any::<bool>()).prop_map(|(column, is)| Described::IsNull { column, is }),
        3 => (select(&KEYS[..]), select(&OPS[..]), select(&NUMBERS[..]))
            .prop_map(|(key, op, number)| Described::Number { key, op, number }),
        1 => (select(&KEYS[..]), -2..80_i64, -2..80_i64)
            .prop_map(|(key, from, to)| Described::Between { key, from, to }),
        2 => (select(&KEYS[..]), select(&OPS[..]), select(vec![72, -1, 0, 9_007_199_254_740_993]))
            .prop_map(|(key, op, number)| Described::Cast { key, op, number }),
        1 => (select(&OPS[..]), any::<Index>()).prop_map(|(op, from)| Described::Duration { op, from }),
        2 => (select(&OPS[..]), any::<Index>()).prop_map(|(op, from)| Described::Start { op, from }),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| Described::And(a.into(), b.into())),
            2 => (inner.clone(), inner.clone()).prop_map(|(a, b)| Described::Or(a.into(), b.into())),
            1 => inner.prop_map(|inner| Described::Not(inner.into())),
        ]
    })
}

fn column() -> impl Strategy<Value = Column> {
    prop_oneof![
        1 => Just(Column::TraceId),
        1 => Just(Column::SpanId),
        1 => Just(Column::ParentSpanId),
        1 => Just(Column::Service),
        1 => Just(Column::Name),
        1 => Just(Column::Kind),
        1 => Just(Column::StatusCode),
        1 => Just(Column::StatusMessage),
        4 => select(&KEYS[..]).prop_map(Column::Span),
        2 => select(&KEYS[..]).prop_map(Column::Resource),
    ]
}

impl Column {
    pub(crate) fn sql(self) -> String {
        match self {
            Self::TraceId => "trace_id".to_owned(),
            Self::SpanId => "span_id".to_owned(),
            Self::ParentSpanId => "parent_span_id".to_owned(),
            Self::Service => "service_name".to_owned(),
            Self::Name => "name".to_owned(),
            Self::Kind => "kind".to_owned(),
            Self::StatusCode => "status_code".to_owned(),
            Self::StatusMessage => "status_message".to_owned(),
            Self::Span(key) => format!("span_attributes[{}]", quoted(key)),
            Self::Resource(key) => format!("resource_attributes[{}]", quoted(key)),
        }
    }

    pub(crate) fn of(self, span: &Span) -> Option<String> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        match self {
            Self::TraceId => Some(span.trace_id.to_string()),
            Self::SpanId => Some(span.span_id.to_string()),
            Self::ParentSpanId => span.parent_span_id.map(|id| id.to_string()),
            Self::Service => some(&span.origin.service_name()),
            Self::Name => Some(span.name.clone()),
            Self::Kind => Some(named(
                span.kind,
                &["unspecified", "internal", "server", "client", "producer", "consumer"],
            )),
            Self::StatusCode => Some(named(span.status_code, &["unset", "ok", "error"])),
            Self::StatusMessage => some(&span.status_message),
            Self::Span(key) => attribute(&span.attributes, key),
            Self::Resource(key) => attribute(&span.origin.resource_attributes, key),
        }
    }
}

fn named(number: i32, names: &[&str]) -> String {
    let name = usize::try_from(number).ok().and_then(|number| names.get(number));
    name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

/// The first value under a key: by type, then by text; one that is empty is nothing, and comes last.
fn attribute(attributes: &[Attribute], key: &str) -> Option<String> {
    let order = ["Str", "Int", "Double", "Bool", "Bytes", "Array", "Map"];
    let mut found: Vec<(usize, String)> = Vec::new();
    for value in attributes.iter().filter(|attribute| attribute.key == key).map(|attribute| &attribute.value)
    {
        let text = match value {
            Value::Empty => continue,
            Value::Bytes(_) => {
                let listed = Value::Array(vec![value.clone()]).text();
                listed.trim_start_matches('[').trim_end_matches(']').to_owned()
            }
            other => other.text(),
        };
        let debug = format!("{value:?}");
        let kind = order.iter().position(|kind| debug.starts_with(kind)).unwrap();
        found.push((kind, text));
    }
    found.into_iter().min().map(|(_, text)| text)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn compared<T: PartialOrd>(one: T, op: &str, other: T) -> bool {
    match op {
        "=" => one == other,
        "<>" => one != other,
        "<" => one < other,
        "<=" => one <= other,
        ">" => one > other,
        ">=" => one >= other,
        _ => unreachable!(),
    }
}

/// A number of at most two places as hundredths, so that nothing is rounded; any other as a double.
#[derive(Clone, Copy, Debug)]
enum Number {
    Hundredths(i128),
    Double(f64),
}

impl Number {
    fn of(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let is_plain = part.len() <= 2
            && !(whole.is_empty() && part.is_empty())
            && [whole, part].iter().all(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        if is_plain && let Ok(size) = format!("{whole}{part:0<2}").parse::<i128>() {
            return Some(Self::Hundredths(if text.starts_with('-') { -size } else { size }));
        }
        let double = text.parse::<f64>().ok().filter(|double| double.is_finite())?;
        Some(Self::Double(double))
    }

    fn compared(self, op: &str, other: Self) -> bool {
        match (self, other) {
            (Self::Hundredths(one), Self::Hundredths(other)) => compared(one, op, other),
            (one, other) => compared(one.double(), op, other.double()),
        }
    }

    fn double(self) -> f64 {
        match self {
            Self::Hundredths(number) => number as f64 / 100.0,
            Self::Double(double) => double,
        }
    }
}

impl Described {
    /// What stands behind WHERE.
    pub(crate) fn sql(&self, spans: &[Span]) -> String {
        match self {
            Self::And(one, other) => format!("({} AND {})", one.sql(spans), other.sql(spans)),
            Self::Or(one, other) => format!("({} OR {})", one.sql(spans), other.sql(spans)),
            Self::Not(inner) => format!("(NOT {})", inner.sql(spans)),
            Self::Text { column, op, from } => {
                format!("{} {op} {}", column.sql(), quoted(&value(*column, from, spans)))
            }
            Self::In { column, from } => {
                let values = from.each_ref().map(|from| quoted(&value(*column, from, spans)));
                format!("{} IN ({})", column.sql(), values.join(", "))
            }
            Self::Like { column, from } => {
                format!("{} LIKE {}", column.sql(), quoted(&like(*column, from, spans)))
            }
            Self::IsNull { column, is } => {
                format!("{} IS {}NULL", column.sql(), if *is { "" } else { "NOT " })
            }
            Self::Number { key, op, number } => format!("{} {op} {number}", Column::Span(key).sql()),
            Self::Between { key, from, to } => format!("{} BETWEEN {from} AND {to}", Column::Span(key).sql()),
            Self::Cast { key, op, number } => {
                format!("CAST({} AS BIGINT) {op} {number}", Column::Span(key).sql())
            }
            Self::Duration { op, from } => {
                format!("duration {op} {}", duration(from.get(spans)).unwrap_or(0))
            }
            Self::Start { op, from } => {
                let nanos = from.get(spans).start_unix_nano;
                format!("start_time {op} to_timestamp_nanos({nanos})")
            }
        }
    }

    /// True, false, or unknown.
    pub(crate) fn holds(&self, span: &Span, spans: &[Span]) -> Option<bool> {
        match self {
            Self::And(one, other) => match (one.holds(span, spans), other.holds(span, spans)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(one, other) => match (one.holds(span, spans), other.holds(span, spans)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(inner) => inner.holds(span, spans).map(|holds| !holds),
            Self::Text { column, op, from } => {
                Some(compared(column.of(span)?, op, value(*column, from, spans)))
            }
            Self::In { column, from } => {
                let found = column.of(span)?;
                Some(from.iter().any(|from| value(*column, from, spans) == found))
            }
            Self::Like { column, from } => {
                let pattern = like(*column, from, spans);
                Some(column.of(span)?.starts_with(pattern.trim_end_matches('%')))
            }
            Self::IsNull { column, is } => Some(column.of(span).is_none() == *is),
            Self::Number { key, op, number } => {
                let found = Number::of(&Column::Span(key).of(span)?)?;
                Some(found.compared(op, Number::of(number).unwrap()))
            }
            Self::Between { key, from, to } => {
                let found = Number::of(&Column::Span(key).of(span)?)?;
                let bound = |bound: i64| Number::Hundredths(i128::from(bound) * 100);
                Some(found.compared(">=", bound(*from)) && found.compared("<=", bound(*to)))
            }
            Self::Cast { key, op, number } => {
                let text = Column::Span(key).of(span)?;
                Some(compared(text.parse::<i64>().ok()?, op, *number))
            }
            Self::Duration { op, from } => {
                Some(compared(duration(span)?, op, duration(from.get(spans)).unwrap_or(0)))
            }
            Self::Start { op, from } => {
                Some(compared(span.start_unix_nano, op, from.get(spans).start_unix_nano))
            }
        }
    }
}

/// A value that the column has somewhere, or another.
fn value(column: Column, from: &Index, spans: &[Span]) -> String {
    column.of(from.get(spans)).unwrap_or_else(|| "a".to_owned())
}

/// A pattern without signs that mean something.
fn like(column: Column, from: &Index, spans: &[Span]) -> String {
    let plain = value(column, from, spans)
        .chars()
        .take(1)
        .filter(|first| !"%_\\".contains(*first))
        .collect::<String>();
    format!("{plain}%")
}

/// Nothing if it is longer than 292 years.
pub(crate) fn duration(span: &Span) -> Option<i64> {
    i64::try_from(i128::from(span.end_unix_nano) - i128::from(span.start_unix_nano)).ok()
}
