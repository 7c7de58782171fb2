//! What a search asks for, as every protocol of Jaeger's says it: a service, an operation, tags as texts, times and
//! durations. All of it must hold on one span.
//!
//! Tags are those that Jaeger shows, wherever they stand in a span:
//!
//! | tag | is found by |
//! |---|---|
//! | `error` | `true`: the status is an error; `false`: it is not |
//! | `span.kind`, `span.status`, `otel.status_code` | the kind, the status, by name in any case |
//! | `otel.status_description` | the status message |
//! | `scope.name`, `scope.version`, and both with `otel.` before | the scope's name, its version |
//! | `w3c.tracestate` | the trace state |
//! | `event` | the name of an event |
//! | `resource.<key>` | an attribute of the resource |
//! | any, those above too | an attribute of the span, its resource, its scope, an event or a link |
//!
//! Values are texts, and equal numbers and bools that they spell.

use siltstone_ask::{Comparison, Field, Filter, FilterError, Level, Literal, Target, Window};
use siltstone_format::tenant::Tenant;

use crate::rank::Order;
use crate::search::Search;

/// Traces of an answer, if nobody says how many.
pub const DEFAULT_LIMIT: usize = 100;
/// Where a search begins if nobody says: so long before now.
const DEFAULT_LOOKBACK_NANOS: u64 = 2 * 24 * 3_600 * 1_000_000_000;
/// What a service is called that has no name.
pub const NO_SERVICE: &str = "OTLPResourceNoServiceName";
const RESOURCE: &str = "resource.";

/// What is asked for. What is empty, or zero, is not asked.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub service: String,
    pub operation: String,
    /// Tags by key, each with its text.
    pub attributes: Vec<(String, String)>,
    pub start_unix_nano: Option<u64>,
    /// Inclusive.
    pub end_unix_nano: Option<u64>,
    /// Of a span, as the next.
    pub min_duration_nano: i64,
    pub max_duration_nano: i64,
    /// So many traces; 0: as many as usual.
    pub limit: usize,
    /// In the place of everything above but times and limit.
    pub filter: Option<Filter>,
}

/// What is asked cannot be answered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AskError {
    #[error("'maxDuration' should be greater than 'minDuration'")]
    Durations,
    #[error(
        "a filter cannot be combined with a service, an operation, attributes or durations: say them in the filter"
    )]
    Both,
    #[error(transparent)]
    Filter(#[from] FilterError),
}

impl Ask {
    /// The core's question. `now_unix_nano` is for times that are not said.
    pub fn search(&self, tenant: Tenant, now_unix_nano: u64) -> Result<Search, AskError> {
        Ok(Search {
            tenant,
            filter: self.whole_filter()?,
            window: self.window(now_unix_nano),
            order: Order::Newest,
            limit: if self.limit == 0 { DEFAULT_LIMIT } else { self.limit },
            after: None,
        })
    }

    fn window(&self, now_unix_nano: u64) -> Window {
        let start = self.start_unix_nano.unwrap_or(now_unix_nano.saturating_sub(DEFAULT_LOOKBACK_NANOS));
        Window { start, end: self.end_unix_nano.unwrap_or(now_unix_nano).saturating_add(1) }
    }

    fn whole_filter(&self) -> Result<Filter, AskError> {
        let parts = self.parts()?;
        match &self.filter {
            Some(_) if !parts.is_empty() => Err(AskError::Both),
            Some(filter) => Ok(filter.clone()),
            None => Ok(Filter::and(parts)?),
        }
    }

    fn parts(&self) -> Result<Vec<Filter>, AskError> {
        let mut parts = Vec::new();
        if !self.service.is_empty() {
            parts.push(of_service(&self.service)?);
        }
        if !self.operation.is_empty() {
            parts.push(exactly(Field::Name, &self.operation)?);
        }
        let (min, max) = (self.min_duration_nano, self.max_duration_nano);
        if min != 0 && max != 0 && max < min {
            return Err(AskError::Durations);
        }
        for (comparison, nanos) in [(Comparison::Ge, min), (Comparison::Le, max)] {
            if nanos != 0 {
                parts.push(Filter::compare(Field::Duration.into(), comparison, nanos)?);
            }
        }
        for (key, text) in &self.attributes {
            parts.push(of_tag(key, text)?);
        }
        Ok(parts)
    }
}

/// How a service is shown.
pub fn shown_service(name: &str) -> &str {
    if name.is_empty() { NO_SERVICE } else { name }
}

/// What the core calls a service that is shown so.
pub fn service_meant(shown: &str) -> &str {
    if shown == NO_SERVICE { "" } else { shown }
}

fn of_service(shown: &str) -> Result<Filter, FilterError> {
    let named = exactly(Field::ServiceName, shown)?;
    match service_meant(shown) {
        "" => Filter::or(vec![exactly(Field::ServiceName, "")?, named]),
        _ => Ok(named),
    }
}

/// Spans with a tag that has this text.
pub fn of_tag(key: &str, text: &str) -> Result<Filter, FilterError> {
    let attribute = |level, key: &str| {
        Filter::compare(Target::attribute(level, key), Comparison::Eq, Literal::Text(text.to_owned()))
    };
    let anywhere = attribute(Level::Any, key)?;
    let shown = match key {
        "error" => match text {
            "true" => Some(exactly(Field::StatusCode, "error")?),
            "false" => Some(Filter::negate(exactly(Field::StatusCode, "error")?)?),
            _ => None,
        },
        // What is no kind and no status is none of any span's.
        "span.kind" => exactly(Field::Kind, text).ok(),
        "span.status" | "otel.status_code" => exactly(Field::StatusCode, text).ok(),
        "otel.status_description" => Some(exactly(Field::StatusMessage, text)?),
        "scope.name" | "otel.scope.name" => Some(exactly(Field::ScopeName, text)?),
        "scope.version" | "otel.scope.version" => Some(exactly(Field::ScopeVersion, text)?),
        "w3c.tracestate" => Some(exactly(Field::TraceState, text)?),
        "event" => Some(exactly(Field::EventName, text)?),
        key => key.strip_prefix(RESOURCE).map(|key| attribute(Level::Resource, key)).transpose()?,
    };
    match shown {
        Some(shown) => Filter::or(vec![shown, anywhere]),
        None => Ok(anywhere),
    }
}

/// As text, whatever it looks like. Kinds and statuses go by their names, in any case.
fn exactly(field: Field, text: &str) -> Result<Filter, FilterError> {
    Filter::compare(field.into(), Comparison::Eq, Literal::Str(text.to_owned()))
}

#[cfg(test)]
mod tests;
