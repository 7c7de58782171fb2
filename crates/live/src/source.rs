//! Whoever can be asked for live spans: an ingester in this process, or one across the network.

use async_trait::async_trait;

use crate::answer::Answer;
use crate::question::Question;

/// Why there is no answer. What was asked may be there: a reader says so in its own answer.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    #[error("the ingester {ingester} cannot be reached: {why}")]
    Unreachable { ingester: String, why: String },
    #[error("the ingester {ingester} answered what cannot be understood: {why}")]
    Garbled { ingester: String, why: String },
    #[error("the ingester {ingester} refused: {why}")]
    Refused { ingester: String, why: String },
}

/// An ingester, seen by a reader.
#[async_trait]
pub trait LiveSource: Send + Sync {
    /// For messages: where it is.
    fn name(&self) -> &str;

    async fn ask(&self, question: &Question) -> Result<Answer, LiveError>;
}
