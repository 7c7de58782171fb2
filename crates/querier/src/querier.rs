//! A querier as a value: what its questions share, and what every answer says beside its content.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use siltstone_ask::{Filter, Window};
use siltstone_catalog::Catalog;
use siltstone_catalog::snapshot::{Missing, SnapshotError};
use siltstone_catalog::time::Clock;
use siltstone_format::block::error::ReadError;
use siltstone_format::tenant::Tenant;
use siltstone_format::value::ValueError;
use siltstone_live::question::{Question, Wanted};
use tokio::runtime::Handle;

use crate::block::BlockError;
use crate::blocks::{Blocks, Purse, ReadBlockError};
use crate::cache::CacheSizes;
use crate::cost::{Cost, CostReport};
use crate::gap::Gap;
use crate::ingesters::{InProcess, Ingesters, OpenError};
use crate::limits::{LimitReached, Limits, QueryLimits};
use crate::metrics::{Metrics, Outcome};
use crate::plan::{Plan, PlanError, Planner};
use crate::sql::{ArrayError, SqlConfig, SqlEngine};
use crate::turns::{Place, QueueFull, TurnSettings, Turns};
use crate::view::View;
use crate::workers::{NotDone, Workers};

/// What a querier is made of, beside its settings.
pub struct QuerierParts {
    pub catalog: Arc<Catalog>,
    pub clock: Arc<dyn Clock>,
    pub ingesters: Ingesters,
    /// The ingester of the same process, if it has one.
    pub in_process: Option<InProcess>,
    /// Where plans of SQL run: apart from sockets, which must not wait for them.
    pub processors: Handle,
}

#[derive(Clone, Debug)]
pub struct QuerierConfig {
    pub caches: CacheSizes,
    pub limits: Limits,
    pub turns: TurnSettings,
    pub sql: SqlConfig,
    /// Threads for work that needs a processor, of all queries together.
    pub workers: usize,
}

/// Answers questions. Each answer is about everything that was acknowledged before it was asked.
pub struct Querier {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) clock: Arc<dyn Clock>,
    ingesters: Ingesters,
    in_process: Option<InProcess>,
    pub(crate) blocks: Blocks,
    limits: Limits,
    turns: Arc<Turns>,
    metrics: Arc<Metrics>,
    pub(crate) sql: SqlEngine,
    pub(crate) processors: Handle,
    workers: Workers,
}

/// One query may run for as long as this is held, within the limits of its tenant.
pub struct Turn {
    pub limits: QueryLimits,
    /// By the querier's clock. The time in the queue counts.
    deadline: Duration,
    /// Of all that is done in it.
    pub(crate) cost: Arc<Cost>,
    /// None by now: whoever drops it does not wait for the rest.
    outcome: Mutex<Option<Outcome>>,
    began: Duration,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    _place: Place,
}

impl Turn {
    /// How the query has ended; what is said first holds.
    pub(crate) fn ends(&self, outcome: Outcome) {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(outcome);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let outcome = *self.outcome.get_mut().unwrap_or_else(PoisonError::into_inner);
        let took = self.clock.elapsed().saturating_sub(self.began);
        self.metrics.ended(outcome.unwrap_or(Outcome::GivenUp), took, &self.cost.report());
    }
}

/// What is said, what it may lack, and what it cost.
#[derive(Debug)]
pub struct Answer<T> {
    pub content: T,
    /// Parts that could not be asked or read. Empty: the answer is complete.
    pub gaps: Vec<String>,
    pub cost: CostReport,
}

impl<T: Default> Answer<T> {
    /// Nothing can match what was asked.
    pub(crate) fn nothing() -> Self {
        Self { content: T::default(), gaps: Vec::new(), cost: CostReport::default() }
    }
}

/// Why there is no querier.
#[derive(Debug, thiserror::Error)]
#[error("SQL cannot be set up: {0}")]
pub struct QuerierError(String);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Snapshot(Box<SnapshotError>),
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error(transparent)]
    Limit(#[from] LimitReached),
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
    #[error("a span holds what is no value: {0}")]
    Value(#[from] ValueError),
    #[error("a span that was stored is refused now: {0}")]
    Refused(String),
    #[error("reading took so long that the snapshot expired: ask again, for less at once")]
    Expired,
    #[error("a part of the query was not done: a thread could not be started, or met a bug that it has told")]
    NotDone,
    #[error("rows cannot be put into columns: {0}")]
    Columns(String),
    /// An SQL statement's.
    #[error("more memory is needed than there is for one query (`query.memory`): {0}")]
    Memory(String),
}

impl QueryError {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Limit(_) | Self::Memory(_) | Self::Refused(_) => Outcome::Refused,
            Self::QueueFull(_) => Outcome::QueueFull,
            _ => Outcome::Failed,
        }
    }
}

/// One query that is under way: its cost and its gaps.
pub(crate) struct Query<'a> {
    pub(crate) querier: &'a Querier,
    pub(crate) limits: QueryLimits,
    pub(crate) cost: Arc<Cost>,
    pub(crate) gaps: Vec<String>,
}

impl Querier {
    pub fn new(config: &QuerierConfig, parts: QuerierParts) -> Result<Self, QuerierError> {
        let objects = Arc::clone(parts.catalog.bucket().objects());
        Ok(Self {
            catalog: parts.catalog,
            clock: parts.clock,
            ingesters: parts.ingesters,
            in_process: parts.in_process,
            blocks: Blocks::new(objects, config.caches),
            limits: config.limits.clone(),
            turns: Turns::new(config.turns),
            metrics: Arc::default(),
            sql: SqlEngine::new(&config.sql).map_err(|error| QuerierError(error.to_string()))?,
            processors: parts.processors,
            workers: Workers::new(config.workers),
        })
    }

    /// Waits until a tenant may run one more query.
    pub async fn turn(&self, tenant: &Tenant) -> Result<Turn, QueryError> {
        let (limits, began) = (self.limits.of(tenant), self.clock.elapsed());
        let deadline = began.saturating_add(limits.deadline);
        let place = self.until(deadline, limits, async { Ok(self.turns.take(tenant).await?) }).await;
        let place = place.inspect_err(|error| self.metrics.ended_waiting(error.outcome()))?;
        Ok(Turn {
            limits,
            deadline,
            cost: Arc::default(),
            outcome: Mutex::default(),
            began,
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
            _place: place,
        })
    }

    /// Does a part of the work of a query within its time.
    pub async fn within_turn<T>(
        &self,
        turn: &Turn,
        work: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        let done = self.until(turn.deadline, turn.limits, work).await;
        done.inspect_err(|error| turn.ends(error.outcome()))
    }

    /// Runs a query when it is its tenant's turn, within its time. Whoever does not want the answer any more drops
    /// it: nothing goes on.
    pub(crate) async fn within<'a, T, Run>(
        &'a self,
        tenant: &Tenant,
        run: impl FnOnce(Query<'a>) -> Run,
    ) -> Result<T, QueryError>
    where
        Run: Future<Output = Result<T, QueryError>>,
    {
        let turn = self.turn(tenant).await?;
        let done = self.within_turn(&turn, run(self.query(&turn))).await?;
        turn.ends(Outcome::Answered);
        Ok(done)
    }

    /// Appends what it counts, as Prometheus reads it.
    pub fn render_metrics(&self, out: &mut String) {
        self.metrics.render(self.turns.waiters(), &self.blocks.cached_bytes(), out);
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A query that has its turn.
    pub(crate) fn query(&self, turn: &Turn) -> Query<'_> {
        Query { querier: self, limits: turn.limits, cost: Arc::clone(&turn.cost), gaps: Vec::new() }
    }

    /// Does what takes a processor for more than a moment where it holds up no socket.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        self.workers.run(work).await.map_err(|NotDone| QueryError::NotDone)
    }

    async fn until<T>(
        &self,
        deadline: Duration,
        limits: QueryLimits,
        work: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        let left = deadline.saturating_sub(self.clock.elapsed());
        match select(pin!(work), self.clock.sleep(left)).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => Err(LimitReached::Deadline(limits.deadline).into()),
        }
    }
}

impl<'a> Query<'a> {
    pub(crate) async fn open(&mut self, question: &Question) -> Result<View, QueryError> {
        let querier = self.querier;
        let opened =
            querier.ingesters.open(&querier.catalog, &*querier.clock, querier.in_process.as_ref(), question);
        let view = opened.await?;
        self.gaps.extend(view.partial.iter().map(Gap::to_string));
        Ok(view)
    }

    /// A view of what may match and start in a window, and the blocks that may hold some of it.
    pub(crate) async fn open_matching(
        &mut self,
        tenant: &Tenant,
        filter: &Filter,
        window: Window,
    ) -> Result<(View, Plan), QueryError> {
        let wanted = Wanted::Matching { filter: Some(filter.clone()), window };
        let view = self.open(&Question { tenant: tenant.clone(), wanted }).await?;
        let plan = self.planner(&view).of_filter(filter, window).await;
        let plan = plan.map_err(|error| self.late_or(&view, error.into()))?;
        Ok((view, plan))
    }

    pub(crate) fn planner<'b>(&'b self, view: &'b View) -> Planner<'b> {
        let (catalog, blocks) = (&*self.querier.catalog, &self.querier.blocks);
        Planner { catalog, blocks, view, purse: self.purse() }
    }

    pub(crate) fn purse(&self) -> Purse<'_> {
        Purse { cost: &self.cost, most_bytes: self.limits.bytes }
    }

    pub(crate) fn lacks(&mut self, missing: Vec<Missing>) {
        self.gaps.extend(missing.into_iter().map(|missing| Gap::Page(missing).to_string()));
    }

    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        self.querier.work(work).await
    }

    /// What is gone after the snapshot's time is no broken promise.
    pub(crate) fn late_or(&self, view: &View, error: QueryError) -> QueryError {
        let is_gone = match &error {
            QueryError::Snapshot(error) => matches!(**error, SnapshotError::Gone { .. }),
            error => matches!(error, QueryError::Block(BlockError::Gone { .. })),
        };
        if is_gone && self.is_expired(view) { QueryError::Expired } else { error }
    }

    pub(crate) fn is_expired(&self, view: &View) -> bool {
        self.querier.clock.elapsed() > view.snapshot.expires()
    }

    pub(crate) fn answer<T>(self, content: T) -> Answer<T> {
        let mut gaps = self.gaps;
        gaps.sort();
        gaps.dedup();
        Answer { content, gaps, cost: self.cost.report() }
    }
}

impl From<PlanError> for QueryError {
    fn from(error: PlanError) -> Self {
        Self::Snapshot(error.0)
    }
}

impl From<ReadBlockError> for QueryError {
    fn from(error: ReadBlockError) -> Self {
        match error {
            ReadBlockError::Block(error) => Self::Block(error),
            ReadBlockError::Limit(limit) => Self::Limit(limit),
        }
    }
}

impl From<ArrayError> for QueryError {
    fn from(error: ArrayError) -> Self {
        match error {
            ArrayError::Value(error) => Self::Value(error),
            ArrayError::Arrow(error) => Self::Columns(error.to_string()),
        }
    }
}

impl From<ReadError> for QueryError {
    fn from(error: ReadError) -> Self {
        Self::Block(error.into())
    }
}

#[cfg(test)]
pub(crate) mod tests;
