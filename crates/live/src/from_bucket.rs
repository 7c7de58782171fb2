//! An ingester that cannot be asked, and whose log is in the bucket: what it holds is read there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{Either, select};
use siltstone_format::id::WriterId;

use crate::answer::Answer;
use crate::question::Question;
use crate::source::{LiveError, LiveSource};

/// An ingester that has not answered by then may be dead, and its reader waits: its log is read beside.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Whoever can read logs in the bucket.
pub trait BucketLogs: Send + Sync {
    /// What these writers have left there, as a source. The name is for messages.
    fn of(&self, name: &str, writers: &BTreeSet<WriterId>) -> Arc<dyn LiveSource>;
}

/// Asks an ingester, and reads its log if it does not answer, or not soon. Either answer is whole: the log has
/// what was acknowledged, or the snapshot that its answer wants has it.
pub struct OrFromBucket {
    pub primary: Arc<dyn LiveSource>,
    pub bucket: Arc<dyn LiveSource>,
    /// How long the ingester is asked alone.
    pub patience: Duration,
}

#[async_trait]
impl LiveSource for OrFromBucket {
    fn name(&self) -> &str {
        self.primary.name()
    }

    async fn ask(&self, question: &Question) -> Result<Answer, LiveError> {
        let mut asked = self.primary.ask(question);
        let missed = match tokio::time::timeout(self.patience, &mut asked).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(missed)) => missed,
            Err(_) => match select(asked, self.bucket.ask(question)).await {
                Either::Left((Ok(answer), _)) | Either::Right((Ok(answer), _)) => return Ok(answer),
                Either::Left((Err(missed), read)) => return read.await.map_err(|_| missed),
                Either::Right((Err(_), asked)) => return asked.await,
            },
        };
        // If neither is to be had, it is the ingester that is missed.
        self.bucket.ask(question).await.map_err(|_| missed)
    }
}

#[cfg(test)]
mod tests;
