//! A structured filter as JSON: the messages of `jaeger.expression.v1`, as protobuf's JSON has them.
//!
//! ```json
//! {"op": "gt", "args": [{"field": {"name": "duration", "level": "span"}}, {"scalar": {"value": "100ms"}}]}
//! ```
//!
//! How deep it may go is bounded by the reader of JSON, and by the core.

use serde::Deserialize;
use siltstone_ask::Filter;

use crate::jaeger::expression::{ExpressionError, filter_of};
use crate::jaeger::proto::expression as proto;

/// Why it is no filter.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilterJsonError {
    #[error("it is no filter as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Expression(#[from] ExpressionError),
}

pub(super) fn filter_of_json(json: &str) -> Result<Filter, FilterJsonError> {
    let call: Call = serde_json::from_str(json)?;
    Ok(filter_of(&call.into())?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    op: String,
    #[serde(default)]
    args: Vec<Term>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Term {
    Attr(Attribute),
    Field(Field),
    Nested(Nested),
    Scalar(Scalar),
    List(List),
    Call(Call),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attribute {
    key: String,
    #[serde(default)]
    level: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    name: String,
    #[serde(default)]
    level: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nested {
    level: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scalar {
    // What is empty is left out.
    #[serde(default)]
    value: String,
    #[serde(default)]
    r#type: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    r#type: String,
}

impl From<Call> for proto::Call {
    fn from(Call { op, args }: Call) -> Self {
        let args = args.into_iter().map(|term| proto::Expression { term: Some(term.into()) });
        Self { op, args: args.collect() }
    }
}

impl From<Term> for proto::Term {
    fn from(term: Term) -> Self {
        match term {
            Term::Attr(Attribute { key, level }) => Self::Attr(proto::AttributeReference { key, level }),
            Term::Field(Field { name, level }) => Self::Field(proto::FieldReference { name, level }),
            Term::Nested(Nested { level }) => Self::Nested(proto::NestedReference { level }),
            Term::Scalar(Scalar { value, r#type }) => Self::Scalar(proto::Scalar { value, r#type }),
            Term::List(List { values, r#type }) => Self::List(proto::List { values, r#type }),
            Term::Call(call) => Self::Call(call.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use siltstone_ask::{Comparison, Field as OfSpan, Level, Target};

    use super::*;

    #[test]
    fn should_read_every_term() {
        let read = filter_of_json(
            r#"{"op": "and", "args": [
                {"call": {"op": "gt", "args": [{"field": {"name": "duration", "level": "span"}},
                                               {"scalar": {"value": "100ms"}}]}},
                {"call": {"op": "some", "args": [{"nested": {"level": "event"}},
                    {"call": {"op": "exists", "args": [{"attr": {"key": "a", "level": "event"}}]}}]}},
                {"call": {"op": "in", "args": [{"attr": {"key": "b", "level": "resource"}},
                                               {"list": {"values": ["x"], "type": "string"}}]}}]}"#,
        );
        let mut parts = match read.unwrap().node() {
            siltstone_ask::Node::And(parts) => parts.clone(),
            other => panic!("{other:?}"),
        };
        let slow = Filter::compare(OfSpan::Duration.into(), Comparison::Gt, 100_000_000).unwrap();
        assert_eq!(parts.remove(0), slow);
        let target = Target::attribute(Level::Resource, "b");
        let text = siltstone_ask::Literal::Str("x".to_owned());
        assert_eq!(parts.remove(1), Filter::one_of(target, vec![text]).unwrap());
    }

    #[test]
    fn should_refuse_what_is_no_filter() {
        for json in [
            "",
            "[]",
            "{}",
            r#"{"op": 1}"#,
            r#"{"op": "eq", "arg": []}"#,
            r#"{"op": "eq", "args": [{"attribute": {"key": "a"}}]}"#,
            r#"{"op": "eq", "args": [{"scalar": {"value": 1}}]}"#,
        ] {
            let error = filter_of_json(json).unwrap_err().to_string();
            assert!(error.starts_with("it is no filter as JSON: "), "{json}: {error}");
        }
        assert!(matches!(filter_of_json(r#"{"op": "like"}"#), Err(FilterJsonError::Expression(_))));
        let deep = format!("{}{}", r#"{"op":"not","args":[{"call":"#.repeat(200), "}]}".repeat(200));
        assert!(filter_of_json(&deep).is_err());
    }
}
