//! The queue before the disk. Appending never waits: it leaves the record and wakes the lane's thread.

use std::future::{Future, ready};
use std::io::{self, ErrorKind};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use super::folder::Folder;
use super::writing::{Appended, Entry, Writing, delete};
use crate::log::record::encoded_len;
use crate::log::{LaneLog, LogFailure, Record, SegmentName, Ticket};

/// What may wait for the disk. Requests are admitted by a budget that is smaller: this is for when it is wrong.
const MOST_QUEUED_BYTES: u64 = 1 << 30;

/// Segments that wait to be deleted; beyond that whoever writes deletes them.
const MOST_DELETES: usize = 64;

/// One lane's log in the folder. Dropping it blocks until all that was appended is on the disk, or failed.
#[derive(Debug)]
pub struct WalLane {
    queue: Arc<Queue>,
    /// One that writes, and one that deletes what is not needed; it ends behind the first.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Queue {
    folder: Arc<Folder>,
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<Entry>,
    bytes: u64,
    /// Waking costs a system call: only if somebody sleeps.
    thread_sleeps: bool,
    is_closed: bool,
}

impl WalLane {
    pub(super) fn start(folder: Arc<Folder>, name: &str) -> io::Result<Self> {
        let (deletes, to_delete) = mpsc::sync_channel(MOST_DELETES);
        let mut writing = Writing::new(Arc::clone(&folder));
        writing.leave_deleting_to(deletes);
        let deleting_from = Arc::clone(&folder);
        let queue = Arc::new(Queue { folder, waiting: Mutex::default(), filled: Condvar::new() });
        let works_off = Arc::clone(&queue);
        let writes =
            thread::Builder::new().name(name.to_owned()).spawn(move || works_off.work_off(writing))?;
        let deleting = move || to_delete.iter().for_each(|segment| delete(&deleting_from, segment));
        let deletes = thread::Builder::new().name(format!("{name}-del")).spawn(deleting);
        let deletes = deletes.inspect_err(|_| queue.close())?;
        Ok(Self { queue, threads: Mutex::new(vec![writes, deletes]) })
    }

    /// Takes no more records, and returns when the thread has ended. Blocks.
    pub fn close(self) {
        self.end();
    }

    fn end(&self) {
        join(self.close_queue());
    }

    fn close_queue(&self) -> Vec<JoinHandle<()>> {
        self.queue.close();
        mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a thread of a log lane has panicked");
        }
    }
}

impl Drop for WalLane {
    fn drop(&mut self) {
        self.end();
    }
}

impl LaneLog for WalLane {
    fn append(&self, segment: SegmentName, record: Record) -> Ticket {
        let bytes = encoded_len(&record);
        let (reply, answered) = oneshot::channel();
        match self.queue.push(Entry::Append(Appended { segment, record, bytes, reply }), bytes) {
            Ok(()) => Box::pin(async move { answered.await.unwrap_or(Err(LogFailure::Stopped)) }),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let threads = self.close_queue();
        Box::pin(async move {
            if let Err(error) = tokio::task::spawn_blocking(move || join(threads)).await {
                tracing::error!(%error, "the threads of a log lane were not waited for");
            }
        })
    }

    fn forget(&self, segment: SegmentName) {
        // A lane that has stopped leaves it to whoever opens the folder next.
        let _ = self.queue.push(Entry::Forget(segment), 0);
    }
}

impl Queue {
    fn push(&self, entry: Entry, bytes: u64) -> Result<(), LogFailure> {
        let mut waiting = self.locked();
        if waiting.is_closed {
            return Err(LogFailure::Stopped);
        }
        if waiting.bytes.saturating_add(bytes) > MOST_QUEUED_BYTES {
            let source =
                io::Error::new(ErrorKind::WouldBlock, format!("{} bytes wait for the disk", waiting.bytes));
            return Err(LogFailure::Io { what: "take another record", source: Arc::new(source) });
        }
        waiting.bytes += bytes;
        self.folder.reserve(bytes);
        waiting.entries.push(entry);
        let must_wake = mem::take(&mut waiting.thread_sleeps);
        drop(waiting);
        if must_wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// The thread.
    fn work_off(&self, mut writing: Writing) {
        // Whatever ends this: who comes later must not wait for ever.
        let _closing = CloseAtEnd(self);
        let mut entries = Vec::new();
        while self.take(&mut entries) {
            writing.work_off(&mut entries);
        }
    }

    /// Waits for entries; false when there will be no more. The buffer, empty, is used again.
    fn take(&self, entries: &mut Vec<Entry>) -> bool {
        let mut waiting = self.locked();
        while waiting.entries.is_empty() {
            if waiting.is_closed {
                return false;
            }
            waiting.thread_sleeps = true;
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.thread_sleeps = false;
        waiting.bytes = 0;
        mem::swap(&mut waiting.entries, entries);
        true
    }

    fn close(&self) {
        self.locked().is_closed = true;
        self.filled.notify_one();
    }

    fn locked(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct CloseAtEnd<'a>(&'a Queue);

impl Drop for CloseAtEnd<'_> {
    fn drop(&mut self) {
        self.0.close();
        // Dropping them tells those who wait.
        let left = mem::take(&mut self.0.locked().entries);
        drop(left);
    }
}
