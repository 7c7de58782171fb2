//! Who can call whom, read off the same operations that make the traces.

use std::collections::BTreeSet;

use crate::operations::{BATCH_JOB, Consumer, ENTRIES, Operation, Step};
use crate::services::{KAFKA, SERVICES};

/// The services of the shop and every edge that a span can show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// `service.name` of every service.
    pub services: BTreeSet<&'static str>,
    pub edges: BTreeSet<Edge>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub caller: &'static str,
    /// A service, or the `server.address` of a peer.
    pub callee: &'static str,
    pub kind: EdgeKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeKind {
    /// A server span below the caller's client span.
    Call,
    /// A consumer span below the sender's producer span.
    Message,
    /// A consumer span in a trace of its own, with a link to the sender's producer span.
    Link,
    /// A client or producer span to something that sends no spans.
    Peer,
}

/// The graph behind all traffic, whatever the configuration.
#[must_use]
pub fn topology() -> Topology {
    let mut edges = BTreeSet::new();
    let mut seen = Vec::new();
    for (_, entry) in &ENTRIES {
        visit(entry, &mut seen, &mut edges);
    }
    visit(&BATCH_JOB, &mut seen, &mut edges);
    Topology { services: SERVICES.iter().map(|service| service.name).collect(), edges }
}

fn visit(operation: &'static Operation, seen: &mut Vec<*const Operation>, edges: &mut BTreeSet<Edge>) {
    let identity = std::ptr::from_ref(operation);
    if seen.contains(&identity) {
        return;
    }
    seen.push(identity);
    visit_steps(operation.service.name, operation.steps, seen, edges);
}

fn visit_steps(
    caller: &'static str,
    steps: &'static [Step],
    seen: &mut Vec<*const Operation>,
    edges: &mut BTreeSet<Edge>,
) {
    for step in steps {
        match step {
            Step::Inner(_, _, inside)
            | Step::Fork(inside)
            | Step::Maybe(_, inside)
            | Step::Times(_, inside)
            | Step::Fill(inside) => visit_steps(caller, inside, seen, edges),
            Step::Call(operation) => {
                edges.insert(Edge { caller, callee: operation.service.name, kind: EdgeKind::Call });
                visit(operation, seen, edges);
            }
            Step::Ask(statement) => {
                edges.insert(Edge { caller, callee: statement.peer.address, kind: EdgeKind::Peer });
            }
            Step::Publish(topic) => {
                edges.insert(Edge { caller, callee: KAFKA.address, kind: EdgeKind::Peer });
                let (operation, kind) = match &topic.consumer {
                    Consumer::Child(operation) => (operation, EdgeKind::Message),
                    Consumer::Linked(operation) => (operation, EdgeKind::Link),
                };
                edges.insert(Edge { caller, callee: operation.service.name, kind });
                visit(operation, seen, edges);
            }
        }
    }
}
