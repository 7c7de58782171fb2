use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use siltstone_format::id::{SpanId, TraceId};

use super::*;
use crate::jaeger::adjust::WARNINGS;

fn decoded(messages: &[Bytes]) -> Vec<TracesData> {
    messages.iter().map(|message| TracesData::decode(message.clone()).unwrap()).collect()
}

fn text(key: &str, value: &str) -> Attribute {
    Attribute { key: key.to_owned(), value: Value::Str(value.to_owned()) }
}

fn origin(service: &str, scope: &str) -> Arc<Origin> {
    Arc::new(Origin {
        resource_attributes: vec![text("service.name", service)],
        scope_name: scope.to_owned(),
        ..Origin::default()
    })
}

fn span(id: u8, origin: &Arc<Origin>) -> Span {
    Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([id; 8]),
        name: format!("op-{id}"),
        origin: Arc::clone(origin),
        ..Span::default()
    }
}

#[test]
fn should_write_no_message_for_no_span() {
    assert_eq!(traces_data(&[]), Vec::<Bytes>::new());
}

#[test]
fn should_put_spans_under_their_resources_and_scopes() {
    let [one, other] = [origin("shop", "http"), origin("cart", "http")];
    // Equal, but not the same one.
    let [again, scope] = [origin("shop", "http"), origin("shop", "sql")];
    let spans = [span(1, &one), span(2, &other), span(3, &again), span(4, &scope), span(5, &one)];
    let [data] = &decoded(&traces_data(&spans))[..] else { panic!("more than one message") };
    let names: Vec<Vec<Vec<&str>>> = data
        .resource_spans
        .iter()
        .map(|of| {
            let names =
                of.scope_spans.iter().map(|of| of.spans.iter().map(|span| span.name.as_str()).collect());
            names.collect()
        })
        .collect();
    assert_eq!(names, [vec![vec!["op-1", "op-3", "op-5"], vec!["op-4"]], vec![vec!["op-2"]]]);
}

#[test]
fn should_write_everything_that_a_span_says() {
    let everything = Arc::new(Origin {
        resource_attributes: vec![text("service.name", "shop")],
        resource_dropped_attributes_count: 1,
        resource_schema_url: "http://resource".to_owned(),
        entities: vec![Entity {
            schema_url: "http://entity".to_owned(),
            kind: "host".to_owned(),
            id_keys: vec!["host.id".to_owned(), String::new()],
            description_keys: vec!["host.name".to_owned()],
        }],
        scope_name: "http".to_owned(),
        scope_version: "1".to_owned(),
        scope_attributes: vec![text("k", "v")],
        scope_dropped_attributes_count: 2,
        scope_schema_url: "http://scope".to_owned(),
    });
    let values = [
        Value::Empty,
        Value::Str(String::new()),
        Value::Int(0),
        Value::Int(-1),
        Value::Double(-0.0),
        Value::Bool(false),
        Value::Bytes(Vec::new()),
        Value::Array(vec![Value::Empty, Value::Array(Vec::new()), Value::Map(vec![text("a", "b")])]),
        Value::Map(Vec::new()),
    ];
    let attributes: Vec<Attribute> =
        values.into_iter().map(|value| Attribute { key: "k".to_owned(), value }).collect();
    let span = Span {
        parent_span_id: Some(SpanId([9; 8])),
        trace_state: "a=b".to_owned(),
        flags: 0x301,
        kind: -7,
        start_unix_nano: 5,
        end_unix_nano: u64::MAX,
        status_code: 2,
        status_message: "boom".to_owned(),
        attributes: attributes.clone(),
        dropped_attributes_count: 3,
        events: vec![Event {
            time_unix_nano: 7,
            name: "e".to_owned(),
            attributes: attributes.clone(),
            dropped_attributes_count: 4,
        }],
        dropped_events_count: 5,
        links: vec![
            Link {
                trace_id: TraceId([2; 16]),
                span_id: SpanId([3; 8]),
                trace_state: "c=d".to_owned(),
                flags: 0x100,
                attributes,
                dropped_attributes_count: 6,
            },
            Link::default(),
        ],
        dropped_links_count: u32::MAX,
        ..span(1, &everything)
    };
    let [data] = &decoded(&traces_data(std::slice::from_ref(&span)))[..] else { panic!("more than one") };
    let of_resource = &data.resource_spans[0];
    let resource = of_resource.resource.as_ref().unwrap();
    assert_eq!((of_resource.schema_url.as_str(), resource.dropped_attributes_count), ("http://resource", 1));
    let entity = &resource.entity_refs[0];
    assert_eq!((entity.schema_url.as_str(), entity.r#type.as_str()), ("http://entity", "host"));
    assert_eq!(
        (&entity.id_keys[..], &entity.description_keys[..]),
        (&["host.id".to_owned(), String::new()][..], &["host.name".to_owned()][..])
    );
    let of_scope = &of_resource.scope_spans[0];
    let scope = of_scope.scope.as_ref().unwrap();
    assert_eq!((scope.version.as_str(), scope.dropped_attributes_count), ("1", 2));
    assert_eq!((of_scope.schema_url.as_str(), scope.attributes.len()), ("http://scope", 1));
    let written = &of_scope.spans[0];
    assert_eq!((written.kind, written.flags, written.end_time_unix_nano), (-7, 0x301, u64::MAX));
    assert_eq!((written.dropped_attributes_count, written.dropped_events_count), (3, 5));
    assert_eq!((written.dropped_links_count, written.events[0].dropped_attributes_count), (u32::MAX, 4));
    assert_eq!((written.links[0].flags, written.links[0].trace_state.as_str()), (0x100, "c=d"));
    // Values that are zero or empty are there, and of their type.
    let kinds = |attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]| -> Vec<String> {
        let value = |attribute: &opentelemetry_proto::tonic::common::v1::KeyValue| {
            format!("{:?}", attribute.value.as_ref().and_then(|value| value.value.as_ref()))
        };
        attributes.iter().map(value).collect()
    };
    let expected = [
        "None",
        "Some(StringValue(\"\"))",
        "Some(IntValue(0))",
        "Some(IntValue(-1))",
        "Some(DoubleValue(-0.0))",
        "Some(BoolValue(false))",
        "Some(BytesValue([]))",
    ];
    for attributes in [&written.attributes, &written.events[0].attributes, &written.links[0].attributes] {
        assert_eq!(kinds(attributes)[..7], expected);
        assert_eq!(attributes.len(), 9);
    }
}

fn large(id: u8, bytes: usize, origin: &Arc<Origin>) -> Span {
    Span { attributes: vec![text("large", &"x".repeat(bytes))], ..span(id, origin) }
}

#[test]
fn should_keep_every_message_below_the_limit_and_lose_no_span() {
    let origins = [origin("shop", "http"), origin("shop", "sql"), origin("cart", "http")];
    for bytes in [MESSAGE_BYTES / 2, MESSAGE_BYTES - 200, MESSAGE_BYTES / 3, 700_000, 1_000] {
        let spans: Vec<Span> = (0..12).map(|id| large(id, bytes, &origins[usize::from(id) % 3])).collect();
        let messages = traces_data(&spans);
        assert!(messages.iter().all(|message| message.len() <= MESSAGE_BYTES && !message.is_empty()));
        let data = decoded(&messages);
        let mut ids: Vec<u8> = data
            .iter()
            .flat_map(|data| &data.resource_spans)
            .flat_map(|of| &of.scope_spans)
            .flat_map(|of| &of.spans)
            .map(|span| span.span_id[0])
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..12).collect::<Vec<u8>>(), "{bytes}");
        // No more messages than there must be, but for one at each border.
        let least = (12 * bytes).div_ceil(MESSAGE_BYTES);
        assert!(messages.len() <= 2 * least, "{bytes}: {} messages", messages.len());
    }
}

#[test]
fn should_shorten_a_span_that_fits_into_no_message_and_say_so() {
    let of = origin("shop", "http");
    let spans = [span(1, &of), large(2, 5 << 20, &of), span(3, &of)];
    let messages = traces_data(&spans);
    assert!(messages.iter().all(|message| message.len() <= MESSAGE_BYTES));
    let joined = messages.concat();
    let request = ExportTraceServiceRequest::decode(&joined[..]).unwrap();
    let spans: Vec<_> =
        request.resource_spans.iter().flat_map(|of| &of.scope_spans).flat_map(|of| &of.spans).collect();
    assert_eq!(spans.len(), 3);
    let short = spans.iter().find(|span| span.span_id == [2; 8]).unwrap();
    assert_eq!((short.name.as_str(), short.dropped_attributes_count), ("op-2", 1));
    assert_eq!(
        short.attributes.iter().map(|attribute| attribute.key.as_str()).collect::<Vec<_>>(),
        [WARNINGS]
    );
}
