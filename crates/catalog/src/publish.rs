//! Publishing: fold, change, write the next root if it is not there, and look whether
//! it was ours.
//!
//! ```text
//! load → is my nonce in the newest root? done
//!      → fold, change, write pages → create root n+1 → whatever the answer: load again
//! ```
//!
//! An answer proves nothing: a create that failed may have landed, and one that
//! succeeded may have taken a number whose root was swept long ago. Only the newest
//! root says who is part of the chain.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use siltstone_format::path::ObjectKey;

use crate::bucket::{Created, StoreError};
use crate::catalog::Catalog;
use crate::draft::{Draft, DraftError};
use crate::load::{LoadError, Loaded};
use crate::message::Damage;
use crate::planted::{Bug, planted};
use crate::root::{REMEMBERED_NONCES, Root};

/// A change of the catalog. It may be applied several times, to one draft after the
/// other, until one of them is published: it checks each time whether it may.
pub trait Change: Send + Sync {
    fn apply<'a>(&'a self, draft: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>>;
}

/// Why a change cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It came too late: what it builds on is gone. Nothing was changed.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Draft(#[from] DraftError),
}

/// What publishing came to.
#[derive(Clone, Debug)]
pub enum Published {
    /// The change is part of the catalog; this root, or one before it, brought it.
    Done(Arc<Root>),
    /// There was nothing to change.
    Unchanged(Arc<Root>),
}

impl Published {
    pub fn root(&self) -> &Arc<Root> {
        match self {
            Self::Done(root) | Self::Unchanged(root) => root,
        }
    }
}

/// Why a change was not published, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(
        "root {number} is damaged ({damage}), so nothing may be written: queries go on with the root before. \
         Look at it with `siltstone check`; `siltstone rebuild` makes a new catalog from the blocks"
    )]
    DamagedRoot { number: u64, damage: Damage },
    /// Nothing was changed, and nothing will be by this.
    #[error("the change was refused: {0}")]
    Refused(String),
    #[error("a page of the catalog cannot be changed: {0}")]
    Draft(DraftError),
    #[error("the root was not published in {attempts} attempts, the last one because {last}")]
    GaveUp { attempts: usize, last: String },
    /// It may be part of the catalog or not: asking again is safe.
    #[error("whether root {number} was published is not known: more than {REMEMBERED_NONCES} came after it")]
    Unknown { number: u64 },
}

const MOST_ATTEMPTS: usize = 64;
/// The first pause after a lost race or a failed request; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Catalog {
    /// Folds the log and applies a change, as one root.
    pub async fn publish(&self, change: &dyn Change) -> Result<Published, PublishError> {
        let nonce = self.next_id();
        let mut last_try: Option<Attempt> = None;
        let mut last_failure = String::from("another publisher was always faster");
        let mut pause = FIRST_PAUSE;
        let mut lacking: Option<u64> = None;
        // One look more than there are attempts: the last one may have been right.
        for attempt in 0..=MOST_ATTEMPTS {
            let mut loaded = self.load().await?;
            if let Some(tried) = &last_try {
                if loaded.root.was_published_by(nonce) && !planted(Bug::NoNonce) {
                    self.confirm(tried, &loaded).await;
                    return Ok(Published::Done(loaded.root));
                }
                if loaded.root.number >= tried.number + REMEMBERED_NONCES as u64 {
                    return Err(PublishError::Unknown { number: tried.number });
                }
            }
            if let Some((number, damage)) = loaded.damaged_root {
                return Err(PublishError::DamagedRoot { number, damage });
            }
            if attempt == MOST_ATTEMPTS {
                break;
            }
            // What is gone and was not replaced by a newer root is lost, and counts as damaged.
            loaded.lacks_pages = lacking == Some(loaded.root.number);
            match self.attempt(change, &loaded, nonce).await {
                Ok(None) => return Ok(Published::Unchanged(loaded.root)),
                Ok(Some(tried)) => {
                    if let Some(failure) = &tried.failure {
                        last_failure.clone_from(failure);
                    }
                    if planted(Bug::BelieveAnswers) && tried.created {
                        return Ok(Published::Done(tried.root));
                    }
                    if planted(Bug::NoNonce) {
                        return match tried.created {
                            true => Ok(Published::Done(tried.root)),
                            false => Err(PublishError::GaveUp { attempts: 1, last: last_failure }),
                        };
                    }
                    last_try = Some(tried);
                }
                Err(ChangeError::Refused(why)) => {
                    let tried = last_try.as_ref().map_or(0, |tried| tried.number);
                    return Err(match loaded.root.number < tried {
                        // The root that was tried may still come to be.
                        true => {
                            PublishError::GaveUp { attempts: attempt, last: format!("it was refused: {why}") }
                        }
                        false => PublishError::Refused(why),
                    });
                }
                Err(ChangeError::Draft(error @ DraftError::Damaged { .. })) => {
                    return Err(PublishError::Draft(error));
                }
                Err(ChangeError::Draft(error)) => {
                    if matches!(error, DraftError::Gone { .. }) {
                        lacking = Some(loaded.root.number);
                    }
                    last_failure = error.to_string();
                }
            }
            if last_try.as_ref().is_none_or(|tried| !tried.created) {
                self.pause(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        Err(PublishError::GaveUp { attempts: MOST_ATTEMPTS, last: last_failure })
    }

    /// Writes the next root once. None: it would say the same as the last one.
    async fn attempt(
        &self,
        change: &dyn Change,
        loaded: &Loaded,
        nonce: ulid::Ulid,
    ) -> Result<Option<Attempt>, ChangeError> {
        let mut draft = Draft::begin(&self.bucket, &*self.clock, &self.ids, loaded, nonce).await?;
        change.apply(&mut draft).await?;
        if !draft.is_changed() {
            return Ok(None);
        }
        let root = draft.write().await?;
        let content = root.encode();
        let created = self.bucket.create(&ObjectKey::Root { number: root.number }, content).await;
        Ok(Some(Attempt {
            number: root.number,
            root: Arc::new(root),
            created: matches!(created, Ok(Created::Ours)),
            failure: created.err().map(|error: StoreError| error.to_string()),
        }))
    }

    /// A root whose create failed and that stands there all the same may not be durable
    /// yet: a folder shows a file before it is. Creating it again makes sure of that, and
    /// does nothing else.
    async fn confirm(&self, tried: &Attempt, loaded: &Loaded) {
        if tried.failure.is_some() && loaded.root.number == tried.number && *loaded.root == *tried.root {
            // The root is part of the chain whatever this answers.
            let _ = self.bucket.create(&ObjectKey::Root { number: tried.number }, tried.root.encode()).await;
        }
    }
}

/// One root that was written, or may have been.
struct Attempt {
    number: u64,
    root: Arc<Root>,
    created: bool,
    failure: Option<String>,
}
