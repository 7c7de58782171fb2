//! Which trace begins next, and when.

use opentelemetry_proto::tonic::trace::v1::span::Link;

use crate::attributes::text;
use crate::config::TrafficConfig;
use crate::dice::Dice;
use crate::operations::{BATCH_JOB, ENTRIES, Operation};
use crate::trace::{LARGEST_TRACE, Published, Weaver};

/// What the mix in [`ENTRIES`] comes to; decides how far apart traces must begin to keep the span rate.
const SPANS_PER_TRACE: f64 = 10.2;
/// One batch job in so many traces.
const BATCH_EVERY: u64 = 16_384;
/// The first one is not at the very beginning, so that a short run is all small traces.
const FIRST_BATCH: u64 = 6_000;
const MOST_LINKS: u64 = 8;

pub(crate) struct Arrivals {
    clock: f64,
    mean_gap: f64,
    start: u64,
    traces: u64,
    /// Messages that the next poll takes.
    poll: usize,
}

pub(crate) struct Arrival {
    pub(crate) at: u64,
    pub(crate) operation: &'static Operation,
    pub(crate) links: Vec<Link>,
    /// Spans that a batch job fills.
    pub(crate) wanted: usize,
}

impl Arrivals {
    pub(crate) fn new(config: &TrafficConfig) -> Self {
        Self {
            clock: 0.0,
            mean_gap: 1e9 * SPANS_PER_TRACE / config.span_rate.max(1e-3),
            start: config.start_unix_nano,
            traces: 0,
            poll: 1,
        }
    }

    /// `room` = spans that the run has left.
    pub(crate) fn next(&mut self, weaver: &mut Weaver, room: usize) -> Arrival {
        self.clock += weaver.dice.gap(self.mean_gap);
        self.traces += 1;
        let at = self.start + self.clock as u64;
        if self.traces % BATCH_EVERY == FIRST_BATCH {
            let wanted = self.batch_size(&mut weaver.dice);
            if wanted <= room {
                return Arrival { at, operation: &BATCH_JOB, links: Vec::new(), wanted };
            }
        }
        // What was published before now, by whatever trace.
        if weaver.published.len() >= self.poll
            && weaver.published[..self.poll].iter().all(|message| message.at <= at)
        {
            let messages: Vec<Published> = weaver.published.drain(..self.poll).collect();
            self.poll = 1 + weaver.dice.popular(MOST_LINKS) as usize;
            let operation = messages[0].operation;
            let links = messages.iter().map(link).collect();
            return Arrival { at, operation, links, wanted: 0 };
        }
        Arrival { at, operation: entry(&mut weaver.dice), links: Vec::new(), wanted: 0 }
    }

    fn batch_size(&self, dice: &mut Dice) -> usize {
        if self.traces == FIRST_BATCH {
            return LARGEST_TRACE;
        }
        dice.around(2_600, 0.7).clamp(800, LARGEST_TRACE as u64) as usize
    }
}

fn entry(dice: &mut Dice) -> &'static Operation {
    let mut left = dice.below(ENTRIES.iter().map(|(weight, _)| u64::from(*weight)).sum());
    for (weight, operation) in &ENTRIES {
        match left.checked_sub(u64::from(*weight)) {
            Some(rest) => left = rest,
            None => return operation,
        }
    }
    ENTRIES[0].1
}

fn link(message: &Published) -> Link {
    Link {
        trace_id: message.trace_id.to_vec(),
        span_id: message.span_id.to_vec(),
        attributes: vec![text("messaging.operation.type", "receive")],
        flags: 0x301,
        ..Link::default()
    }
}
