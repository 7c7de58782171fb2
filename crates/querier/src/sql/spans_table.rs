//! The table `spans`.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, project_schema};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::SqlQuery;
use super::error::to_datafusion;
use super::exec::SpansExec;
use super::output::Output;
use super::pushed::{Pushed, window_of};
use super::scan::SpansScan;
use super::schema::{SpanColumn, spans_schema};

#[derive(Debug)]
pub(super) struct SpansTable {
    pub(super) query: Arc<SqlQuery>,
}

#[async_trait]
impl TableProvider for SpansTable {
    fn schema(&self) -> SchemaRef {
        spans_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// What is pushed down leaves out rows, and but for bounds of `start_time` not all that do not match: other clauses
    /// are evaluated again above.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |clause: &&Expr| match window_of(clause) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planning = SpansScan::plan(Arc::clone(&self.query), Pushed::of(filters));
        // Where sockets are served: planning asks the store.
        let planned = self.query.sockets.spawn(planning).await;
        let scan = planned.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let scan = Arc::new(scan.map_err(to_datafusion)?);
        let all = SpanColumn::ALL.map(Output::Column);
        let outputs = match projection {
            Some(places) => places.iter().filter_map(|place| all.get(*place).cloned()).collect(),
            None => all.to_vec(),
        };
        let schema = project_schema(&self.schema(), projection)?;
        Ok(Arc::new(SpansExec::new(scan, outputs, schema, state.config().target_partitions())))
    }
}
