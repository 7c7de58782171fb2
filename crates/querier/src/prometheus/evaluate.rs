//! A query's tree over what was counted, point by point.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use siltstone_ask::Histogram;
use siltstone_format::tenant::Tenant;

use super::expr::{Binary, Expr, Grouping, Operator, Rate};
use super::fetch::{Counted, Counting, CountingError, InSteps, Labels, merge};
use super::names::Part;
use super::times::Times;
use crate::querier::{Answer, Querier, QueryError};
use crate::red::{Red, Sliding};

/// The bound of a bucket, as a label.
const LE: &str = "le";
const MILLIS_OF_SECOND: f64 = 1e3;

/// Numbers that a query may hold: points of series, and buckets of points.
const MOST_NUMBERS: usize = 8_000_000;
/// What a point without buckets takes of them.
const NUMBERS_OF_SPREAD: usize = 8;
/// Different things that are counted for a query.
const MOST_COUNTED: usize = 8;

/// What a query comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Series(Vec<Series>),
    /// How durations are spread. Without a quantile, as buckets.
    Spread(Vec<Spread>),
}

/// A value for each point, where there is one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) labels: Labels,
    pub(super) points: Vec<Option<f64>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spread {
    labels: Labels,
    points: Vec<Histogram>,
    unit: Unit,
}

/// What numbers of durations are given in.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Unit {
    nanos: f64,
    /// Seconds for which each number is.
    seconds: f64,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum EvaluateError {
    #[error(transparent)]
    Counting(#[from] CountingError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("it counts more than {MOST_COUNTED} different things: ask several queries")]
    TooManyCounted,
    #[error("that is too many points of too many series: give a longer step, or sum over fewer labels")]
    TooManyPoints,
    #[error("{0}")]
    Meaning(&'static str),
}

/// Counts what the query is about, each thing once and all as one query, and evaluates it.
pub(super) async fn evaluate(
    querier: &Arc<Querier>,
    tenant: &Tenant,
    expr: Expr,
    times: Times,
) -> Result<Answer<Value>, EvaluateError> {
    let rates = distinct(&expr)?;
    let of = |(rate, with_buckets): &(Rate, bool)| Counting::of(rate.clone(), *with_buckets, times);
    let counting = rates.iter().map(of).collect::<Result<Vec<_>, _>>()?;
    let answered = querier.within(tenant, async |mut query| {
        let mut counted = Vec::new();
        for ((rate, _), counting) in rates.into_iter().zip(counting) {
            counted.push((rate, Arc::new(counting.count(&mut query, tenant).await?)));
        }
        let evaluate = move || Evaluation { times, counted, left: MOST_NUMBERS }.value(&expr);
        let value = query.work(evaluate).await?;
        Ok(query.answer(value))
    });
    let Answer { content, gaps, cost } = answered.await?;
    Ok(Answer { content: content?, gaps, cost })
}

/// What is counted, and whether somebody asks how durations are spread.
fn distinct(expr: &Expr) -> Result<Vec<(Rate, bool)>, EvaluateError> {
    let mut distinct: Vec<(Rate, bool)> = Vec::new();
    for rate in expr.rates() {
        let with_buckets = rate.metric.part == Part::Buckets;
        match distinct.iter_mut().find(|(known, _)| known.counts_the_same(rate)) {
            Some((_, known)) => *known |= with_buckets,
            None => distinct.push((rate.clone(), with_buckets)),
        }
    }
    if distinct.len() > MOST_COUNTED { Err(EvaluateError::TooManyCounted) } else { Ok(distinct) }
}

struct Evaluation {
    times: Times,
    counted: Vec<(Rate, Arc<Counted>)>,
    /// Numbers that may still be made.
    left: usize,
}

impl Evaluation {
    fn value(&mut self, expr: &Expr) -> Result<Value, EvaluateError> {
        if let Expr::Aggregate { operator: Operator::Sum, grouping, of } = expr
            && let Expr::Rate(rate) = &**of
            && (rate.metric.part != Part::Buckets || grouping.has(LE))
        {
            // What is added up before it is spread over points takes less.
            return self.rate(rate, Some(grouping));
        }
        Ok(match expr {
            Expr::Number(number) => Value::Number(*number),
            Expr::Rate(rate) => self.rate(rate, None)?,
            Expr::Quantile { share, of } => {
                let share = self.number(share)?;
                let Value::Spread(spreads) = self.value(of)? else {
                    return Err(EvaluateError::Meaning(
                        "`histogram_quantile` is of rates of a metric that ends with `_bucket`, by `le`",
                    ));
                };
                Value::Series(spreads.into_iter().map(|spread| spread.quantile(share)).collect())
            }
            Expr::Aggregate { operator, grouping, of } => match self.value(of)? {
                Value::Number(_) => return Err(NO_SERIES),
                Value::Series(series) => Value::Series(aggregated(*operator, grouping, series)),
                Value::Spread(spreads) if *operator == Operator::Sum && grouping.has(LE) => {
                    Value::Spread(summed(grouping, spreads))
                }
                Value::Spread(spreads) => Value::Series(aggregated(*operator, grouping, buckets_of(spreads))),
            },
            Expr::First { most, count, grouping, of } => {
                let count = self.number(count)?;
                let series = self.series(of)?;
                Value::Series(first(*most, count, grouping, series))
            }
            Expr::Binary { operator, left, right } => {
                let (left, right) = (self.value(left)?.plain(), self.value(right)?.plain());
                binary(*operator, left, right)?
            }
        })
    }

    fn number(&mut self, expr: &Expr) -> Result<f64, EvaluateError> {
        match self.value(expr)? {
            Value::Number(number) => Ok(number),
            _ => Err(EvaluateError::Meaning("a number is expected, and series are given")),
        }
    }

    fn series(&mut self, expr: &Expr) -> Result<Vec<Series>, EvaluateError> {
        match self.value(expr)?.plain() {
            Value::Series(series) => Ok(series),
            _ => Err(NO_SERIES),
        }
    }

    fn rate(&mut self, rate: &Rate, grouping: Option<&Grouping>) -> Result<Value, EvaluateError> {
        let found = self.counted.iter().find(|(known, _)| known.counts_the_same(rate));
        let mut counted = found.map(|(_, counted)| Arc::clone(counted)).unwrap_or_default();
        if let Some(grouping) = grouping {
            counted = Arc::new(added_up(&counted, grouping));
        }
        let seconds = if rate.is_per_second { rate.range_millis as f64 / MILLIS_OF_SECOND } else { 1.0 };
        let (part, nanos) = (rate.metric.part, rate.metric.nanos_of_unit);
        if part == Part::Buckets {
            let (mut spreads, unit) = (Vec::new(), Unit { nanos, seconds });
            for (labels, steps) in &*counted {
                let points = self.slide(steps, rate.range_millis, |red| {
                    (red.durations.clone(), NUMBERS_OF_SPREAD + red.durations.buckets())
                })?;
                spreads.push(Spread { labels: labels.clone(), points, unit });
            }
            return Ok(Value::Spread(spreads));
        }
        let number_of = |red: &Red| {
            let number = match part {
                Part::Failed => red.errors as f64,
                Part::Sum => red.sum_nanos as f64 / nanos,
                Part::Total | Part::Buckets => red.calls as f64,
            };
            (Some(number / seconds), 1)
        };
        let mut series = Vec::new();
        for (labels, steps) in &*counted {
            let points = self.slide(steps, rate.range_millis, number_of)?;
            series.push(Series { labels: labels.clone(), points });
        }
        Ok(Value::Series(series))
    }

    /// What the steps in the range before each point come to, and what that takes.
    fn slide<T>(
        &mut self,
        steps: &InSteps,
        range: u64,
        number_of: impl Fn(&Red) -> (T, usize),
    ) -> Result<Vec<T>, EvaluateError> {
        let mut sliding = Sliding::over(steps);
        let mut points = Vec::with_capacity(self.times.count());
        for window in self.times.ranges(range) {
            let (point, takes) = number_of(sliding.within(&(window.start..window.end)));
            self.left = self.left.checked_sub(takes).ok_or(EvaluateError::TooManyPoints)?;
            points.push(point);
        }
        Ok(points)
    }
}

const NO_SERIES: EvaluateError =
    EvaluateError::Meaning("series are expected, such as `rate(traces_spanmetrics_calls_total[5m])`");

impl Value {
    /// With buckets as series.
    pub(super) fn plain(self) -> Self {
        match self {
            Self::Spread(spreads) => Self::Series(buckets_of(spreads)),
            plain => plain,
        }
    }
}

impl Spread {
    fn quantile(self, share: f64) -> Series {
        let value = |spread: Histogram| match spread.quantile(share) {
            Some(_) if share < 0.0 => f64::NEG_INFINITY,
            Some(_) if share > 1.0 => f64::INFINITY,
            Some(nanos) if !share.is_nan() => nanos / self.unit.nanos,
            _ => f64::NAN,
        };
        let points = self.points.into_iter().map(|spread| Some(value(spread))).collect();
        Series { labels: self.labels, points }
    }
}

/// How many took no longer than each power of two of nanoseconds that some took, and at last all.
fn buckets_of(spreads: Vec<Spread>) -> Vec<Series> {
    let mut series = Vec::new();
    for Spread { labels, points, unit } in spreads {
        let count = points.len();
        let mut buckets: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for (place, spread) in points.iter().enumerate() {
            for (power, calls) in spread.by_powers_of_two() {
                buckets.entry(power).or_insert_with(|| vec![0; count])[place] += calls;
            }
        }
        let with_le = |le: String, calls: &[u64]| {
            let mut labels = labels.clone();
            labels.insert(LE.to_owned(), le);
            let points = calls.iter().map(|calls| Some(*calls as f64 / unit.seconds)).collect();
            Series { labels, points }
        };
        let mut sums = vec![0; count];
        for (power, calls) in buckets {
            sums.iter_mut().zip(calls).for_each(|(sum, calls)| *sum += calls);
            series.push(with_le((f64::from(power).exp2() / unit.nanos).to_string(), &sums));
        }
        series.push(with_le("+Inf".to_owned(), &sums));
    }
    series
}

impl Grouping {
    fn has(&self, label: &str) -> bool {
        match self {
            Self::By(labels) => labels.iter().any(|known| known == label),
            Self::Without(labels) => labels.iter().all(|known| known != label),
        }
    }

    fn of(&self, labels: &Labels) -> Labels {
        let kept = labels.iter().filter(|(label, _)| self.has(label));
        kept.map(|(label, value)| (label.clone(), value.clone())).collect()
    }
}

fn grouped<T>(
    grouping: &Grouping,
    all: Vec<T>,
    labels_of: impl Fn(&T) -> &Labels,
) -> BTreeMap<Labels, Vec<T>> {
    let mut groups: BTreeMap<Labels, Vec<T>> = BTreeMap::new();
    for one in all {
        groups.entry(grouping.of(labels_of(&one))).or_default().push(one);
    }
    groups
}

fn added_up(counted: &Counted, grouping: &Grouping) -> Counted {
    let mut sums = Counted::new();
    for (labels, steps) in counted {
        let sum = sums.entry(grouping.of(labels)).or_default();
        merge(sum, steps);
    }
    sums
}

fn summed(grouping: &Grouping, spreads: Vec<Spread>) -> Vec<Spread> {
    let groups = grouped(grouping, spreads, |spread| &spread.labels).into_iter();
    let sums = groups.filter_map(|(labels, spreads)| {
        let sum = spreads.into_iter().reduce(|mut sum, more| {
            sum.points.iter_mut().zip(&more.points).for_each(|(sum, more)| sum.merge(more));
            sum
        })?;
        Some(Spread { labels, ..sum })
    });
    sums.collect()
}

fn aggregated(operator: Operator, grouping: &Grouping, series: Vec<Series>) -> Vec<Series> {
    let groups = grouped(grouping, series, |series| &series.labels).into_iter();
    let of_group = |(labels, series): (Labels, Vec<Series>)| {
        let count = series.first().map_or(0, |series| series.points.len());
        let points = (0..count).map(|place| {
            let values: Vec<f64> = series.iter().filter_map(|series| series.points[place]).collect();
            let sum = || values.iter().sum::<f64>();
            let value = match operator {
                Operator::Sum => sum(),
                Operator::Average => sum() / values.len() as f64,
                Operator::Least => values.iter().copied().fold(f64::NAN, f64::min),
                Operator::Most => values.iter().copied().fold(f64::NAN, f64::max),
                Operator::Count => values.len() as f64,
                Operator::Group => 1.0,
            };
            (!values.is_empty()).then_some(value)
        });
        Series { labels, points: points.collect() }
    };
    groups.map(of_group).filter(Series::is_there).collect()
}

/// Of each group at each point, so many of the largest, or of the smallest.
fn first(most: bool, count: f64, grouping: &Grouping, series: Vec<Series>) -> Vec<Series> {
    // Less than one, or no number at all, is none.
    let count = count.max(0.0) as usize;
    let mut kept = Vec::new();
    for mut series in grouped(grouping, series, |series| &series.labels).into_values() {
        for place in 0..series.first().map_or(0, |series| series.points.len()) {
            let value = |series: &Series| series.points[place];
            let mut order: Vec<(usize, f64)> =
                series.iter().enumerate().filter_map(|(number, one)| Some((number, value(one)?))).collect();
            // What is no number comes last.
            order.sort_by(|(_, one), (_, other)| {
                let by_value = if most { other.total_cmp(one) } else { one.total_cmp(other) };
                one.is_nan().cmp(&other.is_nan()).then(by_value)
            });
            order.into_iter().skip(count).for_each(|(number, _)| series[number].points[place] = None);
        }
        kept.extend(series.into_iter().filter(Series::is_there));
    }
    kept
}

fn binary(operator: Binary, left: Value, right: Value) -> Result<Value, EvaluateError> {
    let each = |mut all: Vec<Series>, of: &dyn Fn(f64) -> Option<f64>| {
        for series in &mut all {
            series.points.iter_mut().for_each(|point| *point = point.and_then(of));
        }
        all.retain(Series::is_there);
        Value::Series(all)
    };
    Ok(match (left, right) {
        (Value::Number(_), Value::Number(_)) if operator.is_comparison() => {
            return Err(EvaluateError::Meaning("two numbers are not compared: compare series with a number"));
        }
        (Value::Number(left), Value::Number(right)) => {
            Value::Number(operator.of(left, right).unwrap_or(f64::NAN))
        }
        (Value::Series(all), Value::Number(right)) => each(all, &|left| operator.of(left, right)),
        (Value::Number(left), Value::Series(all)) => each(all, &|right| match operator.is_comparison() {
            true => operator.of(left, right).map(|_| right),
            false => operator.of(left, right),
        }),
        (Value::Series(left), Value::Series(right)) => {
            // Those with the same labels, all of them.
            let right: HashMap<Labels, Vec<Option<f64>>> =
                right.into_iter().map(|series| (series.labels, series.points)).collect();
            let both = left.into_iter().filter_map(|series| {
                let others = right.get(&series.labels)?;
                let pairs = series.points.iter().zip(others);
                let points = pairs.map(|(one, other)| operator.of((*one)?, (*other)?)).collect();
                Some(Series { labels: series.labels, points })
            });
            Value::Series(both.filter(Series::is_there).collect())
        }
        _ => return Err(NO_SERIES),
    })
}

impl Series {
    /// Whether it has a point.
    fn is_there(&self) -> bool {
        self.points.iter().any(Option::is_some)
    }
}

#[cfg(test)]
mod tests;
