//! What must hold of every block, as predicates: tests, debug builds and checks of a
//! whole store ask the same questions.
//!
//! - **F1** a spans file is sorted, and its row count, time range, id range and filters
//!   agree with its summary.
//! - **F2** decoding gives back what was encoded.

use bytes::Bytes;

use crate::block::error::ReadError;
use crate::block::origins::OriginsFile;
use crate::block::ranges::Fetched;
use crate::block::read::{GroupRows, SpansFile};
use crate::block::summary::{BlockSummary, FilterPlace};
use crate::content::canonical_span;
use crate::filter::collect::Terms;
use crate::filter::split_block::{FilterKey, SplitBlockFilter};
use crate::span::Span;
use crate::value::ValueError;

/// A block as its objects, read whole.
#[derive(Clone, Debug)]
pub struct WholeBlock<'a> {
    pub summary: &'a BlockSummary,
    pub spans: &'a Bytes,
    pub origins: &'a Bytes,
}

/// An invariant does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    #[error("F1: block {block}: {what} is {found}, but its summary says {said}")]
    Summary { block: String, what: &'static str, found: String, said: String },
    #[error("F1: block {block}: row {row} is out of order")]
    Order { block: String, row: usize },
    #[error("F1: block {block}: the filter lacks {what}")]
    Filter { block: String, what: String },
    #[error("F2: {missing} of {before} spans did not come back, and {added} came that were not there")]
    Spans { before: usize, missing: usize, added: usize },
    #[error("a list holds an entry that is no value: {0}")]
    Value(#[from] ValueError),
}

/// Checks F1 and gives the block's spans.
pub fn check_f1(block: &WholeBlock<'_>) -> Result<Vec<Span>, Violation> {
    let summary = block.summary;
    let name = || summary.identity.block.to_string();
    let tail = usize::try_from(summary.spans.metadata_offset).ok().filter(|at| *at <= block.spans.len());
    let tail = block.spans.slice(tail.unwrap_or(0)..);
    let file = SpansFile::open(&format!("spans of block {}", name()), &summary.spans, &tail)?;
    let origins_name = format!("origins of block {}", name());
    let (origins, found) = OriginsFile::open_unverified(&origins_name, block.origins)?;
    if &found != summary {
        return Err(differs(summary, "the origins file's summary", &found, summary));
    }
    let all: Vec<GroupRows> = file.groups().collect();
    let columns = file.read_rows(&all, &Fetched::whole(block.spans.clone()), &origins)?;
    let spans = columns.spans()?;
    check_order(&spans, &name())?;
    check_summary(&spans, summary)?;
    let filter = |place: &FilterPlace| {
        let range = place.range();
        let bytes = block.origins.get(range.start as usize..range.end as usize);
        let read = bytes.and_then(|bytes| SplitBlockFilter::from_bytes(place.class, bytes));
        read.ok_or_else(|| Violation::Filter { block: name(), what: "its bytes".to_owned() })
    };
    let traces = filter(&summary.filters.traces)?;
    if let Some(span) = spans.iter().find(|span| !traces.may_hold(FilterKey::of_trace(&span.trace_id))) {
        return Err(Violation::Filter { block: name(), what: format!("trace {}", span.trace_id) });
    }
    let terms = filter(&summary.filters.terms)?;
    if let Some(key) = Terms::of(&columns)?.missing_from(&terms, &summary.filters.left_out) {
        return Err(Violation::Filter { block: name(), what: format!("a term of key `{key}`") });
    }
    Ok(spans)
}

/// Checks F2: the same spans, each as often, in any order.
pub fn check_f2(before: &[Span], after: &[Span]) -> Result<(), Violation> {
    let sorted = |spans: &[Span]| {
        let mut contents: Vec<_> = spans.iter().map(canonical_span).collect();
        contents.sort_unstable();
        contents
    };
    let (left, right) = (sorted(before), sorted(after));
    let (mut i, mut j, mut missing, mut added) = (0, 0, 0, 0);
    while i < left.len() || j < right.len() {
        match (left.get(i), right.get(j)) {
            (Some(one), Some(other)) if one == other => (i, j) = (i + 1, j + 1),
            (Some(one), other) if other.is_none_or(|other| one < other) => {
                (i, missing) = (i + 1, missing + 1)
            }
            _ => (j, added) = (j + 1, added + 1),
        }
    }
    if missing + added == 0 { Ok(()) } else { Err(Violation::Spans { before: before.len(), missing, added }) }
}

fn check_order(spans: &[Span], block: &str) -> Result<(), Violation> {
    let key = |span: &Span| (span.trace_id, span.start_unix_nano, span.span_id);
    let unordered = spans.windows(2).position(|pair| match key(&pair[0]).cmp(&key(&pair[1])) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => canonical_span(&pair[0]) > canonical_span(&pair[1]),
        std::cmp::Ordering::Greater => true,
    });
    unordered.map_or(Ok(()), |row| Err(Violation::Order { block: block.to_owned(), row: row + 1 }))
}

fn check_summary(spans: &[Span], summary: &BlockSummary) -> Result<(), Violation> {
    let said = &summary.spans;
    let traces = spans.chunk_by(|a, b| a.trace_id == b.trace_id).count() as u64;
    let starts = || spans.iter().map(|span| span.start_unix_nano);
    let ends = spans.iter().map(|span| span.end_unix_nano);
    for (what, found, said) in [
        ("the number of spans", spans.len() as u64, said.rows),
        ("the number of traces", traces, said.traces),
        ("the earliest start", starts().min().unwrap_or(0), said.min_start_unix_nano),
        ("the latest start", starts().max().unwrap_or(0), said.max_start_unix_nano),
        ("the latest end", ends.max().unwrap_or(0), said.max_end_unix_nano),
    ] {
        if found != said {
            return Err(differs(summary, what, &found, &said));
        }
    }
    let edges = (spans.first().map(|span| span.trace_id), spans.last().map(|span| span.trace_id));
    let said = (Some(said.first_trace), Some(said.last_trace));
    if edges == said { Ok(()) } else { Err(differs(summary, "the range of trace ids", &edges, &said)) }
}

fn differs<T: std::fmt::Debug>(summary: &BlockSummary, what: &'static str, found: &T, said: &T) -> Violation {
    let block = summary.identity.block.to_string();
    Violation::Summary { block, what, found: format!("{found:?}"), said: format!("{said:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::identity::BlockIdentity;
    use crate::block::write::{EncodedBlock, encode_block};
    use crate::columns::SpanColumns;
    use crate::id::{BlockId, TraceId};
    use crate::tenant::Tenant;

    fn block() -> (Vec<Span>, EncodedBlock) {
        let span = |id| Span {
            trace_id: TraceId([id; 16]),
            start_unix_nano: u64::from(id),
            end_unix_nano: 9,
            name: format!("name {id}"),
            ..Span::default()
        };
        let spans: Vec<Span> = [3, 1, 2, 1].map(span).to_vec();
        let mut columns = SpanColumns::default();
        spans.iter().for_each(|span| columns.push(span).unwrap());
        let identity =
            BlockIdentity { block: BlockId(ulid::Ulid(1)), tenant: Tenant::single(), inputs: Vec::new() };
        (spans, encode_block(&columns, &identity).unwrap())
    }

    fn f1(block: &EncodedBlock, summary: &BlockSummary) -> Result<Vec<Span>, Violation> {
        let (spans, origins) = (Bytes::from(block.spans.clone()), Bytes::from(block.origins.clone()));
        check_f1(&WholeBlock { summary, spans: &spans, origins: &origins })
    }

    #[test]
    fn should_hold_of_a_block_that_was_just_written() {
        let (spans, block) = block();
        let read = f1(&block, &block.summary).unwrap();
        check_f2(&spans, &read).unwrap();
    }

    #[test]
    fn should_find_a_summary_that_does_not_agree() {
        let (_, block) = block();
        let mut summary = block.summary.clone();
        summary.spans.max_start_unix_nano += 1;
        assert!(matches!(f1(&block, &summary), Err(Violation::Summary { .. })));
        let spans = f1(&block, &block.summary).unwrap();
        for change in [
            |summary: &mut BlockSummary| summary.spans.traces = 4,
            |summary: &mut BlockSummary| summary.spans.min_start_unix_nano = 0,
            |summary: &mut BlockSummary| summary.spans.max_end_unix_nano = 10,
            |summary: &mut BlockSummary| summary.spans.last_trace = TraceId([4; 16]),
        ] {
            let mut summary = block.summary.clone();
            change(&mut summary);
            assert!(matches!(check_summary(&spans, &summary), Err(Violation::Summary { .. })));
        }
    }

    #[test]
    fn should_find_rows_out_of_order_and_spans_lost_or_added() {
        let (spans, _) = block();
        assert!(matches!(check_order(&spans, "b"), Err(Violation::Order { row: 1, .. })));
        let lost = check_f2(&spans, &spans[1..]);
        assert!(matches!(lost, Err(Violation::Spans { missing: 1, added: 0, .. })));
        let twice = [spans.clone(), spans[..1].to_vec()].concat();
        assert!(matches!(check_f2(&spans, &twice), Err(Violation::Spans { missing: 0, added: 1, .. })));
    }
}
