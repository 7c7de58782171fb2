//! Processes on the store: each knows nothing when it begins.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use siltstone_catalog::bucket::{Bucket, Listing};
use siltstone_catalog::snapshot::Cover;
use siltstone_catalog::time::{Clock, SystemClock};
use siltstone_catalog::windows::Windows;
use siltstone_catalog::{Catalog, CatalogConfig};
use siltstone_format::tenant::Tenant;
use siltstone_live::RemoteLimits;
use siltstone_querier::Ingesters;
use siltstone_querier::cache::CacheSizes;
use siltstone_querier::limits::QueryLimits;
use siltstone_querier::querier::{Querier, QuerierConfig, QuerierParts};
use siltstone_querier::sql::SqlConfig;
use siltstone_querier::turns::TurnSettings;
use siltstone_store::{Settings, StoreUrl, open};
use siltstone_testkit::CountingStore;
use siltstone_tests::query_world::NoLogs;
use tokio::runtime::Handle;

use crate::Failure;
use crate::away::Away;

/// Where the store is, and how far off.
pub(crate) struct Place {
    objects: Arc<dyn ObjectStore>,
}

type Counting = Arc<CountingStore<Arc<dyn ObjectStore>>>;

impl Place {
    pub(crate) async fn open(data: &Path, delay: Duration) -> Result<Self, Failure> {
        let url = StoreUrl::Folder(data.join("store"));
        let folder = open(&url, &Settings::default()).await?.objects;
        let objects: Arc<dyn ObjectStore> = match delay {
            Duration::ZERO => folder,
            delay => Arc::new(Away { store: folder, delay }),
        };
        Ok(Self { objects })
    }

    pub(crate) fn catalog(&self) -> Result<Catalog, Failure> {
        catalog(Arc::clone(&self.objects), Arc::new(SystemClock::new()))
    }

    pub(crate) fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    pub(crate) fn querier(&self) -> Result<Arc<Querier>, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let catalog = catalog(Arc::clone(&self.objects), Arc::clone(&clock))?;
        querier(Arc::clone(&self.objects), Arc::new(catalog), clock)
    }

    /// One that has read the catalog, with all that it says of blocks. Its requests are counted, which makes each of
    /// them a little slower.
    pub(crate) async fn counted_querier(&self) -> Result<(Arc<Querier>, Counting), Failure> {
        let store = Arc::new(CountingStore::new(Arc::clone(&self.objects)));
        let objects: Arc<dyn ObjectStore> = Arc::clone(&store) as _;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let catalog = Arc::new(catalog(Arc::clone(&objects), Arc::clone(&clock))?);
        let snapshot = catalog.snapshot(&Cover::default()).await?;
        catalog.blocks(&snapshot, &Tenant::single(), 0, u64::MAX).await?;
        Ok((querier(objects, catalog, clock)?, store))
    }
}

fn querier(
    objects: Arc<dyn ObjectStore>,
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<Querier>, Failure> {
    let config = QuerierConfig {
        caches: CacheSizes::default(),
        limits: QueryLimits::default().into(),
        turns: TurnSettings::default(),
        sql: SqlConfig::default(),
        workers: 2,
    };
    let parts = QuerierParts {
        catalog,
        clock,
        ingesters: Ingesters::new(objects, RemoteLimits::default(), Arc::new(NoLogs)),
        in_process: None,
        processors: Handle::current(),
    };
    Ok(Arc::new(Querier::new(&config, parts)?))
}

fn catalog(objects: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>) -> Result<Catalog, Failure> {
    let bucket = Bucket::new(objects, Listing::LogThenRoots);
    // Only one of them writes, before any other begins.
    Ok(Catalog::new(CatalogConfig { bucket, clock, seed: [1; 32], windows: Windows::default() })?)
}
