//! Filters against the oracle: both give the same answer on every span, and no block is
//! skipped that holds a match.

#![expect(clippy::unwrap_used, reason = "what is built here is within all bounds")]

use std::cell::RefCell;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use siltstone_ask::{Comparison, Level, Literal, Target, probe};
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::write::encode_block;
use siltstone_format::columns::SpanColumns;
use siltstone_format::filter::split_block::{FilterKey, SplitBlockFilter};
use siltstone_format::id::BlockId;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_testkit::corpus::build;
use siltstone_testkit::oracle::{CanonicalSpan, canonical_spans};
use siltstone_testkit::{arbitrary, nasty};
use siltstone_tests::decode::request_spans;
use siltstone_tests::described::{Built, Known, Question, Shape, Spelling, described, hard_literals};

// Spans of one block, seen by both.

struct Block {
    spans: Vec<(Span, CanonicalSpan)>,
    terms: SplitBlockFilter,
}

impl Block {
    /// None without spans.
    fn of(request: &ExportTraceServiceRequest) -> Option<Self> {
        let mut columns = SpanColumns::default();
        let spans: Vec<Span> = request_spans(request).collect();
        spans.iter().for_each(|span| columns.push(span).unwrap());
        if spans.is_empty() {
            return None;
        }
        let identity =
            BlockIdentity { block: BlockId(ulid::Ulid(1)), tenant: Tenant::single(), inputs: Vec::new() };
        let encoded = encode_block(&columns, &identity).unwrap();
        let place = encoded.summary.filters.terms;
        let range = place.range();
        let bytes = &encoded.origins[range.start as usize..range.end as usize];
        let terms = SplitBlockFilter::from_bytes(place.class, bytes).unwrap();
        let canonical = canonical_spans(request);
        assert_eq!(spans.len(), canonical.len());
        Some(Self { spans: spans.into_iter().zip(canonical).collect(), terms })
    }
}

/// How often what happened, so that a test that tests nothing is noticed.
#[derive(Debug, Default)]
struct Tally {
    matching_spans: usize,
    other_spans: usize,
    blocks_with_a_match: usize,
    blocks_skipped: usize,
    blocks_read_in_vain: usize,
}

impl Tally {
    fn check(&mut self, built: &Built, block: &Block) -> Result<(), TestCaseError> {
        let Built { filter, oracle } = built;
        let mut any = false;
        for (span, canonical) in &block.spans {
            let matches = filter.matches(span);
            let right = oracle.holds_on(canonical);
            prop_assert_eq!(matches, right, "left: {:?}\nright: {:?}\non {:#?}", filter, oracle, canonical);
            any |= matches;
            *(if matches { &mut self.matching_spans } else { &mut self.other_spans }) += 1;
        }
        let may_match = probe(filter).may_match(|term| block.terms.may_hold(FilterKey::of_term(term)));
        prop_assert!(may_match || !any, "skips a block that holds a match: {:?}", filter);
        *match (any, may_match) {
            (true, _) => &mut self.blocks_with_a_match,
            (false, true) => &mut self.blocks_read_in_vain,
            (false, false) => &mut self.blocks_skipped,
        } += 1;
        Ok(())
    }

    /// Each outcome is at least one in `share`, but blocks read in vain: there none would be best.
    fn assert_each_is_frequent(&self, share: usize) {
        let spans = self.matching_spans + self.other_spans;
        let blocks = self.blocks_with_a_match + self.blocks_skipped + self.blocks_read_in_vain;
        assert!(self.matching_spans * share > spans && self.other_spans * share > spans, "{self:?}");
        assert!(self.blocks_with_a_match * share > blocks, "{self:?}");
        assert!(self.blocks_skipped * share > blocks, "{self:?}");
    }
}

#[test]
fn random_spans_are_filtered_and_skipped_as_the_oracle_says() {
    let tally = RefCell::new(Tally::default());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3_000) };
    let cases = (arbitrary::arbitrary_requests(), vec(described(), 24));
    let checked = TestRunner::new(config).run(&cases, |(requests, described)| {
        // A block for each request: values of one are missing in others.
        let blocks: Vec<Block> = requests.iter().filter_map(Block::of).collect();
        let known = Known::of(blocks.iter().flat_map(|block| &block.spans).map(|(span, _)| span));
        for described in &described {
            let built = Built::of(described, &known);
            blocks.iter().try_for_each(|block| tally.borrow_mut().check(&built, block))?;
        }
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
    tally.into_inner().assert_each_is_frequent(10);
}

#[test]
fn nasty_spans_are_filtered_and_skipped_as_the_oracle_says() {
    let mut tally = Tally::default();
    let mut runner = TestRunner::deterministic();
    for (name, request) in nasty::named() {
        let Some(block) = Block::of(&request) else { continue };
        let known = Known::of(block.spans.iter().map(|(span, _)| span));
        // As many as the spans allow in reasonable time.
        for _ in 0..(100_000 / block.spans.len()).clamp(50, 500) {
            let described = described().new_tree(&mut runner).unwrap().current();
            let checked = tally.check(&Built::of(&described, &known), &block);
            checked.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        }
    }
    tally.assert_each_is_frequent(50);
}

/// Random values seldom meet where coercions are at their limits, so all pairs do.
#[test]
fn every_hard_literal_meets_every_hard_value() {
    let mut tally = Tally::default();
    let target = Target::attribute(Level::Span, "k");
    for value in hard_literals() {
        let value = match value {
            Literal::Text(text) | Literal::Str(text) => any_value::Value::StringValue(text),
            Literal::Int(int) => any_value::Value::IntValue(int),
            Literal::Double(double) => any_value::Value::DoubleValue(double),
            Literal::Bool(flag) => any_value::Value::BoolValue(flag),
        };
        let mut span = build::span(1, 1, "hard");
        span.attributes.push(build::attribute("k", value));
        let block = Block::of(&build::request("hard", vec![span])).unwrap();
        for literal in hard_literals() {
            for spelling in [Spelling::AsItIs, Spelling::Text, Spelling::TypedString, Spelling::Double] {
                for question in [Question::Compare(Comparison::Eq), Question::Regex(Shape::Plain)] {
                    // Some texts are no patterns.
                    if let Ok(built) = Built::asking(&target, question, &[spelling.of(&literal)]) {
                        tally.check(&built, &block).unwrap();
                    }
                }
            }
        }
    }
    assert!(tally.blocks_skipped > 2 * tally.blocks_read_in_vain, "{tally:?}");
}
