//! Jaeger's structured filter as one of the core's: every level, field and operator of it. What it asks that the
//! core cannot answer is refused, never answered in another way.
//!
//! | operator | holds if |
//! |---|---|
//! | `and`, `or`, `not` | … |
//! | `eq`, `gt`, `gte`, `lt`, `lte`, `in` | some value of the reference compares so with the constant |
//! | `ne`, `not_in` | there is a value, and none is equal |
//! | `regex` | the pattern is found anywhere in some value |
//! | `exists` | there is a value |
//! | `some` | all of it holds on one event, or on one link |
//!
//! A reference without a level is to an attribute of the span or of its resource. A constant without a type is a
//! text that equals the number or the bool that it spells; of a field it is what the field holds: a duration in Go's
//! notation, a time in RFC 3339, a kind or a status by its name.

use siltstone_ask::{Comparison, Field, Filter, FilterError, Level, Literal, Nested, Target};

use super::proto::expression::{AttributeReference, Call, Expression, FieldReference, List, Scalar, Term};
use super::time::{TimeError, duration_of, exact_unix_nano_of_rfc3339};

/// Levels that a reference may name.
pub(crate) const LEVELS: [&str; 5] = ["span", "resource", "scope", "event", "link"];
pub(crate) const OPERATORS: [&str; 14] =
    ["and", "or", "not", "eq", "ne", "gt", "lt", "gte", "lte", "regex", "exists", "in", "not_in", "some"];

const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];
const STATUSES: [&str; 3] = ["unset", "ok", "error"];

/// Longest part of a request that is repeated in a message.
const SHOWN: usize = 64;

/// Why a filter of Jaeger's is none that can be answered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum ExpressionError {
    #[error("there is no operator `{0}` in filters; there are {all}", all = OPERATORS.join(", "))]
    Operator(String),
    #[error("`{op}` takes {takes}")]
    Arguments { op: String, takes: &'static str },
    #[error("there is no level `{0}` in filters; there are {all}", all = LEVELS.join(", "))]
    Level(String),
    #[error("the reference to an attribute has no key")]
    NoKey,
    #[error("there is no field `{name}` of level `{level}`; an attribute of that name is another reference")]
    Field { level: String, name: String },
    #[error("there is no type `{0}` of constants; there are string, int, double, bool and none")]
    Type(String),
    #[error("`{value}` is no {kind}")]
    Constant { value: String, kind: &'static str },
    #[error("a {kind} is written without a type, or as a string")]
    TypeOfText { kind: &'static str },
    #[error("a {kind} is written without a type")]
    TypeOfTime { kind: &'static str },
    #[error("`{value}` cannot be compared with: {error}")]
    Time { value: String, error: TimeError },
    #[error("`regex` is about texts, and a {kind} is none")]
    Pattern { kind: &'static str },
    #[error("one reference cannot be compared with another; compare it with a constant")]
    References,
    #[error("one constant cannot be compared with another; compare it with a reference")]
    Constants,
    #[error(transparent)]
    Filter(#[from] FilterError),
}

/// What a reference holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// Whatever was sent.
    Anything,
    Text,
    Duration,
    Time,
    Kind,
    Status,
}

/// Where values of a reference stand.
struct Reference {
    targets: Vec<Target>,
    holds: Holds,
}

/// The core's filter. How deep it goes is bounded by whoever has read the message, and by the core.
pub(crate) fn filter_of(call: &Call) -> Result<Filter, ExpressionError> {
    match call.op.as_str() {
        "and" => Ok(Filter::and(parts_of(call)?)?),
        "or" => Ok(Filter::or(parts_of(call)?)?),
        "not" => match &call.args[..] {
            [inner] => Ok(Filter::negate(predicate(call, inner)?)?),
            _ => Err(takes(call, "one predicate")),
        },
        "exists" => match &call.args[..] {
            [reference] => Ok(reference_of(call, reference)?.exists()?),
            _ => Err(takes(call, "one reference")),
        },
        "some" => some(call),
        "regex" => regex(call),
        "in" | "not_in" => membership(call),
        "eq" | "ne" | "gt" | "lt" | "gte" | "lte" => comparison(call),
        other => Err(ExpressionError::Operator(shown(other))),
    }
}

fn parts_of(call: &Call) -> Result<Vec<Filter>, ExpressionError> {
    match call.args.len() {
        0 | 1 => Err(takes(call, "two predicates or more")),
        _ => call.args.iter().map(|part| predicate(call, part)).collect(),
    }
}

fn predicate(call: &Call, part: &Expression) -> Result<Filter, ExpressionError> {
    match &part.term {
        Some(Term::Call(inner)) => filter_of(inner),
        _ => Err(takes(call, "predicates, which are calls")),
    }
}

fn some(call: &Call) -> Result<Filter, ExpressionError> {
    let expected = || takes(call, "the level event or link, and a predicate");
    let [over, inner] = &call.args[..] else { return Err(expected()) };
    let Some(Term::Nested(over)) = &over.term else { return Err(expected()) };
    let of = match over.level.as_str() {
        "event" => Nested::Event,
        "link" => Nested::Link,
        _ => return Err(expected()),
    };
    Ok(Filter::some(of, predicate(call, inner)?)?)
}

fn regex(call: &Call) -> Result<Filter, ExpressionError> {
    let expected = || takes(call, "a reference and a pattern");
    let [reference, pattern] = &call.args[..] else { return Err(expected()) };
    let Some(Term::Scalar(Scalar { value: pattern, r#type })) = &pattern.term else { return Err(expected()) };
    if !matches!(r#type.as_str(), "" | "string") {
        return Err(expected());
    }
    let reference = reference_of(call, reference)?;
    match reference.holds {
        Holds::Duration => return Err(ExpressionError::Pattern { kind: "duration" }),
        Holds::Time => return Err(ExpressionError::Pattern { kind: "time" }),
        Holds::Anything | Holds::Text | Holds::Kind | Holds::Status => {}
    }
    // By itself first: what is put around it must not make a whole of it.
    reference.any(|target| Filter::regex(target, pattern))?;
    let anywhere = format!("(?s:.*)(?:{pattern})(?s:.*)");
    Ok(reference.any(|target| Filter::regex(target, &anywhere))?)
}

fn membership(call: &Call) -> Result<Filter, ExpressionError> {
    let expected = || takes(call, "a reference and a list of one value or more");
    let [reference, list] = &call.args[..] else { return Err(expected()) };
    let Some(Term::List(List { values, r#type })) = &list.term else { return Err(expected()) };
    if values.is_empty() {
        return Err(expected());
    }
    let reference = reference_of(call, reference)?;
    let literals: Vec<Literal> =
        values.iter().map(|value| reference.holds.literal(value, r#type)).collect::<Result<_, _>>()?;
    let equal = reference.any(|target| Filter::one_of(target, literals.clone()))?;
    Ok(if call.op == "in" { equal } else { reference.exists_without(equal)? })
}

fn comparison(call: &Call) -> Result<Filter, ExpressionError> {
    let [left, right] = &call.args[..] else { return Err(takes(call, "a reference and a constant")) };
    let (reference, constant, is_turned) = match (constant_of(left), constant_of(right)) {
        (None, Some(constant)) => (left, constant, false),
        (Some(constant), None) => (right, constant, true),
        (Some(_), Some(_)) => return Err(ExpressionError::Constants),
        (None, None) => {
            // What is no reference is complained about first.
            reference_of(call, left)?;
            reference_of(call, right)?;
            return Err(ExpressionError::References);
        }
    };
    let reference = reference_of(call, reference)?;
    let literal = reference.holds.literal(&constant.value, &constant.r#type)?;
    let compare = |comparison| reference.any(|target| Filter::compare(target, comparison, literal.clone()));
    let compared = match (call.op.as_str(), is_turned) {
        ("gt", false) | ("lt", true) => compare(Comparison::Gt)?,
        ("lt", false) | ("gt", true) => compare(Comparison::Lt)?,
        ("gte", false) | ("lte", true) => compare(Comparison::Ge)?,
        ("lte", false) | ("gte", true) => compare(Comparison::Le)?,
        ("ne", _) => reference.exists_without(compare(Comparison::Eq)?)?,
        _ => compare(Comparison::Eq)?,
    };
    Ok(compared)
}

fn constant_of(expression: &Expression) -> Option<&Scalar> {
    match &expression.term {
        Some(Term::Scalar(scalar)) => Some(scalar),
        _ => None,
    }
}

fn reference_of(call: &Call, expression: &Expression) -> Result<Reference, ExpressionError> {
    match &expression.term {
        Some(Term::Attr(attribute)) => attribute_of(attribute),
        Some(Term::Field(field)) => field_of(field),
        _ => Err(takes(call, "a reference to an attribute or a field")),
    }
}

fn attribute_of(reference: &AttributeReference) -> Result<Reference, ExpressionError> {
    let levels: &[Level] = match reference.level.as_str() {
        "" => &[Level::Span, Level::Resource],
        "span" => &[Level::Span],
        "resource" => &[Level::Resource],
        "scope" => &[Level::Scope],
        "event" => &[Level::Event],
        "link" => &[Level::Link],
        other => return Err(ExpressionError::Level(shown(other))),
    };
    if reference.key.is_empty() {
        return Err(ExpressionError::NoKey);
    }
    let targets = levels.iter().map(|level| Target::attribute(*level, &reference.key)).collect();
    Ok(Reference { targets, holds: Holds::Anything })
}

fn field_of(reference: &FieldReference) -> Result<Reference, ExpressionError> {
    let (level, name) = (reference.level.as_str(), reference.name.as_str());
    let (field, holds) = match (level, name) {
        ("span", "traceID") => (Field::TraceId, Holds::Text),
        ("span", "spanID") => (Field::SpanId, Holds::Text),
        ("span", "parentSpanID") => (Field::ParentSpanId, Holds::Text),
        ("span", "traceState") => (Field::TraceState, Holds::Text),
        ("span", "name") => (Field::Name, Holds::Text),
        ("span", "kind") => (Field::Kind, Holds::Kind),
        ("span", "startTime") => (Field::Start, Holds::Time),
        ("span", "endTime") => (Field::End, Holds::Time),
        ("span", "duration") => (Field::Duration, Holds::Duration),
        ("span", "status") => (Field::StatusCode, Holds::Status),
        ("span", "statusMessage") => (Field::StatusMessage, Holds::Text),
        ("resource", "service") => (Field::ServiceName, Holds::Text),
        ("resource", "schemaURL") => (Field::ResourceSchemaUrl, Holds::Text),
        ("scope", "name") => (Field::ScopeName, Holds::Text),
        ("scope", "version") => (Field::ScopeVersion, Holds::Text),
        ("scope", "schemaURL") => (Field::ScopeSchemaUrl, Holds::Text),
        ("event", "name") => (Field::EventName, Holds::Text),
        ("event", "time") => (Field::EventTime, Holds::Time),
        ("event", "timeSinceStart") => (Field::EventOffset, Holds::Duration),
        ("link", "traceID") => (Field::LinkTraceId, Holds::Text),
        ("link", "spanID") => (Field::LinkSpanId, Holds::Text),
        ("link", "traceState") => (Field::LinkTraceState, Holds::Text),
        _ if !LEVELS.contains(&level) => return Err(ExpressionError::Level(shown(level))),
        _ => return Err(ExpressionError::Field { level: level.to_owned(), name: shown(name) }),
    };
    Ok(Reference { targets: vec![field.into()], holds })
}

impl Reference {
    /// Holds for a value at one of the places.
    fn any(&self, test: impl Fn(Target) -> Result<Filter, FilterError>) -> Result<Filter, FilterError> {
        match &self.targets[..] {
            [target] => test(target.clone()),
            targets => Filter::or(targets.iter().cloned().map(test).collect::<Result<_, _>>()?),
        }
    }

    fn exists(&self) -> Result<Filter, FilterError> {
        self.any(|target| Ok(Filter::exists(target)))
    }

    /// There is a value, and for none the test holds.
    fn exists_without(&self, test: Filter) -> Result<Filter, FilterError> {
        Filter::and(vec![self.exists()?, Filter::negate(test)?])
    }
}

impl Holds {
    /// A constant as it is compared with such values.
    fn literal(self, value: &str, declared: &str) -> Result<Literal, ExpressionError> {
        if !["", "string", "int", "double", "bool"].contains(&declared) {
            return Err(ExpressionError::Type(shown(declared)));
        }
        let is_text = matches!(declared, "" | "string");
        let word = |words: &[&str], kind| match () {
            () if !is_text => Err(ExpressionError::TypeOfText { kind }),
            () if words.contains(&value) => Ok(Literal::Str(value.to_owned())),
            () => Err(ExpressionError::Constant { value: shown(value), kind }),
        };
        let no_time = |error| ExpressionError::Time { value: shown(value), error };
        match self {
            Self::Anything => typed(value, declared),
            Self::Text if is_text => Ok(Literal::Str(value.to_owned())),
            Self::Text => Err(ExpressionError::TypeOfText { kind: "text" }),
            Self::Kind => word(&KINDS, "kind"),
            Self::Status => word(&STATUSES, "status"),
            Self::Duration if declared.is_empty() => Ok(Literal::Int(duration_of(value).map_err(no_time)?)),
            Self::Duration => Err(ExpressionError::TypeOfTime { kind: "duration" }),
            Self::Time if declared.is_empty() => {
                let nanos = exact_unix_nano_of_rfc3339(value).map_err(no_time)?;
                let kind = "time between the years 1678 and 2262";
                let wrong = |_| ExpressionError::Constant { value: shown(value), kind };
                Ok(Literal::Int(i64::try_from(nanos).map_err(wrong)?))
            }
            Self::Time => Err(ExpressionError::TypeOfTime { kind: "time" }),
        }
    }
}

fn typed(value: &str, declared: &str) -> Result<Literal, ExpressionError> {
    let wrong = |kind| ExpressionError::Constant { value: shown(value), kind };
    match declared {
        "string" => Ok(Literal::Str(value.to_owned())),
        "int" => value.parse().map(Literal::Int).map_err(|_| wrong("int")),
        "double" => value.parse().map(Literal::Double).map_err(|_| wrong("double")),
        "bool" => match value {
            "true" => Ok(Literal::Bool(true)),
            "false" => Ok(Literal::Bool(false)),
            _ => Err(wrong("bool")),
        },
        _ => Ok(Literal::Text(value.to_owned())),
    }
}

fn takes(call: &Call, takes: &'static str) -> ExpressionError {
    ExpressionError::Arguments { op: call.op.clone(), takes }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests;
