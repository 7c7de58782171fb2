//! Who calls whom, computed plainly.
//!
//! The *callers* of a span: for a server's or consumer's span, the client's and producer's spans of other services
//! in its trace that have its own id (both ends of a call share it); if there are none, the spans that have its
//! parent's id, unless one of these is of its own service. Each service among the callers is one call.
//!
//! A client's or producer's span that is nobody's caller called something that sends no spans.

use std::collections::{BTreeMap, BTreeSet};

use super::Oracle;
use super::canonical::{CanonicalSpan, CanonicalValue, HexBytes};
use super::find::TimeWindow;

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

/// Caller, callee, kind (`service`, `messaging`, `database`, `peer`), and the system of a messaging edge.
pub type Edge = (String, String, &'static str, String);

/// The spans that stand for the calls of an edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    pub calls: u64,
    pub errors: u64,
    pub durations_nanos: Vec<i128>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    pub edges: BTreeMap<Edge, Calls>,
    /// Spans whose parent's id no span of their trace has, by service; not if another half called them.
    pub without_parent: BTreeMap<String, u64>,
}

impl Oracle {
    /// Of the spans that start in the window; their callers may start whenever they like.
    pub fn dependencies(&self, window: Option<TimeWindow>) -> Dependencies {
        let mut traces: BTreeMap<_, Vec<CanonicalSpan>> = BTreeMap::new();
        for span in self.spans() {
            traces.entry(span.trace_id.clone()).or_default().push(span);
        }
        let mut found = Dependencies::default();
        let inside =
            |span: &CanonicalSpan| window.is_none_or(|window| window.contains(span.start_unix_nanos));
        for trace in traces.values() {
            let callers: Vec<Vec<&CanonicalSpan>> = trace.iter().map(|span| callers(span, trace)).collect();
            for (span, own) in trace.iter().zip(&callers).filter(|(span, _)| inside(span)) {
                found.add_callers(span, own, trace);
                let is_caller = callers.iter().flatten().any(|caller| std::ptr::eq(*caller, span));
                if matches!(span.kind, CLIENT | PRODUCER) && !is_caller {
                    found.add_unanswered(span);
                }
            }
        }
        found
    }
}

impl Dependencies {
    fn add_callers(&mut self, span: &CanonicalSpan, callers: &[&CanonicalSpan], trace: &[CanonicalSpan]) {
        let own = span.service_name().to_owned();
        let services: BTreeSet<&str> = callers.iter().map(|caller| caller.service_name()).collect();
        for service in services {
            let mut of_service = callers.iter().filter(|caller| caller.service_name() == service);
            let is_message = span.kind == CONSUMER || of_service.any(|caller| caller.kind == PRODUCER);
            let edge = match is_message {
                true => (service.to_owned(), own.clone(), "messaging", text(span, "messaging.system")),
                false => (service.to_owned(), own.clone(), "service", String::new()),
            };
            self.add(edge, span);
        }
        let is_there = |id: &HexBytes| trace.iter().any(|other| other.span_id == *id);
        if span.parent_id.as_ref().is_some_and(|parent| !is_there(parent)) && callers.is_empty() {
            *self.without_parent.entry(own).or_default() += 1;
        }
    }

    fn add_unanswered(&mut self, span: &CanonicalSpan) {
        let names = |keys: &[&str]| {
            let named = keys.iter().map(|key| text(span, key)).find(|name| !name.is_empty());
            named.unwrap_or_default()
        };
        let caller = span.service_name().to_owned();
        let database = names(&["db.system.name", "db.system"]);
        let queue = names(&["messaging.system"]);
        let edge = if !database.is_empty() {
            (caller, database, "database", String::new())
        } else if !queue.is_empty() {
            (caller, queue.clone(), "messaging", queue)
        } else {
            let peer = names(&["peer.service", "server.address", "net.peer.name", "network.peer.address"]);
            (caller, peer, "peer", String::new())
        };
        self.add(edge, span);
    }

    fn add(&mut self, edge: Edge, span: &CanonicalSpan) {
        let calls = self.edges.entry(edge).or_default();
        calls.calls += 1;
        calls.errors += u64::from(span.status_code == 2);
        calls.durations_nanos.push(span.duration_nanos());
    }
}

fn callers<'a>(span: &CanonicalSpan, trace: &'a [CanonicalSpan]) -> Vec<&'a CanonicalSpan> {
    let own = span.service_name();
    let is_half = |other: &&CanonicalSpan| {
        matches!(span.kind, SERVER | CONSUMER)
            && matches!(other.kind, CLIENT | PRODUCER)
            && other.span_id == span.span_id
            && other.service_name() != own
    };
    let halves: Vec<&CanonicalSpan> = trace.iter().filter(is_half).collect();
    if !halves.is_empty() {
        return halves;
    }
    let Some(parent) = &span.parent_id else { return Vec::new() };
    let parents: Vec<&CanonicalSpan> = trace.iter().filter(|other| other.span_id == *parent).collect();
    if parents.iter().any(|parent| parent.service_name() == own) { Vec::new() } else { parents }
}

/// The smallest string under a key of the span; empty if there is none.
fn text(span: &CanonicalSpan, key: &str) -> String {
    let texts = span.attributes.values_of(key).filter_map(|value| match value {
        CanonicalValue::String(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    });
    texts.min().unwrap_or_default()
}
