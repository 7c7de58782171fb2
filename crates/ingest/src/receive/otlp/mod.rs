//! OTLP traces, over HTTP and gRPC: sender's bytes to [`crate::export::Export`]s, outcomes to the protocol's answers.
//!
//! Both transports do the same in the same order: whose is it, is there room, read within bounds, open, hand
//! over. What they know only themselves is how to read a request's head and how to write an answer.

// Whose spans these are.
mod tenant;
// The bytes of a request, read and opened within bounds.
mod body;
// JSON into the protobuf encoding: what follows knows only that one.
pub mod json;
// Opened and handed over.
mod open;
// Why a request failed, and the protocol's messages.
mod answer;
// Web pages that send.
mod cors;
// The two transports.
pub mod grpc;
pub mod http;

use std::sync::Arc;
use std::time::Duration;

use siltstone_catalog::time::Clock;

use self::body::FIRST_GUESS_BYTES;
use crate::export::Accept;
use crate::metrics::Metrics;

/// The gRPC service that senders call.
pub const TRACE_SERVICE: &str = "opentelemetry.proto.collector.trace.v1.TraceService";

/// What both transports share.
pub struct Otlp {
    pub accept: Arc<dyn Accept>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    pub settings: Settings,
}

/// What a sender may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The largest body, as it comes.
    pub request_bytes: usize,
    /// The largest body once it is decompressed, or turned from JSON into protobuf.
    pub uncompressed_bytes: usize,
    /// How long a body may take to arrive.
    pub read_deadline: Duration,
    /// Whether requests say whose spans they hold; if not, all are one tenant's.
    pub tenants: bool,
    /// Web pages whose scripts may send: origins such as `https://shop.example`, with `*` for any part of a
    /// host, or `*` alone for all.
    pub cors_origins: Vec<String>,
}

impl Settings {
    /// What memory for spans must have at least, so that there is ever room for the largest request: for its body as
    /// it comes and for what it is opened to, and as much for columns.
    pub fn most_memory_bytes(&self) -> usize {
        // One byte too many tells what is too large from what just fits.
        let bodies = self.request_bytes.max(FIRST_GUESS_BYTES).saturating_add(self.uncompressed_bytes);
        bodies.saturating_add(1).saturating_mul(2)
    }
}

/// The names under which a user finds [`Settings`].
pub(crate) mod setting {
    pub(crate) const REQUEST_BYTES: &str = "ingest.request_bytes";
    pub(crate) const UNCOMPRESSED_BYTES: &str = "ingest.uncompressed_bytes";
    pub(crate) const READ_DEADLINE: &str = "ingest.read_deadline";
    pub(crate) const TENANTS: &str = "ingest.tenants";
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            request_bytes: 20 << 20,
            uncompressed_bytes: 64 << 20,
            read_deadline: Duration::from_secs(30),
            tenants: false,
            cors_origins: Vec::new(),
        }
    }
}
