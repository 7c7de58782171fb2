//! The tables `red` and `edges`: calls, errors and durations of each minute, by operation and between services.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err, project_schema};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use siltstone_ask::{Field as SpanField, Filter, Window};
use tokio::sync::mpsc;

use super::arrays::{ArrayError, times};
use super::metrics::with_cost;
use super::pushed::Pushed;
use super::query::SqlQuery;
use super::receiving::{Receiving, Sent, scan_properties, without_inputs};
use super::schema::time_type;
use crate::counts::Of;
use crate::dependencies::{Edge, EdgeKind};
use crate::names::Operation;
use crate::querier::QueryError;
use crate::red::{Outcome, Red, Step, Steps};

const MINUTE: u64 = 60_000_000_000;
/// Rows of one batch, as DataFusion likes them.
const BATCH_ROWS: usize = 8_192;
const NUMBERS: [&str; 6] =
    ["calls", "errors", "duration_sum", "duration_p50", "duration_p90", "duration_p99"];

/// Whose minutes a table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Minutes {
    /// Of each operation, by the status of its spans.
    Operations,
    /// Of each service that calls another, or something else.
    Calls,
}

#[derive(Debug)]
pub(super) struct MinutesTable {
    pub(super) query: Arc<SqlQuery>,
    pub(super) of: Minutes,
}

/// What a table says of a minute.
struct Row {
    start: u64,
    texts: [Option<String>; 4],
    red: Red,
}

#[derive(Clone, Debug)]
struct MinutesExec {
    query: Arc<SqlQuery>,
    of: Minutes,
    /// Of the spans' starts.
    window: Window,
    filter: Filter,
    /// Which columns of the table.
    places: Vec<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl Minutes {
    fn texts(self) -> [&'static str; 4] {
        match self {
            Self::Operations => ["service_name", "name", "kind", "status_code"],
            Self::Calls => ["caller", "callee", "kind", "system"],
        }
    }

    fn schema(self) -> SchemaRef {
        let start = Field::new("start_time", time_type(), false);
        let texts = self.texts().map(|name| Field::new(name, DataType::Utf8View, true));
        let numbers = NUMBERS.map(|name| Field::new(name, DataType::Int64, false));
        Arc::new(Schema::new([start].into_iter().chain(texts).chain(numbers).collect::<Vec<_>>()))
    }
}

#[async_trait]
impl TableProvider for MinutesTable {
    fn schema(&self) -> SchemaRef {
        self.of.schema()
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
        // Columns of operations have the names that those of their spans have.
        let Pushed { window, filter, .. } = Pushed::of(filters);
        let filter = if self.of == Minutes::Operations { filter } else { Filter::all() };
        let all = self.schema();
        let places = projection.cloned().unwrap_or_else(|| (0..all.fields().len()).collect());
        let properties = scan_properties(project_schema(&all, projection)?, 1);
        let (query, of, metrics) = (Arc::clone(&self.query), self.of, ExecutionPlanMetricsSet::new());
        let window = of_whole_minutes(window);
        Ok(Arc::new(MinutesExec { query, of, window, filter, places, properties, metrics }))
    }
}

/// Spans of the minutes that begin in a window, and of no others.
fn of_whole_minutes(minutes: Window) -> Window {
    let first_from = |time: u64| time.div_ceil(MINUTE).saturating_mul(MINUTE);
    Window { start: first_from(minutes.start), end: first_from(minutes.end) }
}

impl MinutesExec {
    async fn read(self, batches: mpsc::Sender<Sent>) -> Result<(), QueryError> {
        let mut query = self.query.asking();
        let (tenant, steps) = (self.query.tenant.clone(), Steps::of(MINUTE));
        let rows: Vec<Row> = match self.of {
            Minutes::Operations => {
                let of = Of { tenant, filter: self.filter.clone(), window: self.window };
                query.red_by_status(&of, steps).await?.into_iter().map(Row::of_outcome).collect()
            }
            Minutes::Calls => {
                let found = query.dependencies_in_steps(&tenant, self.window, steps).await?;
                found.edges.into_iter().map(Row::of_edge).collect()
            }
        };
        self.query.lacks(query.gaps);
        for rows in rows.chunks(BATCH_ROWS) {
            self.query.has_rows(rows.len());
            if batches.send(Ok(self.batch(rows)?)).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    fn batch(&self, rows: &[Row]) -> Result<RecordBatch, QueryError> {
        let arrays = self.places.iter().map(|place| array_of(*place, rows)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(self.schema(), arrays, &options);
        Ok(batch.map_err(ArrayError::from)?)
    }
}

/// The column at a place of the table.
fn array_of(place: usize, rows: &[Row]) -> ArrayRef {
    let Some(place) = place.checked_sub(1) else {
        return times(rows.iter().map(|row| i64::try_from(row.start).ok()));
    };
    let Some(place) = place.checked_sub(4) else {
        return Arc::new(rows.iter().map(|row| row.texts[place].as_deref()).collect::<StringViewArray>());
    };
    let whole = |number: u128| i64::try_from(number).unwrap_or(i64::MAX);
    let quantile = |red: &Red, share: f64| red.durations.quantile(share).unwrap_or(0.0) as i64;
    let number = |Row { red, .. }: &Row| match place {
        0 => whole(red.calls.into()),
        1 => whole(red.errors.into()),
        2 => whole(red.sum_nanos),
        3 => quantile(red, 0.5),
        4 => quantile(red, 0.9),
        _ => quantile(red, 0.99),
    };
    Arc::new(Int64Array::from_iter_values(rows.iter().map(number)))
}

impl Row {
    fn of_outcome((outcome, red): (Outcome, Red)) -> Self {
        let Outcome { step: Step { operation, start_unix_nano: start }, status_code } = outcome;
        let Operation { service, name, kind } = operation;
        let named = |field: SpanField, number: i32| {
            field.name_of(number).map_or_else(|| number.to_string(), str::to_owned)
        };
        let (kind, status) = (named(SpanField::Kind, kind), named(SpanField::StatusCode, status_code));
        Self { start, texts: [some(service), Some(name), Some(kind), Some(status)], red }
    }

    fn of_edge(((edge, start), red): ((Edge, u64), Red)) -> Self {
        let Edge { caller, callee, kind } = edge;
        let (kind, system) = match kind {
            EdgeKind::Service => ("service", String::new()),
            EdgeKind::Messaging { system } => ("messaging", system),
            EdgeKind::Database => ("database", callee.clone()),
            EdgeKind::Peer => ("peer", String::new()),
        };
        Self { start, texts: [some(caller), some(callee), Some(kind.to_owned()), some(system)], red }
    }
}

/// What says nothing is nothing.
fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl DisplayAs for MinutesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MinutesExec: of={:?}", self.of)?;
        if self.window == Window::ALL {
            return Ok(());
        }
        write!(f, ", starts={}..{}", self.window.start, self.window.end)
    }
}

impl ExecutionPlan for MinutesExec {
    fn name(&self) -> &'static str {
        "MinutesExec"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_read_the_spans_of_the_minutes_that_begin_in_a_window() {
        let of = |start, end| {
            let Window { start, end } = of_whole_minutes(Window { start, end });
            (start, end)
        };
        assert_eq!(of(0, 1), (0, MINUTE));
        assert_eq!(of(1, MINUTE), (MINUTE, MINUTE));
        assert_eq!(of(MINUTE, 2 * MINUTE + 1), (MINUTE, 3 * MINUTE));
        assert_eq!(of(0, u64::MAX), (0, u64::MAX));
    }
}
