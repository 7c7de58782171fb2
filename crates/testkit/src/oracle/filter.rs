//! Filters on one span: all predicates of a filter hold on the same span.
//!
//! A predicate looks at *holders*. The span, its resource and its scope are one holder each; every event is
//! a holder, and so is every link. A predicate holds on a span if it holds on any one of the holders of its
//! level, so two predicates on events may hold on two different events, and none holds without any event.
//!
//! On one holder, with `values` being all that it has for the subject (a key may occur twice):
//!
//! | test      | holds when                                                                 |
//! |-----------|----------------------------------------------------------------------------|
//! | exists    | there is a value, of any type, even empty                                   |
//! | compare   | any value matches, by the table in [`coercion`]                            |
//! | not equal | there is a value, and none is equal                                         |
//! | in        | any value is equal to any of the list                                       |
//! | regex     | the whole text of any value (or element of an array) matches the pattern    |
//!
//! `Some` asks for one event, or one link, on which the whole filter holds.
//!
//! `Not` is the plain opposite on the span: `Not(a = 1)` holds also where `a` is missing, `a != 1` does not.

use std::borrow::Cow;

use regex::Regex;

use super::canonical::{Attributes, CanonicalEvent, CanonicalLink, CanonicalSpan, HexBytes};
use super::coercion::{self, Comparison, FilterValue, SeenValue};
use super::number::Number;

/// A tree of predicates.
#[derive(Clone, Debug)]
pub enum OracleFilter {
    /// Holds when all do; with no members it holds on every span.
    And(Vec<OracleFilter>),
    /// Holds when any does; with no members it holds on none.
    Or(Vec<OracleFilter>),
    Not(Box<OracleFilter>),
    /// Holds when the span, with one of its events (or links) as its only one, fulfils the filter.
    Some(Nested, Box<OracleFilter>),
    Is(Predicate),
}

/// What a span may have several of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nested {
    Event,
    Link,
}

/// What is looked at, and what must be true of it.
#[derive(Clone, Debug)]
pub struct Predicate {
    pub subject: Subject,
    pub test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Attribute(Level, String),
    Field(Field),
}

/// Whose attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Span,
    Resource,
    Scope,
    Event,
    Link,
}

/// A field always has a value, texts possibly an empty one, except [`Field::ParentId`]; event and link
/// fields have one for each event and link, but for a link without the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Name,
    /// See [`CanonicalOrigin::service_name`](super::CanonicalOrigin::service_name).
    ServiceName,
    /// The number on the wire; a pattern sees its name, `server`, if it has one.
    Kind,
    /// The number on the wire; a pattern sees its name, `error`, if it has one.
    StatusCode,
    StatusMessage,
    /// End minus start, negative when the span ends before it starts.
    DurationNanos,
    StartUnixNanos,
    EndUnixNanos,
    TraceState,
    /// Lower-case hex, like all ids here.
    TraceId,
    SpanId,
    /// Missing where there is no parent.
    ParentId,
    /// A truth value: the span has no parent id.
    IsRoot,
    ScopeName,
    ScopeVersion,
    ScopeSchemaUrl,
    ResourceSchemaUrl,
    EventName,
    EventUnixNanos,
    /// The event's time minus the span's start.
    EventOffsetNanos,
    LinkTraceId,
    LinkSpanId,
    LinkTraceState,
}

#[derive(Clone, Debug)]
pub enum Test {
    Exists,
    Compare(Comparison, FilterValue),
    NotEqual(FilterValue),
    In(Vec<FilterValue>),
    /// Made by [`full_match`].
    Matches(Regex),
}

/// A pattern that must match a value from its beginning to its end.
pub fn full_match(pattern: &str) -> Result<Regex, regex::Error> {
    // The pattern is compiled alone too: one that is broken alone must not become whole by what is put around it.
    Regex::new(pattern)?;
    Regex::new(&format!(r"\A(?:{pattern})\z"))
}

impl OracleFilter {
    /// The filter that every span fulfils.
    pub fn everything() -> Self {
        OracleFilter::And(Vec::new())
    }

    pub fn attribute(level: Level, key: &str, test: Test) -> Self {
        OracleFilter::Is(Predicate { subject: Subject::Attribute(level, key.to_owned()), test })
    }

    pub fn field(field: Field, test: Test) -> Self {
        OracleFilter::Is(Predicate { subject: Subject::Field(field), test })
    }

    #[expect(clippy::should_implement_trait, reason = "`!filter` would read worse than the word")]
    pub fn not(filter: OracleFilter) -> Self {
        OracleFilter::Not(Box::new(filter))
    }

    pub fn holds_on(&self, span: &CanonicalSpan) -> bool {
        match self {
            OracleFilter::And(members) => members.iter().all(|member| member.holds_on(span)),
            OracleFilter::Or(members) => members.iter().any(|member| member.holds_on(span)),
            OracleFilter::Not(member) => !member.holds_on(span),
            OracleFilter::Some(of, member) => {
                each_alone(span, *of).iter().any(|alone| member.holds_on(alone))
            }
            OracleFilter::Is(predicate) => predicate.holds_on(span),
        }
    }
}

/// The span as often as it has such things, each time with one of them.
fn each_alone(span: &CanonicalSpan, of: Nested) -> Vec<CanonicalSpan> {
    match of {
        Nested::Event => {
            let alone =
                |event: &CanonicalEvent| CanonicalSpan { events: vec![event.clone()], ..span.clone() };
            span.events.iter().map(alone).collect()
        }
        Nested::Link => {
            let alone = |link: &CanonicalLink| CanonicalSpan { links: vec![link.clone()], ..span.clone() };
            span.links.iter().map(alone).collect()
        }
    }
}

impl Predicate {
    pub fn holds_on(&self, span: &CanonicalSpan) -> bool {
        holders(span, &self.subject).into_iter().any(|values| self.test.holds_for(&values))
    }
}

impl Test {
    pub fn equal(value: FilterValue) -> Self {
        Test::Compare(Comparison::Equal, value)
    }

    pub fn less(value: FilterValue) -> Self {
        Test::Compare(Comparison::Less, value)
    }

    pub fn less_or_equal(value: FilterValue) -> Self {
        Test::Compare(Comparison::LessOrEqual, value)
    }

    pub fn greater(value: FilterValue) -> Self {
        Test::Compare(Comparison::Greater, value)
    }

    pub fn greater_or_equal(value: FilterValue) -> Self {
        Test::Compare(Comparison::GreaterOrEqual, value)
    }

    fn holds_for(&self, values: &ValuesOfHolder<'_>) -> bool {
        let any =
            |comparison, wanted| values.tried.iter().any(|seen| coercion::matches(seen, comparison, wanted));
        match self {
            Test::Exists => values.exists,
            Test::Compare(comparison, wanted) => any(*comparison, wanted),
            Test::NotEqual(wanted) => values.exists && !any(Comparison::Equal, wanted),
            Test::In(list) => list.iter().any(|wanted| any(Comparison::Equal, wanted)),
            Test::Matches(pattern) => {
                values.tried.iter().any(|seen| seen.text().is_some_and(|text| pattern.is_match(&text)))
            }
        }
    }
}

/// All that one holder has for a subject.
struct ValuesOfHolder<'a> {
    exists: bool,
    /// What comparisons try. An empty array exists, yet has nothing to try.
    tried: Vec<SeenValue<'a>>,
}

impl<'a> ValuesOfHolder<'a> {
    fn of_key(attributes: &'a Attributes, key: &'a str) -> Self {
        ValuesOfHolder {
            exists: attributes.values_of(key).next().is_some(),
            tried: attributes.values_of(key).flat_map(coercion::seen_values).collect(),
        }
    }

    fn of_field(value: SeenValue<'a>) -> Self {
        ValuesOfHolder { exists: true, tried: vec![value] }
    }

    fn missing() -> Self {
        ValuesOfHolder { exists: false, tried: Vec::new() }
    }
}

/// One entry for each holder of the level.
fn holders<'a>(span: &'a CanonicalSpan, subject: &'a Subject) -> Vec<ValuesOfHolder<'a>> {
    match subject {
        Subject::Attribute(level, key) => attributes_at(span, *level)
            .into_iter()
            .map(|attributes| ValuesOfHolder::of_key(attributes, key))
            .collect(),
        Subject::Field(field) => fields_of(span, *field),
    }
}

/// The attributes of every holder of the level.
pub(crate) fn attributes_at(span: &CanonicalSpan, level: Level) -> Vec<&Attributes> {
    match level {
        Level::Span => vec![&span.attributes],
        Level::Resource => vec![&span.origin.resource_attributes],
        Level::Scope => vec![&span.origin.scope_attributes],
        Level::Event => span.events.iter().map(|event| &event.attributes).collect(),
        Level::Link => span.links.iter().map(|link| &link.attributes).collect(),
    }
}

fn fields_of(span: &CanonicalSpan, field: Field) -> Vec<ValuesOfHolder<'_>> {
    let value = match field {
        Field::Name => text(&span.name),
        Field::ServiceName => text(span.service_name()),
        Field::Kind => match span.kind {
            0 => named(0, "unspecified"),
            1 => named(1, "internal"),
            2 => named(2, "server"),
            3 => named(3, "client"),
            4 => named(4, "producer"),
            5 => named(5, "consumer"),
            unknown => int(unknown),
        },
        Field::StatusCode => match span.status_code {
            0 => named(0, "unset"),
            1 => named(1, "ok"),
            2 => named(2, "error"),
            unknown => int(unknown),
        },
        Field::StatusMessage => text(&span.status_message),
        Field::DurationNanos => int(span.duration_nanos()),
        Field::StartUnixNanos => int(span.start_unix_nanos),
        Field::EndUnixNanos => int(span.end_unix_nanos),
        Field::TraceState => text(&span.trace_state),
        Field::TraceId => hex(&span.trace_id),
        Field::SpanId => hex(&span.span_id),
        Field::ParentId => match &span.parent_id {
            Some(parent_id) => hex(parent_id),
            None => return vec![ValuesOfHolder::missing()],
        },
        Field::IsRoot => SeenValue::Bool(span.parent_id.is_none()),
        Field::ScopeName => text(&span.origin.scope_name),
        Field::ScopeVersion => text(&span.origin.scope_version),
        Field::ScopeSchemaUrl => text(&span.origin.scope_schema_url),
        Field::ResourceSchemaUrl => text(&span.origin.resource_schema_url),
        Field::EventName => {
            let names = span.events.iter().map(|event| text(&event.name));
            return names.map(ValuesOfHolder::of_field).collect();
        }
        Field::EventUnixNanos => {
            return of_events(span, |event| i128::from(event.unix_nanos));
        }
        Field::EventOffsetNanos => {
            return of_events(span, |event| i128::from(event.unix_nanos) - i128::from(span.start_unix_nanos));
        }
        Field::LinkTraceId => return of_linked(span.links.iter().map(|link| &link.trace_id)),
        Field::LinkSpanId => return of_linked(span.links.iter().map(|link| &link.span_id)),
        Field::LinkTraceState => {
            let states = span.links.iter().map(|link| text(&link.trace_state));
            return states.map(ValuesOfHolder::of_field).collect();
        }
    };
    vec![ValuesOfHolder::of_field(value)]
}

fn of_events(span: &CanonicalSpan, number: impl Fn(&CanonicalEvent) -> i128) -> Vec<ValuesOfHolder<'_>> {
    span.events.iter().map(|event| ValuesOfHolder::of_field(int(number(event)))).collect()
}

/// Ids that links have, or lack.
fn of_linked<'a>(ids: impl Iterator<Item = &'a HexBytes>) -> Vec<ValuesOfHolder<'static>> {
    let of_id = |id: &HexBytes| match id.0.as_slice() {
        [] => ValuesOfHolder::missing(),
        _ => ValuesOfHolder::of_field(hex(id)),
    };
    ids.map(of_id).collect()
}

fn text(text: &str) -> SeenValue<'_> {
    SeenValue::String(Cow::Borrowed(text))
}

fn hex(id: &HexBytes) -> SeenValue<'static> {
    SeenValue::String(Cow::Owned(id.to_hex()))
}

fn named(number: i128, name: &'static str) -> SeenValue<'static> {
    SeenValue::Named(Number::Int(number), name)
}

fn int(int: impl Into<i128>) -> SeenValue<'static> {
    SeenValue::Number(Number::Int(int.into()))
}
