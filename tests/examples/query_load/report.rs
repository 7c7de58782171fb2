//! What was measured of one question, as a row of a table.

use std::fmt;
use std::time::Duration;

use crate::asks::{Answered, Ask};

/// All requests of the cold one, those of the catalog among them.
pub(crate) struct Sent {
    pub(crate) requests: u64,
    pub(crate) deep: u64,
    pub(crate) bytes: u64,
}

pub(crate) struct Row {
    pub(crate) ask: Ask,
    pub(crate) after_start: Answered,
    pub(crate) cold: Answered,
    pub(crate) sent: Sent,
    pub(crate) warm: Vec<Answered>,
}

impl Row {
    pub(crate) const HEAD: &str = "\
| question | found | first after a start, ms | cold, ms | requests / deep / MB | blocks read | p50, ms | p99, ms | fastest, ms | CPU, ms | warm requests |\n\
|---|---|---|---|---|---|---|---|---|---|---|";
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut times: Vec<Duration> = self.warm.iter().map(|answered| answered.took).collect();
        times.sort_unstable();
        let at = |share: f64| Millis(times[((times.len() - 1) as f64 * share) as usize]);
        let processor: Duration = self.warm.iter().map(|answered| answered.processor).sum();
        let requests: u64 = self.warm.iter().map(|answered| answered.cost.requests).sum();
        write!(
            f,
            "| {} | {} | {} | {} | {} / {} / {:.2} | {} | {} | {} | {} | {} | {:.1} |",
            self.ask.name(),
            self.cold.found,
            Millis(self.after_start.took),
            Millis(self.cold.took),
            self.sent.requests,
            self.sent.deep,
            self.sent.bytes as f64 / 1e6,
            self.cold.cost.blocks_read,
            at(0.5),
            at(0.99),
            at(0.0),
            Millis(processor / times.len() as u32),
            requests as f64 / times.len() as f64,
        )
    }
}

struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.0.as_secs_f64() * 1e3)
    }
}
