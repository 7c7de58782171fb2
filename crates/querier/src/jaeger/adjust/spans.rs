//! What is changed of a span by itself: attributes and events in an order, addresses as people write them, what is
//! said of the SDK with the resource, no links to nothing.

use std::net::Ipv4Addr;
use std::sync::Arc;

use siltstone_format::origin::Origin;
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};

use super::warn;

/// Attributes that hold an IPv4 address, from old libraries as a number.
const ADDRESSES: [&str; 2] = ["ip", "peer.ipv4"];
/// Attributes that belong to the resource, which some libraries leave with spans.
const OF_RESOURCE: [&str; 5] = [
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
    "telemetry.distro.name",
    "telemetry.distro.version",
];

/// Spans of a piece, and the origins that were made for them.
#[derive(Debug, Default)]
pub(super) struct Spans {
    made: Vec<Made>,
}

/// An origin with more attributes.
#[derive(Debug)]
struct Made {
    from: Arc<Origin>,
    moved: Vec<Attribute>,
    origin: Arc<Origin>,
}

impl Spans {
    pub(super) fn adjust(&mut self, spans: &mut [Span]) {
        for span in spans {
            self.adjust_span(span);
        }
    }

    fn adjust_span(&mut self, span: &mut Span) {
        let links = span.links.len();
        span.links.retain(|link| !link.trace_id.is_zero());
        let invalid = links - span.links.len();
        self.move_to_resource(span);
        span.attributes.iter_mut().for_each(spell_address);
        if span.origin.resource_attributes.iter().any(is_number_of_address) {
            self.change_origin(span, Vec::new());
        }
        sort(&mut span.attributes);
        span.events.iter_mut().for_each(|event| sort(&mut event.attributes));
        span.events.sort_by(|one, other| one.name.cmp(&other.name));
        (0..invalid).for_each(|_| warn(span, "Invalid span link removed".to_owned()));
    }

    fn move_to_resource(&mut self, span: &mut Span) {
        let belongs = |attribute: &Attribute| OF_RESOURCE.contains(&attribute.key.as_str());
        if !span.attributes.iter().any(belongs) {
            return;
        }
        let (found, kept) = std::mem::take(&mut span.attributes).into_iter().partition(belongs);
        span.attributes = kept;
        let mut moved = Vec::new();
        let mut conflicts = Vec::new();
        for attribute in found {
            let resource: &[Attribute] = &span.origin.resource_attributes;
            match resource.iter().chain(&moved).find(|other| other.key == attribute.key) {
                None => moved.push(attribute),
                Some(same) if same.value == attribute.value => {}
                Some(_) => conflicts.push(attribute),
            }
        }
        for attribute in conflicts {
            warn(
                span,
                format!("conflicting values between Span and Resource for attribute {}", attribute.key),
            );
            span.attributes.push(attribute);
        }
        if !moved.is_empty() {
            self.change_origin(span, moved);
        }
    }

    /// Gives a span an origin with more attributes, and with addresses as people write them.
    fn change_origin(&mut self, span: &mut Span, moved: Vec<Attribute>) {
        let is_same = |made: &&Made| Arc::ptr_eq(&made.from, &span.origin) && made.moved == moved;
        if let Some(made) = self.made.iter().find(is_same) {
            span.origin = Arc::clone(&made.origin);
            return;
        }
        let mut origin = Origin::clone(&span.origin);
        origin.resource_attributes.extend(moved.iter().cloned());
        origin.resource_attributes.iter_mut().for_each(spell_address);
        let from = std::mem::replace(&mut span.origin, Arc::new(origin));
        self.made.push(Made { from, moved, origin: Arc::clone(&span.origin) });
    }
}

fn sort(attributes: &mut [Attribute]) {
    attributes.sort_by(|one, other| one.key.cmp(&other.key));
}

fn spell_address(attribute: &mut Attribute) {
    if let Some(address) = address_of(attribute) {
        attribute.value = Value::Str(address.to_string());
    }
}

fn is_number_of_address(attribute: &Attribute) -> bool {
    address_of(attribute).is_some()
}

fn address_of(attribute: &Attribute) -> Option<Ipv4Addr> {
    if !ADDRESSES.contains(&attribute.key.as_str()) {
        return None;
    }
    let number = match attribute.value {
        Value::Int(int) => int,
        Value::Double(double) if double.fract() == 0.0 => double as i64,
        _ => return None,
    };
    // Some write the upper half of all addresses as negative numbers.
    let bits = u32::try_from(number).or_else(|_| i32::try_from(number).map(i32::cast_unsigned));
    bits.ok().map(Ipv4Addr::from_bits)
}
