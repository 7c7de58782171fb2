//! The columns of a spans file and of an origins file.
//!
//! Fixed columns come first and are always there. Then one column for each common
//! attribute key and type, named `attr.<type>.<key>`: the name says the type, so the
//! same column has the same type in every block. Lists come last.

use std::ops::Range;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use crate::value::ValueType;

/// Prefix of attribute columns.
const ATTRIBUTE_PREFIX: &str = "attr.";

/// The fixed columns of a spans file, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fixed {
    TraceId,
    Seq,
    SpanId,
    ParentSeq,
    ParentSpanId,
    StartTime,
    Duration,
    ServiceName,
    Name,
    Kind,
    StatusCode,
    StatusMessage,
    TraceState,
    Flags,
    DroppedAttributes,
    DroppedEvents,
    DroppedLinks,
    OriginId,
}

impl Fixed {
    pub(crate) const ALL: [Self; 18] = [
        Self::TraceId,
        Self::Seq,
        Self::SpanId,
        Self::ParentSeq,
        Self::ParentSpanId,
        Self::StartTime,
        Self::Duration,
        Self::ServiceName,
        Self::Name,
        Self::Kind,
        Self::StatusCode,
        Self::StatusMessage,
        Self::TraceState,
        Self::Flags,
        Self::DroppedAttributes,
        Self::DroppedEvents,
        Self::DroppedLinks,
        Self::OriginId,
    ];

    fn column(self) -> Result<Type, ParquetError> {
        let (required, optional) = (Repetition::REQUIRED, Repetition::OPTIONAL);
        match self {
            Self::TraceId => fixed_bytes("trace_id", 16, required),
            Self::Seq => unsigned("seq", required),
            Self::SpanId => fixed_bytes("span_id", 8, required),
            Self::ParentSeq => unsigned("parent_seq", optional),
            Self::ParentSpanId => fixed_bytes("parent_span_id", 8, optional),
            Self::StartTime => timestamp("start_time"),
            Self::Duration => plain("duration", Physical::INT64, required),
            Self::ServiceName => text("service_name", required),
            Self::Name => text("name", required),
            Self::Kind => plain("kind", Physical::INT32, required),
            Self::StatusCode => plain("status_code", Physical::INT32, required),
            Self::StatusMessage => text("status_message", optional),
            Self::TraceState => text("trace_state", optional),
            Self::Flags => unsigned("flags", required),
            Self::DroppedAttributes => unsigned("dropped_attributes_count", optional),
            Self::DroppedEvents => unsigned("dropped_events_count", optional),
            Self::DroppedLinks => unsigned("dropped_links_count", optional),
            Self::OriginId => unsigned("origin_id", required),
        }
    }
}

/// The leaves of the lists of a spans file, in their order after the attributes.
const OVERFLOW_LEAVES: usize = 3;
const EVENT_LEAVES: usize = 4;
const LINK_LEAVES: usize = 6;
pub(crate) const LIST_LEAVES: usize = OVERFLOW_LEAVES + EVENT_LEAVES + LINK_LEAVES;

/// Where the leaves of the lists lie in a spans file with so many attribute columns.
#[derive(Clone, Debug)]
pub(crate) struct ListColumns {
    pub(crate) overflow: Range<usize>,
    pub(crate) events: Range<usize>,
    pub(crate) links: Range<usize>,
}

impl ListColumns {
    pub(crate) fn after(attributes: usize) -> Self {
        let overflow = Fixed::ALL.len() + attributes;
        let events = overflow + OVERFLOW_LEAVES;
        let links = events + EVENT_LEAVES;
        Self { overflow: overflow..events, events: events..links, links: links..links + LINK_LEAVES }
    }
}

/// The name of an attribute column.
pub(crate) fn attribute_column(kind: ValueType, key: &str) -> String {
    format!("{ATTRIBUTE_PREFIX}{}.{key}", kind.name())
}

/// The type and key of an attribute column, if the name is that of one.
pub(crate) fn parse_attribute_column(name: &str) -> Option<(ValueType, &str)> {
    let (kind, key) = name.strip_prefix(ATTRIBUTE_PREFIX)?.split_once('.')?;
    let kind = ValueType::from_name(kind).ok()?;
    physical_of(kind).map(|_| (kind, key))
}

fn physical_of(kind: ValueType) -> Option<Physical> {
    match kind {
        ValueType::Str => Some(Physical::BYTE_ARRAY),
        ValueType::Int => Some(Physical::INT64),
        ValueType::Double => Some(Physical::DOUBLE),
        ValueType::Bool => Some(Physical::BOOLEAN),
        ValueType::Empty | ValueType::Bytes | ValueType::Array | ValueType::Map => None,
    }
}

/// The schema of a spans file with these attribute columns.
pub(crate) fn spans_schema<'a>(
    attributes: impl Iterator<Item = (ValueType, &'a str)>,
) -> Result<SchemaDescriptor, ParquetError> {
    let mut fields = Vec::new();
    for fixed in Fixed::ALL {
        fields.push(Arc::new(fixed.column()?));
    }
    for (kind, key) in attributes {
        let name = attribute_column(kind, key);
        let column = match physical_of(kind) {
            Some(Physical::BYTE_ARRAY) | None => text(&name, Repetition::OPTIONAL)?,
            Some(physical) => plain(&name, physical, Repetition::OPTIONAL)?,
        };
        fields.push(Arc::new(column));
    }
    let required = Repetition::REQUIRED;
    fields.push(list(
        "overflow",
        vec![text("key", required)?, text("type", required)?, text("value", required)?],
    )?);
    let dropped = || unsigned("dropped_attributes_count", Repetition::REQUIRED);
    fields.push(list(
        "events",
        vec![
            timestamp("time")?,
            text("name", Repetition::REQUIRED)?,
            text("attributes", Repetition::REQUIRED)?,
            dropped()?,
        ],
    )?);
    fields.push(list(
        "links",
        vec![
            fixed_bytes("trace_id", 16, Repetition::REQUIRED)?,
            fixed_bytes("span_id", 8, Repetition::REQUIRED)?,
            text("trace_state", Repetition::REQUIRED)?,
            unsigned("flags", Repetition::REQUIRED)?,
            text("attributes", Repetition::REQUIRED)?,
            dropped()?,
        ],
    )?);
    let root = Type::group_type_builder("span").with_fields(fields).build()?;
    Ok(SchemaDescriptor::new(Arc::new(root)))
}

/// The schema of an origins file.
pub(crate) fn origins_schema() -> Result<SchemaDescriptor, ParquetError> {
    let required = Repetition::REQUIRED;
    let fields = vec![
        unsigned("origin_id", required)?,
        text("service_name", required)?,
        text("resource_attributes", required)?,
        unsigned("resource_dropped_attributes_count", required)?,
        text("resource_schema_url", required)?,
        text("entities", required)?,
        text("scope_name", required)?,
        text("scope_version", required)?,
        text("scope_attributes", required)?,
        unsigned("scope_dropped_attributes_count", required)?,
        text("scope_schema_url", required)?,
    ];
    let fields = fields.into_iter().map(Arc::new).collect();
    let root = Type::group_type_builder("origin").with_fields(fields).build()?;
    Ok(SchemaDescriptor::new(Arc::new(root)))
}

fn plain(name: &str, physical: Physical, repetition: Repetition) -> Result<Type, ParquetError> {
    Type::primitive_type_builder(name, physical).with_repetition(repetition).build()
}

fn unsigned(name: &str, repetition: Repetition) -> Result<Type, ParquetError> {
    Type::primitive_type_builder(name, Physical::INT32)
        .with_repetition(repetition)
        .with_logical_type(Some(LogicalType::integer(32, false)))
        .build()
}

fn timestamp(name: &str) -> Result<Type, ParquetError> {
    Type::primitive_type_builder(name, Physical::INT64)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::NANOS)))
        .build()
}

fn text(name: &str, repetition: Repetition) -> Result<Type, ParquetError> {
    Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
        .with_repetition(repetition)
        .with_logical_type(Some(LogicalType::String))
        .build()
}

fn fixed_bytes(name: &str, length: i32, repetition: Repetition) -> Result<Type, ParquetError> {
    Type::primitive_type_builder(name, Physical::FIXED_LEN_BYTE_ARRAY)
        .with_repetition(repetition)
        .with_length(length)
        .build()
}

/// A list that is never null, of groups that are never null.
fn list(name: &str, fields: Vec<Type>) -> Result<TypePtr, ParquetError> {
    let element = Type::group_type_builder("element")
        .with_repetition(Repetition::REQUIRED)
        .with_fields(fields.into_iter().map(Arc::new).collect())
        .build()?;
    let repeated = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![Arc::new(element)])
        .build()?;
    let outer = Type::group_type_builder(name)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(repeated)])
        .build()?;
    Ok(Arc::new(outer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_parse_the_names_that_it_makes() {
        for key in ["http.route", "", "str.", "attr.int.x", "a.b.c", "\"", "\0"] {
            for kind in [ValueType::Str, ValueType::Int, ValueType::Double, ValueType::Bool] {
                assert_eq!(parse_attribute_column(&attribute_column(kind, key)), Some((kind, key)));
            }
        }
        for name in ["trace_id", "attr.http", "attr.map.x", "attr.strs.x"] {
            assert_eq!(parse_attribute_column(name), None, "{name}");
        }
    }

    #[test]
    fn should_have_the_leaves_that_it_counts() {
        let schema = spans_schema([(ValueType::Str, "a")].into_iter()).unwrap();
        assert_eq!(schema.num_columns(), Fixed::ALL.len() + 1 + LIST_LEAVES);
        assert_eq!(schema.column(Fixed::OriginId as usize).name(), "origin_id");
        let lists = ListColumns::after(1);
        let paths = [&lists.overflow, &lists.events, &lists.links].map(|leaves| {
            let of_list = |column: usize| schema.column(column).path().parts()[0].clone();
            leaves.clone().map(of_list).collect::<Vec<_>>()
        });
        assert_eq!(paths, [vec!["overflow"; 3], vec!["events"; 4], vec!["links"; 6]]);
        assert_eq!(lists.links.end, schema.num_columns());
    }
}
