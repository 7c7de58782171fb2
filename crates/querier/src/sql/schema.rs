//! The columns of the table `spans`: what each is called, and what must be read for it.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use siltstone_ask::Level;
use siltstone_format::block::parts::{AttributeParts, Parts};

/// A column of `spans`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SpanColumn {
    TraceId,
    SpanId,
    ParentSpanId,
    StartTime,
    EndTime,
    Duration,
    ServiceName,
    Name,
    Kind,
    StatusCode,
    StatusMessage,
    TraceState,
    ScopeName,
    ScopeVersion,
    Attributes(Holder),
    Events,
    Links,
}

/// Whose attributes a map holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Holder {
    Span,
    Resource,
    Scope,
}

impl SpanColumn {
    pub(super) const ALL: [Self; 19] = [
        Self::TraceId,
        Self::SpanId,
        Self::ParentSpanId,
        Self::StartTime,
        Self::EndTime,
        Self::Duration,
        Self::ServiceName,
        Self::Name,
        Self::Kind,
        Self::StatusCode,
        Self::StatusMessage,
        Self::TraceState,
        Self::ScopeName,
        Self::ScopeVersion,
        Self::Attributes(Holder::Span),
        Self::Attributes(Holder::Resource),
        Self::Attributes(Holder::Scope),
        Self::Events,
        Self::Links,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TraceId => "trace_id",
            Self::SpanId => "span_id",
            Self::ParentSpanId => "parent_span_id",
            Self::StartTime => "start_time",
            Self::EndTime => "end_time",
            Self::Duration => "duration",
            Self::ServiceName => "service_name",
            Self::Name => "name",
            Self::Kind => "kind",
            Self::StatusCode => "status_code",
            Self::StatusMessage => "status_message",
            Self::TraceState => "trace_state",
            Self::ScopeName => "scope_name",
            Self::ScopeVersion => "scope_version",
            Self::Attributes(Holder::Span) => "span_attributes",
            Self::Attributes(Holder::Resource) => "resource_attributes",
            Self::Attributes(Holder::Scope) => "scope_attributes",
            Self::Events => "events",
            Self::Links => "links",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    pub(super) fn field(self) -> Field {
        let nullable = !matches!(
            self,
            Self::TraceId
                | Self::SpanId
                | Self::StartTime
                | Self::Name
                | Self::Kind
                | Self::StatusCode
                | Self::Attributes(_)
                | Self::Events
                | Self::Links
        );
        Field::new(self.name(), self.data_type(), nullable)
    }

    fn data_type(self) -> DataType {
        match self {
            Self::StartTime | Self::EndTime => time_type(),
            Self::Duration => DataType::Int64,
            Self::Attributes(_) => attributes_type(),
            Self::Events => list_of(event_fields()),
            Self::Links => list_of(link_fields()),
            _ => DataType::Utf8View,
        }
    }

    /// What must be read of spans.
    pub(super) fn parts(self) -> Parts {
        let mut parts = Parts::default();
        match self {
            Self::TraceId => parts.trace_ids = true,
            Self::SpanId => parts.span_ids = true,
            Self::ParentSpanId => parts.parents = true,
            Self::StartTime => parts.starts = true,
            Self::EndTime | Self::Duration => (parts.starts, parts.durations) = (true, true),
            Self::ServiceName => parts.services = true,
            Self::ScopeName | Self::ScopeVersion => parts.origins = true,
            Self::Attributes(Holder::Resource | Holder::Scope) => parts.origins = true,
            Self::Attributes(Holder::Span) => parts.attributes = AttributeParts::All,
            Self::Name => parts.names = true,
            Self::Kind => parts.kinds = true,
            Self::StatusCode => parts.status_codes = true,
            Self::StatusMessage => parts.status_messages = true,
            Self::TraceState => parts.trace_states = true,
            Self::Events => parts.events = true,
            Self::Links => parts.links = true,
        }
        parts
    }
}

impl Holder {
    pub(super) fn level(self) -> Level {
        match self {
            Self::Span => Level::Span,
            Self::Resource => Level::Resource,
            Self::Scope => Level::Scope,
        }
    }
}

pub(super) fn spans_schema() -> SchemaRef {
    Arc::new(Schema::new(SpanColumn::ALL.map(SpanColumn::field).to_vec()))
}

/// Nanoseconds since 1970, UTC.
pub(super) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// The text of an attribute, of whatever type its value is.
pub(super) const ATTRIBUTE_TEXT: DataType = DataType::Utf8View;

/// Key to text.
pub(super) fn attributes_type() -> DataType {
    let fields = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", ATTRIBUTE_TEXT, true),
    ]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields), false)), false)
}

pub(super) fn event_fields() -> Fields {
    Fields::from(vec![
        Field::new("time", time_type(), true),
        Field::new("name", DataType::Utf8View, false),
        Field::new("attributes", attributes_type(), false),
    ])
}

pub(super) fn link_fields() -> Fields {
    Fields::from(vec![
        Field::new("trace_id", DataType::Utf8View, false),
        Field::new("span_id", DataType::Utf8View, false),
        Field::new("trace_state", DataType::Utf8View, true),
        Field::new("attributes", attributes_type(), false),
    ])
}

fn list_of(fields: Fields) -> DataType {
    DataType::List(item_field(fields))
}

pub(super) fn item_field(fields: Fields) -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(fields), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_find_every_column_by_its_name() {
        for column in SpanColumn::ALL {
            assert_eq!(SpanColumn::of_name(column.name()), Some(column));
        }
        assert_eq!(spans_schema().fields().len(), SpanColumn::ALL.len());
        assert_eq!(SpanColumn::of_name("Trace_Id"), None);
    }
}
