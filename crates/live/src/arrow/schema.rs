//! The columns of both tables. A change here is another form of the protocol: see [`crate::wire::FORM`].
//!
//! Texts are binary columns: whoever takes them checks that they are UTF-8, once for each distinct text.

use std::sync::LazyLock;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};

/// Bytes of a trace id.
pub(crate) const TRACE_ID: i32 = 16;
/// Bytes of a span id.
pub(crate) const SPAN_ID: i32 = 8;

/// What a batch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Origins,
    Spans,
}

impl Table {
    pub(crate) fn schema(self) -> &'static SchemaRef {
        match self {
            Self::Origins => &ORIGINS,
            Self::Spans => &SPANS,
        }
    }
}

static ORIGINS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Schema::new(vec![
        field("resource_attributes", DataType::Binary),
        field("resource_dropped_attributes", DataType::UInt32),
        field("resource_schema_url", DataType::Binary),
        field("entities", DataType::Binary),
        field("scope_name", DataType::Binary),
        field("scope_version", DataType::Binary),
        field("scope_attributes", DataType::Binary),
        field("scope_dropped_attributes", DataType::UInt32),
        field("scope_schema_url", DataType::Binary),
    ])
    .into()
});

static SPANS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Schema::new(vec![
        field("trace_id", DataType::FixedSizeBinary(TRACE_ID)),
        field("span_id", DataType::FixedSizeBinary(SPAN_ID)),
        Field::new("parent_span_id", DataType::FixedSizeBinary(SPAN_ID), true),
        field("start", DataType::Int64),
        field("duration", DataType::Int64),
        field("kind", DataType::Int32),
        field("status_code", DataType::Int32),
        field("flags", DataType::UInt32),
        field("name", DataType::Binary),
        field("status_message", DataType::Binary),
        field("trace_state", DataType::Binary),
        field("dropped_attributes", DataType::UInt32),
        field("dropped_events", DataType::UInt32),
        field("dropped_links", DataType::UInt32),
        field("origin", DataType::UInt32),
        field("attributes", DataType::List(list_item(&ATTRIBUTE))),
        field("events", DataType::List(list_item(&EVENT))),
        field("links", DataType::List(list_item(&LINK))),
    ])
    .into()
});

/// An int, double or bool without a text stands in `bits`; all other values in `text`.
pub(crate) static ATTRIBUTE: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        field("key", DataType::Binary),
        field("type", DataType::UInt8),
        field("text", DataType::Binary),
        field("bits", DataType::Int64),
    ])
});

pub(crate) static EVENT: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        field("time", DataType::UInt64),
        field("name", DataType::Binary),
        field("dropped_attributes", DataType::UInt32),
        field("attributes", DataType::Binary),
    ])
});

pub(crate) static LINK: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        field("trace_id", DataType::FixedSizeBinary(TRACE_ID)),
        field("span_id", DataType::FixedSizeBinary(SPAN_ID)),
        field("trace_state", DataType::Binary),
        field("flags", DataType::UInt32),
        field("dropped_attributes", DataType::UInt32),
        field("attributes", DataType::Binary),
    ])
});

fn field(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, false)
}

pub(crate) fn list_item(fields: &Fields) -> std::sync::Arc<Field> {
    field("item", DataType::Struct(fields.clone())).into()
}
