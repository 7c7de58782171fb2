//! Ranges of trace ids, and what is known of the traces in one before they are read.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use siltstone_ask::Window;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::TraceId;

use crate::hidden::HiddenHere;

/// Rows that a slice should have, so that its columns fit into memory beside others.
pub(crate) const ROWS_OF_A_SLICE: u64 = 64 << 10;

pub(crate) type Ids = RangeInclusive<TraceId>;

/// What is known of a trace before it is read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Noted {
    pub(crate) rows: usize,
    /// One of its spans starts in the window.
    pub(crate) is_wanted: bool,
}

#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) traces: BTreeMap<TraceId, Noted>,
    pub(crate) rows: usize,
}

impl Notes {
    pub(crate) fn add(&mut self, columns: &SpanColumns, ids: &Ids, window: Window, hidden: &HiddenHere) {
        let mut row = 0;
        for run in columns.trace_ids.chunk_by(|one, next| one == next) {
            let rows = row..row + run.len();
            row = rows.end;
            let trace = run[0];
            if !ids.contains(&trace) {
                continue;
            }
            let mut starts = columns.starts[rows].iter().map(|start| start.cast_unsigned());
            let noted = self.traces.entry(trace).or_default();
            noted.rows += run.len();
            noted.is_wanted |= starts.any(|start| window.contains(start) && !hidden.hides(&trace, start));
            self.rows += run.len();
        }
    }

    pub(crate) fn merge(&mut self, more: Self) {
        self.rows += more.rows;
        for (trace, more) in more.traces {
            let noted = self.traces.entry(trace).or_default();
            noted.rows += more.rows;
            noted.is_wanted |= more.is_wanted;
        }
    }

    /// A trace up to which half of the rows lie, and behind which there are others. None: all are of one trace.
    pub(crate) fn middle(&self) -> Option<TraceId> {
        let (last, _) = self.traces.last_key_value()?;
        let mut before = 0;
        let mut middle = None;
        for (trace, noted) in self.traces.iter().filter(|(trace, _)| *trace != last) {
            middle = Some(*trace);
            before += noted.rows;
            if before >= self.rows / 2 {
                break;
            }
        }
        middle
    }
}

pub(crate) fn overlaps(entry: &BlockEntry, ids: &Ids) -> bool {
    let spans = &entry.summary.spans;
    spans.first_trace <= *ids.end() && *ids.start() <= spans.last_trace
}

pub(crate) fn after(trace: TraceId) -> TraceId {
    TraceId(u128::from_be_bytes(trace.0).saturating_add(1).to_be_bytes())
}

/// Places within a block at which its rows are thought to lie.
const POINTS: u64 = 16;

/// All ids, in ranges of about as many rows if ids are spread evenly within blocks; the first range last. Where they
/// are not, a range is cut once its rows are known.
pub(crate) fn even_ranges(blocks: impl Iterator<Item = (Ids, u64)>) -> Vec<Ids> {
    let mut points: Vec<(u128, u64)> = Vec::new();
    for (ids, rows) in blocks {
        let [first, last] = [ids.start(), ids.end()].map(|trace| u128::from_be_bytes(trace.0));
        let step = last.saturating_sub(first) / u128::from(POINTS);
        points.extend((1..=POINTS).map(|point| (first + step * u128::from(point), rows)));
    }
    points.sort_unstable();
    let (mut ranges, mut start, mut rows) = (Vec::new(), 0_u128, 0);
    for (id, more) in points {
        rows += more;
        if rows >= ROWS_OF_A_SLICE * POINTS && id >= start && id < u128::MAX {
            ranges.push(TraceId(start.to_be_bytes())..=TraceId(id.to_be_bytes()));
            (start, rows) = (id + 1, 0);
        }
    }
    ranges.push(TraceId(start.to_be_bytes())..=TraceId([u8::MAX; 16]));
    ranges.reverse();
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(number: u8) -> TraceId {
        TraceId([number; 16])
    }

    #[test]
    fn should_halve_traces_by_their_rows_and_leave_none_on_one_side() {
        let notes = |traces: &[(u8, usize)]| Notes {
            rows: traces.iter().map(|(_, rows)| rows).sum(),
            traces: traces
                .iter()
                .map(|(number, rows)| (trace(*number), Noted { rows: *rows, is_wanted: true }))
                .collect(),
        };
        assert_eq!(notes(&[(1, 5), (2, 5), (3, 5), (4, 5)]).middle(), Some(trace(2)));
        assert_eq!(notes(&[(1, 90), (2, 5), (3, 5)]).middle(), Some(trace(1)));
        assert_eq!(notes(&[(1, 5), (2, 5), (3, 90)]).middle(), Some(trace(2)));
        assert_eq!(notes(&[(3, 90)]).middle(), None);
        assert_eq!(notes(&[]).middle(), None);
    }

    #[test]
    fn should_cover_all_ids_with_ranges_of_as_many_rows() {
        let first_and_last = |ids: &Ids| [ids.start(), ids.end()].map(|trace| u128::from_be_bytes(trace.0));
        let all = trace(0)..=trace(255);
        let small = trace(16)..=trace(17);
        for (blocks, fewest, most) in [
            (vec![], 1, 1),
            (vec![(all.clone(), 10)], 1, 1),
            (vec![(all.clone(), 10 * ROWS_OF_A_SLICE)], 8, 16),
            (vec![(all.clone(), ROWS_OF_A_SLICE / 2); 20], 8, 16),
            (vec![(small, 8 * ROWS_OF_A_SLICE), (all, 2 * ROWS_OF_A_SLICE)], 8, 20),
            (vec![(trace(255)..=trace(255), 9 * ROWS_OF_A_SLICE)], 1, 1),
        ] {
            let ranges = even_ranges(blocks.into_iter());
            assert!((fewest..=most).contains(&ranges.len()), "{ranges:?}");
            let mut next = 0;
            for [first, last] in ranges.iter().rev().map(first_and_last) {
                assert!(first == next && first <= last, "{ranges:?}");
                next = last.wrapping_add(1);
            }
            assert_eq!(next, 0, "the last one ends with the last id");
        }
    }
}
