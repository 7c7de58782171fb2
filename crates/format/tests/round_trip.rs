//! decode(encode(x)) = x, for spans drawn at random.

#![expect(clippy::unwrap_used, reason = "a test that fails says so by a panic")]

mod samples;
mod strategies;

use bytes::Bytes;
use proptest::prelude::*;
use siltstone_format::block::ranges::Fetched;
use siltstone_format::block::write::EncodedBlock;
use siltstone_format::content::canonical_span;
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::invariants::{WholeBlock, check_f1, check_f2};
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};

use self::samples::{encode, open};
use self::strategies::{small_id, span};

fn contents(spans: &[Span]) -> Vec<Vec<u8>> {
    let mut contents: Vec<_> = spans.iter().map(canonical_span).collect();
    contents.sort_unstable();
    contents
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn should_give_back_all_spans(spans in prop::collection::vec(span(), 1..40)) {
        let opened = open(encode(&spans));
        let groups: Vec<_> = opened.spans.groups().collect();
        let read = opened.spans.read_rows(&groups, &Fetched::whole(opened.whole.clone()), &opened.origins).unwrap();
        let read = read.spans().unwrap();
        prop_assert_eq!(contents(&read), contents(&spans));
        let key = |span: &Span| (span.trace_id, span.start_unix_nano, span.span_id, canonical_span(span));
        prop_assert!(read.windows(2).all(|pair| key(&pair[0]) <= key(&pair[1])), "rows are out of order");
    }

    #[test]
    fn should_give_back_one_trace_from_its_ranges_alone(spans in prop::collection::vec(span(), 1..40), id in small_id()) {
        let opened = open(encode(&spans));
        let trace = TraceId([id; 16]);
        let found = opened.spans.find(&trace);
        let fetched = opened.fetch(found.iter().flat_map(|rows| opened.spans.ranges(rows)).collect());
        let read = opened.spans.read_trace(&trace, &found, &fetched, &opened.origins).unwrap();
        let expected: Vec<Span> = spans.iter().filter(|span| span.trace_id == trace).cloned().collect();
        prop_assert_eq!(contents(&read.spans().unwrap()), contents(&expected));
    }

    #[test]
    fn should_hold_the_invariants(spans in prop::collection::vec(span(), 1..40)) {
        let block = encode(&spans);
        let (file, origins) = (Bytes::from(block.spans), Bytes::from(block.origins));
        let read = check_f1(&WholeBlock { summary: &block.summary, spans: &file, origins: &origins }).unwrap();
        check_f2(&spans, &read).unwrap();
    }

    #[test]
    fn should_not_depend_on_the_order_of_coming(spans in prop::collection::vec(span(), 1..20)) {
        let backwards: Vec<Span> = spans.iter().rev().cloned().collect();
        let (one, other) = (encode(&spans), encode(&backwards));
        let rows = |block: EncodedBlock| {
            let opened = open(block);
            let groups: Vec<_> = opened.spans.groups().collect();
            let read = opened.spans.read_rows(&groups, &Fetched::whole(opened.whole.clone()), &opened.origins).unwrap();
            read.spans().unwrap().iter().map(canonical_span).collect::<Vec<_>>()
        };
        prop_assert_eq!(rows(one), rows(other));
    }
}

/// Texts as long as an attribute may be: repeated by many spans, and different in each.
#[test]
fn should_hold_long_texts_however_often_they_repeat() {
    let long = |number: usize| format!("{number} {}", "x".repeat(250_000));
    for (spans, distinct) in [(2_100, 5), (300, 300)] {
        let spans: Vec<Span> = (0..spans)
            .map(|number| Span {
                trace_id: TraceId((number as u128 / 7).to_be_bytes()),
                span_id: SpanId((number as u64).to_be_bytes()),
                attributes: vec![Attribute {
                    key: "prompt".to_owned(),
                    value: Value::Str(long(number % distinct)),
                }],
                ..Span::default()
            })
            .collect();
        let block = encode(&spans);
        assert!(block.spans.len() < 20_000_000, "{} bytes", block.spans.len());
        let opened = open(block);
        let groups: Vec<_> = opened.spans.groups().collect();
        let fetched = Fetched::whole(opened.whole.clone());
        let read = opened.spans.read_rows(&groups, &fetched, &opened.origins).unwrap();
        assert!(read.spans().unwrap() == spans, "{distinct} texts: other spans came back");
    }
}
