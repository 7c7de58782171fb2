//! OTLP requests as JSON, in every way in which senders may write them: slow and simple, and of no use to anybody
//! but tests of what reads JSON.

use std::fmt::Write;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

const KINDS: [&str; 6] = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
const CODES: [&str; 3] = ["UNSET", "OK", "ERROR"];
const UNKNOWN: [&str; 8] =
    ["null", "true", "-1.5e+3", r#""\"}]""#, "{}", "[ ]", r#"{"a":[{"b":null},[[]],{}]}"#, "[1,\"x\"]"];
/// Each is valid JSON and no span.
const NO_SPANS: [&str; 8] = [
    "null",
    "[]",
    "7",
    r#"{"traceId":"no hex"}"#,
    r#"{"name":"x","kind":"SPAN_KIND_OTHER","later":[{"}":"]"}]}"#,
    r#"{"startTimeUnixNano":-1}"#,
    r#"{"attributes":[{"key":"k","value":{"arrayValue":{"values":[{"intValue":"x"}]}}}]}"#,
    r#"{"links":[{"spanId":[1]}],"name":"x"}"#,
];

/// Writes requests as JSON. The seed decides how: order, spelling and form of everything that may vary.
pub struct JsonWriter {
    state: u64,
    varied: bool,
    bad_spans: u64,
}

/// The members of an object.
type Members = Vec<(&'static str, String)>;

impl JsonWriter {
    /// As exporters write it: camel case, times as texts, nothing that is empty.
    pub fn usual() -> Self {
        Self { state: 0, varied: false, bad_spans: 0 }
    }

    pub fn varied(seed: u64) -> Self {
        Self { state: seed, varied: true, bad_spans: 0 }
    }

    /// How many spans were written that are none.
    pub fn bad_spans(&self) -> u64 {
        self.bad_spans
    }

    pub fn request(&mut self, request: &ExportTraceServiceRequest) -> String {
        let resource_spans = self.list(&request.resource_spans, Self::resource_spans);
        self.object(vec![("resourceSpans", resource_spans)])
    }

    fn resource_spans(&mut self, of: &ResourceSpans) -> String {
        let mut members = vec![
            ("scopeSpans", self.list(&of.scope_spans, Self::scope_spans)),
            ("schemaUrl", self.text(&of.schema_url)),
        ];
        members.extend(of.resource.as_ref().map(|resource| ("resource", self.resource(resource))));
        self.object(members)
    }

    fn resource(&mut self, of: &Resource) -> String {
        let members = vec![
            ("attributes", self.list(&of.attributes, Self::key_value)),
            ("droppedAttributesCount", self.integer(of.dropped_attributes_count.into(), false)),
            ("entityRefs", self.list(&of.entity_refs, Self::entity)),
        ];
        self.object(members)
    }

    fn entity(&mut self, of: &EntityRef) -> String {
        let text = |at: &mut Self, text: &String| at.text(text);
        let members = vec![
            ("schemaUrl", self.text(&of.schema_url)),
            ("type", self.text(&of.r#type)),
            ("idKeys", self.list(&of.id_keys, text)),
            ("descriptionKeys", self.list(&of.description_keys, text)),
        ];
        self.object(members)
    }

    fn scope_spans(&mut self, of: &ScopeSpans) -> String {
        let spans = self.list(&of.spans, Self::span);
        let mut members =
            vec![("spans", self.with_bad_spans(spans)), ("schemaUrl", self.text(&of.schema_url))];
        members.extend(of.scope.as_ref().map(|scope| ("scope", self.scope(scope))));
        self.object(members)
    }

    fn with_bad_spans(&mut self, spans: String) -> String {
        if !self.chance(4) {
            return spans;
        }
        self.bad_spans += 2;
        let (first, last) = (self.pick(&NO_SPANS), self.pick(&NO_SPANS));
        let inner = spans.strip_prefix('[').and_then(|spans| spans.strip_suffix(']')).unwrap_or_default();
        let comma = if inner.trim().is_empty() { "" } else { "," };
        format!("[{first}{comma}{inner},{last}]")
    }

    fn scope(&mut self, of: &InstrumentationScope) -> String {
        let members = vec![
            ("name", self.text(&of.name)),
            ("version", self.text(&of.version)),
            ("attributes", self.list(&of.attributes, Self::key_value)),
            ("droppedAttributesCount", self.integer(of.dropped_attributes_count.into(), false)),
        ];
        self.object(members)
    }

    fn span(&mut self, of: &Span) -> String {
        let mut members = vec![
            ("traceId", self.hex(&of.trace_id)),
            ("spanId", self.hex(&of.span_id)),
            ("traceState", self.text(&of.trace_state)),
            ("parentSpanId", self.hex(&of.parent_span_id)),
            ("flags", self.integer(of.flags.into(), false)),
            ("name", self.text(&of.name)),
            ("kind", self.enumeration(of.kind, "SPAN_KIND_", &KINDS)),
            ("startTimeUnixNano", self.integer(of.start_time_unix_nano.into(), true)),
            ("endTimeUnixNano", self.integer(of.end_time_unix_nano.into(), true)),
            ("attributes", self.list(&of.attributes, Self::key_value)),
            ("droppedAttributesCount", self.integer(of.dropped_attributes_count.into(), false)),
            ("events", self.list(&of.events, Self::event)),
            ("droppedEventsCount", self.integer(of.dropped_events_count.into(), false)),
            ("links", self.list(&of.links, Self::link)),
            ("droppedLinksCount", self.integer(of.dropped_links_count.into(), false)),
        ];
        members.extend(of.status.as_ref().map(|status| ("status", self.status(status))));
        self.object(members)
    }

    fn status(&mut self, of: &Status) -> String {
        let members = vec![
            ("message", self.text(&of.message)),
            ("code", self.enumeration(of.code, "STATUS_CODE_", &CODES)),
        ];
        self.object(members)
    }

    fn event(&mut self, of: &Event) -> String {
        let members = vec![
            ("timeUnixNano", self.integer(of.time_unix_nano.into(), true)),
            ("name", self.text(&of.name)),
            ("attributes", self.list(&of.attributes, Self::key_value)),
            ("droppedAttributesCount", self.integer(of.dropped_attributes_count.into(), false)),
        ];
        self.object(members)
    }

    fn link(&mut self, of: &Link) -> String {
        let members = vec![
            ("traceId", self.hex(&of.trace_id)),
            ("spanId", self.hex(&of.span_id)),
            ("traceState", self.text(&of.trace_state)),
            ("attributes", self.list(&of.attributes, Self::key_value)),
            ("droppedAttributesCount", self.integer(of.dropped_attributes_count.into(), false)),
            ("flags", self.integer(of.flags.into(), false)),
        ];
        self.object(members)
    }

    fn key_value(&mut self, of: &KeyValue) -> String {
        let mut members = vec![("key", self.text(&of.key))];
        members.extend(of.value.as_ref().map(|value| ("value", self.value(value))));
        self.object(members)
    }

    fn value(&mut self, of: &AnyValue) -> String {
        let member = match &of.value {
            None => None,
            Some(Value::StringValue(text)) => Some(("stringValue", self.text(text))),
            Some(Value::BoolValue(flag)) => Some(("boolValue", flag.to_string())),
            Some(Value::IntValue(int)) => Some(("intValue", self.integer((*int).into(), true))),
            Some(Value::DoubleValue(double)) => Some(("doubleValue", self.double(*double))),
            Some(Value::BytesValue(bytes)) => Some(("bytesValue", self.base64(bytes))),
            Some(Value::ArrayValue(array)) => {
                let values = self.list(&array.values, Self::element);
                Some(("arrayValue", self.object(vec![("values", values)])))
            }
            Some(Value::KvlistValue(list)) => {
                let values = self.list(&list.values, Self::key_value);
                Some(("kvlistValue", self.object(vec![("values", values)])))
            }
            // Of profiles only.
            Some(Value::StringValueStrindex(index)) => Some(("stringValueStrindex", index.to_string())),
        };
        // A member of a oneof is written even if it is empty.
        let members: Vec<String> = member.iter().map(|(name, value)| self.member(name, value)).collect();
        self.finish(members)
    }

    fn element(&mut self, of: &AnyValue) -> String {
        if of.value.is_none() && self.chance(2) { "null".to_owned() } else { self.value(of) }
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T) -> String) -> String {
        let items: Vec<String> = items.iter().map(|item| write(self, item)).collect();
        format!("[{}{}]", self.space(), items.join(self.comma()))
    }

    fn object(&mut self, members: Members) -> String {
        let mut written = Vec::new();
        for (name, value) in members {
            if !matches!(value.as_str(), "0" | "[]" | "\"0\"" | "\"\"") {
                written.push(self.member(name, &value));
            } else if self.chance(3) {
                let value = if self.chance(2) { "null".to_owned() } else { value };
                written.push(self.member(name, &value));
            }
        }
        if self.chance(8) {
            let value = self.pick(&UNKNOWN);
            written.push(self.member("unknownToUs", value));
        }
        self.finish(written)
    }

    /// An object of these members, in another order.
    fn finish(&mut self, mut members: Vec<String>) -> String {
        let varied = self.varied;
        for at in (1..members.len()).rev().filter(|_| varied) {
            let other = (self.next() % (at as u64 + 1)) as usize;
            members.swap(at, other);
        }
        format!("{{{}{}{}}}", self.space(), members.join(self.comma()), self.space())
    }

    fn member(&mut self, name: &str, value: &str) -> String {
        let mut spelled = name.to_owned();
        if self.chance(3) {
            spelled = name.chars().fold(String::new(), |mut snake, letter| {
                snake.extend(letter.is_ascii_uppercase().then_some('_'));
                snake.push(letter.to_ascii_lowercase());
                snake
            });
        }
        format!("{}:{}{value}", self.text(&spelled), self.space())
    }

    fn text(&mut self, text: &str) -> String {
        let mut json = String::from("\"");
        for character in text.chars() {
            match character {
                '"' | '\\' => json.extend(['\\', character]),
                '\n' if !self.chance(2) => json.push_str("\\n"),
                '/' if self.chance(2) => json.push_str("\\/"),
                character if u32::from(character) < 0x20 || self.chance(40) => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        let _ = write!(json, "\\u{unit:04x}");
                    }
                }
                character => json.push(character),
            }
        }
        json.push('"');
        json
    }

    fn hex(&mut self, id: &[u8]) -> String {
        let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let mixed =
            digits.chars().map(|digit| if self.chance(3) { digit.to_ascii_uppercase() } else { digit });
        format!("\"{}\"", mixed.collect::<String>())
    }

    fn integer(&mut self, integer: i128, usually_text: bool) -> String {
        let digits = match integer {
            0 => integer.to_string(),
            _ if self.chance(10) => format!("{integer}.0"),
            _ if self.chance(10) => format!("{integer}0e-1"),
            _ => integer.to_string(),
        };
        let text = usually_text != self.chance(4);
        if text { format!("\"{digits}\"") } else { digits }
    }

    fn enumeration(&mut self, number: i32, prefix: &str, names: &[&str]) -> String {
        let name = usize::try_from(number).ok().and_then(|number| names.get(number));
        match name.filter(|_| self.chance(3)) {
            Some(name) => format!("\"{prefix}{name}\""),
            None => number.to_string(),
        }
    }

    fn double(&mut self, double: f64) -> String {
        match double {
            nan if nan.is_nan() => "\"NaN\"".to_owned(),
            f64::INFINITY => "\"Infinity\"".to_owned(),
            f64::NEG_INFINITY => "\"-Infinity\"".to_owned(),
            double if self.chance(4) => format!("\"{double:?}\""),
            double => format!("{double:?}"),
        }
    }

    fn base64(&mut self, bytes: &[u8]) -> String {
        let last = if self.chance(2) { b"-_" } else { b"+/" };
        let alphabet: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(*last).collect();
        let mut json = String::from("\"");
        for chunk in bytes.chunks(3) {
            let bits = chunk.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
            let bits = bits << (8 * (3 - chunk.len()));
            let digits = (0..=chunk.len()).map(|digit| char::from(alphabet[bits >> (18 - 6 * digit) & 63]));
            json.extend(digits);
        }
        if !self.chance(2) {
            (0..(3 - bytes.len() % 3) % 3).for_each(|_| json.push('='));
        }
        json.push('"');
        json
    }

    fn comma(&mut self) -> &'static str {
        if self.chance(6) { " ,\t\r\n" } else { "," }
    }

    fn space(&mut self) -> &'static str {
        if self.chance(6) { "\n " } else { "" }
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[(self.next() % from.len() as u64) as usize]
    }

    /// True once in so many, and never if it is written as usual.
    fn chance(&mut self, one_in: u64) -> bool {
        self.varied && self.next().is_multiple_of(one_in)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}
