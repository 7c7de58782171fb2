//! Which spans are one: the rule is the format's, the collapsing of an answer is here.

use std::collections::{HashMap, HashSet};

pub use siltstone_format::content::{canonical_span, same_span};
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::span::Span;

/// Keeps one of each same span: the first, in the order given.
pub fn collapse(spans: Vec<Span>) -> Vec<Span> {
    type Rough = (TraceId, SpanId, u64);
    let rough = |span: &Span| -> Rough { (span.trace_id, span.span_id, span.start_unix_nano) };
    let mut sharers: HashMap<Rough, u32> = HashMap::with_capacity(spans.len());
    for span in &spans {
        *sharers.entry(rough(span)).or_default() += 1;
    }
    // Contents are spelled out only where two may be one; a set, not a comparison of
    // pairs, so that many spans with one id stay cheap.
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    spans
        .into_iter()
        .filter(|span| sharers.get(&rough(span)) == Some(&1) || seen.insert(canonical_span(span)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: u8, name: &str) -> Span {
        Span { span_id: SpanId([id; 8]), name: name.to_owned(), ..Span::default() }
    }

    #[test]
    fn should_keep_the_first_of_each_same_span_in_order() {
        let given = vec![span(2, "b"), span(1, "a"), span(2, "b"), span(1, "a"), span(3, "c")];
        assert_eq!(collapse(given), [span(2, "b"), span(1, "a"), span(3, "c")]);
        assert!(collapse(Vec::new()).is_empty());
    }

    #[test]
    fn should_keep_spans_that_share_an_id_with_other_content() {
        let given = vec![span(1, "client"), span(1, "server"), span(1, "client")];
        assert_eq!(collapse(given), [span(1, "client"), span(1, "server")]);
    }
}
