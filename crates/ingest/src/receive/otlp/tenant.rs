//! Whose spans a request holds: one header, in HTTP as in gRPC.

use http::HeaderMap;
use siltstone_format::tenant::Tenant;

use super::answer::Failure;
use super::setting;

/// What Tempo, Loki and Mimir call it, and a plain name.
const HEADERS: [&str; 2] = ["x-scope-orgid", "x-tenant"];

/// The tenant of a request. Without tenants the headers mean nothing.
pub(super) fn tenant_of(headers: &HeaderMap, with_tenants: bool) -> Result<Tenant, Failure> {
    if !with_tenants {
        return Ok(Tenant::single());
    }
    let mut named = HEADERS.iter().flat_map(|name| headers.get_all(*name));
    let Some(first) = named.next() else {
        return Err(Failure::NoTenant(format!(
            "no org id: say whose spans these are in the header X-Scope-OrgID ({} = true)",
            setting::TENANTS
        )));
    };
    // Two names in one request: one of them would be wrong.
    if named.any(|other| other != first) {
        return Err(Failure::BadTenant("the request names two tenants".to_owned()));
    }
    let name = first.to_str().map_err(|_| Failure::BadTenant("the tenant's name is not ASCII".to_owned()))?;
    name.parse().map_err(|error: siltstone_format::tenant::TenantError| Failure::BadTenant(error.to_string()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn should_take_everything_for_one_tenants_without_tenants() {
        for given in [headers(&[]), headers(&[("x-scope-orgid", "a")]), headers(&[("x-tenant", "../")])] {
            assert_eq!(tenant_of(&given, false).unwrap(), Tenant::single());
        }
    }

    #[test]
    fn should_read_either_header() {
        let expected: Tenant = "team-a".parse().unwrap();
        for given in [
            headers(&[("x-scope-orgid", "team-a")]),
            headers(&[("x-tenant", "team-a")]),
            headers(&[("x-scope-orgid", "team-a"), ("x-tenant", "team-a")]),
        ] {
            assert_eq!(tenant_of(&given, true).unwrap(), expected);
        }
    }

    #[test]
    fn should_refuse_requests_without_a_tenant_or_with_a_strange_one() {
        assert!(matches!(tenant_of(&headers(&[]), true), Err(Failure::NoTenant(_))));
        let mut appended = headers(&[("x-scope-orgid", "a")]);
        appended.append("x-scope-orgid", HeaderValue::from_static("b"));
        for given in [
            headers(&[("x-scope-orgid", "")]),
            headers(&[("x-scope-orgid", "a/b")]),
            headers(&[("x-tenant", "a|b")]),
            headers(&[("x-scope-orgid", "a"), ("x-tenant", "b")]),
            appended,
        ] {
            assert!(matches!(tenant_of(&given, true), Err(Failure::BadTenant(_))), "{given:?}");
        }
    }
}
