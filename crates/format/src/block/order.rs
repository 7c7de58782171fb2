//! The order of a block's rows: by trace, start, span id, content.
//!
//! Whole traces lie together, so the page index over trace ids finds a trace, and a
//! trace is one run of rows. `seq` numbers the rows of a trace; a parent that is
//! there is named by its number.

use std::ops::Range;

use hashbrown::HashMap;

use crate::columns::SpanColumns;
use crate::content::canonical_span;
use crate::id::{SpanId, TraceId};
use crate::value::ValueError;

/// Rows of one row group, unless a trace is larger.
pub const ROW_GROUP_ROWS: usize = 128 * 1024;

/// How rows that came in any order stand in a block, or in a part of it.
#[derive(Debug)]
pub(crate) struct Order {
    /// For each place, the row that stands there.
    pub(crate) rows: Vec<u32>,
    /// For each row, its place, or [`NOWHERE`].
    pub(crate) places: Vec<u32>,
    /// For each place, the place within its trace.
    pub(crate) seq: Vec<u32>,
    /// For each place, the parent's place within the trace, if the parent is there.
    pub(crate) parent_seq: Vec<Option<u32>>,
    /// Places of each row group.
    pub(crate) groups: Vec<Range<usize>>,
    /// Traces that begin here.
    pub(crate) traces: usize,
}

/// The place of a row that another one stands for.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// What becomes of rows that say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSpans {
    Keep,
    /// One stays.
    Collapse,
}

/// The trace in which the rows before ended: those that follow may go on with it.
#[derive(Debug, Default)]
pub(crate) struct LastTrace {
    id: TraceId,
    rows: u32,
    /// Where each span stands in it, see [`MOST_REMEMBERED_SPANS`].
    numbers: HashMap<SpanId, u32, foldhash::fast::RandomState>,
}

/// Spans of one trace that are remembered beyond its row group, so that children find them: some 20 bytes each.
/// A child of any other bears its parent's id, as those do whose parent is not there.
const MOST_REMEMBERED_SPANS: usize = 1 << 20;

impl Order {
    pub(crate) fn of(
        columns: &SpanColumns,
        same: SameSpans,
        last: &mut LastTrace,
    ) -> Result<Self, ValueError> {
        let rows = sorted_rows(columns, same)?;
        let mut places = vec![NOWHERE; columns.len()];
        for (place, row) in rows.iter().enumerate() {
            places[*row as usize] = place as u32;
        }
        let traces = trace_runs(columns, &rows);
        let mut seq = Vec::with_capacity(rows.len());
        let mut parent_seq = Vec::with_capacity(rows.len());
        let mut numbers = ParentFinder::default();
        let mut begun = 0;
        for trace in &traces {
            let rows = &rows[trace.clone()];
            let id = columns.trace_ids[rows[0] as usize];
            if last.id != id || last.rows == 0 {
                begun += 1;
                *last = LastTrace { id, numbers: std::mem::take(&mut last.numbers), rows: 0 };
                last.numbers.clear();
            }
            seq.extend(last.rows..last.rows + rows.len() as u32);
            numbers.resolve(columns, rows, last, &mut parent_seq);
            last.rows += rows.len() as u32;
        }
        if let Some(trace) = traces.last() {
            last.remember(columns, &rows[trace.clone()]);
        }
        let groups = cut_groups(&traces);
        Ok(Self { rows, places, seq, parent_seq, groups, traces: begun })
    }
}

impl LastTrace {
    fn number(&self, span: &SpanId) -> Option<u32> {
        // Nearly always this is where its rows begin.
        if self.rows == 0 { None } else { self.numbers.get(span).copied() }
    }

    /// Remembers its last rows.
    fn remember(&mut self, columns: &SpanColumns, rows: &[u32]) {
        let first = self.rows - rows.len() as u32;
        for (row, number) in rows.iter().zip(first..) {
            if self.numbers.len() >= MOST_REMEMBERED_SPANS {
                return;
            }
            self.numbers.entry(columns.span_ids[*row as usize]).or_insert(number);
        }
    }
}

fn sorted_rows(columns: &SpanColumns, same: SameSpans) -> Result<Vec<u32>, ValueError> {
    let mut keys: Vec<(u128, i64, u32)> = columns
        .trace_ids
        .iter()
        .zip(&columns.starts)
        .enumerate()
        .map(|(row, (trace, start))| (u128::from_be_bytes(trace.0), *start, row as u32))
        .collect();
    keys.sort_unstable();
    let mut rows: Vec<u32> = keys.iter().map(|key| key.2).collect();
    let mut collapsed = false;
    for ties in runs(&keys, |a, b| (a.0, a.1) == (b.0, b.1)) {
        if ties.len() > 1 {
            collapsed |= sort_ties(columns, &mut rows[ties], same)?;
        }
    }
    if collapsed {
        rows.retain(|row| *row != NOWHERE);
    }
    Ok(rows)
}

/// Orders rows that share trace and start. Contents are compared only where the span
/// id is shared too, which is rare. Rows that are collapsed become [`NOWHERE`]; says whether there are any.
fn sort_ties(columns: &SpanColumns, rows: &mut [u32], same: SameSpans) -> Result<bool, ValueError> {
    let mut collapsed = false;
    rows.sort_unstable_by_key(|row| columns.span_ids[*row as usize]);
    let same_id = |a: &u32, b: &u32| columns.span_ids[*a as usize] == columns.span_ids[*b as usize];
    for twins in rows.chunk_by_mut(same_id) {
        if twins.len() > 1 {
            let mut contents = Vec::with_capacity(twins.len());
            for row in twins.iter() {
                contents.push((canonical_span(&columns.get(*row as usize)?), *row));
            }
            contents.sort_unstable();
            if same == SameSpans::Collapse {
                contents.dedup_by(|one, before| one.0 == before.0);
            }
            collapsed |= contents.len() < twins.len();
            let stay = contents.into_iter().map(|content| content.1);
            twins
                .iter_mut()
                .zip(stay.chain(std::iter::repeat(NOWHERE)))
                .for_each(|(row, stays)| *row = stays);
        }
    }
    Ok(collapsed)
}

fn trace_runs(columns: &SpanColumns, rows: &[u32]) -> Vec<Range<usize>> {
    runs(rows, |a, b| columns.trace_ids[*a as usize] == columns.trace_ids[*b as usize]).collect()
}

/// Ranges of neighbours that belong together.
fn runs<T>(items: &[T], same: impl Fn(&T, &T) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    items.chunk_by(same).map(move |run| {
        let range = start..start + run.len();
        start = range.end;
        range
    })
}

/// Row groups end between traces, unless one trace fills more than half of one.
fn cut_groups(traces: &[Range<usize>]) -> Vec<Range<usize>> {
    let rows = traces.last().map_or(0, |trace| trace.end);
    let mut groups = Vec::new();
    let mut start = 0;
    while start < rows {
        let full = (start + ROW_GROUP_ROWS).min(rows);
        let end = if full == rows {
            rows
        } else {
            let cut = traces[traces.partition_point(|trace| trace.end <= full)].start;
            if cut > start + ROW_GROUP_ROWS / 2 { cut } else { full }
        };
        groups.push(start..end);
        start = end;
    }
    groups
}

/// Traces up to this length are searched; longer ones get a table.
const SEARCHED_SPANS: usize = 48;

#[derive(Default)]
struct ParentFinder {
    ids: Vec<SpanId>,
    table: HashMap<SpanId, u32, foldhash::fast::RandomState>,
}

impl ParentFinder {
    /// Appends the parent's number for each of the next rows of a trace. Of spans that share an
    /// id, the first stands for it: the id is what must come back.
    fn resolve(
        &mut self,
        columns: &SpanColumns,
        rows: &[u32],
        before: &LastTrace,
        out: &mut Vec<Option<u32>>,
    ) {
        self.ids.clear();
        self.ids.extend(rows.iter().map(|row| columns.span_ids[*row as usize]));
        let parents = rows.iter().map(|row| columns.parents[*row as usize]);
        if rows.len() <= SEARCHED_SPANS {
            out.extend(parents.map(|parent| {
                let parent = parent?;
                let here = || self.ids.iter().position(|id| *id == parent);
                before.number(&parent).or_else(|| here().map(|number| before.rows + number as u32))
            }));
            return;
        }
        self.table.clear();
        for (id, number) in self.ids.iter().zip(before.rows..) {
            self.table.entry(*id).or_insert(number);
        }
        out.extend(parents.map(|parent| {
            let parent = parent?;
            before.number(&parent).or_else(|| self.table.get(&parent).copied())
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(lengths: &[usize]) -> Vec<Range<usize>> {
        let mut start = 0;
        lengths
            .iter()
            .map(|length| {
                start += length;
                start - length..start
            })
            .collect()
    }

    #[test]
    fn should_cut_row_groups_between_traces() {
        let groups = cut_groups(&traces(&[100_000, 40_000, 100_000, 10]));
        let full = 100_000 + ROW_GROUP_ROWS;
        assert_eq!(groups, [0..100_000, 100_000..full, full..240_010]);
    }

    #[test]
    fn should_cut_within_a_trace_that_is_too_large() {
        let groups = cut_groups(&traces(&[10, 300_000, 5]));
        assert_eq!(groups.first().map(|group| group.len()), Some(ROW_GROUP_ROWS));
        assert_eq!(groups.last().map(|group| group.end), Some(300_015));
        assert!(groups.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(groups.iter().all(|group| group.len() <= ROW_GROUP_ROWS));
        assert!(cut_groups(&[]).is_empty());
    }
}
