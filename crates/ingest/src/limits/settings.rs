//! Limits as the settings file holds them: `[limits.default]` and `[limits.tenants.<tenant>]`.
//!
//! Invariant: a tenant's own table changes only the keys that it names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use siltstone_format::tenant::{Tenant, TenantError};

use super::units::{ByteCount, Keep};
use super::{Limits, TenantLimits};

/// Seconds of its rate that a tenant may send at once if nobody says how much.
const BURST_SECONDS: u64 = 10;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// For every tenant.
    pub default: LimitKeys,
    /// For one.
    pub tenants: BTreeMap<String, LimitKeys>,
}

/// See [`Limits`] for what they mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitKeys {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<ByteCount>,
    /// Without it: what may come in ten seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_bytes: Option<ByteCount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_bytes: Option<ByteCount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute_bytes: Option<ByteCount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spans_per_request: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_keep: Option<Keep>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("limits.tenants: {0}")]
    Tenant(#[from] TenantError),
}

impl LimitSettings {
    pub fn resolve(&self) -> Result<TenantLimits, SettingsError> {
        let own = self.tenants.iter().map(|(name, keys)| {
            let tenant: Tenant = name.parse()?;
            Ok((tenant, keys.or(&self.default).resolve()))
        });
        let own = own.collect::<Result<_, SettingsError>>()?;
        Ok(TenantLimits { everybody: self.default.resolve(), own })
    }
}

impl LimitKeys {
    fn or(&self, default: &Self) -> Self {
        Self {
            bytes_per_second: self.bytes_per_second.or(default.bytes_per_second),
            burst_bytes: self.burst_bytes.or(default.burst_bytes),
            live_bytes: self.live_bytes.or(default.live_bytes),
            attribute_bytes: self.attribute_bytes.or(default.attribute_bytes),
            spans_per_request: self.spans_per_request.or(default.spans_per_request),
            longest_keep: self.longest_keep.or(default.longest_keep),
        }
    }

    fn resolve(&self) -> Limits {
        let built_in = Limits::default();
        let bytes = |named: Option<ByteCount>, otherwise| named.map_or(otherwise, |count| count.0);
        let bytes_per_second = bytes(self.bytes_per_second, built_in.bytes_per_second);
        // A rate is no bound if any amount may come at once.
        let burst_bytes = bytes(self.burst_bytes, bytes_per_second.saturating_mul(BURST_SECONDS));
        let attribute_bytes =
            self.attribute_bytes.map(|count| usize::try_from(count.0).unwrap_or(usize::MAX));
        Limits {
            bytes_per_second,
            burst_bytes,
            live_bytes: bytes(self.live_bytes, built_in.live_bytes),
            attribute_bytes: attribute_bytes.unwrap_or(built_in.attribute_bytes),
            spans_per_request: self.spans_per_request.unwrap_or(built_in.spans_per_request),
            longest_keep: self.longest_keep.map_or(built_in.longest_keep, |keep| keep.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(json: &str) -> Result<LimitSettings, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn resolved(json: &str) -> TenantLimits {
        parse(json).expect("valid").resolve().expect("valid")
    }

    #[test]
    fn should_be_the_built_in_limits_when_nothing_is_set() {
        assert_eq!(resolved("{}").everybody, Limits::default());
        assert_eq!(LimitSettings::default().resolve().expect("valid").everybody, Limits::default());
    }

    #[test]
    fn should_inherit_every_key_that_a_tenant_does_not_name() {
        let limits = resolved(
            r#"{"default":{"bytes_per_second":"10MiB","burst_bytes":"64MiB","live_bytes":1000,"attribute_bytes":"1KiB",
                "spans_per_request":10,"longest_keep":"30d"},
               "tenants":{"big":{"bytes_per_second":"unlimited"},"old":{"longest_keep":"forever"},"same":{}}}"#,
        );
        let of = |tenant: &str| limits.of(&tenant.parse().expect("a name")).clone();
        let everybody = limits.everybody.clone();
        assert_eq!(
            everybody,
            Limits {
                bytes_per_second: 10 << 20,
                burst_bytes: 64 << 20,
                live_bytes: 1000,
                attribute_bytes: 1024,
                spans_per_request: 10,
                longest_keep: Some(Duration::from_hours(720)),
            }
        );
        assert_eq!(of("big"), Limits { bytes_per_second: u64::MAX, ..everybody.clone() });
        assert_eq!(of("old"), Limits { longest_keep: None, ..everybody.clone() });
        assert_eq!((of("same"), of("another")), (everybody.clone(), everybody));
    }

    #[test]
    fn should_derive_a_burst_from_the_rate_that_holds_unless_one_is_named() {
        let limits = resolved(
            r#"{"default":{"bytes_per_second":100},"tenants":{"a":{"bytes_per_second":500},"b":{"burst_bytes":7}}}"#,
        );
        let burst = |tenant: &str| limits.of(&tenant.parse().expect("a name")).burst_bytes;
        assert_eq!((limits.everybody.burst_bytes, burst("a"), burst("b")), (1_000, 5_000, 7));
    }

    #[test]
    fn should_refuse_unknown_keys_wrong_units_and_impossible_tenants() {
        for (json, message) in [
            (r#"{"defaults":{}}"#, "unknown field `defaults`"),
            (r#"{"default":{"bytes_per_sec":1}}"#, "unknown field `bytes_per_sec`"),
            (r#"{"tenants":{"a":{"live_byte":1}}}"#, "unknown field `live_byte`"),
            (r#"{"default":{"live_bytes":-1}}"#, "expected a number of bytes"),
            (r#"{"default":{"live_bytes":"many"}}"#, "`many` is not a number of bytes"),
            (r#"{"default":{"longest_keep":30}}"#, "expected a string"),
            (r#"{"default":{"longest_keep":"30"}}"#, "`30` is not a duration"),
        ] {
            let error = parse(json).expect_err(json);
            assert!(error.contains(message), "{error}");
        }
        let settings = parse(r#"{"tenants":{"a/b":{}}}"#).expect("parses");
        let error = settings.resolve().expect_err("no name").to_string();
        assert!(error.starts_with("limits.tenants: `a/b` is not a tenant name"), "{error}");
    }

    #[test]
    fn should_read_what_it_writes() {
        let settings = parse(
            r#"{"default":{"bytes_per_second":"unlimited","longest_keep":"90m"},"tenants":{"a":{"live_bytes":"1kB"}}}"#,
        )
        .expect("valid");
        let written = serde_json::to_string(&settings).expect("writes");
        assert_eq!(
            written,
            r#"{"default":{"bytes_per_second":"unlimited","longest_keep":"90m"},"tenants":{"a":{"live_bytes":1000}}}"#
        );
        assert_eq!(parse(&written), Ok(settings));
    }
}
