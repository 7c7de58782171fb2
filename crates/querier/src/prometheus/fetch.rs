//! What a query counts, fetched: labels, and numbers by steps of time.

use std::collections::BTreeMap;
use std::sync::Arc;

use siltstone_ask::{Comparison, Field, Filter, FilterError, Literal};
use siltstone_format::tenant::Tenant;

use super::expr::{Matcher, Rate, Test};
use super::names::Family;
use super::times::{Times, TimesError};
use crate::counts::Of;
use crate::dependencies::{Edge, EdgeKind};
use crate::jaeger::kinds;
use crate::names::Operation;
use crate::querier::{Answer, Querier, QueryError};
use crate::red::{Outcome, Red};
use crate::tally::Sum;

/// Labels that say something.
pub(super) type Labels = BTreeMap<String, String>;

/// By when the steps begin, in nanoseconds.
pub(super) type InSteps = BTreeMap<u64, Red>;

/// Numbers with the same labels.
pub(super) type Counted = BTreeMap<Labels, InSteps>;

const SERVICE: [&str; 2] = ["service", "service_name"];
const STATUS_CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
const NO_KIND: &str = "SPAN_KIND_UNSPECIFIED";

#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Times(#[from] TimesError),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// Counts what a rate is about.
pub(super) async fn counted(
    querier: &Arc<Querier>,
    tenant: &Tenant,
    rate: &Rate,
    times: &Times,
) -> Result<Answer<Counted>, FetchError> {
    let (steps, window) = times.counted(rate.range_millis)?;
    let mut counted = Counted::new();
    let mut add = |labels: Labels, start: u64, red: Red| {
        let value = |matcher: &Matcher| labels.get(&matcher.label).map_or("", String::as_str);
        if rate.matchers.iter().all(|matcher| matcher.matches(value(matcher))) {
            counted.entry(labels).or_default().entry(start).or_default().add(red);
        }
    };
    let (gaps, cost) = match rate.metric.family {
        Family::Spans => {
            let of = Of { tenant: tenant.clone(), filter: filter_of(&rate.matchers)?, window };
            let Answer { content, gaps, cost } = querier.red_by_status(&of, steps).await?;
            for (outcome, red) in content {
                add(labels_of_spans(&outcome), outcome.step.start_unix_nano, red);
            }
            (gaps, cost)
        }
        Family::Calls => {
            let Answer { content, gaps, cost } = querier.dependencies_in_steps(tenant, window, steps).await?;
            for ((edge, start), red) in content.edges {
                add(labels_of_call(edge), start, red);
            }
            (gaps, cost)
        }
    };
    Ok(Answer { content: counted, gaps, cost })
}

/// What excludes spans before they are read; labels are looked at again in any case.
fn filter_of(matchers: &[Matcher]) -> Result<Filter, FilterError> {
    let named = |name: &str| Literal::Str(name.to_owned());
    let mut parts = Vec::new();
    for matcher in matchers.iter().filter(|matcher| !matcher.is_negated) {
        let values: Option<Vec<&str>> = match &matcher.test {
            Test::Equals(text) => Some(vec![text]),
            Test::Matches(pattern) => pattern.literals(),
        };
        // An empty text is a label that is not there.
        let Some(values) = values.filter(|values| !values.contains(&"")) else { continue };
        let field = match matcher.label.as_str() {
            label if SERVICE.contains(&label) => Field::ServiceName,
            "span_name" => Field::Name,
            "status_code" if values == [STATUS_CODES[2]] => {
                parts.push(Filter::compare(Field::StatusCode.into(), Comparison::Eq, 2)?);
                continue;
            }
            _ => continue,
        };
        parts.push(Filter::one_of(field.into(), values.into_iter().map(named).collect())?);
    }
    Filter::and(parts)
}

fn labels_of_spans(outcome: &Outcome) -> Labels {
    let Operation { service, name, kind } = &outcome.step.operation;
    let kind = kinds::name_of(*kind)
        .map_or_else(|| NO_KIND.to_owned(), |kind| format!("SPAN_KIND_{}", kind.to_ascii_uppercase()));
    let status = usize::try_from(outcome.status_code).ok().and_then(|code| STATUS_CODES.get(code));
    let status = (*status.unwrap_or(&STATUS_CODES[0])).to_owned();
    let [one, other] = SERVICE.map(|label| (label, service.clone()));
    said([one, other, ("span_name", name.clone()), ("span_kind", kind), ("status_code", status)])
}

fn labels_of_call(edge: Edge) -> Labels {
    let Edge { caller, callee, kind } = edge;
    let connection = match kind {
        EdgeKind::Service => "",
        EdgeKind::Messaging { .. } => "messaging_system",
        EdgeKind::Database => "database",
        EdgeKind::Peer => "virtual_node",
    };
    said([("client", caller), ("server", callee), ("connection_type", connection.to_owned())])
}

fn said<const N: usize>(labels: [(&str, String); N]) -> Labels {
    let said = labels.into_iter().filter(|(_, value)| !value.is_empty());
    said.map(|(label, value)| (label.to_owned(), value)).collect()
}
