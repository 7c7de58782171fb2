//! The scan of `spans` as a node of DataFusion's plans.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use super::attribute_of::physical_attribute_of;
use super::metrics::with_cost;
use super::output::Output;
use super::receiving::{Receiving, scan_properties, without_inputs};
use super::scan::{Share, Sink, SpansScan};
use super::schema::SpanColumn;

#[derive(Clone, Debug)]
pub(super) struct SpansExec {
    scan: Arc<SpansScan>,
    outputs: Vec<Output>,
    /// Rows with the same outputs come as one, with so many columns that say how many they are.
    counts: Option<usize>,
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SpansExec {
    pub(super) fn new(
        scan: Arc<SpansScan>,
        outputs: Vec<Output>,
        schema: SchemaRef,
        partitions: usize,
    ) -> Self {
        let (properties, metrics) = (scan_properties(schema, partitions), ExecutionPlanMetricsSet::new());
        Self { scan, outputs, counts: None, fetch: None, properties, metrics }
    }

    fn partitions(&self) -> usize {
        self.properties.partitioning.partition_count()
    }

    fn with_outputs(&self, outputs: Vec<Output>, schema: SchemaRef) -> Self {
        let exec = Self::new(Arc::clone(&self.scan), outputs, schema, self.partitions());
        Self { fetch: self.fetch, ..exec }
    }

    /// The same rows, grouped by these outputs and counted. None: they are not all of its rows.
    pub(super) fn counting(&self, outputs: Vec<Output>, counts: usize, schema: SchemaRef) -> Option<Self> {
        let is_plain = self.counts.is_none() && self.fetch.is_none();
        is_plain.then(|| Self { counts: Some(counts), ..self.with_outputs(outputs, schema) })
    }

    /// What an expression over the scan is, if the scan can put that out by itself.
    pub(super) fn output_of(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Output> {
        if let Some(column) = expr.downcast_ref::<Column>() {
            return self.outputs.get(column.index()).cloned();
        }
        let (map, key) = physical_attribute_of(expr)?;
        match self.outputs.get(map.index())? {
            Output::Column(SpanColumn::Attributes(holder)) => {
                Some(Output::Attribute { holder: *holder, key: key.to_owned() })
            }
            _ => None,
        }
    }

    /// The expressions over a scan that puts out single attributes, not whole maps, where these will do.
    fn lowered(&self, exprs: &[ProjectionExpr]) -> Result<Option<(Vec<ProjectionExpr>, Self)>> {
        let (mut outputs, mut has_attributes) = (Vec::<Output>::new(), false);
        let mut lower = |expr: Arc<dyn PhysicalExpr>| {
            let Some(output) = self.output_of(&expr) else { return Ok(Transformed::no(expr)) };
            has_attributes |= !expr.is::<Column>();
            let place = outputs.iter().position(|known| *known == output).unwrap_or_else(|| {
                outputs.push(output.clone());
                outputs.len() - 1
            });
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&output.to_string(), place));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        };
        let mut lowered = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let inner = Arc::clone(&expr.expr).transform_down(&mut lower)?.data;
            lowered.push(ProjectionExpr { expr: inner, alias: expr.alias.clone() });
        }
        if !has_attributes {
            return Ok(None);
        }
        let fields: Vec<_> = outputs.iter().map(|output| output.field()).collect();
        Ok(Some((lowered, self.with_outputs(outputs, Arc::new(Schema::new(fields))))))
    }
}

impl DisplayAs for SpansExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outputs: Vec<String> = self.outputs.iter().map(Output::to_string).collect();
        match kind {
            DisplayFormatType::TreeRender => write!(f, "columns=[{}]", outputs.join(", ")),
            _ => {
                write!(f, "SpansExec: columns=[{}], {}", outputs.join(", "), self.scan)?;
                if self.counts.is_some() {
                    f.write_str(", counted")?;
                }
                self.fetch.map_or(Ok(()), |fetch| write!(f, ", fetch={fetch}"))
            }
        }
    }
}

impl ExecutionPlan for SpansExec {
    fn name(&self) -> &'static str {
        "SpansExec"
    }

    without_inputs!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let consumer = MemoryConsumer::new(format!("spans[{partition}]"));
        let share = Share { number: partition, of: self.partitions() };
        let read = |batches| {
            let sink = Sink {
                outputs: self.outputs.clone(),
                counts: self.counts,
                schema: self.schema(),
                fetch: self.fetch,
                batches,
                memory: consumer.register(context.memory_pool()),
            };
            Arc::clone(&self.scan).read(share, sink)
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let receiving = Receiving::start(&self.scan.query().sockets, read, self.fetch, metrics);
        Ok(receiving.into_rows(self.schema()))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let cost = self.scan.query().cost();
        Some(with_cost(self.metrics.clone_inner(), &cost, Some(self.scan.pruned_blocks())))
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>> {
        Ok(Arc::new(Statistics::new_unknown(&self.schema())))
    }

    fn supports_limit_pushdown(&self) -> bool {
        self.counts.is_none()
    }

    fn with_fetch(&self, fetch: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        self.counts.is_none().then(|| Arc::new(Self { fetch, ..self.clone() }) as _)
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if self.counts.is_some() {
            return Ok(None);
        }
        let outputs: Option<Vec<Output>> =
            projection.expr().iter().map(|projected| self.output_of(&projected.expr)).collect();
        if let Some(outputs) = outputs {
            return Ok(Some(Arc::new(self.with_outputs(outputs, projection.schema()))));
        }
        let Some((exprs, scan)) = self.lowered(projection.expr())? else { return Ok(None) };
        Ok(Some(Arc::new(ProjectionExec::try_new(exprs, Arc::new(scan))?)))
    }
}
