//! A statement's answer, as it comes.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use siltstone_format::tenant::Tenant;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::depth::check_depth;
use super::error::SqlError;
use super::meant::{Named, attributes_in};
use super::query::SqlQuery;
use crate::cost::CostReport;
use crate::metrics::Outcome;
use crate::querier::{Querier, QueryError};

/// Rows of an answer that are ready while nobody takes them.
const WAITING_BATCHES: usize = 2;

/// Rows that come one batch after the other. Whoever drops it stops all work for it.
pub struct SqlAnswer {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch, DataFusionError>>,
    driver: Option<AbortOnDropHandle<()>>,
    query: Arc<SqlQuery>,
    named: Vec<Named>,
}

/// A statement that has begun.
struct Planned {
    rows: SendableRecordBatchStream,
    /// Attributes that it names.
    named: Vec<Named>,
}

impl Querier {
    /// Answers one statement, which may only read.
    pub async fn sql(self: &Arc<Self>, tenant: &Tenant, statement: &str) -> Result<SqlAnswer, SqlError> {
        let turn = self.turn(tenant).await?;
        let query = Arc::new(SqlQuery::new(Arc::clone(self), tenant.clone(), Handle::current(), turn));
        let planning = plan(Arc::clone(&query), statement.to_owned());
        let planning = AbortOnDropHandle::new(self.processors.spawn(planning));
        let planned = async { planning.await.map_err(|_| QueryError::NotDone) };
        let planned = self.within_turn(&query.turn, planned).await?;
        let Planned { rows, named } = planned.inspect_err(|error| query.turn.ends(error.outcome()))?;
        let (sender, batches) = mpsc::channel(WAITING_BATCHES);
        let schema = rows.schema();
        let driver = Some(AbortOnDropHandle::new(self.processors.spawn(drive(rows, sender))));
        Ok(SqlAnswer { schema, batches, driver, query, named })
    }
}

async fn plan(query: Arc<SqlQuery>, statement: String) -> Result<Planned, SqlError> {
    check_depth(&statement)?;
    let memory = query.turn.limits.memory;
    let session = query.querier.sql.session(&query, memory).map_err(SqlError::of)?;
    let logical = session.create_logical_plan(&statement).await.map_err(SqlError::of)?;
    let may = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    may.verify_plan(&logical).map_err(SqlError::not_reading)?;
    let physical = session.create_physical_plan(&logical).await.map_err(SqlError::of)?;
    let rows = execute_stream(physical, Arc::new(TaskContext::from(&session))).map_err(SqlError::of)?;
    Ok(Planned { rows, named: attributes_in(&logical) })
}

async fn drive(
    mut rows: SendableRecordBatchStream,
    sender: mpsc::Sender<Result<RecordBatch, DataFusionError>>,
) {
    while let Some(batch) = rows.next().await {
        if sender.send(batch).await.is_err() {
            return;
        }
    }
}

impl SqlAnswer {
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows; an error is the last that comes.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, SqlError>> {
        let driver = self.driver.as_mut()?;
        let receiving = async { Ok(self.batches.recv().await) };
        let next = match self.query.querier.within_turn(&self.query.turn, receiving).await {
            Ok(Some(Ok(batch))) => return Some(Ok(batch)),
            Ok(Some(Err(error))) => Some(Err(SqlError::of(error))),
            // One that died must not look like one that has sent everything.
            Ok(None) => driver.await.err().map(|error| Err(SqlError::Failed(error.to_string()))),
            Err(late) => Some(Err(late.into())),
        };
        self.driver = None;
        self.query.turn.ends(match &next {
            None => Outcome::Answered,
            Some(Ok(_)) => Outcome::GivenUp,
            Some(Err(error)) => error.outcome(),
        });
        next
    }

    /// What the answer lacks, as far as it is known by now.
    pub fn gaps(&self) -> Vec<String> {
        self.query.gaps()
    }

    /// If no scan found a span: what may be meant by attributes that the statement names.
    pub async fn hints(&self) -> Result<Vec<String>, QueryError> {
        if self.named.is_empty() || !self.query.found_nothing() {
            return Ok(Vec::new());
        }
        self.query.querier.within_turn(&self.query.turn, self.query.hints(&self.named)).await
    }

    /// What the answer has cost so far.
    pub fn cost(&self) -> CostReport {
        self.query.cost()
    }
}
