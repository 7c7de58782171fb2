//! Clocks that differ: a span of another host than its parent's is moved so that it fits into its parent, and
//! everything below it of its own host with it.
//!
//! How far: a child that fits stays. One that lasted no longer than its parent comes into its middle, as if requests
//! and answers took the same time; a longer one starts with it at the earliest. It is a guess, and so every span says
//! what was done.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use siltstone_format::id::SpanId;
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};

use super::warn;

pub(super) fn adjust(spans: &mut [&mut Span], max: Duration) {
    let Family { roots, children } = Family::of(spans);
    let mut open: Vec<Below> = roots.into_iter().map(Below::root).collect();
    while let Some(below) = open.pop() {
        let host = host_of(spans[below.span]);
        let delta = match below.parent {
            // Nobody knows whose clock an unknown host's is.
            Some(parent) if host.is_none() || host != below.host => skew(spans[below.span], spans[parent]),
            _ => below.delta,
        };
        shift(spans[below.span], delta, max);
        open.extend(children[below.span].iter().map(|child| Below {
            span: *child,
            parent: Some(below.span),
            host: host.clone(),
            delta,
        }));
    }
}

/// A span that is yet to be looked at, and what was found out above it.
struct Below {
    span: usize,
    parent: Option<usize>,
    host: Option<String>,
    delta: i128,
}

impl Below {
    fn root(span: usize) -> Self {
        Self { span, parent: None, host: None, delta: 0 }
    }
}

/// Who is whose child, by places among the spans.
struct Family {
    roots: Vec<usize>,
    children: Vec<Vec<usize>>,
}

impl Family {
    fn of(spans: &mut [&mut Span]) -> Self {
        let mut places: HashMap<SpanId, usize> = HashMap::new();
        for (place, span) in spans.iter_mut().enumerate() {
            match places.entry(span.span_id) {
                Entry::Vacant(vacant) => {
                    vacant.insert(place);
                }
                Entry::Occupied(_) => {
                    warn(span, "duplicate span IDs; skipping clock skew adjustment".to_owned());
                }
            }
        }
        let mut family = Self { roots: Vec::new(), children: vec![Vec::new(); spans.len()] };
        let mut placed: Vec<usize> = places.values().copied().collect();
        placed.sort_unstable();
        for place in placed {
            match spans[place].parent_span_id {
                None => family.roots.push(place),
                Some(parent) => match places.get(&parent) {
                    Some(parent) => family.children[*parent].push(place),
                    None => {
                        let warning = format!(
                            "parent span ID={parent} is not in the trace; skipping clock skew adjustment"
                        );
                        warn(spans[place], warning);
                        family.roots.push(place);
                    }
                },
            }
        }
        family
    }
}

/// What names the machine, and with it the clock.
fn host_of(span: &Span) -> Option<String> {
    let value = |key: &str| {
        let found =
            span.origin.resource_attributes.iter().find(|attribute: &&Attribute| attribute.key == key);
        found.map(|attribute| &attribute.value)
    };
    let text = |value: &Value| match value {
        Value::Str(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    };
    let first_ip = || match value("host.ip") {
        Some(Value::Array(items)) => items.first().and_then(text),
        _ => None,
    };
    value("host.id").and_then(text).or_else(first_ip).or_else(|| value("host.name").and_then(text))
}

/// By how many nanoseconds a child is moved.
fn skew(child: &Span, parent: &Span) -> i128 {
    let times = |span: &Span| (i128::from(span.start_unix_nano), i128::from(span.end_unix_nano));
    let ((start, end), (parent_start, parent_end)) = (times(child), times(parent));
    let (duration, parent_duration) = (end - start, parent_end - parent_start);
    if duration > parent_duration {
        // It went on alone, or its parent gave up: all that is known is that it did not start first.
        (parent_start - start).max(0)
    } else if start >= parent_start && end <= parent_end {
        0
    } else {
        parent_start - start + (parent_duration - duration) / 2
    }
}

fn shift(span: &mut Span, delta: i128, max: Duration) {
    if delta == 0 {
        return;
    }
    let shown = Duration::from_nanos(u64::try_from(delta.unsigned_abs()).unwrap_or(u64::MAX));
    let sign = if delta < 0 { "-" } else { "" };
    if shown > max {
        let warning = format!(
            "max clock skew adjustment delta of {max:?} exceeded; not applying calculated delta of {sign}{shown:?}"
        );
        warn(span, warning);
        return;
    }
    warn(span, format!("This span's timestamps were adjusted by {sign}{shown:?}"));
    let moved = |time: u64| u64::try_from((i128::from(time) + delta).max(0)).unwrap_or(u64::MAX);
    span.start_unix_nano = moved(span.start_unix_nano);
    span.end_unix_nano = moved(span.end_unix_nano);
    span.events.iter_mut().for_each(|event| event.time_unix_nano = moved(event.time_unix_nano));
}
