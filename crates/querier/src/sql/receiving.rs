//! Rows that a task of ours reads, as DataFusion takes them.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::metrics::BaselineMetrics;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::error::to_datafusion;
use crate::querier::QueryError;

/// Batches that wait for whoever reads them, of each partition.
const WAITING_BATCHES: usize = 2;

pub(super) type Sent = Result<RecordBatch, QueryError>;

pub(super) fn waiting_batches() -> (mpsc::Sender<Sent>, mpsc::Receiver<Sent>) {
    mpsc::channel(WAITING_BATCHES)
}

/// What the reading task sends. When nobody takes it any more, the task ends.
pub(super) struct Receiving {
    pub(super) received: mpsc::Receiver<Sent>,
    pub(super) task: AbortOnDropHandle<()>,
    /// More rows are not wanted.
    pub(super) left: Option<usize>,
    pub(super) metrics: BaselineMetrics,
}

impl Receiving {
    pub(super) fn into_rows(self, schema: SchemaRef) -> SendableRecordBatchStream {
        let rows = stream::unfold(Some(self), |state| async move {
            let mut state = state?;
            let next = state.next().await?;
            let is_last = next.is_err();
            Some((next, (!is_last).then_some(state)))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }

    async fn next(&mut self) -> Option<Result<RecordBatch>> {
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
