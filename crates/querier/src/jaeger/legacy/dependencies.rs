//! Who calls whom, between services: what databases and others without spans are called has no place here.

use axum::extract::State;
use axum::response::Response;

use super::envelope::{Failure, enveloped};
use crate::jaeger::calls::calls_between_services;
use crate::jaeger::http::{Asked, Jaeger};
use crate::jaeger::json::{write_shown, write_text};
use crate::jaeger::time::unix_nano_of_millis;
use crate::querier::Answer;

const DAY_MILLIS: i64 = 24 * 3_600 * 1_000;

pub(super) async fn dependencies(State(jaeger): State<Jaeger>, asked: Asked) -> Result<Response, Failure> {
    let parameters = &asked.parameters;
    let int = |name: &str| parameters.int(&[name]).map_err(|error| Failure::parameter(name, error));
    let now = i64::try_from(jaeger.now_unix_nano() / 1_000_000).unwrap_or(i64::MAX);
    let end = int("endTs")?.unwrap_or(now);
    let lookback = int("lookback")?.unwrap_or(DAY_MILLIS);
    let times = [end.saturating_sub(lookback), end].map(unix_nano_of_millis);
    let Answer { content, gaps, .. } = calls_between_services(&jaeger.querier, &asked.tenant, times).await?;
    let of = parameters.first(&["service"]);
    let mut data = vec![b'['];
    for ((parent, child), calls) in content {
        if of.is_some_and(|of| of != parent && of != child) {
            continue;
        }
        if data.len() > 1 {
            data.push(b',');
        }
        data.extend_from_slice(b"{\"parent\":");
        write_text(&parent, &mut data);
        data.extend_from_slice(b",\"child\":");
        write_text(&child, &mut data);
        data.extend_from_slice(b",\"callCount\":");
        write_shown(calls, &mut data);
        data.push(b'}');
    }
    data.push(b']');
    Ok(enveloped(&data, 0, &gaps, parameters.layout()))
}
