//! The topology is the whole graph and nothing but the graph.

use std::collections::{BTreeSet, HashMap};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use siltstone_traffic::{Edge, EdgeKind, topology};

use crate::{Sent, batches, sent, string};

/// Edges as a reader of the spans finds them, by names only.
fn observed(sent: &[Sent]) -> BTreeSet<(String, String, EdgeKind)> {
    let service_of: HashMap<_, _> = sent.iter().map(|sent| (&sent.span.span_id, &sent.service)).collect();
    let parents: BTreeSet<_> = sent.iter().map(|sent| &sent.span.parent_span_id).collect();
    let services = topology().services;
    let mut edges = BTreeSet::new();
    for Sent { service, span, .. } in sent {
        let consumer = span.kind == SpanKind::Consumer as i32;
        if let Some(&caller) = service_of.get(&span.parent_span_id).filter(|caller| **caller != service) {
            let kind = if consumer { EdgeKind::Message } else { EdgeKind::Call };
            edges.insert((caller.clone(), service.clone(), kind));
        }
        for caller in span.links.iter().filter_map(|link| service_of.get(&link.span_id)) {
            edges.insert(((*caller).clone(), service.clone(), EdgeKind::Link));
        }
        let outgoing = span.kind == SpanKind::Client as i32 || span.kind == SpanKind::Producer as i32;
        if let Some(peer) = string(&span.attributes, "server.address").filter(|_| outgoing)
            && !services.contains(peer)
        {
            let answered = parents.contains(&span.span_id) && span.kind == SpanKind::Client as i32;
            assert!(!answered, "{peer} is no service and has spans below");
            edges.insert((service.clone(), peer.to_owned(), EdgeKind::Peer));
        }
    }
    edges
}

#[test]
fn should_show_exactly_the_edges_of_the_topology() {
    let sent = sent(batches(300_000));
    let expected: BTreeSet<_> = topology()
        .edges
        .into_iter()
        .map(|Edge { caller, callee, kind }| (caller.to_owned(), callee.to_owned(), kind))
        .collect();
    let observed = observed(&sent);
    assert_eq!(observed.difference(&expected).collect::<Vec<_>>(), Vec::<&_>::new(), "not in the topology");
    assert_eq!(expected.difference(&observed).collect::<Vec<_>>(), Vec::<&_>::new(), "never produced");
}

#[test]
fn should_have_at_least_fifteen_services_and_see_them_all() {
    let services = topology().services;
    assert!(services.len() >= 15, "{services:?}");
    let sent = sent(batches(150_000));
    let seen: BTreeSet<_> = sent.iter().map(|sent| sent.service.as_str()).collect();
    assert_eq!(seen, services);
}
