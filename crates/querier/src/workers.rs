//! Threads for what takes a processor, so that it holds up no socket: few, and always the same ones. Each keeps
//! what it needs to decompress, and memory that it used before is near.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// They end when it is dropped, after what they are doing.
pub(crate) struct Workers {
    /// Whoever adds one waits for it, so that there are no more than parts of queries that run at the same time. It goes
    /// on whether or not anybody looks after who waits: a client that reads slowly holds up no other.
    jobs: Sender<Job>,
}

/// The job was not done: no thread could be started, or it panicked.
#[derive(Debug)]
pub(crate) struct NotDone;

impl Workers {
    #[expect(clippy::disallowed_methods, reason = "whoever adds a job waits for it, see `jobs`")]
    pub(crate) fn new(count: usize) -> Self {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..count.max(1) {
            let queue = Arc::clone(&queue);
            let named = std::thread::Builder::new().name(format!("query-{number}"));
            // With less threads the others do the work; with none the queue is closed, and every job fails.
            drop(named.spawn(move || work(&queue)));
        }
        Self { jobs }
    }

    /// Does a job when there is a thread for it. One that has begun goes on if nobody waits for it any more; another
    /// is not begun then.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            if !done.is_closed() {
                // Whoever waits is gone if this fails.
                let _ = done.send(job());
            }
        });
        self.jobs.send(job).map_err(|_| NotDone)?;
        result.await.map_err(|_| NotDone)
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // A bug in one query must not take the thread from all others.
        drop(catch_unwind(AssertUnwindSafe(job)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn should_do_no_more_at_once_than_there_are_threads() {
        let workers = Workers::new(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs = (0..50).map(|number| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            workers.run(move || {
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, SeqCst);
                number
            })
        });
        let done = futures::future::join_all(jobs).await;
        let done: Vec<i32> = done.into_iter().map(Result::unwrap).collect();
        assert_eq!(done, (0..50).collect::<Vec<_>>());
        assert!(most.load(SeqCst) <= 2);
    }

    #[tokio::test]
    async fn should_go_on_after_a_job_that_panicked() {
        let workers = Workers::new(1);
        assert!(workers.run(|| panic!("planted")).await.is_err());
        assert_eq!(workers.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn should_go_on_beside_somebody_who_waits_and_does_not_look() {
        let workers = Workers::new(1);
        let (begin, begun) = sync_channel(1);
        let mut first = Box::pin(workers.run(move || begun.recv()));
        let (mut idle, mut gone) =
            (Box::pin(workers.run(|| 1)), Box::pin(workers.run(|| panic!("it was begun"))));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut idle).now_or_never().is_none());
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        begin.send(()).unwrap();
        let other = tokio::time::timeout(Duration::from_secs(60), workers.run(|| 2)).await;
        assert_eq!(other.expect("another job waits for one that nobody looks after").unwrap(), 2);
        assert_eq!(idle.await.unwrap(), 1);
        first.await.unwrap().unwrap();
    }
}
