//! What the parameters of a search mean.

use std::collections::{BTreeMap, BTreeSet};

use siltstone_format::id::TraceId;

use super::envelope::Failure;
use crate::jaeger::ask::Ask;
use crate::jaeger::http::Parameters;
use crate::jaeger::ids::trace_id_of;
use crate::jaeger::time::{duration_of, unix_nano_of_micros};

/// The last nanosecond of a microsecond.
const REST_OF_MICRO: u64 = 999;

/// Which traces are wanted.
#[derive(Debug)]
pub(super) enum Wanted {
    Found(Box<Ask>),
    /// These, whatever else is said.
    Named(Vec<TraceId>),
}

pub(super) fn wanted(parameters: &Parameters) -> Result<Wanted, Failure> {
    let ask = ask(parameters)?;
    let named: Result<BTreeSet<TraceId>, _> = parameters.all("traceID").map(trace_id_of).collect();
    let named = named?;
    if !named.is_empty() {
        return Ok(Wanted::Named(named.into_iter().collect()));
    }
    if ask.service.is_empty() {
        return Err(Failure::bad("parameter 'service' is required"));
    }
    Ok(Wanted::Found(Box::new(ask)))
}

fn ask(parameters: &Parameters) -> Result<Ask, Failure> {
    let text = |name: &str| parameters.first(&[name]).unwrap_or_default().to_owned();
    let duration = |name: &str| match parameters.first(&[name]) {
        None => Ok(0),
        Some(text) => duration_of(text).map_err(|error| Failure::parameter(name, error)),
    };
    let (start, end) = hints(parameters)?;
    Ok(Ask {
        service: text("service"),
        operation: text("operation"),
        attributes: tags(parameters)?.into_iter().collect(),
        start_unix_nano: start.map(unix_nano_of_micros),
        // The whole of the microsecond that is named.
        end_unix_nano: end.map(|end| unix_nano_of_micros(end).saturating_add(REST_OF_MICRO)),
        min_duration_nano: duration("minDuration")?,
        max_duration_nano: duration("maxDuration")?,
        limit: limit(parameters)?,
        filter: None,
    })
}

/// When a trace may have been, in microseconds.
pub(super) fn hints(parameters: &Parameters) -> Result<(Option<i64>, Option<i64>), Failure> {
    let time = |name: &str| parameters.int(&[name]).map_err(|error| Failure::parameter(name, error));
    Ok((time("start")?, time("end")?))
}

fn limit(parameters: &Parameters) -> Result<usize, Failure> {
    let wrong = |problem: String| Failure::parameter("limit", problem);
    let limit = parameters.int(&["limit"]).map_err(|error| wrong(error.to_string()))?.unwrap_or(0);
    let limit = i32::try_from(limit).map_err(|_| wrong(format!("{limit} is more than {}", i32::MAX)))?;
    // As many as usual, if it is none.
    Ok(usize::try_from(limit).unwrap_or(0))
}

/// Of one key, the last that is said.
fn tags(parameters: &Parameters) -> Result<BTreeMap<String, String>, Failure> {
    let mut tags = BTreeMap::new();
    for tag in parameters.all("tag") {
        let (key, value) = tag.split_once(':').ok_or_else(|| {
            Failure::bad(format_args!("malformed 'tag' parameter, expecting key:value, received: {tag}"))
        })?;
        tags.insert(key.to_owned(), value.to_owned());
    }
    for json in parameters.all("tags") {
        let more: BTreeMap<String, String> = serde_json::from_str(json).map_err(|error| {
            Failure::bad(format_args!(
                "malformed 'tags' parameter, expecting a JSON object whose values are strings: {error}"
            ))
        })?;
        tags.extend(more);
    }
    Ok(tags)
}
