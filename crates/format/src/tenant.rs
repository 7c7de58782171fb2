//! Tenant names: what may stand in an object key and in a file's metadata.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest name that is accepted.
pub const MAX_TENANT_LEN: usize = 150;

/// Whose spans these are. No block, filter or manifest ever mixes two tenants.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Arc<str>);

/// A tenant's name is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is not a tenant name: use 1 to {MAX_TENANT_LEN} of the characters A-Z a-z 0-9 - _ . ! * ' ( ) \
     and not only dots"
)]
pub struct TenantError {
    name: String,
}

/// Headers that name a tenant: what Tempo, Loki and Mimir call it, and a plain name.
pub const TENANT_HEADERS: [&str; 2] = ["x-scope-orgid", "x-tenant"];

/// Why a request does not say whose it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnclearTenant {
    #[error("no org id: name the tenant in the header X-Scope-OrgID")]
    None,
    #[error("the request names two tenants")]
    Two,
    #[error("the tenant's name is not ASCII")]
    NotAscii,
    #[error(transparent)]
    Name(#[from] TenantError),
}

impl Tenant {
    /// The tenant that a request names in the values of its [`TENANT_HEADERS`].
    pub fn of_headers<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Self, UnclearTenant> {
        let first = values.next().ok_or(UnclearTenant::None)?;
        // Of two names one would be wrong.
        if values.any(|other| other != first) {
            return Err(UnclearTenant::Two);
        }
        let name = std::str::from_utf8(first).ok().filter(|name| name.is_ascii());
        Ok(name.ok_or(UnclearTenant::NotAscii)?.parse()?)
    }

    /// The one tenant of a system that has no tenants.
    pub fn single() -> Self {
        Self(Arc::from("default"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tenant {
    type Err = TenantError;

    fn from_str(name: &str) -> Result<Self, TenantError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!*'()".contains(&byte);
        let only_dots = name.bytes().all(|byte| byte == b'.');
        if name.len() > MAX_TENANT_LEN || only_dots || !name.bytes().all(allowed) {
            return Err(TenantError { name: name.chars().take(MAX_TENANT_LEN).collect() });
        }
        Ok(Self(Arc::from(name)))
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenant({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_accept_usual_names_and_refuse_what_could_leave_its_folder() {
        for name in ["default", "team-a", "a.b_c", "(x)!*'"] {
            assert_eq!(name.parse::<Tenant>().unwrap().as_str(), name);
        }
        let long = "x".repeat(MAX_TENANT_LEN + 1);
        for name in ["", ".", "..", "...", "a/b", "a\\b", "ä", "a b", "a\0", long.as_str()] {
            assert!(name.parse::<Tenant>().is_err(), "{name}");
        }
    }
}
