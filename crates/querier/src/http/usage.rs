//! `/api/siltstone/usage`: what a tenant's spans take in the store, as JSON.

use std::cmp::Reverse;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use siltstone_catalog::kept::Until;
use siltstone_format::day::Day;

use super::Service;
use super::status::{partial_header, status_of};
use super::tenant::tenant_of;
use crate::querier::Answer;
use crate::usage::{Amount, Days, Part, PartAmount, Usage, UsageOf, class_of};

/// The parameters of a request: the first day and the last one, such as `2026-11-21`.
#[derive(serde::Deserialize)]
pub(super) struct Parameters {
    from: Option<String>,
    to: Option<String>,
}

pub(super) async fn by_get(
    State(service): State<Service>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    match answer(&service, &parameters, &headers).await {
        Ok(response) => response,
        Err((status, why)) => {
            let body = format!("{}\n", json!({"error": why}));
            (status, [(CONTENT_TYPE, "application/json")], body).into_response()
        }
    }
}

async fn answer(
    service: &Service,
    parameters: &Parameters,
    headers: &HeaderMap,
) -> Result<Response, (StatusCode, String)> {
    let wrong = |error: String| (StatusCode::BAD_REQUEST, error);
    let tenant = tenant_of(headers, service.tenants).map_err(|error| wrong(error.to_string()))?;
    let day = |text: &Option<String>, absent: Day| match text {
        Some(text) => text.parse::<Day>().map_err(|error| wrong(error.to_string())),
        None => Ok(absent),
    };
    let days =
        Days { first: day(&parameters.from, Days::ALL.first)?, last: day(&parameters.to, Days::ALL.last)? };
    let usage = service.querier.usage(&UsageOf { tenant, days }).await;
    let usage = usage.map_err(|error| (status_of(&error), error.to_string()))?;
    let mut response =
        ([(CONTENT_TYPE, "application/json")], format!("{:#}\n", as_json(&usage))).into_response();
    response.headers_mut().extend(partial_header(&usage.gaps));
    Ok(response)
}

/// The dearest first.
pub fn as_json(answer: &Answer<Usage>) -> Value {
    let usage = &answer.content;
    let mut services: Vec<(&String, &Amount)> = usage.by_service.iter().collect();
    services.sort_by_key(|(name, amount)| (Reverse(amount.bytes), *name));
    let mut parts: Vec<(&Part, &PartAmount)> = usage.by_part.iter().collect();
    parts.sort_by_key(|(part, amount)| (Reverse(amount.bytes), *part));
    let attributes = parts.iter().filter_map(|(part, amount)| match part {
        Part::Attribute(key) => Some(json!({"key": key, "values": amount.values, "bytes": amount.bytes})),
        _ => None,
    });
    let others = parts.iter().filter(|(part, _)| !matches!(part, Part::Attribute(_)));
    let others = others
        .map(|(part, amount)| json!({"part": name_of(part), "values": amount.values, "bytes": amount.bytes}));
    let classes = usage.by_class.iter().map(|((section, until), amount)| {
        json!({
            "day": section.day().map(|day| day.to_string()),
            "kept": class_of(*section, *until).map(|keep| keep.to_string()),
            "kept_until": until.and_then(time_of),
            "spans": amount.spans,
            "bytes": amount.bytes,
        })
    });
    json!({
        "blocks": usage.blocks,
        "spans": usage.total.spans,
        "bytes": usage.total.bytes,
        "classes": classes.collect::<Vec<_>>(),
        "services": services
            .iter()
            .map(|(name, amount)| json!({"service": name, "spans": amount.spans, "bytes": amount.bytes}))
            .collect::<Vec<_>>(),
        "further_services": amount_json(usage.further_services),
        "attributes": attributes.collect::<Vec<_>>(),
        "other_parts": others.collect::<Vec<_>>(),
        "unread": amount_json(usage.unread),
        "partial": answer.gaps,
    })
}

fn amount_json(amount: Amount) -> Value {
    json!({"spans": amount.spans, "bytes": amount.bytes})
}

/// What people call a part that is no attribute's.
pub fn name_of(part: &Part) -> &str {
    match part {
        Part::Attribute(key) => key,
        Part::Column(name) => name,
        Part::FurtherAttributes => "further attributes",
        Part::Events => "events",
        Part::Links => "links",
        Part::Origins => "resources and scopes",
        Part::Filters => "filters",
        Part::Metadata => "page indexes and footers",
    }
}

/// When something goes; none: never.
pub fn time_of(until: Until) -> Option<String> {
    match until {
        Until::Hour(hour) => Some(format!("{}T{:02}:00:00Z", Day(hour / 24), hour % 24)),
        Until::Never => None,
    }
}
