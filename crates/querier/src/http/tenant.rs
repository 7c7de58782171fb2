//! Whose spans a request asks for.

use http::{HeaderMap, HeaderValue};
use siltstone_format::tenant::{TENANT_HEADERS, Tenant, UnclearTenant};

/// Without tenants the headers mean nothing.
pub(crate) fn tenant_of(headers: &HeaderMap, with_tenants: bool) -> Result<Tenant, UnclearTenant> {
    if !with_tenants {
        return Ok(Tenant::single());
    }
    let named = TENANT_HEADERS.iter().flat_map(|name| headers.get_all(*name));
    Tenant::of_headers(named.map(HeaderValue::as_bytes))
}
