//! Spans and filters out of few keys and values, so that they meet; the values are
//! those on which coercions differ.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use siltstone_ask::{Comparison, Field, Filter, Level, Literal, Nested, Target};
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::origin::{Origin, SERVICE_NAME};
use siltstone_format::span::{Event, Link, Span};
use siltstone_format::value::{Attribute, Value};

pub(crate) const TEXTS: [&str; 30] = [
    "72",
    "72.0",
    "072",
    "+72",
    "7.2e1",
    "72.5",
    "72.50",
    "true",
    "false",
    "True",
    "",
    "x",
    "y|x",
    "a.b",
    "NaN",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "12e45678",
    "0",
    "-0",
    "0.0",
    "-0.0",
    "9007199254740993",
    "9007199254740992",
    "9007199254740992.0",
    "9223372036854775808",
    "-9223372036854775809",
    "1e30",
];

pub(crate) const INTS: [i64; 10] =
    [0, 1, 72, 73, -72, 9_007_199_254_740_992, 9_007_199_254_740_993, i64::MAX, i64::MIN, i64::MAX - 1];

pub(crate) const DOUBLES: [f64; 15] = [
    0.0,
    -0.0,
    1.0,
    72.0,
    72.5,
    -72.5,
    9_007_199_254_740_991.0,
    9_007_199_254_740_992.0,
    9_223_372_036_854_775_808.0,
    -9_223_372_036_854_775_808.0,
    1e30,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    0.1,
];

pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(&TEXTS[..]).prop_map(str::to_owned),
        1 => int().prop_map(|int| int.to_string()),
        1 => double().prop_map(|double| format!("{double:?}")),
        1 => "[a-c0-2.]{0,3}",
    ]
}

pub(crate) fn int() -> impl Strategy<Value = i64> {
    prop_oneof![4 => select(&INTS[..]), 1 => any::<i64>(), 1 => -3..3_i64]
}

pub(crate) fn double() -> impl Strategy<Value = f64> {
    prop_oneof![4 => select(&DOUBLES[..]), 1 => any::<f64>(), 1 => int().prop_map(|int| int as f64)]
}

pub(crate) fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        4 => text().prop_map(Literal::Text),
        1 => text().prop_map(Literal::Str),
        2 => int().prop_map(Literal::Int),
        2 => double().prop_map(Literal::Double),
        1 => any::<bool>().prop_map(Literal::Bool),
    ]
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        4 => text().prop_map(Value::Str),
        2 => int().prop_map(Value::Int),
        2 => double().prop_map(Value::Double),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Empty),
        1 => text().prop_map(|text| Value::Bytes(text.into_bytes())),
    ];
    plain.prop_recursive(2, 4, 3, |inner| {
        let map = |value| Value::Map(vec![Attribute { key: "a".to_owned(), value }]);
        prop_oneof![prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array), inner.prop_map(map)]
    })
}

fn key() -> impl Strategy<Value = &'static str> {
    select(&["a", "b"][..])
}

fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
    let attribute = (key(), value()).prop_map(|(key, value)| Attribute { key: key.to_owned(), value });
    prop::collection::vec(attribute, 0..3)
}

fn origin() -> impl Strategy<Value = Origin> {
    let urls = (text(), text());
    (attributes(), prop::option::of(value()), attributes(), text(), text(), urls).prop_map(
        |(mut resource_attributes, service, scope_attributes, scope_name, scope_version, urls)| {
            let service = service.map(|value| Attribute { key: SERVICE_NAME.to_owned(), value });
            resource_attributes.extend(service);
            Origin {
                resource_attributes,
                resource_schema_url: urls.0,
                scope_attributes,
                scope_name,
                scope_version,
                scope_schema_url: urls.1,
                ..Origin::default()
            }
        },
    )
}

fn id() -> impl Strategy<Value = SpanId> {
    (0..3_u8).prop_map(|byte| SpanId([byte; 8]))
}

pub(crate) fn span() -> impl Strategy<Value = Span> {
    let event = (text(), 0..80_u64, attributes()).prop_map(|(name, time_unix_nano, attributes)| Event {
        name,
        time_unix_nano,
        attributes,
        ..Event::default()
    });
    let link = (0..2_u8, id(), text(), attributes()).prop_map(|(trace, span_id, trace_state, attributes)| {
        Link { trace_id: TraceId([trace; 16]), span_id, trace_state, attributes, ..Link::default() }
    });
    let texts = (text(), text(), text());
    let numbers = (0..7_i32, 0..4_i32, 0..4_u64, prop_oneof![0..80_u64, Just(u64::MAX)]);
    let parts = (prop::collection::vec(event, 0..3), prop::collection::vec(link, 0..3));
    let ids = (1..3_u8, id(), prop::option::of(id()));
    (ids, texts, numbers, attributes(), parts, origin()).prop_map(
        |((trace, span_id, parent_span_id), texts, numbers, attributes, parts, origin)| Span {
            trace_id: TraceId([trace; 16]),
            span_id,
            parent_span_id,
            name: texts.0,
            status_message: texts.1,
            trace_state: texts.2,
            kind: numbers.0,
            status_code: numbers.1,
            start_unix_nano: numbers.2,
            end_unix_nano: numbers.3,
            attributes,
            events: parts.0,
            links: parts.1,
            origin: Arc::new(origin),
            ..Span::default()
        },
    )
}

pub(crate) fn target() -> impl Strategy<Value = Target> {
    let levels = [Level::Span, Level::Resource, Level::Scope, Level::Event, Level::Link, Level::Any];
    let key = prop_oneof![6 => key(), 1 => Just(SERVICE_NAME)];
    prop_oneof![
        3 => (select(levels.to_vec()), key).prop_map(|(level, key)| Target::attribute(level, key)),
        1 => select(Field::ALL.to_vec()).prop_map(Target::Field),
        1 => select(vec![Field::Name, Field::ServiceName, Field::StatusMessage]).prop_map(Target::Field),
    ]
}

/// A filter whose parts fit; those that do not are replaced by a test of presence.
pub(crate) fn filter() -> impl Strategy<Value = Filter> {
    filter_of(target().boxed(), literal().boxed(), text().boxed())
}

/// The same, of other targets, literals and patterns.
pub(crate) fn filter_of(
    target: BoxedStrategy<Target>,
    literal: BoxedStrategy<Literal>,
    pattern: BoxedStrategy<String>,
) -> impl Strategy<Value = Filter> {
    let comparisons = vec![
        Comparison::Eq,
        Comparison::Eq,
        Comparison::Eq,
        Comparison::Ne,
        Comparison::Lt,
        Comparison::Le,
        Comparison::Gt,
        Comparison::Ge,
    ];
    let or_exists = |filter: Result<Filter, _>, target| {
        filter.unwrap_or_else(|_: siltstone_ask::FilterError| Filter::exists(target))
    };
    let predicate = prop_oneof![
        4 => (target.clone(), select(comparisons), literal.clone()).prop_map(move |(target, comparison, literal)| {
            or_exists(Filter::compare(target.clone(), comparison, literal), target)
        }),
        1 => (target.clone(), prop::collection::vec(literal, 0..3))
            .prop_map(move |(target, literals)| or_exists(Filter::one_of(target.clone(), literals), target)),
        2 => (target.clone(), pattern)
            .prop_map(move |(target, pattern)| or_exists(Filter::regex(target.clone(), &pattern), target)),
        1 => target.prop_map(Filter::exists),
    ];
    predicate.prop_recursive(3, 12, 3, |inner| {
        let parts = || prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            2 => parts().prop_map(|parts| Filter::and(parts).unwrap()),
            2 => parts().prop_map(|parts| Filter::or(parts).unwrap()),
            1 => inner.clone().prop_map(|inner| Filter::negate(inner).unwrap()),
            // What cannot be told apart stays as it is.
            2 => (select(vec![Nested::Event, Nested::Link]), inner.clone())
                .prop_map(|(of, inner)| Filter::some(of, inner.clone()).unwrap_or(inner)),
        ]
    })
}
