//! Parts of a trace that is too large to be held as a whole.
//!
//! A parent is named by its place in the trace, so a part cannot be read alone: the ids of all its spans, eight
//! bytes each, are read once and go with each part.

use super::error::ReadError;
use super::parts::Parts;
use super::ranges::Fetched;
use super::read::{GroupRows, Origins, SpansFile};
use super::rows::RowsReader;
use crate::columns::SpanColumns;
use crate::id::{SpanId, TraceId};

impl SpansFile {
    /// Whole spans of some rows of a trace. `siblings` are the ids of all its spans in this file, in their order.
    pub fn read_trace_part(
        &self,
        trace: TraceId,
        siblings: &[SpanId],
        rows: &[GroupRows],
        fetched: &Fetched,
        origins: &dyn Origins,
    ) -> Result<SpanColumns, ReadError> {
        let count = rows.iter().map(|part| part.rows.len()).sum();
        let all = Parts::all();
        let reader = RowsReader::new(self, fetched, &all, origins);
        self.read(rows, reader.of_traces(vec![trace; count]).of_siblings(siblings))
    }
}
