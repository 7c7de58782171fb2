//! The log in the bucket, for machines without a disk: one PUT for all who wait.
//!
//! ```text
//! append ─▶ queue ─▶ linger ─▶ piece p ─▶ PUT wal/<writer>-<p>, if absent ─▶ tickets
//! ```
//!
//! One PUT is on its way at a time, so that piece p+1 is created only after p has landed. Invariant: what was
//! acknowledged is in a piece that whoever takes the writer over finds; a writer that was taken over
//! acknowledges nothing.

// A piece's bytes.
mod piece;
// When the next PUT begins.
mod linger;
// Pieces in the store.
mod store;
// What has landed, and may go again.
mod landed;
// The queue before the store.
mod queue;
// One piece after the other into the store.
mod putting;
// The end of a dead writer.
mod take_over;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use siltstone_catalog::bucket::Bucket;
use siltstone_catalog::time::Clock;
use siltstone_format::id::WriterId;
use tokio::task::JoinHandle;

use super::{LaneLog, Record, SegmentName, Ticket};
use crate::budget::Budget;
use landed::Landed;
use putting::Putting;
use queue::Queue;
use store::PieceStore;

pub use piece::{PieceError, PieceName};
pub use store::{FoundWriter, PieceStoreError};
pub use take_over::{PieceRecords, Pieces, SealedWriter};

/// The logs of all lanes of a process.
pub struct ObjectLogs {
    bucket: Bucket,
    clock: Arc<dyn Clock>,
    queues: Mutex<Vec<Arc<Queue>>>,
    most_queued_bytes: u64,
}

/// The store does not take what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{bytes} bytes of requests wait for the store, and {max_bytes} may; is it reachable, and fast enough?"
)]
pub struct Full {
    pub bytes: u64,
    pub max_bytes: u64,
}

impl ObjectLogs {
    /// No request is taken while so many bytes wait for the store.
    pub fn new(bucket: Bucket, clock: Arc<dyn Clock>, most_queued_bytes: u64) -> Self {
        Self { bucket, clock, queues: Mutex::default(), most_queued_bytes }
    }

    pub(crate) fn lane(&self, budget: Budget) -> ObjectLog {
        let log = ObjectLog::start(&self.bucket, Arc::clone(&self.clock), budget);
        self.queues().push(Arc::clone(&log.queue));
        log
    }

    /// Bytes that wait for the store.
    pub(crate) fn bytes(&self) -> u64 {
        self.queues().iter().map(|queue| queue.bytes()).sum()
    }

    pub(crate) fn room(&self) -> Result<(), Full> {
        let (bytes, max_bytes) = (self.bytes(), self.most_queued_bytes);
        if bytes < max_bytes { Ok(()) } else { Err(Full { bytes, max_bytes }) }
    }

    fn queues(&self) -> MutexGuard<'_, Vec<Arc<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One lane's log in the bucket. When it is dropped, its tasks end after what was appended.
#[derive(Debug)]
pub struct ObjectLog {
    queue: Arc<Queue>,
    landed: Arc<Landed>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl ObjectLog {
    /// Starts two tasks on the runtime that it is called in. The piece that is on its way is counted in `budget`.
    pub fn start(bucket: &Bucket, clock: Arc<dyn Clock>, budget: Budget) -> Self {
        let store = PieceStore::new(bucket);
        let queue = Arc::new(Queue::new(Arc::clone(&clock)));
        let landed = Arc::new(Landed::default());
        let putting =
            Putting::new(store.clone(), Arc::clone(&clock), budget, Arc::clone(&queue), Arc::clone(&landed));
        let deleting = Arc::clone(&landed);
        let tasks = vec![
            tokio::spawn(putting.run()),
            tokio::spawn(async move { deleting.delete_forgotten(&store, clock.as_ref()).await }),
        ];
        Self { queue, landed, tasks: Mutex::new(tasks) }
    }
}

impl Drop for ObjectLog {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl LaneLog for ObjectLog {
    fn append(&self, segment: SegmentName, record: Record) -> Ticket {
        self.queue.append(segment, record)
    }

    fn forget(&self, segment: SegmentName) {
        self.landed.forget(segment);
    }

    fn retire(&self, writer: WriterId) {
        self.landed.retire(writer);
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.queue.close();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move {
            for task in tasks {
                if let Err(error) = task.await {
                    tracing::error!(%error, "a task of the log has ended badly");
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
