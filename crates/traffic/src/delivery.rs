//! The way of finished spans: a pod exports what ended since its last tick to one collector, the collector
//! fills requests from the exports of many pods.
//!
//! Memory: the spans of one export interval, those that are late, and one request per writer.

use std::collections::{BTreeMap, VecDeque};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

use crate::config::TrafficConfig;
use crate::dice::mix;
use crate::fleet::Fleet;
use crate::scopes::{Instrument, scope};
use crate::trace::Emitted;
use crate::traffic::Batch;

/// The schedule delay of the SDKs' batch processors.
const EXPORT_INTERVAL_NANOS: u64 = 5_000_000_000;
/// A busy pod exports sooner, at about so many spans.
const EXPORT_SPANS: f64 = 128.0;
/// Exports within one slot are ordered only when the slot is due.
const SLOT_NANOS: u64 = 20_000_000;
/// A pod keeps its connection to one collector for so long.
const CONNECTION_NANOS: u64 = 60_000_000_000;
const LATE_FROM_NANOS: u64 = 60_000_000_000;
const LATE_TO_NANOS: u64 = 480_000_000_000;

pub(crate) struct Delivery {
    seed: u64,
    interval: u64,
    late_below: u64,
    request_spans: usize,
    slots: BTreeMap<u64, Vec<Export>>,
    /// How long a request waits to be full. Runs only at the end of the traffic, when little comes in.
    linger: u64,
    /// When the last request was sent.
    clock: u64,
    writers: Vec<Vec<Export>>,
    pub(crate) ready: VecDeque<Batch>,
}

struct Export {
    at: u64,
    emitted: Emitted,
}

impl Delivery {
    pub(crate) fn new(config: &TrafficConfig, pods: usize) -> Self {
        let busy = EXPORT_SPANS * pods as f64 / config.span_rate.max(1e-3) * 1e9;
        let fill_seconds = (config.request_spans * config.writers) as f64 / config.span_rate.max(1e-3);
        Self {
            seed: mix(config.seed, 0xde11),
            interval: (busy as u64).clamp(100_000_000, EXPORT_INTERVAL_NANOS),
            late_below: (config.shares.late_exports.clamp(0.0, 1.0) * u64::MAX as f64) as u64,
            request_spans: config.request_spans.max(1),
            slots: BTreeMap::new(),
            linger: EXPORT_INTERVAL_NANOS + (4e9 * fill_seconds) as u64,
            clock: 0,
            writers: (0..config.writers.max(1)).map(|_| Vec::new()).collect(),
            ready: VecDeque::new(),
        }
    }

    /// Takes the spans of a trace; each waits for the next tick of its pod.
    pub(crate) fn accept(&mut self, spans: Vec<Emitted>, fleet: &Fleet) {
        for emitted in spans {
            let at = self.export_time(&emitted, fleet);
            self.slots.entry(at / SLOT_NANOS).or_default().push(Export { at, emitted });
        }
    }

    fn export_time(&self, emitted: &Emitted, fleet: &Fleet) -> u64 {
        let phase = fleet.pods[emitted.pod].phase % self.interval;
        let tick = (emitted.ended + self.interval - phase) / self.interval;
        let at = tick * self.interval + phase;
        let luck = mix(self.seed ^ emitted.pod as u64, tick);
        if luck >= self.late_below {
            return at;
        }
        // The collector was out of reach: the whole export comes minutes later.
        at + LATE_FROM_NANOS + mix(luck, 1) % (LATE_TO_NANOS - LATE_FROM_NANOS)
    }

    /// Delivers every export before `now`, which no span that is still to come can precede.
    pub(crate) fn advance(&mut self, now: u64, fleet: &Fleet) {
        while let Some(slot) = self.slots.first_entry() {
            if (slot.key() + 1) * SLOT_NANOS > now {
                break;
            }
            let exports = slot.remove();
            self.deliver(exports, fleet);
        }
    }

    /// Delivers all there is, and the requests that are not full.
    pub(crate) fn finish(&mut self, fleet: &Fleet) {
        self.advance(u64::MAX, fleet);
        for writer in 0..self.writers.len() {
            self.send(writer, fleet);
        }
    }

    fn deliver(&mut self, mut exports: Vec<Export>, fleet: &Fleet) {
        exports.sort_by_cached_key(|export| (export.at, export.emitted.pod, export.emitted.ended));
        if let Some(first) = exports.first() {
            self.send_overdue(first.at, fleet);
        }
        for export in exports {
            let connection = mix(self.seed ^ (export.emitted.pod as u64) << 20, export.at / CONNECTION_NANOS);
            let writer = (connection % self.writers.len() as u64) as usize;
            self.writers[writer].push(export);
            if self.writers[writer].len() >= self.request_spans {
                self.send(writer, fleet);
            }
        }
    }

    fn send_overdue(&mut self, now: u64, fleet: &Fleet) {
        for writer in 0..self.writers.len() {
            if self.writers[writer].first().is_some_and(|oldest| oldest.at + self.linger < now) {
                self.clock = self.clock.max(self.writers[writer][0].at + self.linger);
                self.send(writer, fleet);
            }
        }
    }

    fn send(&mut self, writer: usize, fleet: &Fleet) {
        let exports = std::mem::take(&mut self.writers[writer]);
        let Some(last) = exports.last() else { return };
        // The collector's own batching and the network.
        self.clock = self.clock.max(last.at + 2_000_000);
        let sent_unix_nano = self.clock;
        self.ready.push_back(Batch { writer, sent_unix_nano, request: request(exports, fleet) });
    }
}

fn request(exports: Vec<Export>, fleet: &Fleet) -> ExportTraceServiceRequest {
    let mut resource_spans: Vec<ResourceSpans> = Vec::new();
    let mut open: Option<(u64, usize)> = None;
    let mut instruments: Vec<Instrument> = Vec::new();
    for Export { at, emitted } in exports {
        let pod = &fleet.pods[emitted.pod];
        if open != Some((at, emitted.pod)) {
            open = Some((at, emitted.pod));
            instruments.clear();
            resource_spans.push(ResourceSpans { resource: Some(pod.resource.clone()), ..Default::default() });
        }
        let Some(resource) = resource_spans.last_mut() else { continue };
        let place = instruments.iter().position(|known| *known == emitted.instrument).unwrap_or_else(|| {
            let (scope, schema_url) = scope(pod.service.language, emitted.instrument);
            let schema_url = schema_url.to_owned();
            instruments.push(emitted.instrument);
            resource.scope_spans.push(ScopeSpans { scope: Some(scope), spans: Vec::new(), schema_url });
            instruments.len() - 1
        });
        resource.scope_spans[place].spans.push(emitted.span);
    }
    ExportTraceServiceRequest { resource_spans }
}
