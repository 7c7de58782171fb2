//! The fields of a span that can be asked for, and what each can be compared with.
//!
//! | fields | a literal must be | order |
//! |---|---|---|
//! | name, service name, status message, trace state, scope name and version, event name, trace state of a link, schema urls of resource and scope | anything; compared as a string attribute is | yes |
//! | duration, start, end, event time, event offset | a number, or the text of one | yes |
//! | kind, status code | a number, the text of one, or a name: `server`, `SPAN_KIND_SERVER`, `error`, `STATUS_CODE_ERROR`, in any case | no |
//! | trace, span, parent span, link trace and link span id | hex text, in any case; one that is no id equals nothing | no |
//! | root | a bool, or the text `true`, `false` | no |
//!
//! A literal that is a string by its type is neither a number nor a bool; it may be a
//! name or hex text.

use std::fmt;

use siltstone_format::number::{Number, as_number};

use crate::error::FilterError;
use crate::filter::Nested;
use crate::literal::Literal;

/// A part of a span that is not an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    Name,
    ServiceName,
    Kind,
    StatusCode,
    StatusMessage,
    /// Nanoseconds, end less start.
    Duration,
    /// Nanoseconds since 1970.
    Start,
    /// Nanoseconds since 1970.
    End,
    ScopeName,
    ScopeVersion,
    ScopeSchemaUrl,
    ResourceSchemaUrl,
    EventName,
    /// Nanoseconds since 1970.
    EventTime,
    /// Nanoseconds, the event's time less the span's start.
    EventOffset,
    TraceId,
    SpanId,
    ParentSpanId,
    TraceState,
    LinkTraceId,
    LinkSpanId,
    LinkTraceState,
    /// Whether the span has no parent.
    Root,
}

/// What values a field has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FieldType {
    Text,
    Number,
    Named(&'static Names),
    Id,
    Bool,
}

/// Names of the numbers 0, 1, 2 …: short, and OTLP's with its prefix.
#[derive(Debug)]
pub(crate) struct Names {
    prefix: &'static str,
    short: &'static [&'static str],
}

const KINDS: Names = Names {
    prefix: "span_kind_",
    short: &["unspecified", "internal", "server", "client", "producer", "consumer"],
};

const STATUS_CODES: Names = Names { prefix: "status_code_", short: &["unset", "ok", "error"] };

impl Field {
    pub const ALL: [Self; 23] = [
        Self::Name,
        Self::ServiceName,
        Self::Kind,
        Self::StatusCode,
        Self::StatusMessage,
        Self::Duration,
        Self::Start,
        Self::End,
        Self::ScopeName,
        Self::ScopeVersion,
        Self::ScopeSchemaUrl,
        Self::ResourceSchemaUrl,
        Self::EventName,
        Self::EventTime,
        Self::EventOffset,
        Self::TraceId,
        Self::SpanId,
        Self::ParentSpanId,
        Self::TraceState,
        Self::LinkTraceId,
        Self::LinkSpanId,
        Self::LinkTraceState,
        Self::Root,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::ServiceName => "service name",
            Self::Kind => "kind",
            Self::StatusCode => "status code",
            Self::StatusMessage => "status message",
            Self::Duration => "duration",
            Self::Start => "start",
            Self::End => "end",
            Self::ScopeName => "scope name",
            Self::ScopeVersion => "scope version",
            Self::ScopeSchemaUrl => "scope schema url",
            Self::ResourceSchemaUrl => "resource schema url",
            Self::EventName => "event name",
            Self::EventTime => "event time",
            Self::EventOffset => "event offset",
            Self::TraceId => "trace id",
            Self::SpanId => "span id",
            Self::ParentSpanId => "parent span id",
            Self::TraceState => "trace state",
            Self::LinkTraceId => "link trace id",
            Self::LinkSpanId => "link span id",
            Self::LinkTraceState => "link trace state",
            Self::Root => "root",
        }
    }

    /// The short name of a number of this field, if its numbers have names.
    pub fn name_of(self, number: i32) -> Option<&'static str> {
        match self.field_type() {
            FieldType::Named(names) => names.short.get(usize::try_from(number).ok()?).copied(),
            _ => None,
        }
    }

    /// Whose of several things of a span this is a field; none: the span's.
    pub(crate) fn nested(self) -> Option<Nested> {
        match self {
            Self::EventName | Self::EventTime | Self::EventOffset => Some(Nested::Event),
            Self::LinkTraceId | Self::LinkSpanId | Self::LinkTraceState => Some(Nested::Link),
            _ => None,
        }
    }

    pub(crate) fn field_type(self) -> FieldType {
        match self {
            Self::Name
            | Self::ServiceName
            | Self::StatusMessage
            | Self::ScopeName
            | Self::ScopeVersion
            | Self::ScopeSchemaUrl
            | Self::ResourceSchemaUrl
            | Self::EventName
            | Self::TraceState
            | Self::LinkTraceState => FieldType::Text,
            Self::Duration | Self::Start | Self::End | Self::EventTime | Self::EventOffset => {
                FieldType::Number
            }
            Self::Kind => FieldType::Named(&KINDS),
            Self::StatusCode => FieldType::Named(&STATUS_CODES),
            Self::TraceId | Self::SpanId | Self::ParentSpanId | Self::LinkTraceId | Self::LinkSpanId => {
                FieldType::Id
            }
            Self::Root => FieldType::Bool,
        }
    }

    pub(crate) fn has_order(self) -> bool {
        matches!(self.field_type(), FieldType::Text | FieldType::Number)
    }

    /// The literal as this field is compared with it, or why it cannot be.
    pub(crate) fn check(self, literal: Literal) -> Result<Literal, FilterError> {
        let text = literal.to_string();
        match (self.field_type(), literal) {
            (FieldType::Text, literal) => Ok(literal),
            (FieldType::Number, literal @ (Literal::Int(_) | Literal::Double(_))) => Ok(literal),
            (FieldType::Number, literal @ Literal::Text(_)) if as_number(&text).is_some() => Ok(literal),
            (FieldType::Number, _) => Err(FilterError::NotANumber { field: self, literal: text }),
            (FieldType::Named(_), literal @ (Literal::Int(_) | Literal::Double(_))) => Ok(literal),
            (FieldType::Named(names), literal) => names.resolve(&literal).ok_or_else(|| {
                FilterError::UnknownName { field: self, literal: text, names: names.short.join(", ") }
            }),
            (FieldType::Id, Literal::Text(hex) | Literal::Str(hex)) => {
                Ok(Literal::Str(hex.to_ascii_lowercase()))
            }
            (FieldType::Id, _) => Err(FilterError::NotHexText { field: self, literal: text }),
            (FieldType::Bool, Literal::Bool(flag)) => Ok(Literal::Bool(flag)),
            (FieldType::Bool, Literal::Text(word)) if word == "true" => Ok(Literal::Bool(true)),
            (FieldType::Bool, Literal::Text(word)) if word == "false" => Ok(Literal::Bool(false)),
            (FieldType::Bool, _) => Err(FilterError::NotABool { field: self, literal: text }),
        }
    }
}

impl Names {
    /// The short name of a number, if it has one.
    pub(crate) fn name(&self, number: i32) -> Option<&'static str> {
        usize::try_from(number).ok().and_then(|index| self.short.get(index)).copied()
    }

    /// The number that a name means, or the text of a number.
    fn resolve(&self, literal: &Literal) -> Option<Literal> {
        let (text, number) = match literal {
            Literal::Text(text) => (text, as_number(text)),
            Literal::Str(text) => (text, None),
            Literal::Int(_) | Literal::Double(_) | Literal::Bool(_) => return None,
        };
        match number {
            Some(Number::Int(int)) => return i64::try_from(int).ok().map(Literal::Int),
            Some(Number::Double(double)) => return Some(Literal::Double(double)),
            None => {}
        }
        let name = text.to_ascii_lowercase();
        let name = name.strip_prefix(self.prefix).unwrap_or(&name);
        let index = self.short.iter().position(|short| *short == name)?;
        i64::try_from(index).ok().map(Literal::Int)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(field: Field, literal: impl Into<Literal>) -> Result<Literal, String> {
        field.check(literal.into()).map_err(|error| error.to_string())
    }

    #[test]
    fn should_know_names_of_kinds_and_status_codes_in_any_case() {
        for text in ["server", "Server", "SPAN_KIND_SERVER", "span_kind_server", "2"] {
            assert_eq!(check(Field::Kind, text), Ok(Literal::Int(2)), "{text}");
        }
        for text in ["error", "ERROR", "STATUS_CODE_ERROR", "2"] {
            assert_eq!(check(Field::StatusCode, text), Ok(Literal::Int(2)), "{text}");
        }
        assert_eq!(check(Field::StatusCode, "unset"), Ok(Literal::Int(0)));
        assert_eq!(check(Field::Kind, 9), Ok(Literal::Int(9)));
        assert_eq!(check(Field::Kind, "2.0"), Ok(Literal::Double(2.0)));
    }

    #[test]
    fn should_say_which_names_there_are() {
        let error = check(Field::StatusCode, "eror").unwrap_err();
        assert_eq!(error, "there is no status code `eror`; it is a number or one of: unset, ok, error");
        assert!(check(Field::Kind, "STATUS_CODE_OK").is_err());
        assert!(check(Field::Kind, true).is_err());
        assert!(check(Field::Kind, "99999999999999999999").is_err());
    }

    #[test]
    fn should_refuse_literals_that_a_field_cannot_equal() {
        assert_eq!(
            check(Field::Duration, "5ms").unwrap_err(),
            "`5ms` is not a number, which `duration` is compared with"
        );
        assert!(check(Field::Start, true).is_err());
        assert!(check(Field::TraceId, 7).is_err());
        assert!(check(Field::Root, 1).is_err());
        assert!(check(Field::Root, "TRUE").is_err());
        assert_eq!(check(Field::Root, "true"), Ok(Literal::Bool(true)));
        assert_eq!(check(Field::SpanId, "00FF"), Ok(Literal::Str("00ff".to_owned())));
        assert_eq!(check(Field::End, "1e3"), Ok(Literal::Text("1e3".to_owned())));
        assert_eq!(check(Field::Name, true), Ok(Literal::Bool(true)));
    }

    #[test]
    fn should_take_a_typed_string_for_a_name_or_an_id_and_not_for_a_number() {
        let str = |text: &str| Literal::Str(text.to_owned());
        assert_eq!(check(Field::Kind, str("SERVER")), Ok(Literal::Int(2)));
        assert_eq!(check(Field::SpanId, str("00FF")), Ok(str("00ff")));
        assert_eq!(check(Field::Name, str("7")), Ok(str("7")));
        for (field, text) in
            [(Field::Kind, "2"), (Field::StatusCode, "2.0"), (Field::Duration, "5"), (Field::Root, "true")]
        {
            assert!(check(field, str(text)).is_err(), "{field}");
        }
    }

    #[test]
    fn should_list_each_field_once() {
        let names: std::collections::BTreeSet<&str> = Field::ALL.into_iter().map(Field::name).collect();
        assert_eq!(names.len(), Field::ALL.len());
    }
}
