//! The oracle against answers worked out by hand.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::filter::full_match;
use super::*;
use crate::corpus::build::{
    START, array, attribute, attribute_of, child, map, request, request_of, resource, scope, span, span_id,
    text, trace_id,
};
use crate::corpus::nasty;

fn oracle_of(requests: impl IntoIterator<Item = ExportTraceServiceRequest>) -> Oracle {
    let mut oracle = Oracle::default();
    requests.into_iter().for_each(|request| oracle.accept(&request));
    oracle
}

/// How many spans are left of two, one of which was changed.
fn left_of_two(change: impl Fn(&mut Span)) -> usize {
    let full = || Span {
        attributes: vec![attribute("a", text("1")), attribute("b", text("2"))],
        events: vec![event("first"), event("second")],
        links: vec![link(1), link(2)],
        ..span(1, 1, "same")
    };
    let mut changed = full();
    change(&mut changed);
    oracle_of([request("s", vec![full(), changed])]).spans().len()
}

fn event(name: &str) -> Event {
    Event {
        name: name.to_owned(),
        attributes: vec![attribute("e", text(name)), attribute("f", text(name))],
        ..Event::default()
    }
}

fn link(id: u64) -> Link {
    Link {
        span_id: span_id(id),
        attributes: vec![attribute("l", Value::IntValue(1)), attribute("m", Value::IntValue(2))],
        ..Link::default()
    }
}

// Same spans.

#[test]
fn should_collapse_spans_that_are_the_same() {
    assert_eq!(left_of_two(|_| {}), 1);
    assert_eq!(left_of_two(|span| span.attributes.reverse()), 1, "order of attributes");
    assert_eq!(left_of_two(|span| span.events[0].attributes.reverse()), 1, "order of event attributes");
    assert_eq!(left_of_two(|span| span.links[0].attributes.reverse()), 1, "order of link attributes");
    assert_eq!(left_of_two(|span| span.parent_span_id = vec![0; 8]), 1, "no parent, written as zeros");
    assert_eq!(left_of_two(|span| span.status = Some(Status::default())), 1, "empty status");
}

#[test]
fn should_keep_spans_that_differ_anywhere() {
    type Change = fn(&mut Span);
    let changes: [(&str, Change); 22] = [
        ("trace id", |span| span.trace_id = trace_id(2)),
        ("span id", |span| span.span_id = span_id(2)),
        ("parent id", |span| span.parent_span_id = span_id(2)),
        ("trace state", |span| span.trace_state = "a=b".to_owned()),
        ("flags", |span| span.flags = 1),
        ("name", |span| span.name = "other".to_owned()),
        ("kind", |span| span.kind = 2),
        ("start", |span| span.start_time_unix_nano += 1),
        ("end", |span| span.end_time_unix_nano += 1),
        ("an attribute more", |span| span.attributes.push(attribute("c", text("")))),
        ("an attribute twice", |span| span.attributes.push(attribute("a", text("1")))),
        ("another type", |span| span.attributes[0] = attribute("a", Value::IntValue(1))),
        ("no value", |span| span.attributes[0] = attribute_of("a", None)),
        ("dropped attributes", |span| span.dropped_attributes_count = 1),
        ("order of events", |span| span.events.reverse()),
        ("event time", |span| span.events[0].time_unix_nano = u64::MAX),
        ("dropped events", |span| span.dropped_events_count = 1),
        ("order of links", |span| span.links.reverse()),
        ("link flags", |span| span.links[0].flags = 1),
        ("dropped links", |span| span.dropped_links_count = 1),
        ("status", |span| span.status = Some(Status { code: 2, message: String::new() })),
        ("status message", |span| span.status = Some(Status { code: 0, message: "m".to_owned() })),
    ];
    for (what, change) in changes {
        assert_eq!(left_of_two(change), 2, "{what}");
    }
}

#[test]
fn should_compare_doubles_by_their_bits_and_maps_in_their_order() {
    let different = |left: Value, right: Value| {
        let with = |value| Span { attributes: vec![attribute("v", value)], ..span(1, 1, "v") };
        oracle_of([request("s", vec![with(left), with(right)])]).spans().len() == 2
    };
    assert!(different(Value::DoubleValue(0.0), Value::DoubleValue(-0.0)));
    assert!(!different(Value::DoubleValue(f64::NAN), Value::DoubleValue(f64::NAN)));
    assert!(different(
        Value::DoubleValue(f64::NAN),
        Value::DoubleValue(f64::from_bits(f64::NAN.to_bits() + 1))
    ));
    let (a, b) = (attribute("a", text("")), attribute("b", text("")));
    assert!(different(map(vec![a.clone(), b.clone()]), map(vec![b, a])));
    assert!(different(array(vec![text("a"), text("b")]), array(vec![text("b"), text("a")])));
}

#[test]
fn should_take_an_absent_value_for_an_empty_one() {
    let with = |value| Span { attributes: vec![attribute_of("v", value)], ..span(1, 1, "v") };
    let oracle = oracle_of([request("s", vec![with(None), with(Some(AnyValue { value: None }))])]);
    assert_eq!(oracle.spans().len(), 1);
}

#[test]
fn should_compare_origins_by_content() {
    let (a, b) = (|| attribute("a", text("1")), || attribute("b", text("2")));
    let plain = || request_of(Some(resource(vec![a(), b()])), Some(scope("s", "1")), vec![span(1, 1, "x")]);
    let other_order =
        request_of(Some(resource(vec![b(), a()])), Some(scope("s", "1")), vec![span(1, 1, "x")]);
    assert_eq!(oracle_of([plain(), other_order]).spans().len(), 1);

    type Change = fn(&mut ExportTraceServiceRequest);
    let changes: [(&str, Change); 8] = [
        ("resource attribute twice", |r| resource_of(r).attributes.push(attribute("a", text("1")))),
        ("resource dropped count", |r| resource_of(r).dropped_attributes_count = 1),
        ("entity refs", |r| resource_of(r).entity_refs.push(EntityRef::default())),
        ("resource schema", |r| r.resource_spans[0].schema_url = "u".to_owned()),
        ("scope schema", |r| r.resource_spans[0].scope_spans[0].schema_url = "u".to_owned()),
        ("scope", |r| r.resource_spans[0].scope_spans[0].scope = None),
        ("scope version", |r| r.resource_spans[0].scope_spans[0].scope = Some(scope("s", "2"))),
        ("scope attributes", |r| {
            let scope = r.resource_spans[0].scope_spans[0].scope.as_mut().unwrap();
            scope.attributes.push(attribute("a", text("1")));
        }),
    ];
    for (what, change) in changes {
        let mut changed = plain();
        change(&mut changed);
        assert_eq!(oracle_of([plain(), changed]).spans().len(), 2, "{what}");
    }
    let absent = request_of(None, None, vec![span(1, 1, "x")]);
    let empty = request_of(Some(resource(vec![])), Some(scope("", "")), vec![span(1, 1, "x")]);
    assert_eq!(oracle_of([absent, empty]).spans().len(), 1, "absent is empty");
}

fn resource_of(
    request: &mut ExportTraceServiceRequest,
) -> &mut opentelemetry_proto::tonic::resource::v1::Resource {
    request.resource_spans[0].resource.as_mut().unwrap()
}

#[test]
fn should_answer_in_the_same_way_whatever_the_order_and_grouping() {
    let forth = oracle_of(nasty::requests());
    let back = oracle_of(nasty::requests().into_iter().rev());
    assert_eq!(forth.spans(), back.spans());
    assert_eq!(forth.accepted(), back.accepted());
}

#[test]
fn should_keep_same_spans_apart_where_an_answer_is_looked_at() {
    let twice = request("s", vec![span(1, 1, "a"), span(1, 1, "a")]);
    let spans = canonical_spans(&twice);
    assert_eq!((spans.len(), &spans[0]), (2, &spans[1]));
    assert_eq!(diff(&oracle_of([twice]).spans(), &spans).only_right, [(spans[0].clone(), 1)]);
}

#[test]
fn should_give_a_trace_by_id() {
    let oracle = oracle_of([
        request("one", vec![span(1, 2, "b"), span(1, 1, "a"), span(2, 1, "c"), span(1, 1, "a")]),
        request("two", vec![child(1, 3, 1, "d")]),
    ]);
    let names: Vec<_> = oracle.trace(&trace_id(1)).into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["a", "b", "d"]);
    assert!(oracle.trace(&trace_id(3)).is_empty());
    assert_eq!(oracle.trace_ids(), [HexBytes(trace_id(1)), HexBytes(trace_id(2))]);
}

// Differences.

#[test]
fn should_show_which_fields_of_which_span_differ() {
    let left = oracle_of([request("s", vec![span(1, 7, "same"), span(2, 1, "left")])]).spans();
    let changed =
        Span { attributes: vec![attribute("k", Value::DoubleValue(f64::NAN))], ..span(1, 7, "same") };
    let right = oracle_of([request("s", vec![changed, span(2, 1, "left")])]).spans();
    let difference = diff(&left, &right);
    assert_eq!((difference.only_left.len(), difference.only_right.len()), (1, 1));
    let printed = difference.to_string();
    assert!(printed.contains("span 0000000000000007 of trace 00000000000000000000000000000001"), "{printed}");
    assert!(printed.contains(r#"{"k": NaN(0x7ff8000000000000)}"#), "{printed}");
    assert!(!printed.contains("origin"), "{printed}");
}

#[test]
fn should_count_how_often_a_span_is_there_and_ignore_the_order() {
    let spans = oracle_of([request("s", vec![span(1, 1, "a"), span(1, 2, "b")])]).spans();
    let (a, b) = (spans[0].clone(), spans[1].clone());
    assert!(diff(&[a.clone(), b.clone()], &[b.clone(), a.clone()]).is_empty());
    let difference = diff(&[a.clone(), a.clone(), b.clone()], &[a.clone(), b.clone(), b.clone(), b.clone()]);
    assert_eq!(difference, Difference { only_left: vec![(a, 1)], only_right: vec![(b, 2)] });
    assert!(difference.to_string().contains("only right, 2 times"), "{difference}");
}

#[test]
#[should_panic(expected = "1 spans only left, 0 only right")]
fn should_fail_a_test_with_the_difference() {
    assert_same_spans(&oracle_of([request("s", vec![span(1, 1, "a")])]).spans(), &[]);
}

// Filters.

fn wanted(text: &str) -> FilterValue {
    FilterValue::Text(text.to_owned())
}

fn holds(filter: OracleFilter, span: Span) -> bool {
    let spans = oracle_of([request("shop", vec![span])]).spans();
    filter.holds_on(&spans[0])
}

fn with(attributes: Vec<KeyValue>) -> Span {
    Span { attributes, ..span(1, 1, "name") }
}

fn on_span(key: &str, test: Test) -> OracleFilter {
    OracleFilter::attribute(Level::Span, key, test)
}

#[test]
fn should_tell_existing_from_equal() {
    let hollow = || with(vec![attribute_of("k", None)]);
    assert!(holds(on_span("k", Test::Exists), hollow()));
    assert!(holds(on_span("k", Test::Exists), with(vec![attribute("k", array(vec![]))])));
    assert!(!holds(on_span("k", Test::Exists), with(vec![attribute("K", text(""))])));
    assert!(!holds(on_span("k", Test::equal(wanted(""))), hollow()));
}

#[test]
fn should_tell_not_equal_from_not() {
    let not_equal = || on_span("k", Test::NotEqual(wanted("x")));
    let not = || OracleFilter::not(on_span("k", Test::equal(wanted("x"))));
    let cases = [
        ("missing", vec![], false, true),
        ("equal", vec![attribute("k", text("x"))], false, false),
        ("other", vec![attribute("k", text("y"))], true, true),
        ("one of two is equal", vec![attribute("k", text("y")), attribute("k", text("x"))], false, false),
        ("no value", vec![attribute_of("k", None)], true, true),
        ("NaN", vec![attribute("k", Value::DoubleValue(f64::NAN))], true, true),
        ("empty array", vec![attribute("k", array(vec![]))], true, true),
        ("element is equal", vec![attribute("k", array(vec![text("y"), text("x")]))], false, false),
    ];
    for (what, attributes, by_not_equal, by_not) in cases {
        assert_eq!(holds(not_equal(), with(attributes.clone())), by_not_equal, "{what}, not equal");
        assert_eq!(holds(not(), with(attributes)), by_not, "{what}, not");
    }
}

#[test]
fn should_try_all_values_of_a_key_that_occurs_twice() {
    let span = || with(vec![attribute("k", text("a")), attribute("k", Value::IntValue(5))]);
    assert!(holds(on_span("k", Test::equal(wanted("a"))), span()));
    assert!(holds(on_span("k", Test::greater(wanted("4.5"))), span()));
    assert!(holds(on_span("k", Test::In(vec![wanted("z"), wanted("5.0")])), span()));
    assert!(!holds(on_span("k", Test::In(vec![])), span()));
}

#[test]
fn should_match_the_whole_of_a_text() {
    let matches = |pattern: &str, value: Value| {
        holds(on_span("k", Test::Matches(full_match(pattern).unwrap())), with(vec![attribute("k", value)]))
    };
    assert!(matches("a.c", text("abc")));
    assert!(!matches("b", text("abc")));
    assert!(!matches("a|ab", text("abc")) && matches("a|abc", text("abc")));
    assert!(!matches("a", text("a\n")));
    assert!(matches("a.*", array(vec![text("x"), text("ab")])));
    assert!(matches("7.*", Value::IntValue(72)) && !matches("7", Value::IntValue(72)));
    assert!(matches(r"72\.0", Value::DoubleValue(72.0)) && matches("t.*", Value::BoolValue(true)));
    assert!(!matches(".*", array(vec![array(vec![text("x")])])) && !matches(".*", map(vec![])));
    assert!(full_match("a)(b").is_err());
}

#[test]
fn should_combine_predicates_on_one_span() {
    let a = || on_span("a", Test::equal(wanted("1")));
    let b = || on_span("b", Test::equal(wanted("1")));
    let only_a = || with(vec![attribute("a", Value::IntValue(1))]);
    assert!(!holds(OracleFilter::And(vec![a(), b()]), only_a()));
    assert!(holds(OracleFilter::Or(vec![a(), b()]), only_a()));
    assert!(holds(OracleFilter::And(vec![a(), OracleFilter::not(b())]), only_a()));
    assert!(holds(OracleFilter::everything(), only_a()));
    assert!(!holds(OracleFilter::Or(vec![]), only_a()));
    // Two spans of one trace, each with one half: the trace is not found.
    let halves = vec![only_a(), Span { attributes: vec![attribute("b", text("1"))], ..span(1, 2, "name") }];
    let oracle = oracle_of([request("s", halves)]);
    assert!(oracle.find(&Search::all(OracleFilter::And(vec![a(), b()]))).traces.is_empty());
}

#[test]
fn should_look_at_every_level() {
    let scope = opentelemetry_proto::tonic::common::v1::InstrumentationScope {
        attributes: vec![attribute("k", text("scope"))],
        ..scope("", "")
    };
    let held = |value: &str| Event { attributes: vec![attribute("k", text(value))], ..Event::default() };
    let linked = Link { attributes: vec![attribute("k", text("link"))], ..Link::default() };
    let span = Span {
        events: vec![held("first"), held("second")],
        links: vec![linked],
        ..with(vec![attribute("k", text("span"))])
    };
    let resource = resource(vec![attribute("k", text("resource"))]);
    let spans = oracle_of([request_of(Some(resource), Some(scope), vec![span])]).spans();
    let found = |level, value: &str| {
        OracleFilter::attribute(level, "k", Test::equal(wanted(value))).holds_on(&spans[0])
    };
    let levels = [
        (Level::Span, vec!["span"]),
        (Level::Resource, vec!["resource"]),
        (Level::Scope, vec!["scope"]),
        (Level::Event, vec!["first", "second"]),
        (Level::Link, vec!["link"]),
    ];
    for (level, own) in &levels {
        for value in ["span", "resource", "scope", "first", "second", "link"] {
            assert_eq!(found(*level, value), own.contains(&value), "{level:?} {value}");
        }
    }
    // Each event is asked alone: the other one has another value.
    assert!(OracleFilter::attribute(Level::Event, "k", Test::NotEqual(wanted("first"))).holds_on(&spans[0]));
    assert!(!OracleFilter::attribute(Level::Link, "k", Test::NotEqual(wanted("link"))).holds_on(&spans[0]));
}

#[test]
fn should_look_at_every_field() {
    let full = || Span {
        trace_state: "state".to_owned(),
        kind: 77,
        status: Some(Status { code: 2, message: "boom".to_owned() }),
        events: vec![event("first"), Event { time_unix_nano: 1_700_000_000_000_000_007, ..event("second") }],
        links: vec![Link { trace_id: trace_id(9), trace_state: "there".to_owned(), ..link(8) }],
        ..child(255, 2, 1, "name")
    };
    let cases = [
        (Field::Name, "name"),
        (Field::ServiceName, "shop"),
        (Field::Kind, "77"),
        (Field::StatusCode, "2"),
        (Field::StatusMessage, "boom"),
        (Field::DurationNanos, "5e6"),
        (Field::StartUnixNanos, "1700000000000000000"),
        (Field::EndUnixNanos, "1700000000005000000"),
        (Field::TraceState, "state"),
        (Field::TraceId, "000000000000000000000000000000ff"),
        (Field::SpanId, "0000000000000002"),
        (Field::ParentId, "0000000000000001"),
        (Field::IsRoot, "false"),
        (Field::ScopeName, "hand"),
        (Field::ScopeVersion, "1"),
        (Field::EventName, "second"),
        (Field::EventUnixNanos, "1700000000000000007"),
        (Field::EventOffsetNanos, "7"),
        (Field::LinkTraceId, "00000000000000000000000000000009"),
        (Field::LinkSpanId, "0000000000000008"),
        (Field::LinkTraceState, "there"),
    ];
    for (field, value) in cases {
        assert!(holds(OracleFilter::field(field, Test::equal(wanted(value))), full()), "{field:?}");
        assert!(!holds(OracleFilter::field(field, Test::equal(wanted("other"))), full()), "{field:?}");
        assert!(holds(OracleFilter::field(field, Test::Exists), full()), "{field:?}");
    }
}

#[test]
fn should_look_at_the_schemas_of_resource_and_scope() {
    let mut request = request("shop", vec![span(1, 1, "name")]);
    request.resource_spans[0].schema_url = "of the resource".to_owned();
    request.resource_spans[0].scope_spans[0].schema_url = "of the scope".to_owned();
    let spans = oracle_of([request]).spans();
    let is = |field, url| OracleFilter::field(field, Test::equal(wanted(url))).holds_on(&spans[0]);
    assert!(is(Field::ResourceSchemaUrl, "of the resource") && is(Field::ScopeSchemaUrl, "of the scope"));
    assert!(!is(Field::ResourceSchemaUrl, "of the scope"));
}

#[test]
fn should_show_patterns_the_names_of_kinds_and_status_codes() {
    let like = |field, pattern: &str, span| {
        holds(OracleFilter::field(field, Test::Matches(full_match(pattern).unwrap())), span)
    };
    let server =
        || Span { kind: 2, status: Some(Status { code: 2, message: String::new() }), ..span(1, 1, "name") };
    assert!(like(Field::Kind, "serv.*", server()) && !like(Field::Kind, "2", server()));
    assert!(like(Field::StatusCode, "error", server()) && !like(Field::StatusCode, "2", server()));
    assert!(like(Field::Kind, "7+", Span { kind: 77, ..server() }));
    assert!(like(Field::DurationNanos, "50*", server()) && like(Field::IsRoot, "true", server()));
}

#[test]
fn should_look_for_one_event_or_link_on_which_all_holds() {
    let events = vec![event("first"), event("second")];
    let span =
        || Span { events: events.clone(), links: vec![link(8)], ..with(vec![attribute("k", text("x"))]) };
    let named = |name| OracleFilter::field(Field::EventName, Test::equal(wanted(name)));
    let says = |text| OracleFilter::attribute(Level::Event, "e", Test::equal(wanted(text)));
    let some = |parts| OracleFilter::Some(Nested::Event, Box::new(OracleFilter::And(parts)));
    assert!(holds(OracleFilter::And(vec![named("first"), says("second")]), span()));
    assert!(!holds(some(vec![named("first"), says("second")]), span()));
    assert!(holds(some(vec![named("first"), says("first"), on_span("k", Test::Exists)]), span()));
    assert!(holds(some(vec![OracleFilter::not(named("first"))]), span()));
    let links = |filter| OracleFilter::Some(Nested::Link, Box::new(filter));
    assert!(holds(links(OracleFilter::everything()), span()));
    assert!(!holds(links(OracleFilter::everything()), Span { links: Vec::new(), ..span() }));
}

#[test]
fn should_know_which_fields_are_missing() {
    let bare = || span(1, 1, "");
    for field in [Field::ParentId, Field::EventName, Field::LinkSpanId, Field::LinkTraceId] {
        assert!(!holds(OracleFilter::field(field, Test::Exists), bare()), "{field:?}");
        assert!(!holds(OracleFilter::field(field, Test::NotEqual(wanted("x"))), bare()), "{field:?}");
    }
    for id in [Vec::new(), vec![0; 8]] {
        let without =
            Span { links: vec![Link { trace_id: trace_id(1), span_id: id, ..Link::default() }], ..bare() };
        assert!(!holds(OracleFilter::field(Field::LinkSpanId, Test::Exists), without.clone()));
        assert!(holds(OracleFilter::field(Field::LinkTraceId, Test::Exists), without));
    }
    assert!(holds(OracleFilter::field(Field::Name, Test::equal(wanted(""))), bare()));
    assert!(holds(OracleFilter::field(Field::IsRoot, Test::equal(FilterValue::Bool(true))), bare()));
    let backwards = Span { end_time_unix_nano: START - 7, ..bare() };
    assert!(holds(OracleFilter::field(Field::DurationNanos, Test::equal(FilterValue::Int(-7))), backwards));
}

#[test]
fn should_choose_one_service_name() {
    let named = |attributes| {
        let request = request_of(Some(resource(attributes)), None, vec![span(1, 1, "")]);
        oracle_of([request]).spans()[0].service_name().to_owned()
    };
    let name = |value| attribute("service.name", value);
    assert_eq!(named(vec![name(text("b")), name(text("a"))]), "a");
    assert_eq!(named(vec![name(Value::IntValue(5))]), "");
    assert_eq!(named(vec![]), "");
}

// Search.

fn ids(found: &FoundTraces) -> Vec<u8> {
    found.traces.iter().map(|trace| trace.trace_id.0[15]).collect()
}

/// Trace 1: matches at 10 and 40. Trace 2: matches at 20, another span until 500. Trace 3: matches at 20.
fn three_traces() -> Oracle {
    let at = |trace, id, name: &str, start, end| Span {
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        ..span(trace, id, name)
    };
    oracle_of([request(
        "s",
        vec![
            at(1, 1, "match", 10, 50),
            at(1, 2, "match", 40, 60),
            at(2, 1, "match", 20, 30),
            at(2, 2, "other", 45, 500),
            at(3, 1, "match", 20, 21),
        ],
    )])
}

fn search(order: Order) -> Search {
    let filter = OracleFilter::field(Field::Name, Test::equal(wanted("match")));
    Search { order, ..Search::all(filter) }
}

#[test]
fn should_order_traces_and_break_ties_by_id() {
    let oracle = three_traces();
    assert_eq!(ids(&oracle.find(&search(Order::Newest))), [1, 2, 3]);
    assert_eq!(ids(&oracle.find(&search(Order::Oldest))), [1, 2, 3]);
    assert_eq!(ids(&oracle.find(&search(Order::Longest))), [2, 1, 3]);
}

#[test]
fn should_order_by_what_matches_inside_the_window() {
    let oracle = three_traces();
    let window = |start_unix_nanos, end_unix_nanos| Some(TimeWindow { start_unix_nanos, end_unix_nanos });
    // The end is outside, so trace 1 is as old as 10 and goes last.
    let newest = Search { window: window(10, 40), ..search(Order::Newest) };
    assert_eq!(ids(&oracle.find(&newest)), [2, 3, 1]);
    // The start is inside, so trace 1 is as young as 40.
    let oldest = Search { window: window(20, 41), ..search(Order::Oldest) };
    assert_eq!(ids(&oracle.find(&oldest)), [2, 3, 1]);
    // Trace 2 has a span at 45, but not one that matches.
    assert!(oracle.find(&Search { window: window(41, 100), ..search(Order::Newest) }).traces.is_empty());
}

#[test]
fn should_answer_with_whole_traces_and_say_when_there_are_more() {
    let oracle = three_traces();
    let found = oracle.find(&Search { limit: 2, ..search(Order::Longest) });
    assert_eq!((ids(&found), found.truncated), (vec![2, 1], true));
    assert_eq!(found.traces[0].spans, oracle.trace(&trace_id(2)));
    assert_eq!((found.traces[0].matching, found.traces[1].matching), (1, 2));
    assert!(!oracle.find(&Search { limit: 3, ..search(Order::Longest) }).truncated);
}

// Counts.

#[test]
fn should_count_spans_by_service_and_by_value() {
    let tagged = |id, values: &[&str]| Span {
        attributes: values.iter().map(|v| attribute("k", text(v))).collect(),
        ..span(1, id, "x")
    };
    let oracle = oracle_of([
        request("a", vec![tagged(1, &["x"]), tagged(2, &["x", "y", "y"]), tagged(1, &["x"])]),
        request("b", vec![tagged(3, &[])]),
        request_of(None, None, vec![span(1, 4, "nameless")]),
    ]);
    let services: Vec<_> = oracle.spans_per_service().into_iter().collect();
    assert_eq!(services, [(String::new(), 1), ("a".to_owned(), 2), ("b".to_owned(), 1)]);
    let values: Vec<_> = oracle.spans_per_value(&[Level::Span], "k").into_iter().collect();
    let value = |text: &str| CanonicalValue::String(text.to_owned());
    assert_eq!(values, [(value("x"), 2), (value("y"), 1)]);
    let by_resource = oracle.spans_per_value(&[Level::Resource], "service.name");
    assert_eq!(by_resource.values().copied().collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn should_join_children_to_parents_of_their_own_trace() {
    let oracle = oracle_of([
        request("front", vec![span(1, 1, "root"), child(1, 2, 1, "inner"), child(1, 9, 8, "lost")]),
        request(
            "back",
            vec![child(1, 3, 1, "call"), child(1, 4, 1, "call"), child(2, 5, 1, "in another trace")],
        ),
        // A server span that shares its id with the client's: its children have parents in both services.
        request("shared", vec![child(1, 2, 1, "inner"), child(1, 6, 2, "of both")]),
        request("self", vec![child(3, 1, 1, "itself")]),
    ]);
    let pair = |parent: &str, child: &str| (parent.to_owned(), child.to_owned());
    let counts: Vec<_> = oracle.children_per_services().into_iter().collect();
    assert_eq!(
        counts,
        [
            (pair("front", "back"), 2),
            (pair("front", "front"), 1),
            (pair("front", "shared"), 2),
            (pair("self", "self"), 1),
            (pair("shared", "shared"), 1),
        ]
    );
}
