//! What was merged, and what waits.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use crate::job::Done;

/// Counters and gauges of one compactor.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: Mutex<Counts>,
}

/// What they say at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub jobs_done: u64,
    pub jobs_failed: u64,
    /// Somebody else was faster, or worked on it.
    pub jobs_given_up: u64,
    pub rows_read: u64,
    pub rows_written: u64,
    pub rows_collapsed: u64,
    pub rows_deleted: u64,
    pub rows_expired: u64,
    /// Blocks that went as a whole, since nothing in them is kept any longer.
    pub blocks_expired: u64,
    /// How often a day could not be decided, so that all of it stayed.
    pub days_put_off: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub blocks_read: u64,
    pub blocks_written: u64,
    pub objects_swept: u64,
    /// Time that jobs took, all together.
    pub busy_millis: u64,
    pub waiting_blocks: u64,
    pub waiting_rows: u64,
    pub waiting_bytes: u64,
    /// How long ago the oldest span started that is in no merged block; 0: all are.
    pub oldest_unmerged_millis: u64,
    /// Blocks that no merge can read.
    pub blocks_set_aside: u64,
}

/// What waits to be merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) blocks: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) oldest_millis: u64,
}

impl Counts {
    /// How long it takes until nothing waits, at the pace so far; none: nothing was merged yet.
    pub fn drain_millis(&self) -> Option<u64> {
        if self.waiting_rows == 0 {
            return Some(0);
        }
        self.waiting_rows.saturating_mul(self.busy_millis).checked_div(self.rows_read)
    }
}

impl Metrics {
    pub(crate) fn done(&self, done: &Done, millis: u64) {
        self.note(|counts| {
            counts.jobs_done += 1;
            counts.rows_read += done.rows_read;
            counts.rows_written += done.rows_written;
            counts.rows_collapsed += done.collapsed;
            counts.rows_deleted += done.deleted;
            counts.rows_expired += done.expired;
            counts.bytes_read += done.bytes_read;
            counts.bytes_written += done.bytes_written;
            counts.blocks_read += done.blocks_read;
            counts.blocks_written += done.blocks_written;
            counts.busy_millis += millis;
        });
    }

    pub(crate) fn failed(&self) {
        self.note(|counts| counts.jobs_failed += 1);
    }

    pub(crate) fn given_up(&self) {
        self.note(|counts| counts.jobs_given_up += 1);
    }

    pub(crate) fn expired(&self, blocks: usize, rows: u64) {
        self.note(|counts| {
            counts.blocks_expired += blocks as u64;
            counts.rows_expired += rows;
        });
    }

    pub(crate) fn put_off(&self) {
        self.note(|counts| counts.days_put_off += 1);
    }

    pub(crate) fn swept(&self, objects: usize) {
        self.note(|counts| counts.objects_swept += objects as u64);
    }

    pub(crate) fn set_aside(&self, blocks: usize) {
        self.note(|counts| counts.blocks_set_aside = blocks as u64);
    }

    pub(crate) fn waits(&self, waiting: Waiting) {
        self.note(|counts| {
            counts.waiting_blocks = waiting.blocks;
            counts.waiting_rows = waiting.rows;
            counts.waiting_bytes = waiting.bytes;
            counts.oldest_unmerged_millis = waiting.oldest_millis;
        });
    }

    fn note(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Appends them as Prometheus reads them.
    pub fn render(&self, out: &mut String) {
        let counts = self.counts();
        let jobs = "How jobs ended.";
        head(out, "jobs_total", "counter", jobs);
        for (outcome, count) in
            [("done", counts.jobs_done), ("failed", counts.jobs_failed), ("given_up", counts.jobs_given_up)]
        {
            let _ = writeln!(out, "{PREFIX}jobs_total{{outcome=\"{outcome}\"}} {count}");
        }
        for (name, help, count) in [
            ("read_spans_total", "Spans that were merged.", counts.rows_read),
            ("written_spans_total", "Spans of merged blocks.", counts.rows_written),
            ("collapsed_spans_total", "Spans that said what another one said.", counts.rows_collapsed),
            ("deleted_spans_total", "Spans of deleted traces that were left out.", counts.rows_deleted),
            ("expired_spans_total", "Spans that are not kept any longer.", counts.rows_expired),
            ("expired_blocks_total", "Blocks that went as a whole, at their time.", counts.blocks_expired),
            (
                "undecided_days_total",
                "How often a day could not be decided: nothing of it goes.",
                counts.days_put_off,
            ),
            ("read_bytes_total", "Bytes of blocks that were merged.", counts.bytes_read),
            ("written_bytes_total", "Bytes of merged blocks.", counts.bytes_written),
            ("read_blocks_total", "Blocks that were merged.", counts.blocks_read),
            ("written_blocks_total", "Merged blocks.", counts.blocks_written),
            ("swept_objects_total", "Objects deleted since nobody needed them.", counts.objects_swept),
        ] {
            head(out, name, "counter", help);
            let _ = writeln!(out, "{PREFIX}{name} {count}");
        }
        let drain = counts.drain_millis().map_or(f64::NAN, |millis| millis as f64 / 1e3);
        for (name, help, value) in [
            ("waiting_blocks", "Blocks that wait to be merged.", counts.waiting_blocks as f64),
            ("waiting_spans", "Spans that wait to be merged.", counts.waiting_rows as f64),
            ("waiting_bytes", "Bytes of blocks that wait to be merged.", counts.waiting_bytes as f64),
            (
                "oldest_unmerged_seconds",
                "Age of the oldest flush that is in no merged block.",
                counts.oldest_unmerged_millis as f64 / 1e3,
            ),
            ("drain_seconds", "How long it takes until nothing waits, at the pace so far.", drain),
            ("unreadable_blocks", "Blocks that no merge can read.", counts.blocks_set_aside as f64),
        ] {
            head(out, name, "gauge", help);
            let _ = writeln!(out, "{PREFIX}{name} {value}");
        }
    }

    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const PREFIX: &str = "siltstone_compact_";

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing into a string cannot fail.
    let _ = writeln!(out, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_say_how_long_the_rest_takes_at_the_pace_so_far() {
        let counts = |waiting_rows, rows_read, busy_millis| Counts {
            waiting_rows,
            rows_read,
            busy_millis,
            ..Counts::default()
        };
        assert_eq!(counts(1_000, 500, 100).drain_millis(), Some(200));
        assert_eq!(counts(0, 0, 0).drain_millis(), Some(0));
        assert_eq!(counts(1, 0, 0).drain_millis(), None);
    }
}
