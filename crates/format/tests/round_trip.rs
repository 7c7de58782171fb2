//! decode(encode(x)) = x, for spans drawn at random from few keys and ids, so that
//! they collide.

#![expect(clippy::unwrap_used, reason = "a test that fails says so by a panic")]

mod strategies;

use bytes::Bytes;
use proptest::prelude::*;
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::ranges::{Fetched, coalesce};
use siltstone_format::block::read::SpansFile;
use siltstone_format::block::write::{EncodedBlock, encode_block};
use siltstone_format::columns::SpanColumns;
use siltstone_format::content::canonical_span;
use siltstone_format::id::{BlockId, SpanId, TraceId};
use siltstone_format::invariants::{WholeBlock, check_f1, check_f2};
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_format::value::{Attribute, Value};
use strategies::{small_id, span};
use ulid::Ulid;

fn identity() -> BlockIdentity {
    BlockIdentity {
        block: BlockId(Ulid(1)),
        tenant: Tenant::single(),
        inputs: vec![BlockId(Ulid(2)), BlockId(Ulid(3))],
    }
}

fn encode(spans: &[Span]) -> EncodedBlock {
    let mut columns = SpanColumns::default();
    spans.iter().for_each(|span| columns.push(span).unwrap());
    encode_block(&columns, &identity()).unwrap()
}

struct Opened {
    spans: SpansFile,
    origins: OriginsFile,
    whole: Bytes,
}

fn open(block: EncodedBlock) -> Opened {
    let (whole, origins) = (Bytes::from(block.spans), Bytes::from(block.origins));
    let summary = &block.summary;
    let spans =
        SpansFile::open("spans", &summary.spans, &whole.slice(summary.spans.metadata_offset as usize..))
            .unwrap();
    let (origins_file, found) = OriginsFile::open_unverified("origins", &origins).unwrap();
    assert_eq!(&found, summary);
    let tail = origins.slice(summary.origins.origins_offset as usize..);
    let opened = OriginsFile::open("origins", &summary.origins, &tail).unwrap();
    assert_eq!(opened.len(), origins_file.len());
    Opened { spans, origins: opened, whole }
}

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
        let mut fetched = Fetched::default();
        for range in coalesce(found.iter().flat_map(|rows| opened.spans.ranges(rows)).collect(), 0) {
            fetched.add(range.start, opened.whole.slice(range.start as usize..range.end as usize));
        }
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
