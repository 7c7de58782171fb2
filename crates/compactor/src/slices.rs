//! Which output a trace goes to: by the time of its earliest span, and by how long it is kept where that is decided.

use std::collections::HashMap;

use siltstone_catalog::kept::Until;
use siltstone_format::columns::SpanColumns;
use siltstone_format::day::Day;
use siltstone_format::id::TraceId;

use crate::deletions::Deleted;
use crate::planted::{Bug, planted};
use crate::retain::Judged;

/// A stretch of time within one UTC day, of traces that are kept equally long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slice {
    pub(crate) day: Day,
    /// How many of a job's cuts lie before.
    part: usize,
    /// None: the job does not decide it.
    pub(crate) until: Option<Until>,
}

/// How a job cuts time: by day, and at times of its own.
#[derive(Clone, Debug)]
pub(crate) struct Slices {
    cuts: Vec<u64>,
    /// Where all spans go, if that is known.
    only: Option<Slice>,
    judged: Option<Judged>,
    /// The trace that rows before ended in: what comes later may be of it.
    last: Option<(TraceId, Slice)>,
}

/// Some rows of some columns, ascending.
pub(crate) struct Rows<'a> {
    pub(crate) columns: &'a SpanColumns,
    pub(crate) rows: std::ops::Range<usize>,
    /// Traces whose rows go nowhere.
    pub(crate) deleted: &'a Deleted,
}

impl Slices {
    /// For spans that start within these times, both included.
    pub(crate) fn new(mut cuts: Vec<u64>, first_start: u64, last_start: u64) -> Self {
        cuts.sort_unstable();
        let mut slices = Self { cuts, only: None, judged: None, last: None };
        let (first, last) = (slices.of(first_start), slices.of(last_start));
        slices.only = (first == last).then_some(first);
        slices
    }

    /// For a job that decides how long traces are kept.
    pub(crate) fn judged_by(self, judged: Option<Judged>) -> Self {
        Self { only: self.only.filter(|_| judged.is_none()), judged, ..self }
    }

    /// Whether nothing of it is kept any longer.
    pub(crate) fn has_gone(&self, slice: &Slice) -> bool {
        match (&self.judged, slice.until) {
            (Some(judged), Some(until)) => until.has_passed(judged.hour),
            _ => false,
        }
    }

    /// Rows come from the first one on again.
    pub(crate) fn begin(&mut self) {
        self.last = None;
    }

    fn of(&self, start_unix_nano: u64) -> Slice {
        let part = self.cuts.partition_point(|cut| *cut <= start_unix_nano);
        Slice { day: Day::of_unix_nano(start_unix_nano), part, until: None }
    }

    fn of_trace(&self, trace: &TraceId, start_unix_nano: u64) -> Slice {
        let slice = self.of(start_unix_nano);
        Slice { until: self.judged.as_ref().map(|judged| judged.until(trace, slice.day)), ..slice }
    }

    /// The slice of each trace of the next rows that is not deleted. Rows of a trace stand by start, so that its first one decides,
    /// and each piece has all its rows of a trace, or those that come first.
    pub(crate) fn of_traces(&mut self, pieces: &[Rows<'_>]) -> Destinations {
        if let Some(only) = self.only {
            return Destinations::Only(only);
        }
        let mut earliest: HashMap<TraceId, u64> = HashMap::new();
        for piece in pieces {
            for run in runs(piece) {
                let trace = piece.columns.trace_ids[run.start];
                if piece.deleted.has(&trace) {
                    continue;
                }
                let start = piece.columns.starts[run.start].cast_unsigned();
                let known = earliest.entry(trace).or_insert(start);
                *known = if planted(Bug::LastDay) { start.max(*known) } else { start.min(*known) };
            }
        }
        let mut slices: HashMap<TraceId, Slice> =
            earliest.into_iter().map(|(trace, start)| (trace, self.of_trace(&trace, start))).collect();
        if let Some((trace, slice)) = self.last
            && let Some(known) = slices.get_mut(&trace)
        {
            *known = slice;
        }
        if let Some(last) = slices.keys().max().copied() {
            self.last = slices.get(&last).map(|slice| (last, *slice));
        }
        Destinations::ByTrace(slices)
    }
}

/// Where the traces of some rows go.
pub(crate) enum Destinations {
    Only(Slice),
    ByTrace(HashMap<TraceId, Slice>),
}

impl Destinations {
    /// The rows of a piece by where they go, and how many were left out, since they are deleted.
    pub(crate) fn split(&self, piece: &Rows<'_>) -> (Vec<(Slice, Vec<u32>)>, usize) {
        let numbers = |rows: std::ops::Range<usize>| rows.map(|row| row as u32);
        if let (Self::Only(slice), true) = (self, piece.deleted.is_nothing()) {
            return (vec![(*slice, numbers(piece.rows.clone()).collect())], 0);
        }
        let (mut split, mut deleted): (Vec<(Slice, Vec<u32>)>, usize) = (Vec::new(), 0);
        for run in runs(piece) {
            let trace = &piece.columns.trace_ids[run.start];
            if piece.deleted.has(trace) {
                deleted += run.len();
                continue;
            }
            let slice = match self {
                Self::Only(slice) => Some(slice),
                Self::ByTrace(slices) => slices.get(trace),
            };
            let Some(slice) = slice else { continue };
            match split.iter_mut().find(|(known, _)| known == slice) {
                Some((_, rows)) => rows.extend(numbers(run)),
                None => split.push((*slice, numbers(run).collect())),
            }
        }
        (split, deleted)
    }
}

/// Rows of one trace each.
fn runs<'a>(piece: &'a Rows<'_>) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
    let mut start = piece.rows.start;
    piece.columns.trace_ids[piece.rows.clone()].chunk_by(|one, next| one == next).map(move |run| {
        let range = start..start + run.len();
        start = range.end;
        range
    })
}

#[cfg(test)]
mod tests {
    use siltstone_format::span::Span;

    use super::*;

    const HOUR: u64 = 3_600_000_000_000;

    fn columns(spans: &[(u8, u64)]) -> SpanColumns {
        let mut columns = SpanColumns::default();
        for (trace, start_unix_nano) in spans {
            let span = Span {
                trace_id: TraceId([*trace; 16]),
                start_unix_nano: *start_unix_nano,
                ..Span::default()
            };
            columns.push(&span).unwrap();
        }
        columns
    }

    fn piece<'a>(columns: &'a SpanColumns, deleted: &'a Deleted) -> Rows<'a> {
        Rows { columns, rows: 0..columns.len(), deleted }
    }

    #[test]
    fn should_send_a_trace_to_where_its_earliest_span_lies() {
        let mut slices = Slices::new(vec![HOUR], 0, 25 * HOUR);
        let one = columns(&[(1, HOUR + 1), (2, 5), (3, 25 * HOUR)]);
        let other = columns(&[(1, HOUR - 1), (3, 24 * HOUR - 1)]);
        let none = Deleted::default();
        let pieces = [piece(&one, &none), piece(&other, &none)];
        let found = slices.of_traces(&pieces);
        let slice = |day, part| Slice { day: Day(day), part, until: None };
        assert_eq!(found.split(&pieces[0]).0, [(slice(0, 0), vec![0, 1]), (slice(0, 1), vec![2])]);
        assert_eq!(found.split(&pieces[1]).0, [(slice(0, 0), vec![0]), (slice(0, 1), vec![1])]);
    }

    #[test]
    fn should_keep_a_trace_together_that_goes_on_later() {
        let mut slices = Slices::new(vec![HOUR], 0, 2 * HOUR);
        let one = columns(&[(1, 5)]);
        let none = Deleted::default();
        slices.of_traces(&[piece(&one, &none)]);
        let later = columns(&[(1, HOUR + 5)]);
        let piece = piece(&later, &none);
        let found = slices.of_traces(std::slice::from_ref(&piece));
        assert_eq!(found.split(&piece).0, [(Slice { day: Day(0), part: 0, until: None }, vec![0])]);
    }

    #[test]
    fn should_leave_out_what_was_deleted() {
        let columns = columns(&[(1, 5), (2, 6), (2, HOUR + 7), (3, HOUR)]);
        let deleted = Deleted::of(&[(1, TraceId([2; 16]))]);
        for last in [5, HOUR] {
            let mut slices = Slices::new(vec![HOUR], 5, last);
            let piece = piece(&columns, &deleted);
            let found = slices.of_traces(std::slice::from_ref(&piece));
            let (split, deleted) = found.split(&piece);
            let mut rows: Vec<u32> = split.into_iter().flat_map(|(_, rows)| rows).collect();
            rows.sort_unstable();
            assert_eq!((rows, deleted), (vec![0, 3], 2));
        }
    }

    #[test]
    fn should_not_let_deleted_rows_say_where_a_trace_goes() {
        let (old, new) = (columns(&[(1, 5)]), columns(&[(1, HOUR + 5)]));
        let (deleted, none) = (Deleted::of(&[(1, TraceId([1; 16]))]), Deleted::default());
        let pieces = [piece(&old, &deleted), piece(&new, &none)];
        let found = Slices::new(vec![HOUR], 0, 2 * HOUR).of_traces(&pieces);
        assert_eq!(found.split(&pieces[0]), (Vec::new(), 1));
        assert_eq!(
            found.split(&pieces[1]),
            (vec![(Slice { day: Day(0), part: 1, until: None }, vec![0])], 0)
        );
    }

    #[test]
    fn should_look_at_no_trace_where_all_go_to_one_place() {
        let mut slices = Slices::new(vec![HOUR], HOUR, HOUR + 1);
        assert!(matches!(slices.of_traces(&[]), Destinations::Only(Slice { day: Day(0), part: 1, .. })));
    }
}
