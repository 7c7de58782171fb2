//! One look at log and roots.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use siltstone_format::path::ObjectKey;

use crate::accept::EntryName;
use crate::bucket::{Bucket, Listing, StoreError, failed};
use crate::planted::{Bug, planted};
use crate::time::{Clock, StoreTime};

/// What stands in the log and among the roots, and when each landed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    pub(crate) entries: BTreeMap<EntryName, StoreTime>,
    pub(crate) roots: BTreeMap<u64, StoreTime>,
    /// Before the first request.
    pub(crate) began: Duration,
    pub(crate) took: Duration,
}

impl Listed {
    pub(crate) async fn now(bucket: &Bucket, clock: &dyn Clock) -> Result<Self, StoreError> {
        Self::by(bucket.listing, bucket, clock).await
    }

    /// In another way than the bucket's usual one.
    pub(crate) async fn by(listing: Listing, bucket: &Bucket, clock: &dyn Clock) -> Result<Self, StoreError> {
        let mut listed = Self { began: clock.elapsed(), ..Self::default() };
        match listing {
            Listing::Together => listed.add(bucket, "cat").await?,
            Listing::LogThenRoots if planted(Bug::RootsFirst) => {
                listed.add(bucket, "cat/root").await?;
                listed.add(bucket, "cat/log").await?;
            }
            // The log first: an entry that vanishes between the two is folded in the root.
            Listing::LogThenRoots => {
                listed.add(bucket, "cat/log").await?;
                listed.add(bucket, "cat/root").await?;
            }
        }
        listed.took = clock.elapsed().saturating_sub(listed.began);
        Ok(listed)
    }

    async fn add(&mut self, bucket: &Bucket, prefix: &str) -> Result<(), StoreError> {
        let mut objects = bucket.objects().list(Some(&Path::from(prefix)));
        while let Some(meta) = objects.try_next().await.map_err(|source| failed("list", &prefix, source))? {
            let landed = StoreTime::of(&meta);
            match meta.location.as_ref().parse() {
                Ok(ObjectKey::LogEntry { writer, number }) => {
                    self.entries.insert((writer, number), landed);
                }
                Ok(ObjectKey::Root { number }) => {
                    self.roots.insert(number, landed);
                }
                // Whatever else lies there is none of ours; `check` names it.
                _ => {}
            }
        }
        Ok(())
    }
}
