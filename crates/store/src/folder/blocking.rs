//! Files block: their work is done on tokio's threads for that, and only so much of it at once.
//!
//! A caller that gives up does not stop the work that has begun: a put that was dropped may still land, as
//! with any object store.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::failure::{Failure, Result};

/// How much of one kind of work goes on at once.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    permits: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new(at_once: usize) -> Self {
        Gate { permits: Arc::new(Semaphore::new(at_once)) }
    }

    pub(super) async fn run<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce() -> Result<T> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|closed| Failure::Thread(Box::new(closed)))?;
        let Ok(runtime) = Handle::try_current() else { return work() };
        let thread = runtime.spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        thread.await.map_err(|failed| Failure::Thread(Box::new(failed)))?
    }
}
