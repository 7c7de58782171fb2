//! A querier as a value: what its questions share, and what every answer says beside its content.

use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, select};
use siltstone_catalog::Catalog;
use siltstone_catalog::snapshot::{Missing, SnapshotError};
use siltstone_catalog::time::Clock;
use siltstone_format::block::error::ReadError;
use siltstone_format::value::ValueError;
use siltstone_live::question::Question;

use crate::block::BlockError;
use crate::blocks::{Blocks, Purse, ReadBlockError};
use crate::cache::CacheSizes;
use crate::cost::{Cost, CostReport};
use crate::gap::Gap;
use crate::hidden::FilterMark;
use crate::ingesters::{InProcess, Ingesters, OpenError};
use crate::limits::{LimitReached, QueryLimits};
use crate::plan::{PlanError, Planner};
use crate::view::View;
use crate::workers::{NotDone, Workers};

/// What a querier is made of, beside its settings.
pub struct QuerierParts {
    pub catalog: Arc<Catalog>,
    pub clock: Arc<dyn Clock>,
    pub ingesters: Ingesters,
    /// The ingester of the same process, if it has one.
    pub in_process: Option<InProcess>,
}

#[derive(Clone, Copy, Debug)]
pub struct QuerierConfig {
    pub caches: CacheSizes,
    pub limits: QueryLimits,
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
    pub(crate) limits: QueryLimits,
    workers: Workers,
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
    FilterMark(#[from] FilterMark),
    #[error("a span holds what is no value: {0}")]
    Value(#[from] ValueError),
    #[error("a span that was stored is refused now: {0}")]
    Refused(String),
    #[error("reading took so long that the snapshot expired: ask again, for less at once")]
    Expired,
    #[error("a part of the query was not done: a thread could not be started, or met a bug that it has told")]
    NotDone,
}

/// One query that is under way: its cost and its gaps.
pub(crate) struct Query<'a> {
    pub(crate) querier: &'a Querier,
    pub(crate) cost: Arc<Cost>,
    pub(crate) gaps: Vec<String>,
}

impl Querier {
    pub fn new(config: &QuerierConfig, parts: QuerierParts) -> Self {
        let objects = Arc::clone(parts.catalog.bucket().objects());
        Self {
            catalog: parts.catalog,
            clock: parts.clock,
            ingesters: parts.ingesters,
            in_process: parts.in_process,
            blocks: Blocks::new(objects, config.caches),
            limits: config.limits,
            workers: Workers::new(config.workers),
        }
    }

    /// Runs a query within its time. Whoever does not want the answer any more drops it: nothing goes on.
    pub(crate) async fn within<'a, T, Run>(
        &'a self,
        run: impl FnOnce(Query<'a>) -> Run,
    ) -> Result<T, QueryError>
    where
        Run: Future<Output = Result<T, QueryError>>,
    {
        let query = Query { querier: self, cost: Arc::new(Cost::default()), gaps: Vec::new() };
        let deadline = self.limits.deadline;
        match select(pin!(run(query)), self.clock.sleep(deadline)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(LimitReached::Deadline(deadline).into()),
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

    pub(crate) fn planner<'b>(&'b self, view: &'b View) -> Planner<'b> {
        let (catalog, blocks) = (&*self.querier.catalog, &self.querier.blocks);
        Planner { catalog, blocks, view, purse: self.purse() }
    }

    pub(crate) fn purse(&self) -> Purse<'_> {
        Purse { cost: &self.cost, most_bytes: self.querier.limits.bytes }
    }

    pub(crate) fn lacks(&mut self, missing: Vec<Missing>) {
        self.gaps.extend(missing.into_iter().map(|missing| Gap::Page(missing).to_string()));
    }

    /// Does what takes a processor for more than a moment where it holds up no socket.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        self.querier.workers.run(work).await.map_err(|NotDone| QueryError::NotDone)
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
        match error {
            PlanError::Snapshot(error) => Self::Snapshot(error),
            PlanError::FilterMark(mark) => Self::FilterMark(mark),
        }
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

impl From<ReadError> for QueryError {
    fn from(error: ReadError) -> Self {
        Self::Block(error.into())
    }
}
