//! What happened since the process started, in numbers: counters and gauges in one struct, one function per
//! fact, and their text for Prometheus.
//!
//! Whoever answers a request counts how it ended ([`Metrics::accepted`], [`Metrics::refused`]); what lies
//! below counts what it alone knows. Names are an interface: dashboards and alerts know them.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::export::{Accepted, Refused, SpanFault};
use crate::receive::decompress::Encoding;

/// What a sender speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    HttpProtobuf,
    HttpJson,
    Grpc,
}

/// Why a whole request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Malformed,
    Limit,
    Overloaded,
    Unavailable,
    TooLarge,
    TooSlow,
    Broken,
    Unsupported,
    Tenant,
}

/// What is counted. Shared by reference; nothing here blocks.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: [[AtomicU64; ENCODINGS.len()]; Transport::ALL.len()],
    bytes: [[AtomicU64; ENCODINGS.len()]; Transport::ALL.len()],
    refused: [AtomicU64; Reason::ALL.len()],
    spans: AtomicU64,
    refused_spans: [AtomicU64; SpanFault::ALL.len()],
    collapsed_requests: AtomicU64,
    flushes: AtomicU64,
    flushed_blocks: AtomicU64,
    flushed_spans: AtomicU64,
    flushed_bytes: AtomicU64,
    failed_flushes: AtomicU64,
    replayed_records: AtomicU64,
    replayed_spans: AtomicU64,
    failed_replays: AtomicU64,
    lost_log_bytes: AtomicU64,
    connections: AtomicU64,
    log_bytes: AtomicU64,
    live_bytes: AtomicU64,
    live_spans: AtomicU64,
    memory_bytes: AtomicU64,
}

impl Transport {
    const ALL: [Self; 3] = [Self::HttpProtobuf, Self::HttpJson, Self::Grpc];

    fn name(self) -> &'static str {
        match self {
            Self::HttpProtobuf => "http_protobuf",
            Self::HttpJson => "http_json",
            Self::Grpc => "grpc",
        }
    }
}

/// In the order of their discriminants.
const ENCODINGS: [Encoding; 4] = [Encoding::Identity, Encoding::Gzip, Encoding::Deflate, Encoding::Zstd];

fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Identity => "identity",
        Encoding::Gzip => "gzip",
        Encoding::Deflate => "deflate",
        Encoding::Zstd => "zstd",
    }
}

impl Reason {
    const ALL: [Self; 9] = [
        Self::Malformed,
        Self::Limit,
        Self::Overloaded,
        Self::Unavailable,
        Self::TooLarge,
        Self::TooSlow,
        Self::Broken,
        Self::Unsupported,
        Self::Tenant,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Limit => "limit",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Broken => "broken",
            Self::Unsupported => "unsupported",
            Self::Tenant => "tenant",
        }
    }
}

impl From<&Refused> for Reason {
    fn from(refused: &Refused) -> Self {
        match refused {
            Refused::Malformed(_) => Self::Malformed,
            Refused::Limit(_) => Self::Limit,
            Refused::TooLarge(_) => Self::TooLarge,
            Refused::Overloaded { .. } => Self::Overloaded,
            Refused::Unavailable { .. } => Self::Unavailable,
        }
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Metrics {
    /// A request's body has arrived: so many bytes as they came.
    pub fn received(&self, transport: Transport, encoding: Encoding, bytes: usize) {
        add(&self.requests[transport as usize][encoding as usize], 1);
        add(&self.bytes[transport as usize][encoding as usize], bytes as u64);
    }

    /// A request was acknowledged. Called where it is answered.
    pub fn accepted(&self, accepted: &Accepted) {
        add(&self.spans, accepted.spans);
        for (fault, count) in accepted.refused.iter() {
            add(&self.refused_spans[fault as usize], u64::from(count));
        }
    }

    /// A whole request was refused. Called where it is answered.
    pub fn refused(&self, reason: Reason) {
        add(&self.refused[reason as usize], 1);
    }

    /// A request had been stored before: a retry.
    pub fn collapsed(&self) {
        add(&self.collapsed_requests, 1);
    }

    /// A flush was committed.
    pub fn flushed(&self, blocks: u64, spans: u64, bytes: u64) {
        add(&self.flushes, 1);
        add(&self.flushed_blocks, blocks);
        add(&self.flushed_spans, spans);
        add(&self.flushed_bytes, bytes);
    }

    /// A flush did not succeed and will be tried again.
    pub fn flush_failed(&self) {
        add(&self.failed_flushes, 1);
    }

    /// Records of a log were read back.
    pub fn replayed(&self, records: u64, spans: u64) {
        add(&self.replayed_records, records);
        add(&self.replayed_spans, spans);
    }

    /// A part of a log, of so many bytes, could not be read back, or not be decoded: what it held is in no block.
    pub fn replay_failed(&self, bytes: u64) {
        add(&self.failed_replays, 1);
        add(&self.lost_log_bytes, bytes);
    }

    pub fn connection_opened(&self) {
        add(&self.connections, 1);
    }

    pub fn connection_closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Bytes of the log that no committed flush covers.
    pub fn set_log_bytes(&self, bytes: u64) {
        self.log_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Spans in memory that are in no block yet.
    pub fn set_live(&self, spans: u64, bytes: u64) {
        self.live_spans.store(spans, Ordering::Relaxed);
        self.live_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes reserved of the memory budget.
    pub fn set_memory_bytes(&self, bytes: u64) {
        self.memory_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Prometheus's text format, version 0.0.4.
    pub fn render(&self, out: &mut String) {
        self.render_requests(out);
        self.render_flushes(out);
        self.render_gauges(out);
    }

    fn render_requests(&self, out: &mut String) {
        for (name, help, counters) in [
            ("requests_total", "Requests whose body arrived.", &self.requests),
            ("received_bytes_total", "Bytes of request bodies, as they came.", &self.bytes),
        ] {
            head(out, name, "counter", help);
            for transport in Transport::ALL {
                for encoding in ENCODINGS {
                    let labels = format!(
                        "{{transport=\"{}\",encoding=\"{}\"}}",
                        transport.name(),
                        encoding_name(encoding)
                    );
                    line(out, name, &labels, &counters[transport as usize][encoding as usize]);
                }
            }
        }
        let name = "refused_requests_total";
        head(out, name, "counter", "Requests that were refused as a whole.");
        for reason in Reason::ALL {
            line(out, name, &format!("{{reason=\"{}\"}}", reason.name()), &self.refused[reason as usize]);
        }
        single(out, "spans_total", "counter", "Spans acknowledged.", &self.spans);
        let name = "refused_spans_total";
        head(out, name, "counter", "Spans refused while their neighbours were taken.");
        for fault in SpanFault::ALL {
            line(out, name, &format!("{{fault=\"{}\"}}", fault.name()), &self.refused_spans[fault as usize]);
        }
        let help = "Requests that had been stored before: retries.";
        single(out, "collapsed_requests_total", "counter", help, &self.collapsed_requests);
    }

    fn render_flushes(&self, out: &mut String) {
        for (name, help, counter) in [
            ("flushes_total", "Flushes committed.", &self.flushes),
            ("failed_flushes_total", "Flushes that failed and are tried again.", &self.failed_flushes),
            ("flushed_blocks_total", "Blocks of committed flushes.", &self.flushed_blocks),
            ("flushed_spans_total", "Spans of committed flushes.", &self.flushed_spans),
            ("flushed_bytes_total", "Bytes of the blocks of committed flushes.", &self.flushed_bytes),
            ("replayed_records_total", "Records read back from logs.", &self.replayed_records),
            ("replayed_spans_total", "Spans read back from logs.", &self.replayed_spans),
            ("failed_replays_total", "Parts of logs that could not be read back.", &self.failed_replays),
            (
                "lost_log_bytes_total",
                "Bytes of such parts; their spans are in no block.",
                &self.lost_log_bytes,
            ),
        ] {
            single(out, name, "counter", help, counter);
        }
    }

    fn render_gauges(&self, out: &mut String) {
        for (name, help, gauge) in [
            ("connections", "Connections of senders.", &self.connections),
            ("log_bytes", "Bytes of the log that no committed flush covers.", &self.log_bytes),
            ("live_spans", "Spans in memory that are in no block yet.", &self.live_spans),
            ("live_bytes", "Bytes of spans in memory that are in no block yet.", &self.live_bytes),
            ("memory_bytes", "Bytes reserved of the memory budget.", &self.memory_bytes),
        ] {
            single(out, name, "gauge", help, gauge);
        }
    }
}

const PREFIX: &str = "siltstone_ingest_";

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing into a string cannot fail.
    let _ = writeln!(out, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &str, value: &AtomicU64) {
    let _ = writeln!(out, "{PREFIX}{name}{labels} {}", value.load(Ordering::Relaxed));
}

fn single(out: &mut String, name: &str, kind: &str, help: &str, value: &AtomicU64) {
    head(out, name, kind, help);
    line(out, name, "", value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::Refusals;

    fn rendered(metrics: &Metrics) -> String {
        let mut text = String::new();
        metrics.render(&mut text);
        text
    }

    #[test]
    fn should_render_each_fact_under_its_name_and_labels() {
        let metrics = Metrics::default();
        metrics.received(Transport::HttpJson, Encoding::Zstd, 700);
        metrics.received(Transport::HttpJson, Encoding::Zstd, 7);
        let mut refused = Refusals::default();
        refused.add(SpanFault::TooOld);
        metrics.accepted(&Accepted { spans: 41, refused, message: String::new() });
        metrics.refused(Reason::TooSlow);
        metrics.collapsed();
        metrics.flushed(2, 30, 4_000);
        metrics.replayed(3, 50);
        metrics.replay_failed(600);
        metrics.replay_failed(66);
        metrics.set_live(9, 900);
        metrics.connection_opened();
        metrics.connection_opened();
        metrics.connection_closed();
        let text = rendered(&metrics);
        for line in [
            "siltstone_ingest_requests_total{transport=\"http_json\",encoding=\"zstd\"} 2",
            "siltstone_ingest_received_bytes_total{transport=\"http_json\",encoding=\"zstd\"} 707",
            "siltstone_ingest_requests_total{transport=\"grpc\",encoding=\"gzip\"} 0",
            "siltstone_ingest_spans_total 41",
            "siltstone_ingest_refused_spans_total{fault=\"too_old\"} 1",
            "siltstone_ingest_refused_requests_total{reason=\"too_slow\"} 1",
            "siltstone_ingest_collapsed_requests_total 1",
            "siltstone_ingest_flushed_blocks_total 2",
            "siltstone_ingest_flushed_spans_total 30",
            "siltstone_ingest_flushed_bytes_total 4000",
            "siltstone_ingest_replayed_records_total 3",
            "siltstone_ingest_failed_replays_total 2",
            "siltstone_ingest_lost_log_bytes_total 666",
            "siltstone_ingest_live_spans 9",
            "siltstone_ingest_live_bytes 900",
            "siltstone_ingest_connections 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn should_describe_each_name_once_and_before_its_values() {
        let text = rendered(&Metrics::default());
        let mut described: Vec<&str> = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().unwrap();
                assert!(!described.contains(&name), "{name} twice");
                described.push(name);
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                assert_eq!(described.last(), Some(&name));
            }
        }
        assert_eq!(described.len(), 20);
    }
}
