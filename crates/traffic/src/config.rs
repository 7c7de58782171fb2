//! What a run of traffic is asked to be: its seed, its length, its rate and how often things go wrong.

/// Everything that decides the traffic. The same value gives the same bytes, on every machine.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficConfig {
    /// Decides every random choice.
    pub seed: u64,
    /// About how many spans to produce; the last trace is never cut.
    pub spans: usize,
    /// Virtual time at which the first trace may begin.
    pub start_unix_nano: u64,
    /// Spans per second of virtual time. Together with `spans` it decides the time range. Below some 4,000
    /// only a part of each service's pods is busy at once, and the busy part moves on every few minutes.
    pub span_rate: f64,
    /// How much a span carries.
    pub profile: Profile,
    /// How many collectors the spans are spread over.
    pub writers: usize,
    /// Spans in one export request; only the last request of a writer has fewer.
    pub request_spans: usize,
    /// How often the unusual happens.
    pub shares: Shares,
}

impl Default for TrafficConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            spans: 1_000_000,
            // 2026-01-05 09:00:00 UTC, a Monday morning.
            start_unix_nano: 1_767_603_600_000_000_000,
            span_rate: 6_000.0,
            profile: Profile::LEAN,
            writers: 4,
            request_spans: 1_000,
            shares: Shares::default(),
        }
    }
}

/// Uncompressed protobuf bytes a span to aim for, resources and scopes included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    bytes_per_span: u32,
}

impl Profile {
    /// What a sparing instrumentation sends: about 280 bytes a span.
    pub const LEAN: Self = Self { bytes_per_span: 280 };
    /// Headers, labels, long statements and log events: about 1,500 bytes a span.
    pub const RICH: Self = Self { bytes_per_span: 1_500 };

    /// A profile between lean and rich; values outside 280..=1500 become the nearest bound.
    #[must_use]
    pub fn with_bytes_per_span(bytes_per_span: u32) -> Self {
        Self { bytes_per_span: bytes_per_span.clamp(Self::LEAN.bytes_per_span, Self::RICH.bytes_per_span) }
    }

    /// The target in bytes.
    #[must_use]
    pub fn bytes_per_span(self) -> u32 {
        self.bytes_per_span
    }
}

/// Shares between 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// Traces in which a request ends in HTTP 500, about; other errors scale with it.
    pub failed_traces: f64,
    /// Exports of a pod that arrive minutes late.
    pub late_exports: f64,
    /// Traces whose root, or another span with children, is never sent.
    pub missing_parents: f64,
    /// Pods whose clock is wrong by milliseconds to seconds.
    pub skewed_pods: f64,
    /// Calls that are answered "unavailable" at first and tried again.
    pub retried_calls: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            failed_traces: 0.005,
            late_exports: 0.01,
            missing_parents: 0.01,
            skewed_pods: 0.03,
            retried_calls: 0.004,
        }
    }
}
