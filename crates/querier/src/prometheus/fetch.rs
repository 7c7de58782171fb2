//! What a query counts, fetched: labels, and numbers by steps of time.

use std::collections::BTreeMap;

use siltstone_ask::{Comparison, Field, Filter, FilterError, Histogram, Literal, Window};
use siltstone_format::tenant::Tenant;

use super::expr::{Matcher, Rate, Test};
use super::names::Family;
use super::times::{Times, TimesError};
use crate::counts::Of;
use crate::dependencies::{Edge, EdgeKind};
use crate::jaeger::kinds;
use crate::names::Operation;
use crate::querier::{Query, QueryError};
use crate::red::{Outcome, Red, Steps};

/// Labels that say something.
pub(super) type Labels = BTreeMap<String, String>;

/// By when the steps begin, in nanoseconds.
pub(super) type InSteps = BTreeMap<u64, Red>;

/// Numbers with the same labels.
pub(super) type Counted = BTreeMap<Labels, InSteps>;

const SERVICE: [&str; 2] = ["service", "service_name"];
const STATUS_CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
const NO_KIND: &str = "SPAN_KIND_UNSPECIFIED";

/// How something is counted.
#[derive(Clone, Debug)]
pub(super) struct Counting {
    rate: Rate,
    filter: Filter,
    /// How durations are spread is asked for.
    with_buckets: bool,
    times: Times,
    steps: Steps,
    window: Window,
}

/// Why something is not counted.
#[derive(Debug, thiserror::Error)]
pub(super) enum CountingError {
    #[error(transparent)]
    Times(#[from] TimesError),
    #[error(transparent)]
    Filter(#[from] FilterError),
}

impl Counting {
    pub(super) fn of(rate: Rate, with_buckets: bool, times: Times) -> Result<Self, CountingError> {
        let (steps, window) = times.counted(rate.range_millis)?;
        let filter = filter_of(&rate.matchers)?;
        Ok(Self { rate, filter, with_buckets, times, steps, window })
    }

    pub(super) async fn count(self, query: &mut Query<'_>, tenant: &Tenant) -> Result<Counted, QueryError> {
        match self.rate.metric.family {
            Family::Spans => {
                let of = Of { tenant: tenant.clone(), filter: self.filter.clone(), window: self.window };
                let found = query.red_by_status(&of, self.steps).await?.into_iter();
                let found = found.map(|(Outcome { step, status_code }, red)| {
                    (((step.operation, status_code), step.start_unix_nano), red)
                });
                query.work(move || self.labelled(found, labels_of_spans)).await
            }
            Family::Calls => {
                let found = query.dependencies_in_steps(tenant, self.window, self.steps).await?;
                query.work(move || self.labelled(found.edges.into_iter(), labels_of_call)).await
            }
        }
    }

    /// Numbers by what is counted and steps, with labels. These are found once for all steps.
    fn labelled<Of: Ord>(
        &self,
        found: impl Iterator<Item = ((Of, u64), Red)>,
        labels_of: fn(Of) -> Labels,
    ) -> Counted {
        let mut in_steps = BTreeMap::<Of, InSteps>::new();
        for ((of, start), mut red) in found {
            if !self.with_buckets {
                red.durations = Histogram::default();
            }
            if self.times.are_about(start, self.rate.range_millis) {
                in_steps.entry(of).or_default().insert(start, red);
            }
        }
        let mut counted = Counted::new();
        for (of, steps) in in_steps {
            let labels = labels_of(of);
            let value = |matcher: &Matcher| labels.get(&matcher.label).map_or("", String::as_str);
            if self.rate.matchers.iter().all(|matcher| matcher.matches(value(matcher))) {
                merge(counted.entry(labels).or_default(), &steps);
            }
        }
        counted
    }
}

/// Adds numbers step by step.
pub(super) fn merge(sums: &mut InSteps, more: &InSteps) {
    more.iter().for_each(|(start, red)| sums.entry(*start).or_default().merge(red));
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

fn labels_of_spans((operation, status_code): (Operation, i32)) -> Labels {
    let Operation { service, name, kind } = operation;
    let kind = kinds::name_of(kind)
        .map_or_else(|| NO_KIND.to_owned(), |kind| format!("SPAN_KIND_{}", kind.to_ascii_uppercase()));
    let status = usize::try_from(status_code).ok().and_then(|code| STATUS_CODES.get(code));
    let status = (*status.unwrap_or(&STATUS_CODES[0])).to_owned();
    let [one, other] = SERVICE.map(|label| (label, service.clone()));
    said([one, other, ("span_name", name), ("span_kind", kind), ("status_code", status)])
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
