//! Spans of one tenant that are in no block yet, as columns, with an index over their traces.

use siltstone_ask::{Filter, Window};
use siltstone_format::columns::{Rejected, SpanColumns};
use siltstone_format::id::TraceId;
use siltstone_format::value::ValueError;

use crate::decode::{DecodeError, Decoded, OriginCache, Rules, decode, replay};
use crate::trace_index::TraceIndex;

/// Spans that tell how large the others will be; a tenant with fewer grows as it needs to.
const ENOUGH_TO_EXPECT_MORE: usize = 8_192;

/// What the open part of a segment holds of a tenant.
#[derive(Default)]
pub(crate) struct Buffer {
    columns: SpanColumns,
    origins: OriginCache,
    traces: TraceIndex,
    has_room: bool,
}

impl Buffer {
    /// Adds what can be accepted of a request.
    pub(crate) fn decode(&mut self, body: &[u8], rules: &Rules) -> Result<Decoded, DecodeError> {
        let decoded = decode(body, rules, &mut self.columns, &mut self.origins)?;
        self.traces.extend(&self.columns.trace_ids);
        if !self.has_room && self.columns.len() >= ENOUGH_TO_EXPECT_MORE {
            self.make_room(rules.listed_bytes);
        }
        Ok(decoded)
    }

    /// Room for all spans that fill a segment, if they are like those that there are.
    fn make_room(&mut self, full_bytes: usize) {
        self.has_room = true;
        let times = full_bytes / self.memory_bytes().max(1) + 1;
        self.columns.make_room(times);
        self.traces.make_room(times);
    }

    /// Adds what was accepted of a request when it came.
    pub(crate) fn replay(&mut self, body: &[u8], refused: &[u32]) -> Result<u64, DecodeError> {
        let spans = replay(body, refused, &mut self.columns, &mut self.origins)?;
        self.traces.extend(&self.columns.trace_ids);
        Ok(spans)
    }

    pub(crate) fn columns(&self) -> &SpanColumns {
        &self.columns
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.columns.memory_bytes() + self.traces.memory_bytes() + self.origins.memory_bytes()
    }

    /// Adds the spans of some traces to `found`.
    pub(crate) fn find_traces(&self, traces: &[TraceId], found: &mut SpanColumns) -> Result<(), FindError> {
        let rows = self.rows(traces).collect();
        self.add(rows, found)
    }

    /// The spans of some traces, if they are no more than that.
    pub(crate) fn find_few(&self, traces: &[TraceId], most: usize) -> Result<Option<SpanColumns>, FindError> {
        let rows: Vec<u32> = self.rows(traces).take(most.saturating_add(1)).collect();
        if rows.len() > most {
            return Ok(None);
        }
        let mut found = SpanColumns::default();
        self.add(rows, &mut found)?;
        Ok(Some(found))
    }

    fn rows(&self, traces: &[TraceId]) -> impl Iterator<Item = u32> {
        traces.iter().flat_map(|trace| self.traces.rows(&self.columns.trace_ids, trace))
    }

    fn add(&self, mut rows: Vec<u32>, found: &mut SpanColumns) -> Result<(), FindError> {
        rows.sort_unstable();
        // A question may name a trace twice.
        rows.dedup();
        Ok(found.append(&self.columns, &rows)?)
    }
}

/// Why spans that are in columns cannot be found. What was found so far is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error("too many spans or texts are wanted at once: ask for less")]
    TooMany(#[from] Rejected),
}

/// Adds the matching ones of some rows to `found`.
pub(crate) fn find_matching(
    columns: &SpanColumns,
    rows: std::ops::Range<usize>,
    filter: Option<&Filter>,
    window: Window,
    found: &mut SpanColumns,
) -> Result<(), FindError> {
    let mut matching = Vec::new();
    for row in rows {
        if !window.contains(columns.starts[row].cast_unsigned()) {
            continue;
        }
        let matches = match filter {
            Some(filter) => filter.matches(&columns.get(row)?),
            None => true,
        };
        if matches {
            matching.push(row as u32);
        }
    }
    Ok(found.append(columns, &matching)?)
}
