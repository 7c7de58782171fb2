//! What queries have taken since the process started: how they ended, how long they took, what they read. Names are
//! an interface: dashboards and alerts know them.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cache::CachedBytes;
use crate::cost::CostReport;
use crate::turns::Waiters;

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    /// Its limits were too narrow, or its statement cannot be answered.
    Refused,
    QueueFull,
    Failed,
    /// Nobody waited for the rest.
    GivenUp,
}

impl Outcome {
    const ALL: [(Self, &str); 5] = [
        (Self::Answered, "answered"),
        (Self::Refused, "refused"),
        (Self::QueueFull, "queue_full"),
        (Self::Failed, "failed"),
        (Self::GivenUp, "given_up"),
    ];
}

/// Upper bounds of the histogram of durations, in milliseconds; the last one is open.
const BOUNDS_MILLIS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 1_000, 5_000, 15_000, 60_000];

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub queries: [u64; Outcome::ALL.len()],
    /// By duration, of those that had a turn.
    durations: [u64; BOUNDS_MILLIS.len() + 1],
    micros: u64,
    pub cost: CostReport,
}

/// Shared by reference; held for a few additions.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: Mutex<Counts>,
}

impl Metrics {
    /// A query that had its turn has ended.
    pub(crate) fn ended(&self, outcome: Outcome, took: Duration, cost: &CostReport) {
        let millis = took.as_millis();
        let bucket = BOUNDS_MILLIS.partition_point(|bound| u128::from(*bound) < millis);
        self.note(|counts| {
            counts.queries[outcome as usize] += 1;
            counts.durations[bucket] += 1;
            counts.micros += u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            counts.cost.add(cost);
        });
    }

    /// A query has ended that had no turn.
    pub(crate) fn ended_waiting(&self, outcome: Outcome) {
        self.note(|counts| counts.queries[outcome as usize] += 1);
    }

    fn note(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends them as Prometheus reads them.
    pub(crate) fn render(&self, waiters: Waiters, cached: &[CachedBytes], out: &mut String) {
        let counts = self.counts();
        head(out, "queries_total", "counter", "How queries ended.");
        for (outcome, name) in Outcome::ALL {
            let _ = writeln!(
                out,
                "{PREFIX}queries_total{{outcome=\"{name}\"}} {}",
                counts.queries[outcome as usize]
            );
        }
        render_durations(&counts, out);
        let cost = &counts.cost;
        for (name, help, count) in [
            ("store_requests_total", "Requests for parts of blocks.", cost.requests),
            ("store_bytes_total", "Bytes that these brought.", cost.bytes),
            (
                "considered_blocks_total",
                "Blocks that times and filters of many blocks have left.",
                cost.blocks_considered,
            ),
            ("read_blocks_total", "Blocks of which pages were looked at.", cost.blocks_read),
            ("scanned_spans_total", "Spans for which a filter was evaluated.", cost.rows_scanned),
            ("collapsed_spans_total", "Spans that said what another one said.", cost.collapsed),
        ] {
            head(out, name, "counter", help);
            let _ = writeln!(out, "{PREFIX}{name} {count}");
        }
        for (name, help, value) in [
            ("running", "Queries that run.", waiters.running),
            ("waiting", "Queries that wait for their turn.", waiters.waiting),
        ] {
            head(out, name, "gauge", help);
            let _ = writeln!(out, "{PREFIX}{name} {value}");
        }
        head(out, "cache_bytes", "gauge", "Memory of what is kept of blocks, by kind.");
        for CachedBytes { kind, bytes } in cached {
            let _ = writeln!(out, "{PREFIX}cache_bytes{{kind=\"{kind}\"}} {bytes}");
        }
    }
}

fn render_durations(counts: &Counts, out: &mut String) {
    head(out, "seconds", "histogram", "How long queries took, in the queue too.");
    let mut all = 0;
    for (bound, count) in BOUNDS_MILLIS.iter().zip(counts.durations) {
        all += count;
        let _ = writeln!(out, "{PREFIX}seconds_bucket{{le=\"{}\"}} {all}", *bound as f64 / 1e3);
    }
    all += counts.durations[BOUNDS_MILLIS.len()];
    let _ = writeln!(out, "{PREFIX}seconds_bucket{{le=\"+Inf\"}} {all}");
    let _ = writeln!(out, "{PREFIX}seconds_sum {}", counts.micros as f64 / 1e6);
    let _ = writeln!(out, "{PREFIX}seconds_count {all}");
}

const PREFIX: &str = "siltstone_query_";

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing into a string cannot fail.
    let _ = writeln!(out, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_count_each_query_in_the_buckets_that_it_is_not_longer_than() {
        let metrics = Metrics::default();
        let cost = CostReport { requests: 3, bytes: 70, ..CostReport::default() };
        for millis in [0, 1, 2, 60_000, 60_001] {
            metrics.ended(Outcome::Answered, Duration::from_millis(millis), &cost);
        }
        metrics.ended_waiting(Outcome::QueueFull);
        let mut text = String::new();
        let cached = [CachedBytes { kind: "pages", bytes: 5 }];
        metrics.render(Waiters { running: 2, waiting: 1 }, &cached, &mut text);
        for line in [
            "siltstone_query_queries_total{outcome=\"answered\"} 5",
            "siltstone_query_queries_total{outcome=\"queue_full\"} 1",
            "siltstone_query_seconds_bucket{le=\"0.001\"} 2",
            "siltstone_query_seconds_bucket{le=\"0.002\"} 3",
            "siltstone_query_seconds_bucket{le=\"60\"} 4",
            "siltstone_query_seconds_bucket{le=\"+Inf\"} 5",
            "siltstone_query_seconds_count 5",
            "siltstone_query_seconds_sum 120.004",
            "siltstone_query_store_requests_total 15",
            "siltstone_query_store_bytes_total 350",
            "siltstone_query_running 2",
            "siltstone_query_waiting 1",
            "siltstone_query_cache_bytes{kind=\"pages\"} 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
    }
}
