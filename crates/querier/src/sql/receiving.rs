//! What our scans have in common as nodes of DataFusion's plans: rows come from a task that reads where sockets are
//! served.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::BaselineMetrics;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{Partitioning, PlanProperties};
use futures::stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::error::to_datafusion;
use crate::querier::QueryError;

/// What a node says of itself that has no inputs and no expressions, and keeps its properties.
macro_rules! without_inputs {
    () => {
        fn properties(&self) -> &Arc<PlanProperties> {
            &self.properties
        }

        fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
            Vec::new()
        }

        fn apply_expressions(
            &self,
            _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
        ) -> Result<TreeNodeRecursion> {
            Ok(TreeNodeRecursion::Continue)
        }

        fn with_new_children(
            self: Arc<Self>,
            children: Vec<Arc<dyn ExecutionPlan>>,
        ) -> Result<Arc<dyn ExecutionPlan>> {
            if children.is_empty() { Ok(self) } else { internal_err!("{} has no inputs", self.name()) }
        }
    };
}

pub(super) use without_inputs;

/// Batches that wait for whoever reads them, of each partition.
const WAITING_BATCHES: usize = 2;

pub(super) type Sent = Result<RecordBatch, QueryError>;

/// Properties of a scan: rows come in no order, as they are read.
pub(super) fn scan_properties(schema: SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

/// What the reading task sends. When nobody takes it any more, the task ends.
pub(super) struct Receiving {
    received: mpsc::Receiver<Sent>,
    task: AbortOnDropHandle<()>,
    /// More rows are not wanted.
    left: Option<usize>,
    metrics: BaselineMetrics,
}

impl Receiving {
    /// Starts the task. What `read` fails with comes behind the rows that it has sent.
    pub(super) fn start<Reading>(
        sockets: &Handle,
        read: impl FnOnce(mpsc::Sender<Sent>) -> Reading,
        left: Option<usize>,
        metrics: BaselineMetrics,
    ) -> Self
    where
        Reading: Future<Output = Result<(), QueryError>> + Send + 'static,
    {
        let (batches, received) = mpsc::channel(WAITING_BATCHES);
        let reading = read(batches.clone());
        let task = AbortOnDropHandle::new(sockets.spawn(async move {
            if let Err(error) = reading.await {
                // Nobody listens any more, if it cannot be sent.
                let _ = batches.send(Err(error)).await;
            }
        }));
        Self { received, task, left, metrics }
    }

    pub(super) fn into_rows(self, schema: SchemaRef) -> SendableRecordBatchStream {
        let rows = stream::unfold(Some(self), |state| async move {
            let mut state = state?;
            let next = state.next().await?;
            let is_last = next.is_err();
            Some((next, (!is_last).then_some(state)))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }

    async fn next(&mut self) -> Option<Result<RecordBatch, DataFusionError>> {
        if self.left == Some(0) {
            return None;
        }
        let batch = match self.received.recv().await {
            Some(Ok(batch)) => batch,
            Some(Err(error)) => return Some(Err(to_datafusion(error))),
            // A task that died must not look like one that has read everything.
            None => {
                return (&mut self.task)
                    .await
                    .err()
                    .map(|error| Err(DataFusionError::External(Box::new(error))));
            }
        };
        let rows = self.left.map_or(batch.num_rows(), |left| left.min(batch.num_rows()));
        self.left = self.left.map(|left| left - rows);
        self.metrics.record_output(rows);
        Some(Ok(batch.slice(0, rows)))
    }
}
