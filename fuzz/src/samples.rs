//! Small valid inputs: what the targets damage, and what the corpora began with.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::summary::BlockSummary;
use siltstone_format::block::write::encode_block;
use siltstone_format::columns::SpanColumns;
use siltstone_format::content::canonical_span;
use siltstone_format::filter::size::SizeClass;
use siltstone_format::filter::split_block::{FilterKey, SplitBlockFilter};
use siltstone_format::filter::transposed::{GroupHeader, GroupKind, build};
use siltstone_format::id::{BlockId, SpanId, TraceId};
use siltstone_format::origin::Origin;
use siltstone_format::span::{Event, Link, Span};
use siltstone_format::tenant::Tenant;
use siltstone_format::value::{Attribute, Value};

/// When the first sample span starts.
pub const START: u64 = 1_700_000_000_000_000_000;

/// A block with all that a block can hold.
#[derive(Debug)]
pub struct SampleBlock {
    pub spans: Bytes,
    pub origins: Bytes,
    pub summary: BlockSummary,
    /// Of each span, in the order of the rows.
    pub contents: Vec<Vec<u8>>,
    pub traces: Vec<TraceId>,
}

/// A filter group, and what its blocks hold.
#[derive(Debug)]
pub struct SampleGroup {
    pub bytes: Vec<u8>,
    pub header_len: usize,
    pub terms: Vec<(BlockId, Vec<u64>)>,
}

/// The block that is damaged.
pub fn sample_block() -> &'static SampleBlock {
    static BLOCK: LazyLock<SampleBlock> = LazyLock::new(|| block(24));
    &BLOCK
}

/// The filter group that is damaged.
pub fn sample_group() -> &'static SampleGroup {
    static GROUP: LazyLock<SampleGroup> = LazyLock::new(|| group(3));
    &GROUP
}

/// A block of so many spans, four to a trace.
pub fn block(spans: u8) -> SampleBlock {
    let mut columns = SpanColumns::default();
    let mut read = Vec::new();
    for number in 0..spans {
        let span = span(number);
        columns.push(&span).expect("an ordinary span");
        read.push(span);
    }
    let identity = BlockIdentity {
        block: block_id(1),
        tenant: Tenant::single(),
        inputs: vec![block_id(2), block_id(3)],
    };
    let encoded = encode_block(&columns, &identity).expect("an ordinary block");
    read.sort_by_key(|span| (span.trace_id, span.start_unix_nano, span.span_id));
    let mut traces: Vec<_> = read.iter().map(|span| span.trace_id).collect();
    traces.dedup();
    SampleBlock {
        spans: encoded.spans.into(),
        origins: encoded.origins.into(),
        summary: encoded.summary,
        contents: read.iter().map(canonical_span).collect(),
        traces,
    }
}

/// A group of so many blocks with a few terms each.
pub fn group(blocks: u8) -> SampleGroup {
    let terms: Vec<_> = (0..blocks)
        .map(|block| (block_id(block), (0..20).map(|term| term * 3 + u64::from(block)).collect()))
        .collect();
    let filters: Vec<_> = terms
        .iter()
        .map(|(block, terms): &(_, Vec<u64>)| {
            let mut filter = SplitBlockFilter::new(SizeClass::SMALLEST);
            terms.iter().for_each(|term| filter.insert(FilterKey::of_term(*term)));
            (*block, filter)
        })
        .collect();
    let bytes = build(GroupKind::Terms, SizeClass::SMALLEST, &filters).expect("an ordinary group");
    SampleGroup { bytes, header_len: GroupHeader::header_len(terms.len()), terms }
}

fn block_id(number: u8) -> BlockId {
    format!("{number:026}").parse().expect("an id of digits")
}

fn attribute(key: &str, value: Value) -> Attribute {
    Attribute { key: key.to_owned(), value }
}

/// One of the spans of which a sample block has the first ones.
pub fn span(number: u8) -> Span {
    let trace = number / 4;
    let start = START + u64::from(number) * 1_000_003;
    let rare = number % 16 == 3;
    let mut attributes = vec![
        attribute("http.route", Value::Str(["/cart", "/pay", "/"][usize::from(number % 3)].to_owned())),
        attribute("http.status", Value::Int(200 + i64::from(number % 5))),
    ];
    if number.is_multiple_of(2) {
        attributes.push(attribute("ratio", Value::Double(f64::from(number) / 7.0)));
        attributes.push(attribute("cached", Value::Bool(number.is_multiple_of(4))));
    }
    if rare {
        attributes.push(attribute("http.status", Value::Int(1)));
        attributes.push(attribute("bytes", Value::Bytes(vec![number, 0, 255])));
        attributes.push(attribute("list", Value::Array(vec![Value::Double(f64::NAN), Value::Empty])));
        attributes.push(attribute("map", Value::Map(vec![attribute("$", Value::Str("ä\0".to_owned()))])));
    }
    let event = |index: u8| Event {
        time_unix_nano: start + u64::from(index),
        name: "exception".to_owned(),
        attributes: vec![attribute("index", Value::Int(i64::from(index)))],
        dropped_attributes_count: u32::from(index),
    };
    let link = Link {
        trace_id: TraceId([number; 16]),
        span_id: SpanId([number; 8]),
        trace_state: "a=b".to_owned(),
        flags: 1,
        attributes: vec![attribute("why", Value::Str("retry".to_owned()))],
        dropped_attributes_count: 0,
    };
    Span {
        trace_id: TraceId([trace.wrapping_mul(37), trace, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
        span_id: SpanId([number, 1, 2, 3, 4, 5, 6, 7]),
        parent_span_id: match number % 4 {
            0 => None,
            3 => Some(SpanId([0xee; 8])),
            _ => Some(SpanId([number - 1, 1, 2, 3, 4, 5, 6, 7])),
        },
        trace_state: if rare { "vendor=x".to_owned() } else { String::new() },
        flags: u32::from(number % 2),
        name: format!("GET {}", number % 7),
        kind: i32::from(number % 4),
        start_unix_nano: start,
        end_unix_nano: start + u64::from(number) * 1_000,
        status_code: i32::from(number % 3),
        status_message: if rare { "failed".to_owned() } else { String::new() },
        attributes,
        dropped_attributes_count: u32::from(rare),
        events: (0..number % 4).filter(|_| number % 5 == 2).map(event).collect(),
        dropped_events_count: u32::from(rare),
        links: if number % 9 == 4 { vec![link] } else { Vec::new() },
        dropped_links_count: u32::from(rare),
        origin: Arc::new(Origin {
            resource_attributes: vec![attribute(
                "service.name",
                Value::Str(format!("service-{}", number % 3)),
            )],
            scope_name: "http".to_owned(),
            scope_version: "1.2".to_owned(),
            ..Origin::default()
        }),
    }
}
