//! Requests made by hand, each with one thing that hurts. All ids are valid, and all starts fit an i64; what
//! else fits where it is meant to fit is exactly what is not promised.
//!
//! Traces have numbers by hundreds, one hundred for each request, so that requests do not share traces.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::build::{
    MILLISECOND, START, array, attribute, attribute_of, bytes, child, map, request, request_of, resource,
    scope, service, span, span_id, text, trace_id,
};

/// All of them.
pub fn requests() -> Vec<ExportTraceServiceRequest> {
    named().into_iter().map(|(_, request)| request).collect()
}

/// All of them, each with what hurts about it.
pub fn named() -> Vec<(&'static str, ExportTraceServiceRequest)> {
    vec![
        ("duplicate and empty keys", duplicate_and_empty_keys()),
        ("one key with several types", several_types()),
        ("arrays", arrays()),
        ("maps", maps()),
        ("byte values", byte_values()),
        ("doubles", doubles()),
        ("integers at the edges", integers()),
        ("attributes without a value", no_values()),
        ("long texts", long_texts()),
        ("unicode, NUL and quotes", odd_texts()),
        ("keys that look like columns", keys_like_columns()),
        ("times", times()),
        ("parents", parents()),
        ("span ids used twice", shared_span_ids()),
        ("enumerations", enumerations()),
        ("events", events()),
        ("links", links()),
        ("dropped counts, flags, trace state", counts_and_flags()),
        ("origins", origins()),
        ("a trace of 10,000 spans", large_trace()),
        ("5,000 distinct keys", many_keys()),
        ("nothing at all", ExportTraceServiceRequest::default()),
        ("messages without members", hollow()),
    ]
}

fn with_attributes(trace: u64, attributes: Vec<KeyValue>) -> Span {
    Span { attributes, ..span(trace, 1, "attributes") }
}

fn duplicate_and_empty_keys() -> ExportTraceServiceRequest {
    let one = || attribute("key", text("one"));
    let two = || attribute("key", text("two"));
    request(
        "keys",
        vec![
            with_attributes(100, vec![one(), two()]),
            // The same pair twice is not the pair once.
            with_attributes(101, vec![one(), one(), two()]),
            with_attributes(102, vec![one(), two(), two()]),
            with_attributes(103, vec![attribute("", text("under the empty key")), attribute("", text(""))]),
            // The same span with its attributes in another order.
            with_attributes(100, vec![two(), one()]),
        ],
    )
}

fn several_types() -> ExportTraceServiceRequest {
    let values = vec![
        text("72"),
        text("true"),
        text(""),
        Value::IntValue(72),
        Value::DoubleValue(72.0),
        Value::DoubleValue(72.5),
        Value::BoolValue(true),
        bytes(b"72"),
        array(vec![Value::IntValue(72)]),
        map(vec![attribute("72", Value::IntValue(72))]),
    ];
    let all_in_one = values.iter().map(|value| attribute("mixed", value.clone())).collect();
    let mut spans = vec![with_attributes(200, all_in_one)];
    for (number, value) in (201..).zip(values) {
        spans.push(with_attributes(number, vec![attribute("mixed", value)]));
    }
    request("types", spans)
}

fn arrays() -> ExportTraceServiceRequest {
    let hollow_elements = Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: None }; 2] });
    request(
        "arrays",
        vec![
            with_attributes(300, vec![attribute("array", array(vec![]))]),
            with_attributes(301, vec![attribute("array", array(vec![text("b"), text("a"), text("b")]))]),
            // Another order is another array.
            with_attributes(301, vec![attribute("array", array(vec![text("a"), text("b"), text("b")]))]),
            with_attributes(
                302,
                vec![attribute("array", array(vec![text("1"), Value::IntValue(1), Value::DoubleValue(1.0)]))],
            ),
            with_attributes(
                303,
                vec![attribute("array", array(vec![array(vec![]), array(vec![array(vec![])])]))],
            ),
            with_attributes(304, vec![attribute("array", hollow_elements)]),
        ],
    )
}

fn maps() -> ExportTraceServiceRequest {
    // As deep as a decoder with the usual limit of 100 nested messages still takes: three for each level.
    let deep =
        (0..30).fold(map(vec![]), |inner, depth| map(vec![attribute(&format!("level {depth}"), inner)]));
    let a = || attribute("a", Value::IntValue(1));
    let b = || attribute("b", Value::IntValue(2));
    let duplicate = vec![attribute("a", text("x")), a(), a(), attribute("", map(vec![]))];
    request(
        "maps",
        vec![
            with_attributes(400, vec![attribute("map", map(vec![]))]),
            with_attributes(401, vec![attribute("map", map(vec![a(), b()]))]),
            // Inside a value the order counts: another span.
            with_attributes(401, vec![attribute("map", map(vec![b(), a()]))]),
            with_attributes(402, vec![attribute("map", map(duplicate))]),
            with_attributes(403, vec![attribute("map", deep)]),
            with_attributes(404, vec![attribute("map", map(vec![attribute_of("hollow", None)]))]),
            // What flattening a map would collide with.
            with_attributes(
                405,
                vec![attribute("map.a", Value::IntValue(1)), attribute("map", map(vec![a()]))],
            ),
        ],
    )
}

fn byte_values() -> ExportTraceServiceRequest {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    request(
        "bytes",
        vec![
            with_attributes(500, vec![attribute("bytes", bytes(b""))]),
            with_attributes(501, vec![attribute("bytes", bytes(&all))]),
            with_attributes(502, vec![attribute("bytes", bytes(b"text")), attribute("bytes", text("text"))]),
        ],
    )
}

fn doubles() -> ExportTraceServiceRequest {
    let odd_nans =
        [0x7ff8_0000_0000_0000, 0x7ff8_0000_dead_beef, 0xfff8_0000_0000_0001, 0x7ff0_0000_0000_0001];
    let mut doubles = odd_nans.map(f64::from_bits).to_vec();
    doubles.extend([f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, f64::MAX, f64::MIN, f64::EPSILON]);
    doubles.extend([f64::MIN_POSITIVE, f64::from_bits(1), 0.1, 9_007_199_254_740_992.0, 72.0]);
    let spans = (600..)
        .zip(doubles)
        .map(|(trace, double)| with_attributes(trace, vec![attribute("double", Value::DoubleValue(double))]));
    request("doubles", spans.collect())
}

fn integers() -> ExportTraceServiceRequest {
    let integers = [i64::MIN, i64::MIN + 1, -1, 0, 1, 9_007_199_254_740_993, i64::MAX - 1, i64::MAX];
    let spans = (700..).zip(integers).map(|(trace, int)| {
        let as_text = attribute("integer as text", text(&int.to_string()));
        with_attributes(trace, vec![attribute("integer", Value::IntValue(int)), as_text])
    });
    request("integers", spans.collect())
}

fn no_values() -> ExportTraceServiceRequest {
    let hollow = || attribute_of("hollow", Some(AnyValue { value: None }));
    request(
        "no values",
        vec![
            with_attributes(800, vec![attribute_of("hollow", None)]),
            with_attributes(801, vec![hollow()]),
            with_attributes(802, vec![hollow(), hollow(), attribute("hollow", text(""))]),
        ],
    )
}

fn long_texts() -> ExportTraceServiceRequest {
    let long = "long ".repeat(200_000);
    // Two that differ in the last byte only.
    let (one, two) = (format!("{long}1"), format!("{long}2"));
    request(
        "long texts",
        vec![
            with_attributes(900, vec![attribute("long", text(&one))]),
            with_attributes(901, vec![attribute("long", text(&two))]),
            with_attributes(902, vec![attribute(&one, text("under a long key"))]),
            Span { name: two, ..span(903, 1, "") },
        ],
    )
}

fn odd_texts() -> ExportTraceServiceRequest {
    let odd = [
        "\0",
        "a\0b",
        "'; DROP TABLE spans; --",
        "\"quoted\" and `ticked` and \\escaped\\",
        "new\nline\ttab\r",
        "żółć 東京 🪨 مرحبا",
        "e\u{301}",
        "\u{e9}",
        "\u{feff}\u{200b}\u{202e}",
        "\u{10ffff}",
        "%_*?[a-z].{}$(x)",
        " leading and trailing ",
        "null",
        "NaN",
    ];
    let spans = (1000..).zip(odd).map(|(trace, odd)| Span {
        attributes: vec![attribute(odd, text(odd))],
        trace_state: odd.to_owned(),
        status: Some(Status { message: odd.to_owned(), code: 2 }),
        ..span(trace, 1, odd)
    });
    request("odd texts \0 '\" 東京", spans.collect())
}

fn keys_like_columns() -> ExportTraceServiceRequest {
    let keys = [
        "trace_id",
        "span_id",
        "parent_span_id",
        "name",
        "service_name",
        "service.name",
        "start",
        "duration",
        "seq",
        "origin_id",
        "attributes",
        "span_attributes",
        "key",
        "value",
        "Name",
        "a.b.c",
        "a/b",
        "span_attributes['x']",
        "http.route",
        "http_route",
    ];
    let as_text = keys.map(|key| attribute(key, text("not the column"))).to_vec();
    let as_int = keys.map(|key| attribute(key, Value::IntValue(-1))).to_vec();
    request_of(
        Some(resource(as_text.clone())),
        Some(InstrumentationScope { attributes: as_text.clone(), ..scope("columns", "1") }),
        vec![with_attributes(1100, as_text), with_attributes(1101, as_int)],
    )
}

fn times() -> ExportTraceServiceRequest {
    let between = |trace, start, end| Span {
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        ..span(trace, 1, "times")
    };
    let latest_start = i64::MAX.unsigned_abs();
    request(
        "times",
        vec![
            between(1200, START, START),
            between(1201, START, START - 1),
            between(1202, START, 0),
            between(1203, 0, 0),
            between(1204, 0, 1),
            between(1205, latest_start, latest_start),
            between(1206, START, latest_start),
            between(1207, START, u64::MAX),
            between(1208, 0, u64::MAX),
            between(1209, latest_start, 0),
            // Two spans that differ in one nanosecond only.
            between(1210, START, START + 1),
            between(1210, START + 1, START + 1),
        ],
    )
}

fn parents() -> ExportTraceServiceRequest {
    let all_zero = Span { parent_span_id: vec![0; 8], ..span(1306, 1, "all-zero parent id") };
    request(
        "parents",
        vec![
            child(1300, 1, 1, "its own parent"),
            child(1301, 1, 2, "cycle of two"),
            child(1301, 2, 1, "cycle of two"),
            child(1302, 1, 3, "cycle of three"),
            child(1302, 2, 1, "cycle of three"),
            child(1302, 3, 2, "cycle of three"),
            child(1303, 1, 99, "parent is missing"),
            child(1304, 2, 1, "parent is in another trace only"),
            span(1305, 1, "two roots"),
            span(1305, 2, "two roots"),
            all_zero,
            // The same without any parent id: the same span.
            span(1306, 1, "all-zero parent id"),
            // The child starts before its parent.
            Span { start_time_unix_nano: START + MILLISECOND, ..span(1307, 2, "parent, later") },
            child(1307, 1, 2, "child, earlier"),
        ],
    )
}

fn shared_span_ids() -> ExportTraceServiceRequest {
    let same = || Span { attributes: vec![attribute("a", text("b"))], ..span(1401, 1, "the same") };
    let mut request = request(
        "client",
        vec![
            Span { kind: 3, ..span(1400, 1, "call") },
            Span { kind: 2, ..span(1400, 1, "call") },
            child(1400, 2, 1, "child of two parents"),
            same(),
            same(),
        ],
    );
    // Other content by its origin only.
    request.resource_spans.extend(self::request("server", vec![same()]).resource_spans);
    request
}

fn enumerations() -> ExportTraceServiceRequest {
    let numbers = [0, 1, 2, 3, 4, 5, 6, 77, -1, i32::MIN, i32::MAX];
    let kinds = (1500..).zip(numbers).map(|(trace, kind)| Span { kind, ..span(trace, 1, "kind") });
    let statuses = (1520..).zip(numbers).map(|(trace, code)| Span {
        status: Some(Status { code, message: String::new() }),
        ..span(trace, 1, "status")
    });
    // A status without content is the same as none.
    let none = span(1540, 1, "status");
    let empty = Span { status: Some(Status::default()), ..span(1540, 1, "status") };
    request("enumerations", kinds.chain(statuses).chain([none, empty]).collect())
}

fn events() -> ExportTraceServiceRequest {
    let at = |unix_nanos, name: &str| Event {
        time_unix_nano: unix_nanos,
        name: name.to_owned(),
        ..Event::default()
    };
    let nested = Event {
        attributes: vec![
            attribute("exception.stack", array(vec![map(vec![attribute("line", Value::IntValue(7))])])),
            attribute("key", text("one")),
            attribute("key", text("two")),
            attribute("", Value::DoubleValue(f64::NAN)),
        ],
        dropped_attributes_count: u32::MAX,
        ..at(START, "exception")
    };
    let with_events = |trace, events| Span { events, ..span(trace, 1, "events") };
    request(
        "events",
        vec![
            with_events(1600, vec![at(0, ""), at(u64::MAX, "the end of time"), at(i64::MAX as u64 + 1, "")]),
            with_events(1601, vec![nested.clone(), nested]),
            with_events(1602, vec![at(START, "a"), at(START, "b")]),
            // Another order is another span.
            with_events(1602, vec![at(START, "b"), at(START, "a")]),
            with_events(1603, (0..1_000).map(|number| at(START + number, "one of many")).collect()),
        ],
    )
}

fn links() -> ExportTraceServiceRequest {
    let full = Link {
        trace_id: trace_id(1699),
        span_id: span_id(9),
        trace_state: "vendor=a,other=b".to_owned(),
        attributes: vec![
            attribute("key", text("one")),
            attribute("key", map(vec![attribute("", bytes(b"\0"))])),
        ],
        dropped_attributes_count: u32::MAX,
        flags: 0xffff_ff01,
    };
    let bare = Link { trace_id: trace_id(1700), span_id: span_id(1), ..Link::default() };
    let without_ids = Link::default();
    let with_links = |trace, links| Span { links, ..span(trace, 1, "links") };
    request(
        "links",
        vec![
            // The second link of this span points at the span itself.
            with_links(1700, vec![full.clone(), bare.clone(), full.clone()]),
            with_links(1701, vec![full.clone(), bare.clone()]),
            // Another order is another span.
            with_links(1701, vec![bare, full]),
            with_links(1702, vec![without_ids]),
        ],
    )
}

fn counts_and_flags() -> ExportTraceServiceRequest {
    let spans = vec![
        Span {
            dropped_attributes_count: u32::MAX,
            dropped_events_count: u32::MAX,
            dropped_links_count: u32::MAX,
            flags: u32::MAX,
            ..span(1800, 1, "all at their highest")
        },
        Span { flags: 0x8000_0301, ..span(1801, 1, "high bits") },
        Span { trace_state: "a=1,b=2".to_owned(), ..span(1802, 1, "trace state") },
        Span { trace_state: ",,=, not a trace state".to_owned(), ..span(1803, 1, "trace state") },
    ];
    let resource = Resource { dropped_attributes_count: u32::MAX, ..service("counts") };
    let scope = InstrumentationScope { dropped_attributes_count: u32::MAX, ..scope("counts", "") };
    request_of(Some(resource), Some(scope), spans)
}

fn origins() -> ExportTraceServiceRequest {
    let a = || attribute("a", text("1"));
    let b = || attribute("b", text("2"));
    let name = || attribute("service.name", text("origins"));
    let attributed_scope =
        || InstrumentationScope { attributes: vec![a(), a(), b()], ..scope("attributed", "1") };
    let requests = [
        request_of(None, None, vec![span(1900, 1, "neither resource nor scope")]),
        // The same origin, written down as empty messages.
        request_of(Some(Resource::default()), Some(scope("", "")), vec![span(1900, 2, "both are empty")]),
        request_of(Some(resource(vec![a()])), Some(scope("s", "1")), vec![span(1901, 1, "no service name")]),
        request_of(Some(resource(vec![name(), a(), b()])), None, vec![span(1902, 1, "order")]),
        // The same resource and the same span.
        request_of(Some(resource(vec![b(), name(), a()])), None, vec![span(1902, 1, "order")]),
        request_of(Some(service("")), None, vec![span(1903, 1, "service name is empty")]),
        request_of(
            Some(resource(vec![attribute("service.name", Value::IntValue(5))])),
            None,
            vec![span(1904, 1, "service name is a number")],
        ),
        request_of(
            Some(resource(vec![attribute("service.name", text("two")), name()])),
            None,
            vec![span(1905, 1, "two service names")],
        ),
        request_of(
            Some(service("origins")),
            Some(attributed_scope()),
            vec![span(1906, 1, "scope attributes")],
        ),
        request_of(
            Some(service("origins")),
            Some(scope("attributed", "1")),
            vec![span(1906, 1, "scope attributes")],
        ),
    ];
    let mut resource_spans: Vec<ResourceSpans> =
        requests.into_iter().flat_map(|request| request.resource_spans).collect();
    // The same resource and scope under every combination of schema urls: four origins.
    for resource_url in ["", "https://opentelemetry.io/schemas/1.27.0"] {
        let scope_spans = ["", "https://example.org/scope"].map(|scope_url| ScopeSpans {
            scope: Some(scope("schemas", "1")),
            spans: vec![span(1907, 1, "schema urls")],
            schema_url: scope_url.to_owned(),
        });
        resource_spans.push(ResourceSpans {
            resource: Some(service("origins")),
            scope_spans: scope_spans.to_vec(),
            schema_url: resource_url.to_owned(),
        });
    }
    ExportTraceServiceRequest { resource_spans }
}

fn large_trace() -> ExportTraceServiceRequest {
    let spans = (1..=10_000_u64).map(|id| {
        let start_time_unix_nano = START + id % 1_000;
        let attributes = vec![attribute("number", Value::IntValue(i64::try_from(id % 7).unwrap_or(0)))];
        Span { start_time_unix_nano, attributes, ..child(2000, id, id / 2, "one of many") }
    });
    request("large", spans.collect())
}

fn many_keys() -> ExportTraceServiceRequest {
    let key = |number: u64| attribute(&format!("key {number:04}"), text(&format!("value {number}")));
    let all_on_one = with_attributes(2100, (0..5_000).map(key).collect());
    let one_on_each =
        (0..5_000).map(|number| Span { attributes: vec![key(number)], ..span(2101, number + 1, "one key") });
    request("many keys", one_on_each.chain([all_on_one]).collect())
}

fn hollow() -> ExportTraceServiceRequest {
    let mut request = request_of(Some(service("hollow")), Some(scope("hollow", "")), vec![]);
    request.resource_spans.push(ResourceSpans::default());
    request
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;

    use super::*;
    use crate::oracle::Oracle;

    fn spans_of(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
        request.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans)
    }

    #[test]
    fn should_have_valid_ids_and_starts_within_an_i64() {
        for (name, request) in named() {
            for span in spans_of(&request) {
                assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8), "{name}");
                assert!(span.trace_id.iter().any(|byte| *byte != 0), "{name}");
                assert!(span.span_id.iter().any(|byte| *byte != 0), "{name}");
                assert!(i64::try_from(span.start_time_unix_nano).is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn should_not_share_traces_between_requests() {
        let mut seen = BTreeSet::new();
        for (name, request) in named() {
            let ids: BTreeSet<Vec<u8>> = spans_of(&request).map(|span| span.trace_id.clone()).collect();
            assert!(ids.iter().all(|id| seen.insert(id.clone())), "{name}");
        }
    }

    #[test]
    fn should_survive_the_wire_as_the_oracle_sees_it() {
        let (mut direct, mut through_wire) = (Oracle::default(), Oracle::default());
        for (_, request) in named() {
            direct.accept(&request);
            let bytes = request.encode_to_vec();
            through_wire.accept(&ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap());
        }
        crate::oracle::assert_same_spans(&direct.spans(), &through_wire.spans());
    }

    #[test]
    fn should_collapse_exactly_what_is_written_down_twice_on_purpose() {
        for (name, request) in named() {
            let mut oracle = Oracle::default();
            oracle.accept(&request);
            let collapsed = oracle.accepted() - oracle.spans().len();
            let expected = match name {
                "duplicate and empty keys" | "parents" | "span ids used twice" | "enumerations" => 1,
                "origins" => 1,
                _ => 0,
            };
            assert_eq!(collapsed, expected, "{name}");
        }
    }
}
