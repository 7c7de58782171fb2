//! Find traces: which traces have a span that fulfils a filter, in which order, and how many of them.
//!
//! A trace is found when one of its spans fulfils the whole filter and starts inside the window. The answer
//! is the whole trace, with the spans that do neither.

use std::collections::BTreeMap;

use super::Oracle;
use super::canonical::{CanonicalSpan, HexBytes};
use super::filter::OracleFilter;

#[derive(Clone, Debug)]
pub struct Search {
    pub filter: OracleFilter,
    /// None: all times.
    pub window: Option<TimeWindow>,
    pub order: Order,
    pub limit: usize,
}

/// `[start, end)` on the start of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindow {
    pub start_unix_nanos: u64,
    pub end_unix_nanos: u64,
}

/// Ties go by trace id, ascending, in every order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By the start of the newest matching span inside the window, descending.
    Newest,
    /// By the start of the oldest matching span inside the window, ascending.
    Oldest,
    /// By the time from the earliest start to the latest end of the whole trace, descending.
    Longest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTraces {
    pub traces: Vec<FoundTrace>,
    /// There are more than the limit let through.
    pub truncated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTrace {
    pub trace_id: HexBytes,
    /// All spans of the trace, sorted, same spans once.
    pub spans: Vec<CanonicalSpan>,
    /// How many of them fulfil the filter inside the window.
    pub matching: usize,
}

impl TimeWindow {
    pub fn contains(&self, unix_nanos: u64) -> bool {
        self.start_unix_nanos <= unix_nanos && unix_nanos < self.end_unix_nanos
    }
}

impl Search {
    /// All traces with such a span, newest first.
    pub fn all(filter: OracleFilter) -> Self {
        Search { filter, window: None, order: Order::Newest, limit: usize::MAX }
    }

    pub(super) fn matches(&self, span: &CanonicalSpan) -> bool {
        let in_window = self.window.is_none_or(|window| window.contains(span.start_unix_nanos));
        in_window && self.filter.holds_on(span)
    }

    /// Smallest first.
    fn sort_key(&self, trace: &[CanonicalSpan], matching: &[&CanonicalSpan]) -> i128 {
        let starts = || matching.iter().map(|span| i128::from(span.start_unix_nanos));
        match self.order {
            Order::Newest => -starts().max().unwrap_or(0),
            Order::Oldest => starts().min().unwrap_or(0),
            Order::Longest => -duration_nanos(trace),
        }
    }
}

fn duration_nanos(trace: &[CanonicalSpan]) -> i128 {
    let earliest = trace.iter().map(|span| i128::from(span.start_unix_nanos)).min().unwrap_or(0);
    let latest = trace.iter().map(|span| i128::from(span.end_unix_nanos)).max().unwrap_or(0);
    latest - earliest
}

impl Oracle {
    pub fn find(&self, search: &Search) -> FoundTraces {
        let mut traces: BTreeMap<HexBytes, Vec<CanonicalSpan>> = BTreeMap::new();
        for span in self.spans() {
            traces.entry(span.trace_id.clone()).or_default().push(span);
        }
        let mut found = Vec::new();
        for (trace_id, spans) in traces {
            let matching: Vec<&CanonicalSpan> = spans.iter().filter(|span| search.matches(span)).collect();
            if matching.is_empty() {
                continue;
            }
            let sort_key = search.sort_key(&spans, &matching);
            let matching = matching.len();
            found.push((sort_key, FoundTrace { trace_id, spans, matching }));
        }
        found.sort_by(|(left_key, left), (right_key, right)| {
            left_key.cmp(right_key).then_with(|| left.trace_id.cmp(&right.trace_id))
        });
        let truncated = found.len() > search.limit;
        let traces = found.into_iter().take(search.limit).map(|(_, trace)| trace).collect();
        FoundTraces { traces, truncated }
    }
}
