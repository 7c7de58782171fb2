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

use std::sync::Arc;

use siltstone_catalog::bucket::Bucket;
use siltstone_catalog::time::Clock;
use tokio::task::JoinHandle;

use super::{LaneLog, Record, SegmentName, Ticket};
use landed::Landed;
use putting::Putting;
use queue::Queue;
use store::PieceStore;

pub use piece::{PieceError, PieceName};
pub use store::{FoundWriter, PieceStoreError};
pub use take_over::{PieceRecords, Pieces, SealedWriter};

/// One lane's log in the bucket. When it is dropped, its tasks end after what was appended.
#[derive(Debug)]
pub struct ObjectLog {
    queue: Arc<Queue>,
    landed: Arc<Landed>,
    tasks: Vec<JoinHandle<()>>,
}

impl ObjectLog {
    /// Starts two tasks on the runtime that it is called in.
    pub fn start(bucket: &Bucket, clock: Arc<dyn Clock>) -> Self {
        let store = PieceStore::new(bucket);
        let queue = Arc::new(Queue::new(Arc::clone(&clock)));
        let landed = Arc::new(Landed::default());
        let putting =
            Putting::new(store.clone(), Arc::clone(&clock), Arc::clone(&queue), Arc::clone(&landed));
        let deleting = Arc::clone(&landed);
        let tasks = vec![
            tokio::spawn(putting.run()),
            tokio::spawn(async move { deleting.delete_forgotten(&store, clock.as_ref()).await }),
        ];
        Self { queue, landed, tasks }
    }

    /// Takes no more records, and returns when those that were appended are stored, or have failed, and what may
    /// be deleted is, or cannot be.
    pub async fn close(mut self) {
        self.queue.close();
        for task in self.tasks.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the log has ended badly");
            }
        }
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
}

#[cfg(test)]
mod tests;
