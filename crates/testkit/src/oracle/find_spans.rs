//! Find spans: which spans fulfil a filter and start inside a window, in which order.

use super::Oracle;
use super::canonical::CanonicalSpan;
use super::find::{Order, Search};

impl Oracle {
    /// All such spans: by their own starts or durations, ties by trace and span id. The order of spans that are
    /// equal in all of that is any. The limit of the search is not looked at.
    pub fn find_spans(&self, search: &Search) -> Vec<CanonicalSpan> {
        let mut spans: Vec<CanonicalSpan> =
            self.spans().into_iter().filter(|span| search.matches(span)).collect();
        spans.sort_by_cached_key(|span| {
            let rank = match search.order {
                Order::Newest => -i128::from(span.start_unix_nanos),
                Order::Oldest => i128::from(span.start_unix_nanos),
                Order::Longest => -span.duration_nanos(),
            };
            (rank, span.trace_id.clone(), span.span_id.clone())
        });
        spans
    }
}
