//! A search as this protocol says it.
//!
//! Jaeger sends every field: a time that it does not know is the first of the year 1, a duration that it does not
//! mean is zero. Values of attributes come with a type or, from its own APIs, as texts; either way they are compared
//! by their texts, which equal the numbers and bools that they spell.

use tonic::Status;

use crate::jaeger::ask::Ask;
use crate::jaeger::expression::filter_of;
use crate::jaeger::grpc::status::of_question;
use crate::jaeger::proto::storage::{KeyValue, TraceQueryParameters, Value};
use crate::jaeger::proto::{Duration, Timestamp};

pub(super) fn ask_of(query: Option<TraceQueryParameters>) -> Result<Ask, Status> {
    let query = query.ok_or_else(|| of_question("the request has no query"))?;
    Ok(Ask {
        service: query.service_name,
        operation: query.operation_name,
        attributes: query.attributes.into_iter().map(text_of).collect::<Result<_, _>>()?,
        // No time is no bound.
        start_unix_nano: Some(Timestamp::unix_nano(query.start_time_min.as_ref()).unwrap_or(0)),
        end_unix_nano: Some(Timestamp::unix_nano(query.start_time_max.as_ref()).unwrap_or(u64::MAX)),
        min_duration_nano: Duration::nanos(query.duration_min.as_ref()),
        max_duration_nano: Duration::nanos(query.duration_max.as_ref()),
        limit: usize::try_from(query.search_depth).unwrap_or(0),
        filter: query.filter.as_ref().map(filter_of).transpose().map_err(of_question)?,
    })
}

fn text_of(attribute: KeyValue) -> Result<(String, String), Status> {
    let KeyValue { key, value } = attribute;
    let text = match value.and_then(|value| value.value) {
        None => String::new(),
        Some(Value::Str(text)) => text,
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Int(int)) => int.to_string(),
        Some(Value::Double(double)) => format!("{double:?}"),
        Some(Value::Array(_) | Value::Map(_) | Value::Bytes(_)) => {
            let shown: String = key.chars().take(64).collect();
            return Err(of_question(format!(
                "the attribute `{shown}` is compared with a list, a map or bytes: only texts, numbers and bools can \
                 be searched for"
            )));
        }
    };
    Ok((key, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jaeger::proto::storage::{AnyValue, ArrayValue};

    fn attribute(value: Option<Value>) -> KeyValue {
        KeyValue { key: "k".to_owned(), value: Some(AnyValue { value }) }
    }

    #[test]
    fn should_take_what_go_sends_for_nothing_as_nothing() {
        let no_time = || Some(Timestamp { seconds: -62_135_596_800, nanos: 0 });
        let query = TraceQueryParameters {
            start_time_min: no_time(),
            start_time_max: no_time(),
            duration_min: Some(Duration { seconds: 0, nanos: 0 }),
            search_depth: -1,
            ..TraceQueryParameters::default()
        };
        let ask = ask_of(Some(query)).unwrap();
        assert_eq!((ask.start_unix_nano, ask.end_unix_nano), (Some(0), Some(u64::MAX)));
        assert_eq!((ask.min_duration_nano, ask.max_duration_nano, ask.limit), (0, 0, 0));
        assert_eq!(ask_of(None).unwrap_err().code(), tonic::Code::InvalidArgument);
    }

    #[test]
    fn should_compare_values_by_their_texts_and_refuse_those_without() {
        let text = |value| text_of(attribute(Some(value))).unwrap().1;
        assert_eq!(text(Value::Str("a b".to_owned())), "a b");
        assert_eq!((text(Value::Bool(true)), text(Value::Int(-3))), ("true".to_owned(), "-3".to_owned()));
        assert_eq!(text(Value::Double(72.5)), "72.5");
        assert_eq!(text_of(attribute(None)).unwrap().1, "");
        for value in [Value::Bytes(vec![1]), Value::Array(ArrayValue::default())] {
            let refused = text_of(attribute(Some(value))).unwrap_err();
            assert!(refused.message().contains("`k`"), "{refused}");
        }
    }
}
