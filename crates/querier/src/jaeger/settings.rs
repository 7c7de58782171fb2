//! What an operator may set about Jaeger's interfaces, and what is joined to them from elsewhere.

use std::sync::Arc;
use std::time::Duration;

use siltstone_ask::Window;
use siltstone_format::span::Span;

#[derive(Clone)]
pub struct JaegerSettings {
    /// Clocks that differ by more are not brought together; zero: none are.
    pub max_clock_skew: Duration,
    /// Lists of services and operations are of spans that started so long ago at most. None: of all.
    pub names_lookback: Option<Duration>,
    /// Who reads OTLP as JSON for `/api/transform`. None: nobody, and there is no such path.
    pub otlp_json: Option<Arc<dyn ReadOtlpJson>>,
    /// The largest body of `/api/transform`.
    pub transform_bytes: usize,
}

/// Reads an export of OTLP as JSON.
pub trait ReadOtlpJson: Send + Sync {
    /// What is wrong, if it cannot be read.
    fn read(&self, json: &[u8]) -> Result<ReadSpans, String>;
}

/// Spans in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub struct ReadSpans {
    pub spans: Vec<Span>,
    /// What is wrong with spans that are left out. Empty: none is.
    pub refused: String,
}

impl Default for JaegerSettings {
    fn default() -> Self {
        Self {
            max_clock_skew: Duration::ZERO,
            names_lookback: None,
            otlp_json: None,
            transform_bytes: 20 << 20,
        }
    }
}

impl JaegerSettings {
    /// In which services and operations are looked for.
    pub fn window_of_names(&self, now_unix_nano: u64) -> Window {
        match self.names_lookback {
            None => Window::ALL,
            Some(lookback) => {
                let nanos = u64::try_from(lookback.as_nanos()).unwrap_or(u64::MAX);
                Window { start: now_unix_nano.saturating_sub(nanos), end: u64::MAX }
            }
        }
    }
}
