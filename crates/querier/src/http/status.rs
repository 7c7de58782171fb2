//! Which status says why a query has no answer.

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::limits::LimitReached;
use crate::querier::QueryError;

/// What an answer lacks, in bodies that have no place for it.
const PARTIAL: &str = "x-siltstone-partial";

pub(crate) fn status_of(error: &QueryError) -> StatusCode {
    match error {
        QueryError::Limit(LimitReached::Deadline(_)) => StatusCode::GATEWAY_TIMEOUT,
        QueryError::QueueFull(_) => StatusCode::TOO_MANY_REQUESTS,
        QueryError::Limit(_) | QueryError::Memory(_) => StatusCode::UNPROCESSABLE_ENTITY,
        QueryError::NotDone | QueryError::Expired => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Says what an answer lacks, if it lacks something.
pub(crate) fn partial_header(gaps: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !gaps.is_empty() {
        // A header's value is one line of ASCII.
        let text: String = gaps.join("; ").chars().filter(|c| c.is_ascii() && !c.is_control()).collect();
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(PARTIAL, value);
        }
    }
    headers
}
