//! Ids that both ends of a call share, as Zipkin's libraries do: the server's half gets an id of its own, the
//! client's half becomes its parent, and what the server called stays its child.

use std::collections::{HashMap, HashSet};

use siltstone_format::id::SpanId;
use siltstone_format::span::Span;

const SERVER: i32 = 2;
const CLIENT: i32 = 3;

pub(super) fn adjust(spans: &mut [&mut Span]) {
    let clients: HashSet<SpanId> = ids_of(spans, CLIENT).collect();
    if !ids_of(spans, SERVER).any(|id| clients.contains(&id)) {
        return;
    }
    let mut used: HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
    let mut last = 0;
    // By the id that was shared; several servers may share it with one client.
    let mut own_ids = HashMap::new();
    let mut halves = HashSet::new();
    for span in spans.iter_mut().filter(|span| span.kind == SERVER && clients.contains(&span.span_id)) {
        let own = unused(&mut used, &mut last);
        own_ids.insert(span.span_id, own);
        halves.insert(own);
        span.parent_span_id = Some(std::mem::replace(&mut span.span_id, own));
    }
    // The client's half is the parent of the server's only.
    for span in spans.iter_mut().filter(|span| !halves.contains(&span.span_id)) {
        if let Some(own) = span.parent_span_id.and_then(|parent| own_ids.get(&parent)) {
            span.parent_span_id = Some(*own);
        }
    }
}

fn ids_of<'a>(spans: &'a [&mut Span], kind: i32) -> impl Iterator<Item = SpanId> + 'a {
    spans.iter().filter(move |span| span.kind == kind).map(|span| span.span_id)
}

/// Small numbers: no library draws them.
fn unused(used: &mut HashSet<SpanId>, last: &mut u64) -> SpanId {
    loop {
        *last += 1;
        let id = SpanId(last.to_be_bytes());
        if used.insert(id) {
            return id;
        }
    }
}
