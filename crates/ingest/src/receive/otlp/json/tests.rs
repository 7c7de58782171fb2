use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use prost::Message;

use super::*;

fn transcode(json: &str) -> (ExportTraceServiceRequest, Transcoded) {
    let transcoded = to_protobuf(json.as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"));
    (ExportTraceServiceRequest::decode(&*transcoded.body).expect("valid protobuf"), transcoded)
}

fn of_spans(spans: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#)
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<&Span> {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| &scope.spans).collect()
}

fn only_span(members: &str) -> Span {
    let (request, transcoded) = transcode(&of_spans(&format!("{{{members}}}")));
    assert_eq!(transcoded.refused, Refusals::default(), "{members}: {:?}", transcoded.first_refused);
    spans(&request).first().copied().cloned().expect("one span")
}

fn faults(span: &str) -> Vec<SpanFault> {
    let good = r#"{"name":"good"}"#;
    let (request, transcoded) = transcode(&of_spans(&format!("{good},{span},{good}")));
    let names: Vec<_> = spans(&request).iter().map(|span| span.name.as_str()).collect();
    let faults: Vec<_> = transcoded.refused.iter().map(|(fault, _)| fault).collect();
    let taken = if faults.is_empty() { 3 } else { 2 };
    assert_eq!(names.iter().filter(|name| **name == "good").count(), 2, "{span}");
    assert_eq!(names.len(), taken, "{span}");
    faults
}

fn value_of(value: &str) -> Option<Value> {
    let span = only_span(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#));
    span.attributes.first().and_then(|pair| pair.value.clone()).and_then(|any| any.value)
}

#[test]
fn should_read_the_example_of_the_specification() {
    let (request, _) = transcode(
        r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my.service"}}]},
        "scopeSpans":[{"scope":{"name":"my.library","version":"1.0.0","attributes":[{"key":"my.scope.attribute",
        "value":{"stringValue":"some scope attribute"}}]},"spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C",
        "spanId":"EEE19B7EC3C1B174","parentSpanId":"EEE19B7EC3C1B173","name":"I'm a server span",
        "startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000","kind":2,
        "attributes":[{"key":"my.span.attr","value":{"stringValue":"some value"}}]}]}]}]}"#,
    );
    let span = spans(&request)[0];
    assert_eq!(span.trace_id, 0x5B8EFFF798038103D269B633813FC60C_u128.to_be_bytes());
    assert_eq!(span.parent_span_id, 0xEEE19B7EC3C1B173_u64.to_be_bytes());
    assert_eq!((span.start_time_unix_nano, span.kind), (1_544_712_660_000_000_000, 2));
    let resource = request.resource_spans[0].resource.as_ref().expect("a resource");
    assert_eq!(resource.attributes[0].key, "service.name");
}

#[test]
fn should_take_integers_as_numbers_and_texts_without_rounding() {
    for (json, time) in [
        ("1767603600123456789", 1_767_603_600_123_456_789),
        (r#""1767603600123456789""#, 1_767_603_600_123_456_789),
        ("1.767603600123456789e18", 1_767_603_600_123_456_789),
        (r#""18446744073709551615""#, u64::MAX),
        ("18446744073709551615", u64::MAX),
        ("1e3", 1_000),
        ("1000.00", 1_000),
        ("12300e-2", 123),
        ("-0", 0),
        ("0.0e99999999", 0),
        ("null", 0),
    ] {
        assert_eq!(only_span(&format!(r#""startTimeUnixNano":{json}"#)).start_time_unix_nano, time, "{json}");
    }
    for json in
        ["-1", "1.5", "18446744073709551616", r#""""#, r#"" 1""#, r#""0x1""#, r#""+1""#, "1e400", "[1]"]
    {
        assert_eq!(faults(&format!(r#"{{"endTimeUnixNano":{json}}}"#)), [SpanFault::Malformed], "{json}");
    }
    assert_eq!(value_of(r#"{"intValue":"-9223372036854775808"}"#), Some(Value::IntValue(i64::MIN)));
    assert_eq!(value_of(r#"{"int_value":-1}"#), Some(Value::IntValue(-1)));
    assert_eq!(faults(r#"{"flags":4294967296}"#), [SpanFault::Malformed]);
    assert_eq!(only_span(r#""flags":4294967295"#).flags, u32::MAX);
}

#[test]
fn should_take_doubles_in_every_form() {
    for (json, double) in [
        ("1", 1.0),
        ("-0.0", -0.0),
        ("0.1", 0.1),
        (r#""1.5e-7""#, 1.5e-7),
        (r#""Infinity""#, f64::INFINITY),
        (r#""-Infinity""#, f64::NEG_INFINITY),
        ("5e-324", 5e-324),
        ("1.7976931348623157e308", f64::MAX),
    ] {
        let Some(Value::DoubleValue(read)) = value_of(&format!(r#"{{"doubleValue":{json}}}"#)) else {
            panic!("{json} is a double")
        };
        assert_eq!(read.to_bits(), f64::to_bits(double), "{json}");
    }
    assert!(matches!(value_of(r#"{"doubleValue":"NaN"}"#), Some(Value::DoubleValue(nan)) if nan.is_nan()));
    for json in ["1e400", r#""inf""#, r#""nan""#, r#""""#, "true"] {
        let span = format!(r#"{{"attributes":[{{"key":"k","value":{{"doubleValue":{json}}}}}]}}"#);
        assert_eq!(faults(&span), [SpanFault::Malformed], "{json}");
    }
}

#[test]
fn should_take_bytes_in_both_alphabets_with_and_without_padding() {
    for base64 in ["+/8=", "-_8=", "+/8", "-_8"] {
        let value = value_of(&format!(r#"{{"bytesValue":"{base64}"}}"#));
        assert_eq!(value, Some(Value::BytesValue(vec![0xfb, 0xff])), "{base64}");
    }
    assert_eq!(value_of(r#"{"bytesValue":""}"#), Some(Value::BytesValue(Vec::new())));
    for base64 in ["+_8=", "a", "****"] {
        let span = format!(r#"{{"attributes":[{{"value":{{"bytesValue":"{base64}"}}}}]}}"#);
        assert_eq!(faults(&span), [SpanFault::Malformed], "{base64}");
    }
}

#[test]
fn should_take_enumerations_by_number_and_by_name() {
    assert_eq!(only_span(r#""kind":"SPAN_KIND_CONSUMER""#).kind, 5);
    assert_eq!(only_span(r#""kind":17"#).kind, 17);
    assert_eq!(only_span(r#""kind":-3"#).kind, -3);
    let status = only_span(r#""status":{"code":"STATUS_CODE_ERROR","message":"no"}"#).status;
    assert_eq!(status.map(|status| (status.code, status.message)), Some((2, "no".to_owned())));
    for span in [r#"{"kind":"server"}"#, r#"{"kind":"2"}"#, r#"{"kind":1.5}"#, r#"{"status":{"code":"BAD"}}"#]
    {
        assert_eq!(faults(span), [SpanFault::Malformed], "{span}");
    }
}

#[test]
fn should_leave_out_null_and_unknown_members_wherever_they_stand() {
    let span = only_span(
        r#""name":"kept","later":{"a":[{"b":[[[]],{},"}]",-1.5e3]}]},"traceState":null,"events":null,
           "attributes":[{"key":"k","new":[],"value":null},{"value":{"new":{}}}],"links":[{"new":1}]"#,
    );
    assert_eq!((span.name.as_str(), span.attributes.len(), span.links.len()), ("kept", 2, 1));
    assert_eq!(span.attributes[0], KeyValue { key: "k".to_owned(), ..KeyValue::default() });
    assert_eq!(span.attributes[1].value, Some(AnyValue { value: None }));
    let (request, _) = transcode(r#" { "resourceSpans" : null , "more" : [ ] } "#);
    assert_eq!(request, ExportTraceServiceRequest::default());
    let array = value_of(r#"{"arrayValue":{"values":[null,{"boolValue":true}]}}"#);
    assert!(matches!(array, Some(Value::ArrayValue(array)) if array.values.len() == 2));
}

#[test]
fn should_ignore_what_is_unknown_at_any_depth() {
    let deep = format!("{}1{}", r#"[{"a":"#.repeat(100_000), "}]".repeat(100_000));
    assert_eq!(only_span(&format!(r#""name":"kept","deep":{deep}"#)).name, "kept");
}

#[test]
fn should_take_the_later_of_two_members() {
    let span =
        only_span(r#""name":"a","name":"b","kind":2,"kind":0,"status":{"code":1},"status":{"code":0}"#);
    assert_eq!((span.name.as_str(), span.kind, span.status.map(|status| status.code)), ("b", 0, Some(0)));
}

#[test]
fn should_take_members_in_any_order() {
    let (request, _) = transcode(
        r#"{"resource_spans":[{"schemaUrl":"u","scope_spans":[{"spans":[{"name":"a"}],"scope":{"name":"s"}}],
           "resource":{"droppedAttributesCount":3}}]}"#,
    );
    let first = &request.resource_spans[0];
    assert_eq!(first.resource.as_ref().map(|resource| resource.dropped_attributes_count), Some(3));
    assert_eq!(first.scope_spans[0].scope.as_ref().map(|scope| scope.name.as_str()), Some("s"));
}

#[test]
fn should_read_escapes_and_surrogate_pairs() {
    let name = only_span(r#""n\u0061me":"\u0041\n\t\r\b\f\/\\\"\u00e4\ud83d\ude00ż\u0000""#).name;
    assert_eq!(name, "A\n\t\r\u{8}\u{c}/\\\"ä😀ż\0");
    for name in [r"\ud83d", r"\ud83dx", r"\ud83d\u0041", r"\ude00"] {
        assert_eq!(faults(&format!(r#"{{"name":"{name}"}}"#)), [SpanFault::NotUtf8], "{name}");
    }
}

#[test]
fn should_refuse_a_bad_span_alone_and_name_its_fault() {
    for (span, fault) in [
        (r#"{"traceId":"xyz"}"#, SpanFault::TraceId),
        (r#"{"traceId":"W47/95gDgQPSabYzgT/GDA=="}"#, SpanFault::TraceId),
        (r#"{"traceId":"abc"}"#, SpanFault::TraceId),
        (r#"{"traceId":12}"#, SpanFault::TraceId),
        (r#"{"spanId":"0g"}"#, SpanFault::SpanId),
        (r#"{"parentSpanId":" 00"}"#, SpanFault::ParentSpanId),
        (r#"{"links":[{"traceId":"00"},{"spanId":"--"}]}"#, SpanFault::LinkId),
        (r#"{"name":7}"#, SpanFault::Malformed),
        (r#"{"events":[{"name":["x"]}]}"#, SpanFault::Malformed),
        (r#"{"events":{}}"#, SpanFault::Malformed),
        (r#"{"events":[null]}"#, SpanFault::Malformed),
        (r#"{"attributes":[{"key":"k","value":"bare"}]}"#, SpanFault::Malformed),
        (r#"{"attributes":[{"key":"k","value":{"boolValue":"true"}}]}"#, SpanFault::Malformed),
        (r#"{"status":3,"later":{"a":[1,2,{"b":"}"}]}}"#, SpanFault::Malformed),
        ("null", SpanFault::Malformed),
        ("[]", SpanFault::Malformed),
        (r#""span""#, SpanFault::Malformed),
        ("-1.5e3", SpanFault::Malformed),
    ] {
        assert_eq!(faults(span), [fault], "{span}");
    }
    let transcoded = transcode(&of_spans(r#"{"name":"a","kind":true}"#)).1;
    let first = transcoded.first_refused.expect("a reason");
    assert_eq!(first.to_string(), "byte 62: expected a span kind");
}

#[test]
fn should_refuse_a_span_alone_that_is_not_utf_8_or_too_deep() {
    let mut json = of_spans(r#"{"name":"?"},{"name":"good"}"#).into_bytes();
    let at = json.iter().position(|byte| *byte == b'?').expect("the place");
    json[at] = 0xff;
    let transcoded = to_protobuf(&json).expect("only the span is refused");
    assert_eq!(transcoded.refused.iter().collect::<Vec<_>>(), [(SpanFault::NotUtf8, 1)]);

    let nested = |depth: usize, open: &str, close: &str| {
        let value = format!("{}{}{}", open.repeat(depth), r#"{"intValue":1}"#, close.repeat(depth));
        format!(r#"{{"attributes":[{{"key":"k","value":{value}}}]}}"#)
    };
    let arrays = |depth| nested(depth, r#"{"arrayValue":{"values":["#, "]}}");
    let pairs = |depth| nested(depth, r#"{"kvlistValue":{"values":[{"key":"k","value":"#, "}]}}");
    assert_eq!(faults(&arrays(46)), []);
    assert_eq!(faults(&arrays(47)), [SpanFault::TooDeep]);
    assert_eq!(faults(&arrays(100_000)), [SpanFault::TooDeep]);
    assert_eq!(faults(&pairs(30)), []);
    assert_eq!(faults(&pairs(31)), [SpanFault::TooDeep]);
}

#[test]
fn should_refuse_the_request_for_broken_json_and_wrong_outer_shapes() {
    for (json, message) in [
        ("", "byte 0: expected a request"),
        ("[]", "byte 0: expected a request"),
        ("null", "byte 0: expected a request"),
        ("{} {}", "byte 3: expected the end"),
        (r#"{"resourceSpans":{}}"#, "byte 17: expected a list"),
        (r#"{"resourceSpans":[null]}"#, "byte 18: expected resource spans"),
        (r#"{"resourceSpans":[{"scopeSpans":[{"spans":7}]}]}"#, "byte 42: expected a list"),
        (r#"{"resourceSpans":[{"resource":{"attributes":[{"key":1}]}}]}"#, "byte 52: expected a text"),
        (r#"{"x":01}"#, "byte 5: expected a number without leading zeros"),
        (r#"{"x":1.}"#, "byte 7: expected a digit"),
        (r#"{"x":1e}"#, "byte 7: expected a digit"),
        (r#"{"x":+1}"#, "byte 5: expected a value"),
        (r#"{"x":.5}"#, "byte 5: expected a value"),
        (r#"{"x":tru}"#, "byte 5: expected true"),
        (r#"{"x":"\q"}"#, "byte 7: expected an escape"),
        (r#"{"x":"\u12g4"}"#, "byte 7: expected four hexadecimal digits"),
        ("{\"x\":\"\n\"}", "byte 6: expected no control character in a text"),
        (r#"{"x":[1,]}"#, "byte 8: expected a value"),
        (r#"{"x":1,}"#, "byte 7: expected the name of a member"),
        (r#"{"x" 1}"#, "byte 5: expected `:`"),
        (r#"{"x":[1 2]}"#, "byte 8: expected `,` or `]`"),
        (r#"{"x":[1}"#, "byte 7: expected `,` or `]`"),
        (r#"{"x":{"y":1]"#, "byte 11: expected `,` or `}`"),
        (r#"{"x":"y"#, "byte 7: expected the end of the text"),
        (r#"{'x':1}"#, "byte 1: expected the name of a member"),
        ("\u{feff}{}", "byte 0: expected a request"),
    ] {
        assert_eq!(
            to_protobuf(json.as_bytes()).map_err(|error| error.to_string()),
            Err(message.to_owned()),
            "{json}"
        );
    }
    // A span that is wrong, in JSON that is broken behind it or in it.
    for json in [of_spans(r#"{"kind":true,"x":[}"#), of_spans(r#"{"kind":true},"#)] {
        assert!(to_protobuf(json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn should_write_less_than_it_reads() {
    for piece in [
        of_spans(&vec!["{}"; 10_000].join(",")),
        of_spans(&format!(r#"{{"events":[{}]}}"#, vec!["{}"; 10_000].join(","))),
        of_spans(&format!(r#"{{"name":"{}"}}"#, "x".repeat(100_000))),
    ] {
        let body = to_protobuf(piece.as_bytes()).expect("valid").body;
        assert!(body.len() <= piece.len(), "{} from {}", body.len(), piece.len());
    }
}

proptest! {
    /// What is refused stays refused however it is cut, and nothing panics.
    #[test]
    fn should_agree_with_serde_json_on_what_is_json(text in "[\\[\\]{}\",:0-9eE.+tfnul\\\\ -]{0,24}") {
        let known = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        let wrapped = format!(r#"{{"unknown":{text}}}"#);
        // Text that closes the object early is another document.
        if serde_json::from_str::<serde::de::IgnoredAny>(&wrapped).is_ok() == known {
            prop_assert_eq!(to_protobuf(wrapped.as_bytes()).is_ok(), known, "{}", wrapped);
        }
    }
}
