//! A reader in another process: the store's folder, and the live port.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use siltstone_ask::canonical_span;
use siltstone_catalog::bucket::{Bucket, Listing};
use siltstone_catalog::time::{Clock, SystemClock};
use siltstone_catalog::windows::Windows;
use siltstone_catalog::{Catalog, CatalogConfig};
use siltstone_format::tenant::Tenant;
use siltstone_ingest::bucket_live::BucketReader;
use siltstone_live::source::LiveSource;
use siltstone_live::{RemoteLimits, RemoteLive};
use siltstone_querier::find::{FindError, scan_all};
use siltstone_querier::{Ingesters, View};
use siltstone_store::{Settings, StoreUrl, open};
use siltstone_tests::ingest_world::everything;

use crate::process::Process;

/// What a reader finds, each span once, as canonical bytes. Panics if a span comes twice.
pub(crate) async fn read(folder: &Path, process: &Process) -> Result<BTreeSet<Vec<u8>>, FindError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let catalog = catalog(&folder.join("siltstone-data/objects"), &clock).await;
    let status = process.status();
    let ingester = status["ingest"]["ingester"].as_str().unwrap().parse().unwrap();
    let live = RemoteLive::connect(ingester, &format!("http://{}", process.live), RemoteLimits::default());
    let sources: [Arc<dyn LiveSource>; 1] = [Arc::new(live.unwrap())];
    let view = View::open(&catalog, &*clock, &sources, &everything(&Tenant::single())).await.unwrap();
    scan(&catalog, &*clock, &view).await
}

/// The same, knowing nothing but the bucket.
pub(crate) async fn read_bucket(objects: &Path) -> Result<BTreeSet<Vec<u8>>, FindError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let catalog = catalog(objects, &clock).await;
    let logs = Arc::new(BucketReader::new(catalog.bucket()));
    let ingesters = Ingesters::new(Arc::clone(catalog.bucket().objects()), RemoteLimits::default(), logs);
    let view = ingesters.open(&catalog, &*clock, None, &everything(&Tenant::single())).await.unwrap();
    scan(&catalog, &*clock, &view).await
}

async fn catalog(objects: &Path, clock: &Arc<dyn Clock>) -> Catalog {
    let url = StoreUrl::Folder(objects.to_owned());
    let store = open(&url, &Settings::default()).await.unwrap();
    let config = CatalogConfig {
        bucket: Bucket::new(store.objects, Listing::LogThenRoots),
        clock: Arc::clone(clock),
        seed: [9; 32],
        windows: Windows::default(),
    };
    Catalog::new(config).unwrap()
}

async fn scan(catalog: &Catalog, clock: &dyn Clock, view: &View) -> Result<BTreeSet<Vec<u8>>, FindError> {
    assert!(view.partial.is_empty(), "{:?}", view.partial);
    let found = scan_all(catalog, clock, view).await?;
    assert!(found.missing.is_empty(), "{:?}", found.missing);
    let spans: BTreeSet<Vec<u8>> = found.spans.iter().map(canonical_span).collect();
    assert_eq!(spans.len(), found.spans.len(), "a span is there twice");
    Ok(spans)
}
