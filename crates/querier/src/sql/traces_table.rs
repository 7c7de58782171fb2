//! The table `traces`: one row for each whole trace.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err, project_schema};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use siltstone_ask::Window;
use siltstone_ask::slice::{Chunk, Slice};
use siltstone_format::id::TraceId;
use tokio::sync::mpsc;

use super::arrays::ArrayError;
use super::metrics::with_cost;
use super::pushed::Pushed;
use super::query::SqlQuery;
use super::receiving::{Receiving, Sent, scan_properties, without_inputs};
use super::trace_rows::{TraceColumn, parts_of, rows_of, traces_schema};
use crate::querier::QueryError;
use crate::tally::TRACES_AT_ONCE;

#[derive(Debug)]
pub(super) struct TracesTable {
    pub(super) query: Arc<SqlQuery>,
}

/// Which traces are read: a clause about the start of a trace is one about the start of its first span.
#[derive(Clone, Debug)]
struct Wanted {
    window: Window,
    traces: Option<Vec<TraceId>>,
}

#[derive(Clone, Debug)]
struct TracesExec {
    query: Arc<SqlQuery>,
    wanted: Wanted,
    columns: Vec<TraceColumn>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

#[async_trait]
impl TableProvider for TracesTable {
    fn schema(&self) -> SchemaRef {
        traces_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Columns of both tables have the same names where they mean the same of a first span.
        let Pushed { window, traces, .. } = Pushed::of(filters);
        let wanted = Wanted { window, traces: traces.map(|traces| traces.into_iter().collect()) };
        let columns = match projection {
            Some(places) => places.iter().filter_map(|place| TraceColumn::ALL.get(*place).copied()).collect(),
            None => TraceColumn::ALL.to_vec(),
        };
        let properties = scan_properties(project_schema(&self.schema(), projection)?, 1);
        let query = Arc::clone(&self.query);
        Ok(Arc::new(TracesExec {
            query,
            wanted,
            columns,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }
}

impl TracesExec {
    async fn read(self, batches: mpsc::Sender<Sent>) -> Result<(), QueryError> {
        match &self.wanted.traces {
            Some(traces) => self.by_id(traces, &batches).await,
            None => self.in_window(&batches).await,
        }
    }

    async fn by_id(&self, traces: &[TraceId], batches: &mpsc::Sender<Sent>) -> Result<(), QueryError> {
        for some in traces.chunks(TRACES_AT_ONCE) {
            let mut query = self.query.asking();
            let columns = query.columns_of_traces(&self.query.tenant, some).await?;
            let (slice, _) = Slice::of(vec![Chunk::of(columns, |_, _| true)]);
            self.query.lacks(query.gaps);
            if batches.send(Ok(self.batch(&slice)?)).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn in_window(&self, batches: &mpsc::Sender<Sent>) -> Result<(), QueryError> {
        let mut query = self.query.asking();
        let parts = parts_of(&self.columns);
        let mut walk = query.whole_traces(&self.query.tenant, self.wanted.window, parts).await?;
        while let Some(slice) = query.next_slice(&mut walk).await? {
            let exec = self.clone();
            let batch = query.work(move || exec.batch(&slice)).await??;
            if batches.send(Ok(batch)).await.is_err() {
                break;
            }
        }
        self.query.lacks(query.gaps);
        Ok(())
    }

    fn batch(&self, slice: &Slice) -> Result<RecordBatch, QueryError> {
        let rows = rows_of(slice);
        let arrays: Result<Vec<_>, _> = self.columns.iter().map(|column| column.array(&rows)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let arrays = arrays.map_err(ArrayError::from)?;
        let batch = RecordBatch::try_new_with_options(self.schema(), arrays, &options);
        Ok(batch.map_err(ArrayError::from)?)
    }
}

impl DisplayAs for TracesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name()).collect();
        write!(f, "TracesExec: columns=[{}]", columns.join(", "))?;
        match &self.wanted.traces {
            Some(traces) => write!(f, ", traces={}", traces.len()),
            None if self.wanted.window == Window::ALL => Ok(()),
            None => write!(f, ", starts={}..{}", self.wanted.window.start, self.wanted.window.end),
        }
    }
}

impl ExecutionPlan for TracesExec {
    fn name(&self) -> &'static str {
        "TracesExec"
    }

    without_inputs!();

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let read = |batches| self.clone().read(batches);
        Ok(Receiving::start(&self.query.sockets, read, None, metrics).into_rows(self.schema()))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(with_cost(self.metrics.clone_inner(), &self.query.cost(), None))
    }
}
