//! Blocks for tests: from requests to objects and back to spans.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use siltstone_format::block::error::ReadError;
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::read::SpansFile;
use siltstone_format::block::summary::BlockSummary;
use siltstone_format::block::write::{EncodeError, encode_block};
use siltstone_format::columns::{Rejected, SpanColumns};
use siltstone_format::id::BlockId;
use siltstone_format::invariants::{Violation, WholeBlock, check_f1};
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_traffic::{Profile, Traffic, TrafficConfig};
use ulid::Ulid;

use crate::decode::decode_request;

/// A block as it would lie in the store.
#[derive(Debug)]
pub struct Block {
    pub summary: BlockSummary,
    pub spans: Bytes,
    pub origins: Bytes,
}

impl Block {
    /// Encodes columns as the block with this number.
    pub fn encode(columns: &SpanColumns, number: u128) -> Result<Self, EncodeError> {
        let identity =
            BlockIdentity { block: BlockId(Ulid(number)), tenant: Tenant::single(), inputs: Vec::new() };
        let encoded = encode_block(columns, &identity)?;
        Ok(Self { summary: encoded.summary, spans: encoded.spans.into(), origins: encoded.origins.into() })
    }

    pub fn spans_file(&self) -> Result<SpansFile, ReadError> {
        let tail = self.spans.slice(self.summary.spans.metadata_offset as usize..);
        SpansFile::open("spans", &self.summary.spans, &tail)
    }

    pub fn origins_file(&self) -> Result<OriginsFile, ReadError> {
        let tail = self.origins.slice(self.summary.origins.origins_offset as usize..);
        OriginsFile::open("origins", &self.summary.origins, &tail)
    }

    /// All spans, after F1 was checked.
    pub fn checked_spans(&self) -> Result<Vec<Span>, Violation> {
        check_f1(&WholeBlock { summary: &self.summary, spans: &self.spans, origins: &self.origins })
    }

    /// Bytes of all objects.
    pub fn bytes(&self) -> usize {
        self.spans.len() + self.origins.len()
    }
}

/// Columns of some requests.
pub fn columns_of<'a>(
    requests: impl IntoIterator<Item = &'a ExportTraceServiceRequest>,
) -> Result<SpanColumns, Rejected> {
    let mut columns = SpanColumns::default();
    requests.into_iter().try_for_each(|request| decode_request(request, &mut columns))?;
    Ok(columns)
}

/// Generated traffic of about so many spans of so many bytes.
pub fn traffic(spans: usize, bytes_per_span: u32, seed: u64) -> Traffic {
    Traffic::new(TrafficConfig {
        seed,
        spans,
        profile: Profile::with_bytes_per_span(bytes_per_span),
        ..TrafficConfig::default()
    })
}

/// Columns of generated traffic.
pub fn traffic_columns(spans: usize, bytes_per_span: u32, seed: u64) -> Result<SpanColumns, Rejected> {
    let mut columns = SpanColumns::default();
    traffic(spans, bytes_per_span, seed)
        .try_for_each(|batch| decode_request(&batch.request, &mut columns))?;
    Ok(columns)
}
