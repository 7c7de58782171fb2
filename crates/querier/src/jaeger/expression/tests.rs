use std::sync::Arc;

use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::origin::Origin;
use siltstone_format::span::{Event, Link, Span};
use siltstone_format::value::{Attribute, Value};

use super::*;
use crate::jaeger::proto::expression::NestedReference;

fn call(op: &str, args: Vec<Term>) -> Call {
    Call { op: op.to_owned(), args: args.into_iter().map(|term| Expression { term: Some(term) }).collect() }
}

fn nested(op: &str, args: Vec<Term>) -> Term {
    Term::Call(call(op, args))
}

fn attr(level: &str, key: &str) -> Term {
    Term::Attr(AttributeReference { key: key.to_owned(), level: level.to_owned() })
}

fn field(level: &str, name: &str) -> Term {
    Term::Field(FieldReference { name: name.to_owned(), level: level.to_owned() })
}

fn scalar(value: &str, declared: &str) -> Term {
    Term::Scalar(Scalar { value: value.to_owned(), r#type: declared.to_owned() })
}

fn text(value: &str) -> Term {
    scalar(value, "")
}

fn list(values: &[&str], declared: &str) -> Term {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Term::List(List { values, r#type: declared.to_owned() })
}

fn over(level: &str) -> Term {
    Term::Nested(NestedReference { level: level.to_owned() })
}

fn attribute(key: &str, value: Value) -> Attribute {
    Attribute { key: key.to_owned(), value }
}

fn str(text: &str) -> Value {
    Value::Str(text.to_owned())
}

fn span() -> Span {
    let origin = Origin {
        resource_attributes: vec![attribute("service.name", str("shop")), attribute("zone", str("east"))],
        resource_schema_url: "http://resource".to_owned(),
        scope_name: "hyper".to_owned(),
        scope_version: "1.2".to_owned(),
        scope_schema_url: "http://scope".to_owned(),
        scope_attributes: vec![attribute("tier", str("core"))],
        ..Origin::default()
    };
    let event = |name: &str, time_unix_nano: u64, kind: &str| Event {
        name: name.to_owned(),
        time_unix_nano,
        attributes: vec![attribute("type", str(kind))],
        ..Event::default()
    };
    Span {
        trace_id: TraceId([0xab; 16]),
        span_id: SpanId([0xcd; 8]),
        parent_span_id: Some(SpanId([0xef; 8])),
        trace_state: "a=b".to_owned(),
        name: "GET /cart".to_owned(),
        kind: 2,
        start_unix_nano: 1_700_000_000_000_000_000,
        end_unix_nano: 1_700_000_002_000_000_000,
        status_code: 2,
        status_message: "boom".to_owned(),
        attributes: vec![
            attribute("retries", Value::Int(9)),
            attribute("padded", str("09")),
            attribute("ratio", Value::Double(0.5)),
            attribute("cached", Value::Bool(true)),
        ],
        events: vec![event("exception", 1_700_000_000_500_000_000, "Io"), event("retry", 1, "Timeout")],
        links: vec![Link {
            trace_id: TraceId([0x12; 16]),
            span_id: SpanId([0x34; 8]),
            trace_state: "c=d".to_owned(),
            attributes: vec![attribute("why", str("batch"))],
            ..Link::default()
        }],
        origin: Arc::new(origin),
        ..Span::default()
    }
}

fn holds(call: &Call) -> bool {
    filter_of(call).unwrap_or_else(|error| panic!("{error}: {call:?}")).matches(&span())
}

fn refused(call: &Call) -> String {
    filter_of(call).unwrap_err().to_string()
}

#[test]
fn should_read_every_field() {
    for (level, name, value) in [
        ("span", "traceID", "ABABABABABABABABABABABABABABABAB"),
        ("span", "spanID", "cdcdcdcdcdcdcdcd"),
        ("span", "parentSpanID", "efefefefefefefef"),
        ("span", "traceState", "a=b"),
        ("span", "name", "GET /cart"),
        ("span", "kind", "server"),
        ("span", "startTime", "2023-11-14T22:13:20Z"),
        ("span", "endTime", "2023-11-14T22:13:22.000000000+00:00"),
        ("span", "duration", "2s"),
        ("span", "status", "error"),
        ("span", "statusMessage", "boom"),
        ("resource", "service", "shop"),
        ("resource", "schemaURL", "http://resource"),
        ("scope", "name", "hyper"),
        ("scope", "version", "1.2"),
        ("scope", "schemaURL", "http://scope"),
        ("event", "name", "retry"),
        ("event", "time", "2023-11-14T22:13:20.5Z"),
        ("event", "timeSinceStart", "500ms"),
        ("link", "traceID", "12121212121212121212121212121212"),
        ("link", "spanID", "3434343434343434"),
        ("link", "traceState", "c=d"),
    ] {
        assert!(holds(&call("eq", vec![field(level, name), text(value)])), "{level}.{name}");
        assert!(holds(&call("in", vec![field(level, name), list(&[value], "")])), "{level}.{name}");
        assert!(!holds(&call("ne", vec![field(level, name), text(value)])), "{level}.{name}");
        assert!(!holds(&call("not_in", vec![field(level, name), list(&[value], "")])), "{level}.{name}");
        assert!(holds(&call("exists", vec![field(level, name)])), "{level}.{name}");
        let unlike = filter_of(&call("eq", vec![field(level, name), text(value)])).unwrap();
        assert!(!unlike.matches(&Span { kind: 1, ..Span::default() }), "{level}.{name}");
    }
}

#[test]
fn should_look_at_the_level_that_is_named_and_at_span_or_resource_if_none_is() {
    let at = |level: &str, key: &str| holds(&call("exists", vec![attr(level, key)]));
    assert!(at("span", "retries") && at("resource", "zone") && at("scope", "tier"));
    assert!(at("event", "type") && at("link", "why"));
    assert!(at("", "retries") && at("", "zone"));
    assert!(!at("", "tier") && !at("", "type") && !at("span", "zone") && !at("resource", "retries"));
}

#[test]
fn should_compare_by_type_where_one_is_declared() {
    let eq = |key: &str, value: Term| holds(&call("eq", vec![attr("span", key), value]));
    assert!(eq("retries", text("9")) && eq("retries", scalar("9", "int")));
    assert!(!eq("retries", scalar("9", "string")) && eq("padded", scalar("09", "string")));
    assert!(eq("ratio", text("0.50")) && eq("ratio", scalar("0.5", "double")));
    assert!(eq("cached", text("true")) && eq("cached", scalar("true", "bool")));
    let gt = |value: &str| holds(&call("gt", vec![attr("span", "retries"), text(value)]));
    // As numbers, though "9" comes behind "10" as a text.
    assert!(gt("8.5") && !gt("10"));
}

#[test]
fn should_order_and_turn_around() {
    let duration = |op: &str, value: &str| holds(&call(op, vec![field("span", "duration"), text(value)]));
    assert!(
        duration("gt", "1.9s") && duration("gte", "2000ms") && duration("lt", "1h") && duration("lte", "2s")
    );
    assert!(!duration("gt", "2s") && !duration("lt", "2s"));
    let turned = |op: &str, value: &str| holds(&call(op, vec![text(value), field("span", "duration")]));
    assert!(turned("lt", "1.9s") && turned("gte", "2s") && !turned("gt", "2s") && turned("eq", "2s"));
    let before = call("gt", vec![field("span", "startTime"), text("1960-01-01T00:00:00Z")]);
    assert!(filter_of(&before).unwrap().matches(&Span::default()));
    assert!(holds(&call("gt", vec![field("span", "name"), text("GET")])));
}

#[test]
fn should_not_match_what_is_missing_unless_negated_as_a_whole() {
    let eq = nested("eq", vec![attr("span", "nowhere"), text("x")]);
    assert!(!holds(&call("ne", vec![attr("span", "nowhere"), text("x")])));
    assert!(!holds(&call("not_in", vec![attr("span", "nowhere"), list(&["x"], "string")])));
    assert!(holds(&call("not", vec![eq])));
    // One of two events is an exception: that none of them is, does not hold.
    assert!(!holds(&call("ne", vec![field("event", "name"), text("exception")])));
    assert!(holds(&call("ne", vec![field("event", "name"), text("other")])));
}

#[test]
fn should_find_patterns_anywhere() {
    let regex = |pattern: &str| holds(&call("regex", vec![field("span", "name"), text(pattern)]));
    assert!(regex("cart") && regex("^GET") && regex("G.*t$") && regex("") && regex("x|/c"));
    assert!(!regex("^cart") && !regex("Cart") && regex("(?i)CART"));
    assert!(holds(&call("regex", vec![field("span", "kind"), text("serv")])));
    assert!(holds(&call("regex", vec![attr("span", "retries"), text("9")])));
    assert!(refused(&call("regex", vec![field("span", "name"), text("a)|(b")])).contains("a)|(b"));
    let of_time = refused(&call("regex", vec![field("span", "startTime"), text("2")]));
    assert_eq!(of_time, "`regex` is about texts, and a time is none");
}

#[test]
fn should_bind_all_of_some_to_one_event_or_link() {
    let name = |name: &str| nested("eq", vec![field("event", "name"), text(name)]);
    let kind = |kind: &str| nested("eq", vec![attr("event", "type"), text(kind)]);
    let both = |one: Term, other: Term| call("and", vec![one, other]);
    assert!(holds(&both(name("exception"), kind("Timeout"))));
    let some = |one: Term, other: Term| call("some", vec![over("event"), nested("and", vec![one, other])]);
    assert!(
        !holds(&some(name("exception"), kind("Timeout"))) && holds(&some(name("retry"), kind("Timeout")))
    );
    let late = nested("gt", vec![field("event", "timeSinceStart"), text("50us")]);
    assert!(holds(&some(name("exception"), late.clone())) && !holds(&some(name("retry"), late)));
    let of_span = nested("eq", vec![field("span", "status"), text("error")]);
    assert!(holds(&some(name("retry"), of_span)));
    let link = nested("exists", vec![attr("link", "why")]);
    assert!(holds(&call("some", vec![over("link"), link])));
    let twice = call("some", vec![over("event"), nested("some", vec![over("event"), name("retry")])]);
    assert!(refused(&twice).contains("another `some`"));
}

#[test]
fn should_have_every_operator_that_it_declares_and_no_other() {
    for op in OPERATORS {
        let error = filter_of(&call(op, Vec::new())).unwrap_err();
        assert!(matches!(error, ExpressionError::Arguments { .. }), "{op}: {error}");
    }
    let error = refused(&call("phrase", vec![attr("span", "k"), list(&["x"], "string")]));
    assert!(error.contains("`phrase`") && error.contains("not_in"), "{error}");
    for level in LEVELS {
        assert!(filter_of(&call("exists", vec![attr(level, "k")])).is_ok(), "{level}");
    }
}

#[test]
fn should_refuse_what_it_cannot_answer_and_say_why() {
    let key = || attr("span", "k");
    let name = || field("span", "name");
    for (call, says) in [
        (call("", vec![]), "no operator ``"),
        (call("and", vec![nested("exists", vec![key()])]), "two predicates or more"),
        (call("and", vec![key(), key()]), "predicates, which are calls"),
        (call("not", vec![]), "one predicate"),
        (call("exists", vec![text("k")]), "a reference to an attribute or a field"),
        (call("exists", vec![over("event")]), "a reference to an attribute or a field"),
        (call("eq", vec![key(), name()]), "one reference cannot be compared with another"),
        (call("eq", vec![text("1"), text("1")]), "one constant cannot be compared with another"),
        (call("eq", vec![key(), list(&["a"], "")]), "a reference to an attribute or a field"),
        (call("eq", vec![key()]), "a reference and a constant"),
        (call("in", vec![key(), text("a")]), "a list of one value or more"),
        (call("in", vec![key(), list(&[], "string")]), "a list of one value or more"),
        (call("some", vec![over("span"), nested("exists", vec![key()])]), "the level event or link"),
        (call("some", vec![over("event"), key()]), "predicates, which are calls"),
        (call("exists", vec![attr("instrumentation", "k")]), "no level `instrumentation`"),
        (call("exists", vec![attr("span", "")]), "has no key"),
        (call("exists", vec![field("", "name")]), "no level ``"),
        (call("exists", vec![field("span", "service")]), "no field `service` of level `span`"),
        (call("eq", vec![key(), scalar("1", "number")]), "no type `number`"),
        (call("eq", vec![key(), scalar("1.5", "int")]), "`1.5` is no int"),
        (call("eq", vec![key(), scalar("x", "double")]), "`x` is no double"),
        (call("eq", vec![key(), scalar("TRUE", "bool")]), "`TRUE` is no bool"),
        (call("gt", vec![key(), scalar("true", "bool")]), "has no order"),
        (call("eq", vec![name(), scalar("1", "int")]), "a text is written without a type, or as a string"),
        (call("eq", vec![field("span", "duration"), scalar("2", "int")]), "written without a type"),
        (call("eq", vec![field("span", "duration"), text("2")]), "`2` cannot be compared with"),
        (call("eq", vec![field("span", "startTime"), text("yesterday")]), "`yesterday` cannot be"),
        (call("eq", vec![field("span", "endTime"), text("9999-01-01T00:00:00Z")]), "between the years"),
        (call("eq", vec![field("span", "kind"), text("SERVER")]), "`SERVER` is no kind"),
        (call("eq", vec![field("span", "status"), text("2")]), "`2` is no status"),
        (call("gt", vec![field("span", "kind"), text("client")]), "has no order"),
        (call("regex", vec![key(), scalar("a", "int")]), "a reference and a pattern"),
    ] {
        let error = refused(&call);
        assert!(error.contains(says), "{error}, and not {says}");
    }
    let empty = Call { op: "not".to_owned(), args: vec![Expression { term: None }] };
    assert!(refused(&empty).contains("predicates"));
}
