//! What editors of queries and variables of dashboards offer: metrics, their labels, and what these say.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::{Value as Json, json};

use super::evaluate::{Series, Value, evaluate};
use super::expr::{Expr, Grouping, Operator, Rate};
use super::http::{Failure, Fields, Service, json_of};
use super::names::{self, Family, Metric, Part};
use super::text::{NAME, Selector, parse_selector};
use super::times::Times;
use crate::http::tenant_of;
use crate::querier::Answer;

/// The time before its end that is looked at, if nobody says since when.
const USUAL_MILLIS: u64 = 3_600_000;
const MOST_SELECTORS: usize = 4;

/// One request.
struct Asking<'a> {
    service: &'a Service,
    headers: &'a HeaderMap,
    fields: Fields,
}

/// What was found, and what it lacks.
#[derive(Default)]
struct Found {
    series: Vec<Series>,
    gaps: Vec<String>,
}

pub(super) async fn values(
    State(service): State<Service>,
    Path(label): Path<String>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failure> {
    if label == NAME {
        return Ok(success(json!(names::all()), &[]));
    }
    let asking = Asking { service: &service, headers: &headers, fields };
    let Found { series, gaps } = asking.of_label(&label).await?;
    let values: BTreeSet<String> =
        series.into_iter().filter_map(|mut series| series.labels.remove(&label)).collect();
    Ok(success(json!(values), &gaps))
}

pub(super) async fn labels(
    State(service): State<Service>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failure> {
    let selectors = Asking { service: &service, headers: &headers, fields }.selectors().await?;
    let mut families: Vec<Family> = selectors.iter().map(|selector| selector.metric.family).collect();
    if families.is_empty() {
        families = Family::ALL.to_vec();
    }
    let labels = families.into_iter().flat_map(Family::labels).copied();
    let labels: BTreeSet<&str> = labels.chain([NAME]).collect();
    Ok(success(json!(labels), &[]))
}

pub(super) async fn series(
    State(service): State<Service>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failure> {
    let Found { series, gaps } = Asking { service: &service, headers: &headers, fields }.series().await?;
    Ok(success(series.into_iter().map(|series| json!(series.labels)).collect(), &gaps))
}

/// What kind of number each metric is.
pub(super) async fn metadata() -> Response {
    let metrics = names::kinds().map(|(name, kind)| {
        (name.to_owned(), json!([{"type": kind, "help": "counted from spans", "unit": ""}]))
    });
    success(Json::Object(metrics.collect()), &[])
}

fn success(data: Json, gaps: &[String]) -> Response {
    let mut answer = json!({"status": "success", "data": data});
    if !gaps.is_empty() {
        answer["warnings"] = json!(gaps);
    }
    json_of(StatusCode::OK, answer.to_string().into_bytes())
}

impl Asking<'_> {
    /// The selectors that are given, each as `match[]`.
    async fn selectors(&self) -> Result<Vec<Selector>, Failure> {
        let texts: Vec<String> = self.fields.all("match[]").map(str::to_owned).collect();
        if texts.len() > MOST_SELECTORS {
            return Err(Failure::TooManySelectors(MOST_SELECTORS));
        }
        let parse = move || texts.iter().map(|text| parse_selector(text)).collect::<Result<Vec<_>, _>>();
        Ok(self.service.querier.work(parse).await??)
    }

    /// Series that have a label, one for each of its values.
    async fn of_label(&self, label: &str) -> Result<Found, Failure> {
        let mut selectors = self.selectors().await?;
        if selectors.is_empty() {
            let with_label = Family::ALL.into_iter().filter(|family| family.labels().contains(&label));
            selectors.extend(with_label.map(Selector::of_all));
        }
        let mut found = Found::default();
        for selector in selectors {
            let grouping = Grouping::By(vec![label.to_owned()]);
            let of = Box::new(Expr::Rate(self.counted(&selector)?));
            let expr = Expr::Aggregate { operator: Operator::Group, grouping, of };
            found.add(self.evaluated(expr).await?);
        }
        Ok(found)
    }

    /// Series with all of their labels.
    async fn series(&self) -> Result<Found, Failure> {
        let mut found = Found::default();
        let selectors = self.selectors().await?;
        if selectors.is_empty() {
            return Err(Failure::Missing { field: "match[]" });
        }
        for selector in selectors {
            let mut more = self.evaluated(Expr::Rate(self.counted(&selector)?)).await?;
            for series in &mut more.series {
                series.labels.insert(NAME.to_owned(), selector.name.clone());
            }
            found.add(more);
        }
        Ok(found)
    }

    /// What a selector names within the time that is asked for. Buckets are not told apart.
    fn counted(&self, selector: &Selector) -> Result<Rate, Failure> {
        let [start, end] = self.times()?;
        let Selector { metric, matchers, .. } = selector.clone();
        let metric = Metric { part: Part::Total, ..metric };
        Ok(Rate { metric, matchers, range_millis: (end - start).max(1), is_per_second: false })
    }

    async fn evaluated(&self, expr: Expr) -> Result<Found, Failure> {
        let [_, end] = self.times()?;
        let tenant = tenant_of(self.headers, self.service.tenants)?;
        let answer = evaluate(&self.service.querier, &tenant, expr, Times::at(end)).await?;
        let Answer { content, gaps, .. } = answer;
        let series = if let Value::Series(series) = content { series } else { Vec::new() };
        Ok(Found { series, gaps })
    }

    /// From when to when.
    fn times(&self) -> Result<[u64; 2], Failure> {
        let time = |field: &'static str| self.fields.get(field).map(|_| self.fields.time(field)).transpose();
        let end = time("end")?.unwrap_or_else(|| self.service.querier.clock.wall_millis());
        let start = time("start")?.unwrap_or_else(|| end.saturating_sub(USUAL_MILLIS));
        Ok([start.min(end), end])
    }
}

impl Found {
    fn add(&mut self, more: Self) {
        self.series.extend(more.series);
        self.gaps.extend(more.gaps);
    }
}

impl Selector {
    fn of_all(family: Family) -> Self {
        let metric = Metric { family, part: Part::Total, nanos_of_unit: 1.0 };
        Self { name: String::new(), metric, matchers: Vec::new() }
    }
}
