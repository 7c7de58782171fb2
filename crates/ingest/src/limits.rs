//! What a tenant may send, and what happens to who sends more.

mod rate;
mod settings;
mod units;

use std::collections::BTreeMap;
use std::time::Duration;

use siltstone_format::tenant::Tenant;

pub use rate::RateLimiter;
pub use settings::{LimitKeys, LimitSettings, SettingsError};
pub use units::{ByteCount, Keep, UnitError};

/// A span may start later than now by so much: clocks differ.
const LATEST_START: Duration = Duration::from_hours(24);

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

/// When a span may start, both ends included, in unix nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartBounds {
    pub earliest: u64,
    pub latest: u64,
}

impl Limits {
    /// When spans may start that arrive now.
    pub fn start_bounds(&self, now_unix_millis: u64) -> StartBounds {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let now = now_unix_millis.saturating_mul(1_000_000);
        StartBounds {
            earliest: self.longest_keep.map_or(0, |keep| now.saturating_sub(nanos(keep))),
            latest: now.saturating_add(nanos(LATEST_START)),
        }
    }
}

impl LimitExceeded {
    /// `limit` is the name of the setting, the same for everybody and for one tenant.
    pub fn new(tenant: &Tenant, limit: &'static str, value: u64, retry_after: Option<Duration>) -> Self {
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let quote = if tenant.as_str().bytes().all(bare) { "" } else { "\"" };
        let advice = format!(
            "raise limits.tenants.{quote}{tenant}{quote}.{limit} in the settings file, or limits.default.{limit} \
             for every tenant that has no value of its own"
        );
        Self { tenant: tenant.to_string(), limit, value, advice, retry_after }
    }
}

impl TenantLimits {
    pub fn of(&self, tenant: &Tenant) -> &Limits {
        self.own.get(tenant).unwrap_or(&self.everybody)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_say_who_hit_what_and_where_to_change_it() {
        let of = |tenant: &str| {
            LimitExceeded::new(&tenant.parse().expect("a name"), "live_bytes", 7, None).to_string()
        };
        assert_eq!(
            of("team-a"),
            "tenant `team-a` is over its limit live_bytes = 7: raise limits.tenants.team-a.live_bytes in the \
             settings file, or limits.default.live_bytes for every tenant that has no value of its own"
        );
        assert!(of("a.b").contains("limits.tenants.\"a.b\".live_bytes"));
    }

    #[test]
    fn should_bound_starts_by_keep_and_a_day_ahead() {
        let day = 86_400_000_000_000;
        let now = 1_800_000_000_000;
        let all = Limits::default().start_bounds(now);
        assert_eq!(all, StartBounds { earliest: 0, latest: now * 1_000_000 + day });
        let keeping = |keep| Limits { longest_keep: Some(keep), ..Limits::default() };
        let kept = keeping(Duration::from_hours(48)).start_bounds(now);
        assert_eq!(kept.earliest, now * 1_000_000 - 2 * day);
        assert_eq!(keeping(Duration::MAX).start_bounds(now).earliest, 0);
        assert_eq!(Limits::default().start_bounds(u64::MAX).latest, u64::MAX);
    }
}
