use std::sync::Arc;

use siltstone_format::origin::Origin;
use siltstone_format::span::{Event, Link, Span};
use siltstone_format::value::{Attribute, Value};

use super::*;

const DAY: u64 = 24 * 3_600 * 1_000_000_000;
const NOW: u64 = 20_000 * DAY;

fn attribute(key: &str, value: Value) -> Attribute {
    Attribute { key: key.to_owned(), value }
}

fn text(key: &str, value: &str) -> Attribute {
    attribute(key, Value::Str(value.to_owned()))
}

/// One with something everywhere that a tag may be found.
fn span() -> Span {
    let origin = Origin {
        resource_attributes: vec![text("service.name", "cart"), text("host.name", "h1")],
        scope_name: "lib".to_owned(),
        scope_version: "7".to_owned(),
        scope_attributes: vec![text("in.scope", "s")],
        ..Origin::default()
    };
    let event =
        Event { name: "exception".to_owned(), attributes: vec![text("in.event", "e")], ..Event::default() };
    let link = Link { attributes: vec![text("in.link", "l")], ..Link::default() };
    Span {
        name: "72".to_owned(),
        kind: 2,
        status_code: 2,
        status_message: "broken".to_owned(),
        trace_state: "a=b".to_owned(),
        start_unix_nano: 1_000,
        end_unix_nano: 1_500,
        attributes: vec![
            attribute("count", Value::Int(123)),
            attribute("ratio", Value::Double(72.5)),
            attribute("cached", Value::Bool(true)),
            attribute("many", Value::Array(vec![Value::Int(1), Value::Str("x".to_owned())])),
            text("plain", "a"),
        ],
        events: vec![event],
        links: vec![link],
        origin: Arc::new(origin),
        ..Span::default()
    }
}

fn finds(ask: &Ask) -> bool {
    ask.search(Tenant::single(), NOW).unwrap().filter.matches(&span())
}

fn finds_tag(key: &str, text: &str) -> bool {
    finds(&Ask { attributes: vec![(key.to_owned(), text.to_owned())], ..Ask::default() })
}

#[test]
fn should_find_tags_wherever_they_stand_and_by_what_they_spell() {
    for (key, text) in [
        ("count", "123"),
        ("ratio", "72.5"),
        ("cached", "true"),
        ("many", "x"),
        ("plain", "a"),
        ("host.name", "h1"),
        ("in.scope", "s"),
        ("in.event", "e"),
        ("in.link", "l"),
    ] {
        assert!(finds_tag(key, text), "{key}={text}");
        assert!(!finds_tag(key, "other"), "{key}");
    }
}

#[test]
fn should_find_tags_that_are_no_attributes() {
    for (key, text) in [
        ("error", "true"),
        ("span.kind", "server"),
        ("span.kind", "SERVER"),
        ("span.status", "ERROR"),
        ("otel.status_code", "ERROR"),
        ("otel.status_description", "broken"),
        ("scope.name", "lib"),
        ("otel.scope.name", "lib"),
        ("scope.version", "7"),
        ("otel.scope.version", "7"),
        ("w3c.tracestate", "a=b"),
        ("event", "exception"),
        ("resource.host.name", "h1"),
    ] {
        assert!(finds_tag(key, text), "{key}={text}");
    }
    for (key, text) in [
        ("error", "false"),
        ("error", "yes"),
        ("span.kind", "client"),
        ("span.kind", "2"),
        ("span.status", "OK"),
        ("scope.name", "cart"),
        ("resource.plain", "a"),
        ("resource.", ""),
        ("no.such", ""),
    ] {
        assert!(!finds_tag(key, text), "{key}={text}");
    }
}

#[test]
fn should_find_stored_attributes_of_the_same_name_too() {
    let stored = Span { attributes: vec![attribute("error", Value::Bool(true))], ..Span::default() };
    assert!(of_tag("error", "true").unwrap().matches(&stored));
    assert!(of_tag("error", "false").unwrap().matches(&Span::default()));
    let stored = Span { attributes: vec![text("span.kind", "server")], ..Span::default() };
    assert!(of_tag("span.kind", "server").unwrap().matches(&stored));
}

#[test]
fn should_want_all_of_it_on_one_span_and_names_exactly() {
    let whole = Ask {
        service: "cart".to_owned(),
        operation: "72".to_owned(),
        attributes: vec![("count".to_owned(), "123".to_owned())],
        min_duration_nano: 500,
        max_duration_nano: 500,
        ..Ask::default()
    };
    assert!(finds(&whole));
    for wrong in [
        Ask { service: "Cart".to_owned(), ..whole.clone() },
        // The same number, and another name.
        Ask { operation: "72.0".to_owned(), ..whole.clone() },
        Ask { min_duration_nano: 501, max_duration_nano: 0, ..whole.clone() },
        Ask { min_duration_nano: 0, max_duration_nano: 499, ..whole.clone() },
    ] {
        assert!(!finds(&wrong), "{wrong:?}");
    }
    let nameless = Ask { service: NO_SERVICE.to_owned(), ..Ask::default() };
    assert!(!finds(&nameless));
    assert!(nameless.search(Tenant::single(), NOW).unwrap().filter.matches(&Span::default()));
}

#[test]
fn should_fill_in_what_nobody_says() {
    let search = Ask::default().search(Tenant::single(), NOW).unwrap();
    assert_eq!(search.window, Window { start: NOW - 2 * DAY, end: NOW + 1 });
    assert_eq!((search.limit, search.order, search.after), (100, Order::Newest, None));
    let said = Ask { start_unix_nano: Some(5), end_unix_nano: Some(u64::MAX), limit: 3, ..Ask::default() };
    let search = said.search(Tenant::single(), NOW).unwrap();
    assert_eq!((search.window, search.limit), (Window { start: 5, end: u64::MAX }, 3));
}

#[test]
fn should_refuse_what_contradicts_itself() {
    let refused = |ask: Ask| ask.search(Tenant::single(), NOW).unwrap_err();
    let durations = Ask { min_duration_nano: 2, max_duration_nano: 1, ..Ask::default() };
    assert_eq!(refused(durations).to_string(), "'maxDuration' should be greater than 'minDuration'");
    let filter = Some(Filter::none());
    let both = Ask { filter: filter.clone(), operation: "x".to_owned(), ..Ask::default() };
    assert_eq!(refused(both), AskError::Both);
    let alone = Ask { filter, ..Ask::default() };
    assert_eq!(alone.search(Tenant::single(), NOW).unwrap().filter, Filter::none());
    let many = vec![("k".to_owned(), "v".to_owned()); siltstone_ask::MAX_NODES];
    let many = Ask { attributes: many, ..Ask::default() };
    assert_eq!(refused(many), AskError::Filter(FilterError::TooManyNodes));
}
