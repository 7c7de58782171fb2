//! Spans of some whole traces, in the columns that they were read in.

use std::collections::BTreeSet;

use siltstone_format::columns::SpanColumns;
use siltstone_format::id::{SpanId, TraceId};

/// Spans that were read together.
#[derive(Debug)]
pub struct Chunk {
    pub columns: SpanColumns,
    /// Those that are seen.
    pub rows: Vec<u32>,
}

/// Where a span lies in a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    pub chunk: u32,
    pub row: u32,
}

/// Whole traces, each span once.
#[derive(Debug)]
pub struct Slice {
    chunks: Vec<SpanColumns>,
    /// By trace, start and id.
    order: Vec<At>,
}

type Key = (TraceId, i64, SpanId);

impl Chunk {
    /// With those that are seen, by trace and start.
    pub fn of(columns: SpanColumns, is_seen: impl Fn(&TraceId, u64) -> bool) -> Self {
        let ids = columns.trace_ids.iter().zip(&columns.starts).enumerate();
        let seen = ids.filter(|(_, (trace, start))| is_seen(trace, start.cast_unsigned()));
        let rows = seen.map(|(row, _)| row as u32).collect();
        Self { columns, rows }
    }
}

impl Slice {
    /// With the traces, sorted, of which a span may be there twice.
    pub fn of(chunks: Vec<Chunk>) -> (Self, Vec<TraceId>) {
        let mut keyed: Vec<(Key, u32, u32)> = Vec::new();
        for (number, chunk) in chunks.iter().enumerate() {
            let of_row = |row: &u32| (key(&chunk.columns, *row), number as u32, *row);
            keyed.extend(chunk.rows.iter().map(of_row));
        }
        keyed.sort_unstable();
        let pairs = keyed.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        let doubtful: BTreeSet<TraceId> = pairs.map(|pair| pair[0].0.0).collect();
        let order = keyed.into_iter().map(|(_, chunk, row)| At { chunk, row }).collect();
        let chunks = chunks.into_iter().map(|chunk| chunk.columns).collect();
        (Self { chunks, order }, doubtful.into_iter().collect())
    }

    /// The same with other spans for some traces: all spans of these, in order.
    pub fn with_instead(mut self, traces: &[TraceId], spans: SpanColumns) -> Self {
        let mut order = std::mem::take(&mut self.order);
        order.retain(|at| traces.binary_search(&self.trace_of(*at)).is_err());
        let chunk = self.chunks.len() as u32;
        order.extend((0..spans.len() as u32).map(|row| At { chunk, row }));
        self.chunks.push(spans);
        // Stable: the others are in order, and stay so.
        order.sort_by_key(|at| self.trace_of(*at));
        self.order = order;
        self
    }

    /// One trace after the other, ascending by id: its spans by start and id.
    pub fn traces(&self) -> impl Iterator<Item = &[At]> {
        self.order.chunk_by(|one, next| self.trace_of(*one) == self.trace_of(*next))
    }

    /// The columns and the row of a span.
    pub fn span(&self, at: At) -> (&SpanColumns, usize) {
        (&self.chunks[at.chunk as usize], at.row as usize)
    }

    /// What its spans were read in.
    pub fn chunks(&self) -> &[SpanColumns] {
        &self.chunks
    }

    fn trace_of(&self, at: At) -> TraceId {
        let (columns, row) = self.span(at);
        columns.trace_ids[row]
    }
}

fn key(columns: &SpanColumns, row: u32) -> Key {
    let row = row as usize;
    (columns.trace_ids[row], columns.starts[row], columns.span_ids[row])
}
