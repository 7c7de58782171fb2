//! The catalog as a value: a bucket, a clock, ids, and what was read before.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use futures::lock::Mutex;
use object_store::path::Path;
use ulid::Ulid;

use crate::bucket::{Bucket, Created, StoreError, failed};
use crate::groups::index::IndexCache;
use crate::lease::StoreClock;
use crate::load::{LoadCache, LoadError, Loaded, load};
use crate::root::Root;
use crate::snapshot::{PageCache, Snapshot};
use crate::time::{Clock, Ids};
use crate::windows::{Windows, WindowsError};
use siltstone_format::path::ObjectKey;

/// What a catalog is made of.
pub struct CatalogConfig {
    pub bucket: Bucket,
    pub clock: Arc<dyn Clock>,
    /// For ids and nonces: no two processes may have the same.
    pub seed: [u8; 32],
    pub windows: Windows,
}

/// One process's access to the catalog. It holds no state that must survive.
pub struct Catalog {
    pub(crate) bucket: Bucket,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Ids,
    pub(crate) windows: Windows,
    cache: LoadCache,
    pub(crate) pages: Arc<PageCache>,
    pub(crate) store_clock: StoreClock,
    pub(crate) indexes: IndexCache,
    pub(crate) newest: std::sync::Mutex<Option<Arc<Snapshot>>>,
    /// Held by who asks the store for a newer one.
    pub(crate) refreshing: Mutex<()>,
}

impl Catalog {
    pub fn new(config: CatalogConfig) -> Result<Self, WindowsError> {
        config.windows.check()?;
        Ok(Self {
            bucket: config.bucket,
            clock: config.clock,
            ids: Ids::seeded(config.seed),
            windows: config.windows,
            cache: LoadCache::default(),
            pages: Arc::new(PageCache::default()),
            store_clock: StoreClock::default(),
            indexes: IndexCache::default(),
            newest: std::sync::Mutex::new(None),
            refreshing: Mutex::new(()),
        })
    }

    /// Creates the first root unless there is one. Safe by any number of processes, and
    /// only where nothing is: a first root over blocks would make all of them orphans.
    pub async fn init(&self) -> Result<(), LoadError> {
        match self.load().await {
            Err(LoadError::Empty) => {}
            other => return other.map(|_| ()),
        }
        if self.holds_anything().await? {
            // A listing may show the first root later than what its publisher did next.
            self.clock.sleep(self.windows.visibility).await;
            return match self.load().await {
                Err(LoadError::Empty) => Err(LoadError::Lost),
                other => other.map(|_| ()),
            };
        }
        let root = Root::first(self.next_id());
        match self.bucket.create(&ObjectKey::Root { number: 0 }, root.encode()).await {
            Ok(Created::Ours) => Ok(()),
            // Somebody was faster, or the answer was lost.
            Ok(Created::Exists) | Err(_) => self.load().await.map(|_| ()),
        }
    }

    /// Whether blocks, pages or log entries are there.
    async fn holds_anything(&self) -> Result<bool, StoreError> {
        for prefix in ["blk", "man", "cat/log"] {
            let mut objects = self.bucket.objects().list(Some(&Path::from(prefix)));
            if objects.try_next().await.map_err(|source| failed("list", &prefix, source))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// An id for something new: a block, a writer, a page.
    pub fn next_id(&self) -> Ulid {
        self.ids.next(&*self.clock)
    }

    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    pub(crate) async fn load(&self) -> Result<Loaded, LoadError> {
        load(&self.bucket, &*self.clock, &self.windows, &self.cache).await
    }

    /// Waits a random part of a time, so that those who lost a race do not meet again.
    pub(crate) async fn pause(&self, longest: Duration) {
        let part = (self.next_id().random() % 1024) as u32;
        self.clock.sleep(longest * part / 1024).await;
    }
}
