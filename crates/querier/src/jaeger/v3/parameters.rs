//! What the parameters of a search mean. Each has two names, as JSON and as protobuf have it.

use std::collections::BTreeMap;

use siltstone_ask::Filter;

use super::failure::Failure;
use super::filter::filter_of_json;
use crate::jaeger::ask::Ask;
use crate::jaeger::http::Parameters;
use crate::jaeger::time::{duration_of, unix_nano_of_rfc3339};

/// The names of one parameter.
pub(super) type Names = [&'static str; 2];

const SERVICE: Names = ["query.serviceName", "query.service_name"];
const OPERATION: Names = ["query.operationName", "query.operation_name"];
const ATTRIBUTES: &str = "query.attributes";
const FILTER: &str = "query.filter";
const START: Names = ["query.startTimeMin", "query.start_time_min"];
const END: Names = ["query.startTimeMax", "query.start_time_max"];
const MIN_DURATION: Names = ["query.durationMin", "query.duration_min"];
const MAX_DURATION: Names = ["query.durationMax", "query.duration_max"];
const LIMIT: [&str; 4] = ["query.searchDepth", "query.search_depth", "query.numTraces", "query.num_traces"];
const RAW: Names = ["query.rawTraces", "query.raw_traces"];

/// What is searched for, and whether as it was sent.
pub(super) fn query(parameters: &Parameters) -> Result<(Ask, bool), Failure> {
    let text = |names: &Names| parameters.first(names).unwrap_or_default().to_owned();
    let duration = |names: &Names| match parameters.first(names) {
        None => Ok(0),
        Some(text) => duration_of(text).map_err(|error| Failure::parameter(names[0], error)),
    };
    let (start, end) = (required_time(parameters, &START)?, required_time(parameters, &END)?);
    if start >= end {
        return Err(Failure::bad(format_args!("{} must be before {}", START[0], END[0])));
    }
    let ask = Ask {
        service: text(&SERVICE),
        operation: text(&OPERATION),
        attributes: attributes(parameters)?.into_iter().collect(),
        start_unix_nano: Some(start),
        end_unix_nano: Some(end),
        min_duration_nano: duration(&MIN_DURATION)?,
        max_duration_nano: duration(&MAX_DURATION)?,
        limit: limit(parameters)?,
        filter: filter(parameters)?,
    };
    Ok((ask, flag(parameters, &RAW)?))
}

pub(super) fn flag(parameters: &Parameters, names: &Names) -> Result<bool, Failure> {
    parameters.flag(names).map_err(|error| Failure::parameter(names[0], error))
}

pub(super) fn required_time(parameters: &Parameters, names: &Names) -> Result<u64, Failure> {
    time(parameters, names)?.ok_or_else(|| Failure::parameter(names[0], "it is required"))
}

pub(super) fn time(parameters: &Parameters, names: &Names) -> Result<Option<u64>, Failure> {
    let time = parameters.first(names).map(unix_nano_of_rfc3339).transpose();
    time.map_err(|error| Failure::parameter(names[0], error))
}

fn limit(parameters: &Parameters) -> Result<usize, Failure> {
    let wrong = |problem: String| Failure::parameter(LIMIT[0], problem);
    let limit = parameters.int(&LIMIT).map_err(|error| wrong(error.to_string()))?.unwrap_or(0);
    let limit = i32::try_from(limit).map_err(|_| wrong(format!("{limit} is more than {}", i32::MAX)))?;
    // As many as usual, if it is none.
    Ok(usize::try_from(limit).unwrap_or(0))
}

fn filter(parameters: &Parameters) -> Result<Option<Filter>, Failure> {
    let filter = parameters.first(&[FILTER]).map(filter_of_json).transpose();
    filter.map_err(|error| Failure::parameter(FILTER, error))
}

fn attributes(parameters: &Parameters) -> Result<BTreeMap<String, String>, Failure> {
    let Some(json) = parameters.first(&[ATTRIBUTES]) else { return Ok(BTreeMap::new()) };
    serde_json::from_str(json).map_err(|error| {
        Failure::parameter(ATTRIBUTES, format_args!("it is no JSON object whose values are strings: {error}"))
    })
}
