//! Spans drawn at random from few keys and ids, so that they collide.

use std::sync::Arc;

use proptest::prelude::*;
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::origin::{Entity, Origin};
use siltstone_format::span::{Event, Link, Span};
use siltstone_format::value::{Attribute, Value};

fn value() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        Just(Value::Empty),
        prop::sample::select(vec!["", "a", "b", "72", "true", "ä\0\"", "long text that repeats"])
            .prop_map(|text| Value::Str(text.to_owned())),
        prop::sample::select(vec![0, 1, 72, -1, i64::MIN, i64::MAX]).prop_map(Value::Int),
        prop::sample::select(vec![
            0.0,
            -0.0,
            72.0,
            0.1,
            f64::NAN,
            f64::INFINITY,
            f64::from_bits(0x7ff8_0000_0000_0001)
        ])
        .prop_map(Value::Double),
        any::<bool>().prop_map(Value::Bool),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(Value::Bytes),
    ];
    plain.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::vec(
                (prop::sample::select(vec!["a", "$", "$bytes"]), inner)
                    .prop_map(|(key, value)| Attribute { key: key.to_owned(), value }),
                0..3
            )
            .prop_map(Value::Map),
        ]
    })
}

fn attributes(most: usize) -> impl Strategy<Value = Vec<Attribute>> {
    let key = prop::sample::select(vec!["", "k", "http.route", "attr.str.k", "\"q\""]);
    let one = (key, value()).prop_map(|(key, value)| Attribute { key: key.to_owned(), value });
    prop::collection::vec(one, 0..most)
}

fn origin() -> impl Strategy<Value = Arc<Origin>> {
    (attributes(3), attributes(2), 0u32..2, prop::sample::select(vec!["", "http"]), any::<bool>()).prop_map(
        |(resource_attributes, scope_attributes, count, name, entity)| {
            let entity = entity.then(|| Entity {
                kind: "host".to_owned(),
                id_keys: vec!["id".to_owned()],
                ..Entity::default()
            });
            Arc::new(Origin {
                resource_attributes,
                resource_dropped_attributes_count: count,
                resource_schema_url: name.to_owned(),
                entities: entity.into_iter().collect(),
                scope_name: name.to_owned(),
                scope_version: "1".to_owned(),
                scope_attributes,
                scope_dropped_attributes_count: count,
                scope_schema_url: String::new(),
            })
        },
    )
}

pub(crate) fn small_id() -> impl Strategy<Value = u8> {
    0u8..6
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "x", "GET /cart", "ü"]).prop_map(str::to_owned)
}

fn event() -> impl Strategy<Value = Event> {
    let time = prop::sample::select(vec![0, 5, u64::MAX]);
    (time, text(), attributes(3), 0u32..2).prop_map(|(time_unix_nano, name, attributes, dropped)| Event {
        time_unix_nano,
        name,
        attributes,
        dropped_attributes_count: dropped,
    })
}

fn link() -> impl Strategy<Value = Link> {
    (small_id(), text(), any::<u32>(), attributes(3)).prop_map(|(id, trace_state, flags, attributes)| Link {
        trace_id: TraceId([id; 16]),
        span_id: SpanId([id; 8]),
        trace_state,
        flags,
        attributes,
        dropped_attributes_count: u32::from(id),
    })
}

pub(crate) fn span() -> impl Strategy<Value = Span> {
    let ids = (small_id(), small_id(), prop::option::of(small_id()));
    let times =
        (prop::sample::select(vec![0u64, 7, 8, i64::MAX as u64]), prop::sample::select(vec![0, 7, u64::MAX]));
    let lists =
        (attributes(5), prop::collection::vec(event(), 0..3), prop::collection::vec(link(), 0..3), origin());
    let fields =
        (text(), text(), text(), any::<i32>(), any::<i32>(), prop::sample::select(vec![0, 1, u32::MAX]));
    (ids, times, lists, fields).prop_map(|(ids, times, lists, fields)| Span {
        trace_id: TraceId([ids.0; 16]),
        span_id: SpanId([ids.1; 8]),
        parent_span_id: ids.2.map(|id| SpanId([id; 8])),
        trace_state: fields.0,
        flags: fields.5,
        name: fields.1,
        kind: fields.3,
        start_unix_nano: times.0,
        end_unix_nano: times.1,
        status_code: fields.4,
        status_message: fields.2,
        attributes: lists.0,
        dropped_attributes_count: fields.5,
        events: lists.1,
        dropped_events_count: fields.5 / 2,
        links: lists.2,
        dropped_links_count: fields.5 / 3,
        origin: lists.3,
    })
}
