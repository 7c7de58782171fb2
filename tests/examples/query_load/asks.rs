//! The questions, and whether an answer is right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::util::display::array_value_to_string;
use siltstone_ask::{Comparison, Field, Filter, Level, Literal, Target, Window};
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;
use siltstone_querier::cost::CostReport;
use siltstone_querier::counts::Of;
use siltstone_querier::querier::{Answer, Querier, QueryError};
use siltstone_querier::rank::Order;
use siltstone_querier::search::{FoundTraces, Search};

use crate::http::{self, Get};
use crate::truth::{FAILED, NEWEST, STATUS, Truth, USER};
use crate::{Failure, now, processor_time};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// One whole trace by its id, each time another.
    Trace,
    AbsentTrace,
    /// The newest traces of the busiest service, whole.
    Newest,
    /// All traces of one user.
    Needle,
    /// All traces with an HTTP status of 500, whole.
    Failed,
    /// The same as people type a tag: a text, of whatever in the trace.
    Tag,
    /// A value that nobody has of an attribute that many have.
    Absent,
    /// Spans of each service.
    Services,
    /// The same by SQL.
    SqlServices,
    /// Spans with an HTTP status of 500, counted by SQL.
    SqlFailed,
    /// Calls, errors and durations of a quarter of an hour, a minute at a time.
    Red,
    /// As Jaeger UI asks for one trace, in its older and its newer generation: each time another.
    HttpTrace,
    HttpTraceV3,
    /// The newest of the busiest service, as Jaeger's search page and Grafana ask for them.
    HttpNewest,
    /// All traces with an HTTP status of 500, whole.
    HttpFailed,
    /// What a list shows of these.
    HttpFailedSummaries,
}

/// An answer that was right.
pub(crate) struct Answered {
    pub(crate) took: Duration,
    /// Of all threads.
    pub(crate) processor: Duration,
    pub(crate) found: usize,
    pub(crate) cost: CostReport,
}

/// More than there are.
const ALL: usize = 1_000_000;
const MINUTE_NANOS: u64 = 60_000_000_000;

impl Ask {
    pub(crate) const ALL: [Self; 16] = [
        Self::Trace,
        Self::AbsentTrace,
        Self::Newest,
        Self::Needle,
        Self::Failed,
        Self::Tag,
        Self::Absent,
        Self::Services,
        Self::SqlServices,
        Self::SqlFailed,
        Self::Red,
        Self::HttpTrace,
        Self::HttpTraceV3,
        Self::HttpNewest,
        Self::HttpFailed,
        Self::HttpFailedSummaries,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Trace => "id",
            Self::AbsentTrace => "absent-id",
            Self::Newest => "newest",
            Self::Needle => "needle",
            Self::Failed => "failed",
            Self::Tag => "tag",
            Self::Absent => "absent",
            Self::Services => "services",
            Self::SqlServices => "sql-services",
            Self::SqlFailed => "sql-failed",
            Self::Red => "red",
            Self::HttpTrace => "http-id",
            Self::HttpTraceV3 => "http-id-v3",
            Self::HttpNewest => "http-newest",
            Self::HttpFailed => "http-failed",
            Self::HttpFailedSummaries => "http-failed-summaries",
        }
    }

    /// How many different questions it is.
    pub(crate) fn variants(self, truth: &Truth) -> usize {
        match self {
            Self::Trace | Self::HttpTrace | Self::HttpTraceV3 => truth.lookups.len(),
            _ => 1,
        }
    }

    pub(crate) async fn ask(
        self,
        querier: &Arc<Querier>,
        truth: &Truth,
        number: usize,
    ) -> Result<Answered, Failure> {
        let (trace, spans) = &truth.lookups[number % truth.lookups.len()];
        match self {
            Self::Trace => look_up(querier, trace.parse()?, *spans).await,
            Self::AbsentTrace => look_up(querier, TraceId([0x5a; 16]), 0).await,
            Self::Newest => {
                let (asked, answered) = search(querier, service(truth)?, NEWEST).await?;
                let found: Vec<String> =
                    asked.content.traces.iter().map(|found| found.trace.id.to_string()).collect();
                if found != truth.newest {
                    return Err(format!("the newest are {:?}, not {found:?}", truth.newest).into());
                }
                Ok(answered)
            }
            Self::Needle => {
                let (_, answered) = search(querier, user(&truth.needle)?, ALL).await?;
                answered.of(truth.needle_traces)
            }
            Self::Failed => {
                let status = Target::attribute(Level::Span, STATUS);
                let filter = Filter::compare(status, Comparison::Eq, FAILED)?;
                let (_, answered) = search(querier, filter, ALL).await?;
                answered.of(truth.failed_traces)
            }
            Self::Tag => {
                let (target, text) = (Target::attribute(Level::Any, STATUS), FAILED.to_string());
                let filter = Filter::compare(target, Comparison::Eq, Literal::Text(text))?;
                let (_, answered) = search(querier, filter, ALL).await?;
                answered.of(truth.failed_traces)
            }
            Self::Absent => {
                let (_, answered) = search(querier, user("nobody has this")?, ALL).await?;
                answered.of(0)
            }
            Self::Services => {
                let of = of(Window::ALL);
                let (asked, answered) = timed(querier.spans_per_service(&of)).await?;
                if asked.content != truth.services {
                    return Err(format!("{:?}, not {:?}", asked.content, truth.services).into());
                }
                Ok(Answered { found: asked.content.len(), ..answered })
            }
            Self::SqlServices => {
                let statement = "SELECT service_name, count(*) FROM spans GROUP BY service_name";
                let (counts, answered) = sql(querier, statement).await?;
                if counts != truth.services {
                    return Err(format!("{counts:?}, not {:?}", truth.services).into());
                }
                Ok(answered)
            }
            Self::SqlFailed => {
                let statement = format!(
                    "SELECT '', count(DISTINCT trace_id) FROM spans WHERE span_attributes['{STATUS}'] = {FAILED}"
                );
                let (counts, answered) = sql(querier, &statement).await?;
                let found = counts.values().sum::<u64>() as usize;
                Answered { found, ..answered }.of(truth.failed_traces)
            }
            Self::Red => {
                let of = of(truth.red_window());
                let (asked, answered) = timed(querier.red(&of, MINUTE_NANOS)).await?;
                let calls: u64 = asked.content.values().map(|red| red.calls).sum();
                Answered { found: calls as usize, ..answered }.of(truth.red_spans as usize)
            }
            Self::HttpTrace => http::ask(querier, &Get::trace(trace)).await?.of(*spans),
            Self::HttpTraceV3 => http::ask(querier, &Get::trace_v3(trace)).await?.of(*spans),
            Self::HttpNewest => {
                http::ask(querier, &Get::newest(&truth.busiest)).await?.of(truth.newest.len())
            }
            Self::HttpFailed => http::ask(querier, &Get::failed()).await?.of(truth.failed_traces),
            Self::HttpFailedSummaries => {
                http::ask(querier, &Get::failed_summaries()).await?.of(truth.failed_traces)
            }
        }
    }
}

impl Answered {
    fn of(self, right: usize) -> Result<Self, Failure> {
        if self.found == right { Ok(self) } else { Err(format!("found {}, not {right}", self.found).into()) }
    }
}

/// A question on its way.
pub(crate) struct Asking {
    began: Instant,
    processor: Duration,
}

impl Asking {
    pub(crate) fn begin() -> Self {
        Self { began: now(), processor: processor_time() }
    }

    pub(crate) fn answered(self, found: usize, cost: CostReport) -> Answered {
        let (took, processor) = (now().duration_since(self.began), processor_time() - self.processor);
        Answered { took, processor, found, cost }
    }
}

/// What is found is still to be counted.
async fn timed<T>(
    question: impl Future<Output = Result<Answer<T>, QueryError>>,
) -> Result<(Answer<T>, Answered), Failure> {
    let asking = Asking::begin();
    let answer = question.await?;
    let answered = asking.answered(0, answer.cost);
    if answer.gaps.is_empty() { Ok((answer, answered)) } else { Err(answer.gaps.concat().into()) }
}

async fn look_up(querier: &Querier, trace: TraceId, spans: usize) -> Result<Answered, Failure> {
    let (answer, answered) = timed(querier.traces(&Tenant::single(), &[trace])).await?;
    let found = answer.content.iter().map(|trace| trace.spans.len()).sum();
    Answered { found, ..answered }.of(spans)
}

/// Numbers by text.
async fn sql(querier: &Arc<Querier>, statement: &str) -> Result<(BTreeMap<String, u64>, Answered), Failure> {
    let asking = Asking::begin();
    let mut answer = querier.sql(&Tenant::single(), statement).await?;
    let mut counts = BTreeMap::new();
    while let Some(batch) = answer.next().await {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            let text = array_value_to_string(batch.column(0), row)?;
            counts.insert(text, array_value_to_string(batch.column(1), row)?.parse()?);
        }
    }
    let answered = asking.answered(counts.len(), answer.cost());
    Ok((counts, answered))
}

async fn search(
    querier: &Querier,
    filter: Filter,
    limit: usize,
) -> Result<(Answer<FoundTraces>, Answered), Failure> {
    let search = Search {
        tenant: Tenant::single(),
        filter,
        window: Window::ALL,
        order: Order::Newest,
        limit,
        after: None,
    };
    let (answer, answered) = timed(querier.search(&search)).await?;
    let answered = Answered { found: answer.content.traces.len(), ..answered };
    Ok((answer, answered))
}

fn service(truth: &Truth) -> Result<Filter, Failure> {
    Ok(Filter::compare(Field::ServiceName.into(), Comparison::Eq, truth.busiest.as_str())?)
}

fn user(user: &str) -> Result<Filter, Failure> {
    Ok(Filter::compare(Target::attribute(Level::Span, USER), Comparison::Eq, user)?)
}

fn of(window: Window) -> Of {
    Of { tenant: Tenant::single(), filter: Filter::all(), window }
}
