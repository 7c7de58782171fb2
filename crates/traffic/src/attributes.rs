//! Attributes as OTLP carries them.

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};

pub(crate) fn text(key: &'static str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

pub(crate) fn int(key: &'static str, value: impl Into<i64>) -> KeyValue {
    attribute(key, Value::IntValue(value.into()))
}

/// A size or count, which is never near the end of the range.
pub(crate) fn count(key: &'static str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(value as i64))
}

pub(crate) fn double(key: &'static str, value: f64) -> KeyValue {
    attribute(key, Value::DoubleValue(value))
}

pub(crate) fn boolean(key: &'static str, value: bool) -> KeyValue {
    attribute(key, Value::BoolValue(value))
}

pub(crate) fn texts(key: &'static str, values: impl IntoIterator<Item = String>) -> KeyValue {
    let values =
        values.into_iter().map(|value| AnyValue { value: Some(Value::StringValue(value)) }).collect();
    attribute(key, Value::ArrayValue(ArrayValue { values }))
}

fn attribute(key: &'static str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}
