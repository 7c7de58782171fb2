//! What an ingester is told: plain values, checked by who read them.

use std::path::PathBuf;
use std::time::Duration;

use crate::limits::TenantLimits;

#[derive(Clone, Debug)]
pub struct IngestConfig {
    /// Bytes that requests, columns and blocks on their way may take together.
    pub memory_bytes: usize,
    /// A lane is cut when its columns take so many bytes.
    pub flush_bytes: usize,
    /// How old a large tenant's spans become before they are flushed.
    pub large_tenant_age: Duration,
    /// How old a small tenant's spans become before they are flushed.
    pub small_tenant_age: Duration,
    /// How long a request may wait for memory before it is sent away.
    pub admission_wait: Duration,
    /// Blocks that are encoded at the same time.
    pub encoders: usize,
    /// Where blocks wait while the bucket is away; none: in memory.
    pub spool: Option<PathBuf>,
    pub limits: TenantLimits,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            flush_bytes: 32 << 20,
            large_tenant_age: Duration::from_secs(30),
            small_tenant_age: Duration::from_secs(600),
            admission_wait: Duration::from_secs(2),
            encoders: 1,
            spool: None,
            limits: TenantLimits::default(),
        }
    }
}
