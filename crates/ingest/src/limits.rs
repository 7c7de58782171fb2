//! What a tenant may send, and what happens to who sends more.

use std::collections::BTreeMap;
use std::time::Duration;

use siltstone_format::tenant::Tenant;

/// The limits of one tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Uncompressed bytes a second, on average.
    pub bytes_per_second: u64,
    /// Uncompressed bytes that may come at once.
    pub burst_bytes: u64,
    /// Bytes of spans in memory that are in no block yet.
    pub live_bytes: u64,
    /// Bytes of the key and value of one attribute.
    pub attribute_bytes: usize,
    pub spans_per_request: usize,
    /// Spans that started longer ago than that are refused; none: however old.
    pub longest_keep: Option<Duration>,
}

/// Limits of everybody, and of tenants that have some of their own.
#[derive(Clone, Debug, Default)]
pub struct TenantLimits {
    pub everybody: Limits,
    pub own: BTreeMap<Tenant, Limits>,
}

/// A limit was hit by a whole request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tenant `{tenant}` is over its limit {limit} = {value}: {advice}")]
pub struct LimitExceeded {
    pub tenant: String,
    /// The name of the setting.
    pub limit: &'static str,
    pub value: u64,
    /// Where to set it.
    pub advice: String,
    pub retry_after: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_per_second: u64::MAX,
            burst_bytes: u64::MAX,
            live_bytes: u64::MAX,
            attribute_bytes: 256 * 1024,
            spans_per_request: 1_000_000,
            longest_keep: None,
        }
    }
}

impl TenantLimits {
    pub fn of(&self, tenant: &Tenant) -> &Limits {
        self.own.get(tenant).unwrap_or(&self.everybody)
    }
}
