use std::sync::Arc;

use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::origin::{Origin, SERVICE_NAME};
use siltstone_format::span::{Event, Link};

use super::*;
use crate::literal::Literal;

fn attribute(key: &str, value: Value) -> Attribute {
    Attribute { key: key.to_owned(), value }
}

fn text(key: &str, value: &str) -> Attribute {
    attribute(key, Value::Str(value.to_owned()))
}

/// A span that has something of everything.
fn full() -> Span {
    let origin = Origin {
        resource_attributes: vec![text(SERVICE_NAME, "cart"), text("env", "prod")],
        scope_name: "otel.http".to_owned(),
        scope_version: "1.2".to_owned(),
        scope_attributes: vec![text("lib", "hyper")],
        scope_schema_url: "http://scope".to_owned(),
        resource_schema_url: "http://resource".to_owned(),
        ..Origin::default()
    };
    let event = |name: &str, key: &str, value: &str| Event {
        name: name.to_owned(),
        time_unix_nano: 1_000 + name.len() as u64,
        attributes: vec![text(key, value)],
        ..Event::default()
    };
    Span {
        trace_id: TraceId([0xab; 16]),
        span_id: SpanId([0xcd; 8]),
        parent_span_id: Some(SpanId([0xef; 8])),
        trace_state: "a=b".to_owned(),
        name: "GET /cart".to_owned(),
        kind: 2,
        start_unix_nano: 1_000,
        end_unix_nano: 6_000,
        status_code: 2,
        status_message: "boom".to_owned(),
        attributes: vec![
            attribute("http.status", Value::Int(500)),
            text("twice", "a"),
            text("twice", "b"),
            attribute("raw", Value::Bytes(vec![1])),
            attribute("tags", Value::Array(vec![Value::Str("x".to_owned()), Value::Int(7)])),
        ],
        events: vec![event("exception", "type", "Io"), event("retry", "type", "Timeout")],
        links: vec![Link {
            trace_id: TraceId([0x12; 16]),
            span_id: SpanId([0x34; 8]),
            trace_state: "c=d".to_owned(),
            attributes: vec![text("why", "batch")],
            ..Link::default()
        }],
        origin: Arc::new(origin),
        ..Span::default()
    }
}

fn at(level: Level, key: &str) -> Target {
    Target::attribute(level, key)
}

fn span_key(key: &str) -> Target {
    at(Level::Span, key)
}

fn is(target: impl Into<Target>, comparison: Comparison, literal: impl Into<Literal>) -> bool {
    Filter::compare(target.into(), comparison, literal).unwrap().matches(&full())
}

fn eq(target: impl Into<Target>, literal: impl Into<Literal>) -> bool {
    is(target, Comparison::Eq, literal)
}

fn ne(target: impl Into<Target>, literal: impl Into<Literal>) -> bool {
    is(target, Comparison::Ne, literal)
}

fn like(target: impl Into<Target>, pattern: &str) -> bool {
    Filter::regex(target.into(), pattern).unwrap().matches(&full())
}

fn exists(target: impl Into<Target>, span: &Span) -> bool {
    Filter::exists(target.into()).matches(span)
}

#[test]
fn should_read_every_field() {
    for (field, literal) in [
        (Field::Name, "GET /cart"),
        (Field::ServiceName, "cart"),
        (Field::Kind, "server"),
        (Field::StatusCode, "error"),
        (Field::StatusMessage, "boom"),
        (Field::Duration, "5000"),
        (Field::Start, "1000"),
        (Field::End, "6000"),
        (Field::ScopeName, "otel.http"),
        (Field::ScopeVersion, "1.2"),
        (Field::ScopeSchemaUrl, "http://scope"),
        (Field::ResourceSchemaUrl, "http://resource"),
        (Field::EventName, "retry"),
        (Field::EventTime, "1005"),
        (Field::EventOffset, "9"),
        (Field::TraceId, "ABabABabABabABabABabABabABabABab"),
        (Field::SpanId, "cdcdcdcdcdcdcdcd"),
        (Field::ParentSpanId, "efefefefefefefef"),
        (Field::TraceState, "a=b"),
        (Field::LinkTraceId, "12121212121212121212121212121212"),
        (Field::LinkSpanId, "3434343434343434"),
        (Field::LinkTraceState, "c=d"),
        (Field::Root, "false"),
    ] {
        assert!(eq(field, literal), "{field}");
        let other = Filter::compare(field.into(), Comparison::Eq, literal).unwrap();
        let mut span = Span { kind: 1, parent_span_id: None, ..Span::default() };
        span.trace_id = TraceId([1; 16]);
        assert!(!other.matches(&span), "{field}");
        assert!(exists(field, &full()), "{field}");
    }
}

#[test]
fn should_compare_numeric_fields_with_texts_and_numbers() {
    assert!(is(Field::Duration, Comparison::Ge, "5e3") && is(Field::Duration, Comparison::Lt, 5000.5));
    assert!(!is(Field::Duration, Comparison::Gt, 5000) && is(Field::Start, Comparison::Le, 1000));
    assert!(ne(Field::Kind, "client") && !ne(Field::Kind, "SPAN_KIND_SERVER") && eq(Field::Kind, 2.0));
    let backwards = Span { start_unix_nano: 6, end_unix_nano: 1, ..Span::default() };
    let negative = Filter::compare(Field::Duration.into(), Comparison::Lt, 0).unwrap();
    assert!(negative.matches(&backwards));
    let last = Span { end_unix_nano: u64::MAX, ..Span::default() };
    for (comparison, literal, holds) in [
        (Comparison::Eq, "18446744073709551615", true),
        (Comparison::Eq, "18446744073709551614", false),
        (Comparison::Lt, "18446744073709551616", true),
    ] {
        for field in [Field::End, Field::Duration] {
            let filter = Filter::compare(field.into(), comparison, literal).unwrap();
            assert_eq!(filter.matches(&last), holds, "{field} {literal}");
        }
    }
}

#[test]
fn should_look_at_the_level_that_is_asked() {
    for (level, key, value) in [
        (Level::Span, "http.status", "500"),
        (Level::Resource, "env", "prod"),
        (Level::Scope, "lib", "hyper"),
        (Level::Event, "type", "Timeout"),
        (Level::Link, "why", "batch"),
    ] {
        assert!(eq(at(Level::Any, key), value), "{key}");
        for other in [Level::Span, Level::Resource, Level::Scope, Level::Event, Level::Link] {
            assert_eq!(eq(at(other, key), value), other == level, "{key} at {other:?}");
            assert_eq!(exists(at(other, key), &full()), other == level, "{key} at {other:?}");
        }
    }
    assert!(!eq(at(Level::Any, "nowhere"), "x") && !exists(at(Level::Any, "nowhere"), &full()));
}

#[test]
fn should_match_any_value_of_a_key_that_occurs_twice_and_deny_all_of_them() {
    assert!(eq(span_key("twice"), "a") && eq(span_key("twice"), "b"));
    assert!(!ne(span_key("twice"), "a") && ne(span_key("twice"), "c"));
    assert!(!ne(span_key("nowhere"), "c"), "what is not there differs from nothing");
}

#[test]
fn should_put_each_predicate_to_each_event_by_itself() {
    let one = |event: &str, value: &str| {
        Filter::and(vec![
            Filter::compare(Field::EventName.into(), Comparison::Eq, event).unwrap(),
            Filter::compare(at(Level::Event, "type"), Comparison::Eq, value).unwrap(),
        ])
    };
    assert!(one("exception", "Io").unwrap().matches(&full()));
    assert!(one("exception", "Timeout").unwrap().matches(&full()), "of two events");
    assert!(ne(at(Level::Event, "type"), "Io"), "the other event");
    assert!(ne(Field::EventName, "retry"));
}

#[test]
fn should_match_arrays_by_element_and_composed_values_by_presence() {
    assert!(eq(span_key("tags"), "x") && eq(span_key("tags"), "7") && !eq(span_key("tags"), "y"));
    assert!(ne(span_key("tags"), "y") && !ne(span_key("tags"), "x"));
    assert!(is(span_key("tags"), Comparison::Gt, 6) && like(span_key("tags"), "[xy]"));
    assert!(exists(span_key("raw"), &full()) && ne(span_key("raw"), "AQ=="));
    assert!(!eq(span_key("raw"), "AQ==") && !like(span_key("raw"), ".*"));
}

#[test]
fn should_match_patterns_against_the_whole_exact_text() {
    assert!(like(Field::Name, "GET /.*") && !like(Field::Name, "GET"));
    assert!(like(span_key("http.status"), "5.."));
    assert!(
        like(Field::Kind, "server|client") && like(Field::StatusCode, "err.*") && !like(Field::Kind, "2")
    );
    let odd = Span { kind: 42, ..Span::default() };
    assert!(Filter::regex(Field::Kind.into(), "4.").unwrap().matches(&odd));
    assert!(like(Field::TraceId, "(ab){16}") && like(Field::Root, "f.*") && like(Field::Duration, "50*"));
}

#[test]
fn should_take_in_for_any_of_several_equals() {
    let one_of = |literals: Vec<Literal>| Filter::one_of(span_key("http.status"), literals).unwrap();
    assert!(one_of(vec!["404".into(), "500".into()]).matches(&full()));
    assert!(one_of(vec![500.0.into()]).matches(&full()));
    assert!(!one_of(vec![Literal::Str("500".to_owned())]).matches(&full()), "is an int");
    assert!(!one_of(vec!["404".into()]).matches(&full()) && !one_of(Vec::new()).matches(&full()));
}

#[test]
fn should_take_an_empty_text_for_a_value_of_a_field() {
    let empty = Span::default();
    let is = |field: Field, comparison, literal: &str| {
        Filter::compare(field.into(), comparison, literal).unwrap().matches(&empty)
    };
    for field in [Field::StatusMessage, Field::ServiceName, Field::TraceState, Field::Name] {
        assert!(exists(field, &empty) && is(field, Comparison::Eq, ""), "{field}");
        assert!(is(field, Comparison::Ne, "x") && !is(field, Comparison::Ne, ""), "{field}");
    }
    for field in [Field::ParentSpanId, Field::EventName, Field::LinkTraceId, Field::LinkSpanId] {
        assert!(!exists(field, &empty) && !is(field, Comparison::Ne, "x"), "{field}");
    }
    let half_linked =
        Span { links: vec![Link { trace_id: TraceId([1; 16]), ..Link::default() }], ..Span::default() };
    assert!(exists(Field::LinkTraceId, &half_linked) && !exists(Field::LinkSpanId, &half_linked));
    assert!(Filter::compare(Field::Root.into(), Comparison::Eq, true).unwrap().matches(&empty));
}

#[test]
fn should_join_on_one_span_and_find_a_trace_by_any_span() {
    let error = Filter::compare(Field::StatusCode.into(), Comparison::Eq, "error").unwrap();
    let root = Filter::compare(Field::Root.into(), Comparison::Eq, true).unwrap();
    let both = Filter::and(vec![error.clone(), root.clone()]).unwrap();
    let trace = [Span::default(), full()];
    assert!(error.matches_trace(&trace) && root.matches_trace(&trace));
    assert!(!both.matches_trace(&trace), "no one span is both");
    assert!(Filter::or(vec![both.clone(), root.clone()]).unwrap().matches_trace(&trace));
    assert!(Filter::negate(both).unwrap().matches_trace(&trace));
    assert!(!Filter::all().matches_trace(&[]));
    assert!(Filter::all().matches(&full()) && !Filter::none().matches(&full()));
}

#[test]
fn should_put_all_of_some_to_the_same_event() {
    let name = |name: &str| Filter::compare(Field::EventName.into(), Comparison::Eq, name).unwrap();
    let kind =
        |kind: &str| Filter::compare(Target::attribute(Level::Event, "type"), Comparison::Eq, kind).unwrap();
    let some = |parts| Filter::some(Nested::Event, Filter::and(parts).unwrap()).unwrap();
    let span = full();
    assert!(Filter::and(vec![name("retry"), kind("Io")]).unwrap().matches(&span));
    assert!(!some(vec![name("retry"), kind("Io")]).matches(&span));
    assert!(some(vec![name("retry"), kind("Timeout")]).matches(&span));
    let server = Filter::compare(Field::Kind.into(), Comparison::Eq, "server").unwrap();
    let linked = Filter::exists(Target::attribute(Level::Link, "why"));
    assert!(some(vec![name("retry"), server.clone(), linked.clone()]).matches(&span));
    // One event that is not so, not: no event is so.
    let other = Filter::negate(name("retry")).unwrap();
    assert!(some(vec![other.clone()]).matches(&span) && !other.matches(&span));
    let of_link = Filter::some(Nested::Link, linked).unwrap();
    assert!(some(vec![name("exception"), of_link]).matches(&span));
    assert!(!some(vec![]).matches(&Span::default()) && some(vec![]).matches(&span));
}
