//! The stream of export requests: arrivals make traces, delivery spreads their spans.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::arrivals::Arrivals;
use crate::config::TrafficConfig;
use crate::delivery::Delivery;
use crate::dice::Dice;
use crate::enrich::Enricher;
use crate::fleet::Fleet;
use crate::subject::Subject;
use crate::topology::{Topology, topology};
use crate::trace::{Trace, Weaver};

const PARTITIONS: usize = 24;

/// One request as a collector sends it.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Which collector, from 0.
    pub writer: usize,
    /// When it is sent; never goes back from one batch to the next.
    pub sent_unix_nano: u64,
    pub request: ExportTraceServiceRequest,
}

/// Batches in the order in which they are sent. Holds the spans of seconds, not of the run.
pub struct Traffic {
    spans: usize,
    made: usize,
    finished: bool,
    arrivals: Arrivals,
    weaver: Weaver,
    delivery: Delivery,
}

impl Traffic {
    #[must_use]
    pub fn new(config: TrafficConfig) -> Self {
        let fleet = Fleet::new(&config);
        let delivery = Delivery::new(&config, fleet.pods.len());
        let arrivals = Arrivals::new(&config);
        let mut dice = Dice::new(config.seed);
        let offsets = (0..PARTITIONS).map(|_| 7_000_000 + dice.below(900_000)).collect();
        let weaver = Weaver {
            dice,
            fleet,
            subject: Subject::first(),
            published: Vec::new(),
            trace: Trace::default(),
            shares: config.shares,
            enricher: Enricher::new(config.profile),
            offsets,
        };
        Self { spans: config.spans, made: 0, finished: false, arrivals, weaver, delivery }
    }

    /// The services and the edges that the traffic can show.
    #[must_use]
    pub fn topology(&self) -> Topology {
        topology()
    }

    fn one_trace(&mut self) {
        let arrival = self.arrivals.next(&mut self.weaver, self.spans - self.made);
        let spans = self.weaver.weave(arrival.operation, arrival.at, arrival.links, arrival.wanted);
        self.made += spans.len();
        self.delivery.accept(spans, &self.weaver.fleet);
        self.delivery.advance(arrival.at, &self.weaver.fleet);
    }
}

impl Iterator for Traffic {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        loop {
            if let Some(batch) = self.delivery.ready.pop_front() {
                return Some(batch);
            }
            if self.made < self.spans {
                self.one_trace();
            } else if self.finished {
                return None;
            } else {
                self.finished = true;
                self.delivery.finish(&self.weaver.fleet);
            }
        }
    }
}
