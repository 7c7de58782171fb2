//! Web pages that send spans from a browser, if their origin is allowed. Off unless origins are named.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue};

/// What OpenTelemetry's exporters for browsers send beside what every page may.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "content-type, content-encoding, authorization, x-scope-orgid, x-tenant, x-requested-with, traceparent, \
     tracestate, baggage",
);
/// Two hours: longer is cut by browsers.
const ANSWER_HOLDS_SECONDS: HeaderValue = HeaderValue::from_static("7200");

/// The headers for an answer to this page; none if its origin is not allowed.
pub(super) fn headers_for(request: &HeaderMap, allowed: &[String]) -> Option<HeaderMap> {
    let origin = request.get(ORIGIN)?;
    let text = origin.to_str().ok()?;
    if !allowed.iter().any(|pattern| matches(pattern, text)) {
        return None;
    }
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    headers.insert(VARY, HeaderValue::from_static("origin"));
    Some(headers)
}

/// What a browser asks before it sends.
pub(super) fn add_preflight(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, ANSWER_HOLDS_SECONDS);
}

/// `*` alone is everybody; elsewhere it stands for a part of a host, at least one character.
fn matches(pattern: &str, origin: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern.eq_ignore_ascii_case(origin);
    };
    let middle = origin.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    middle.is_some_and(|part| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_match_origins_whole_and_stars_within_the_host() {
        for (pattern, origin, expected) in [
            ("https://shop.example", "https://shop.example", true),
            ("https://shop.example", "https://shop.example.evil.test", false),
            ("https://shop.example", "http://shop.example", false),
            ("https://*.example", "https://a.b.example", true),
            ("https://*.example", "https://.example", false),
            ("https://*.example", "https://evil.test/.example", false),
            ("https://*.example", "https://evil.test:8/.example", false),
            ("*", "null", true),
            ("", "https://shop.example", false),
        ] {
            assert_eq!(matches(pattern, origin), expected, "{pattern} {origin}");
        }
    }

    #[test]
    fn should_say_nothing_to_pages_that_are_not_allowed() {
        let mut request = HeaderMap::new();
        assert_eq!(headers_for(&request, &["*".to_owned()]), None);
        request.insert(ORIGIN, HeaderValue::from_static("https://a.example"));
        assert_eq!(headers_for(&request, &[]), None);
        let headers = headers_for(&request, &["https://a.example".to_owned()]).unwrap();
        assert_eq!(headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).unwrap(), "https://a.example");
        assert_eq!(headers.get(VARY).unwrap(), "origin");
    }
}
