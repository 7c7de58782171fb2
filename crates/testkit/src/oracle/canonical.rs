//! A span in the one form in which two of them can be compared: same spans are equal, others are not.
//!
//! What is not part of a span is taken away: the order of attributes at every level (they are a multiset),
//! the grouping into ResourceSpans, and the difference between a message that is absent and one that is
//! empty (resource, scope, status, the value of an attribute). Everything else stays: multiplicity, the
//! order of events and links, the order inside nested maps and arrays, floats by their bits.
//! Fields which OTLP defines for profiles only (`*_strindex`) are not looked at.

use std::fmt;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

/// One span with its origin. The order of the fields is the order of sorting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalSpan {
    pub trace_id: HexBytes,
    pub start_unix_nanos: u64,
    pub span_id: HexBytes,
    /// None when the parent id is empty or all zero.
    pub parent_id: Option<HexBytes>,
    pub name: String,
    /// The number on the wire, known or not.
    pub kind: i32,
    pub end_unix_nanos: u64,
    pub trace_state: String,
    pub flags: u32,
    pub status_code: i32,
    pub status_message: String,
    pub attributes: Attributes,
    pub dropped_attributes: u32,
    pub events: Vec<CanonicalEvent>,
    pub dropped_events: u32,
    pub links: Vec<CanonicalLink>,
    pub dropped_links: u32,
    pub origin: Arc<CanonicalOrigin>,
}

/// One resource with one instrumentation scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalOrigin {
    pub resource_attributes: Attributes,
    pub resource_dropped_attributes: u32,
    /// Opaque: each as it is on the wire, in their order.
    pub resource_entity_refs: Vec<HexBytes>,
    pub resource_schema_url: String,
    pub scope_name: String,
    pub scope_version: String,
    pub scope_attributes: Attributes,
    pub scope_dropped_attributes: u32,
    pub scope_schema_url: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalEvent {
    pub unix_nanos: u64,
    pub name: String,
    pub attributes: Attributes,
    pub dropped_attributes: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalLink {
    pub trace_id: HexBytes,
    pub span_id: HexBytes,
    pub trace_state: String,
    pub flags: u32,
    pub attributes: Attributes,
    pub dropped_attributes: u32,
}

/// A multiset of attributes, held sorted.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attributes(pub Vec<(String, CanonicalValue)>);

/// The value of an attribute, comparable by content.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CanonicalValue {
    /// The attribute is there and has no value.
    Empty,
    String(String),
    Bool(bool),
    Int(i64),
    Double(FloatBits),
    Bytes(HexBytes),
    Array(Vec<CanonicalValue>),
    /// In the order of the wire: a map is a value, not a set of attributes.
    Map(Vec<(String, CanonicalValue)>),
}

/// A double that is equal to another one only if all its bits are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FloatBits(pub u64);

/// Bytes that people read as hex: ids and byte values.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HexBytes(pub Vec<u8>);

impl CanonicalSpan {
    /// End minus start; negative when the span ends before it starts.
    pub fn duration_nanos(&self) -> i128 {
        i128::from(self.end_unix_nanos) - i128::from(self.start_unix_nanos)
    }

    pub fn service_name(&self) -> &str {
        self.origin.service_name()
    }
}

impl CanonicalOrigin {
    /// The string that the resource has under `service.name`, empty when it has none. If it has several, the
    /// first in the order of bytes: the order of attributes is not part of a resource.
    pub fn service_name(&self) -> &str {
        let names = self.resource_attributes.values_of("service.name").filter_map(|value| match value {
            CanonicalValue::String(name) => Some(name.as_str()),
            _ => None,
        });
        names.min().unwrap_or("")
    }
}

impl Attributes {
    /// All values of one key.
    pub fn values_of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a CanonicalValue> {
        self.0.iter().filter(move |(own_key, _)| own_key == key).map(|(_, value)| value)
    }
}

impl FloatBits {
    pub fn value(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl HexBytes {
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Every span of a request with its origin, in the order of the wire, same spans each time: also the way to
/// look at an answer that must not hold a span twice.
pub fn canonical_spans(request: &ExportTraceServiceRequest) -> Vec<CanonicalSpan> {
    let mut spans = Vec::new();
    for resource_spans in &request.resource_spans {
        for scope_spans in &resource_spans.scope_spans {
            let origin = origin_of(resource_spans, scope_spans);
            spans.extend(scope_spans.spans.iter().map(|span| span_of(span, &origin)));
        }
    }
    spans
}

fn origin_of(resource_spans: &ResourceSpans, scope_spans: &ScopeSpans) -> Arc<CanonicalOrigin> {
    let resource = resource_spans.resource.clone().unwrap_or_default();
    let scope = scope_spans.scope.clone().unwrap_or_default();
    Arc::new(CanonicalOrigin {
        resource_attributes: attributes_of(&resource.attributes),
        resource_dropped_attributes: resource.dropped_attributes_count,
        resource_entity_refs: resource.entity_refs.iter().map(|e| HexBytes(e.encode_to_vec())).collect(),
        resource_schema_url: resource_spans.schema_url.clone(),
        scope_name: scope.name,
        scope_version: scope.version,
        scope_attributes: attributes_of(&scope.attributes),
        scope_dropped_attributes: scope.dropped_attributes_count,
        scope_schema_url: scope_spans.schema_url.clone(),
    })
}

fn span_of(span: &Span, origin: &Arc<CanonicalOrigin>) -> CanonicalSpan {
    let status = span.status.clone().unwrap_or_default();
    let has_parent = span.parent_span_id.iter().any(|byte| *byte != 0);
    CanonicalSpan {
        trace_id: HexBytes(span.trace_id.clone()),
        start_unix_nanos: span.start_time_unix_nano,
        span_id: HexBytes(span.span_id.clone()),
        parent_id: has_parent.then(|| HexBytes(span.parent_span_id.clone())),
        name: span.name.clone(),
        kind: span.kind,
        end_unix_nanos: span.end_time_unix_nano,
        trace_state: span.trace_state.clone(),
        flags: span.flags,
        status_code: status.code,
        status_message: status.message,
        attributes: attributes_of(&span.attributes),
        dropped_attributes: span.dropped_attributes_count,
        events: span.events.iter().map(event_of).collect(),
        dropped_events: span.dropped_events_count,
        links: span.links.iter().map(link_of).collect(),
        dropped_links: span.dropped_links_count,
        origin: Arc::clone(origin),
    }
}

fn event_of(event: &Event) -> CanonicalEvent {
    CanonicalEvent {
        unix_nanos: event.time_unix_nano,
        name: event.name.clone(),
        attributes: attributes_of(&event.attributes),
        dropped_attributes: event.dropped_attributes_count,
    }
}

fn link_of(link: &Link) -> CanonicalLink {
    CanonicalLink {
        trace_id: link_id(&link.trace_id),
        span_id: link_id(&link.span_id),
        trace_state: link.trace_state.clone(),
        flags: link.flags,
        attributes: attributes_of(&link.attributes),
        dropped_attributes: link.dropped_attributes_count,
    }
}

/// An id of zeros says the same as none.
fn link_id(id: &[u8]) -> HexBytes {
    HexBytes(if id.iter().all(|byte| *byte == 0) { Vec::new() } else { id.to_vec() })
}

fn attributes_of(attributes: &[KeyValue]) -> Attributes {
    let mut pairs = pairs_of(attributes);
    pairs.sort();
    Attributes(pairs)
}

/// Keys and values in the order of the wire.
fn pairs_of(pairs: &[KeyValue]) -> Vec<(String, CanonicalValue)> {
    pairs.iter().map(|pair| (pair.key.clone(), value_of(pair.value.as_ref()))).collect()
}

fn value_of(value: Option<&AnyValue>) -> CanonicalValue {
    match value.and_then(|any| any.value.as_ref()) {
        None | Some(Value::StringValueStrindex(_)) => CanonicalValue::Empty,
        Some(Value::StringValue(text)) => CanonicalValue::String(text.clone()),
        Some(Value::BoolValue(bool)) => CanonicalValue::Bool(*bool),
        Some(Value::IntValue(int)) => CanonicalValue::Int(*int),
        Some(Value::DoubleValue(double)) => CanonicalValue::Double(FloatBits(double.to_bits())),
        Some(Value::BytesValue(bytes)) => CanonicalValue::Bytes(HexBytes(bytes.clone())),
        Some(Value::ArrayValue(array)) => {
            CanonicalValue::Array(array.values.iter().map(|element| value_of(Some(element))).collect())
        }
        Some(Value::KvlistValue(map)) => CanonicalValue::Map(pairs_of(&map.values)),
    }
}

// For people: a failed comparison prints these. Long ones are cut, and their length stands beside them.

const LONGEST_PRINTED: usize = 120;

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_pairs(&self.0, f)
    }
}

impl fmt::Debug for CanonicalValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CanonicalValue::Empty => f.write_str("empty"),
            CanonicalValue::String(text) => fmt_text(text, f),
            CanonicalValue::Bool(bool) => write!(f, "{bool}"),
            CanonicalValue::Int(int) => write!(f, "{int}"),
            CanonicalValue::Double(bits) => write!(f, "{bits:?}"),
            CanonicalValue::Bytes(bytes) => write!(f, "bytes({bytes:?})"),
            CanonicalValue::Array(values) => f.debug_list().entries(values).finish(),
            CanonicalValue::Map(pairs) => {
                f.write_str("map")?;
                fmt_pairs(pairs, f)
            }
        }
    }
}

impl fmt::Debug for FloatBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value().is_nan() {
            write!(f, "NaN({:#018x})", self.0)
        } else {
            write!(f, "{:?}", self.value())
        }
    }
}

impl fmt::Debug for HexBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.len().min(LONGEST_PRINTED / 2);
        f.write_str(&HexBytes(self.0.iter().take(shown).copied().collect()).to_hex())?;
        if shown < self.0.len() {
            write!(f, "… ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

fn fmt_pairs(pairs: &[(String, CanonicalValue)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("{")?;
    for (at, (key, value)) in pairs.iter().enumerate() {
        f.write_str(if at == 0 { "" } else { ", " })?;
        fmt_text(key, f)?;
        write!(f, ": {value:?}")?;
    }
    f.write_str("}")
}

fn fmt_text(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match text.char_indices().nth(LONGEST_PRINTED) {
        None => write!(f, "{text:?}"),
        Some((cut, _)) => write!(f, "{:?}… ({} bytes)", text.split_at(cut).0, text.len()),
    }
}
