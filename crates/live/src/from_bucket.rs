//! An ingester that cannot be asked, and whose log is in the bucket: what it holds is read there.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use siltstone_format::id::WriterId;

use crate::answer::Answer;
use crate::question::Question;
use crate::source::{LiveError, LiveSource};

/// Whoever can read logs in the bucket.
pub trait BucketLogs: Send + Sync {
    /// What these writers have left there, as a source. The name is for messages.
    fn of(&self, name: &str, writers: &BTreeSet<WriterId>) -> Arc<dyn LiveSource>;
}

/// Asks an ingester, and reads its log if it does not answer.
pub struct OrFromBucket {
    pub primary: Arc<dyn LiveSource>,
    pub bucket: Arc<dyn LiveSource>,
}

#[async_trait]
impl LiveSource for OrFromBucket {
    fn name(&self) -> &str {
        self.primary.name()
    }

    async fn ask(&self, question: &Question) -> Result<Answer, LiveError> {
        match self.primary.ask(question).await {
            Ok(answer) => Ok(answer),
            // If neither is to be had, it is the ingester that is missed.
            Err(missed) => self.bucket.ask(question).await.map_err(|_| missed),
        }
    }
}
