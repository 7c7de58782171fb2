//! Whose spans a request holds: one header, in HTTP as in gRPC.

use http::{HeaderMap, HeaderValue};
use siltstone_format::tenant::{TENANT_HEADERS, Tenant, UnclearTenant};

use super::answer::Failure;
use super::setting;

/// The tenant of a request. Without tenants the headers mean nothing.
pub(super) fn tenant_of(headers: &HeaderMap, with_tenants: bool) -> Result<Tenant, Failure> {
    if !with_tenants {
        return Ok(Tenant::single());
    }
    let named = TENANT_HEADERS.iter().flat_map(|name| headers.get_all(*name));
    Tenant::of_headers(named.map(HeaderValue::as_bytes)).map_err(|unclear| match unclear {
        UnclearTenant::None => Failure::NoTenant(format!("{unclear} ({} = true)", setting::TENANTS)),
        unclear => Failure::BadTenant(unclear.to_string()),
    })
}

#[cfg(test)]
mod tests {
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
