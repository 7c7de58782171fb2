//! A reader: all blocks of a snapshot, compared with the truth.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use siltstone_catalog::snapshot::Cover;
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::invariants::{WholeBlock, check_f1};
use siltstone_format::path::ObjectKey;
use siltstone_format::span::Span;
use siltstone_testkit::schedule::Violation;

use super::super::reader::read_all;
use super::super::world::Site;
use super::run::Shared;
use super::truth::{Reading, tenants};

pub(super) async fn run(site: Site, truth: Shared, readings: u64) -> Result<(), Violation> {
    for _ in 0..readings {
        site.rest(4_000).await;
        let reading = read(&site).await?;
        truth.borrow_mut().look(&reading)?;
        site.tell(|| format!("{} spans in root {}", reading.times.len(), reading.root));
    }
    Ok(())
}

/// When nobody has done anything since but to merge, decide and drop.
pub(super) async fn settle(site: Site, truth: Shared, since: u64) -> Result<(), Violation> {
    let reading = read(&site).await?;
    let mut truth = truth.borrow_mut();
    truth.look(&reading)?;
    truth.settle(&reading, since)
}

/// In the end: the bucket has the spans that readers see, each once, and no other.
pub(super) async fn check_bucket(site: Site, truth: Shared) -> Result<(), Violation> {
    let reading = read(&site).await?;
    truth.borrow_mut().look(&reading)?;
    truth.borrow_mut().happened.kept += reading.times.len() as u64;
    let stored = stored(&site).await?;
    if stored != reading.times {
        return Err(format!("the bucket has {stored:?}, and readers see {:?}", reading.times));
    }
    Ok(())
}

async fn read(site: &Site) -> Result<Reading, Violation> {
    loop {
        if let Some(reading) = read_once(site).await? {
            return Ok(reading);
        }
    }
}

/// None: the snapshot expired meanwhile, or the store failed.
async fn read_once(site: &Site) -> Result<Option<Reading>, Violation> {
    let began = site.true_time();
    let fresh = Cover { fresh: true, ..Cover::default() };
    let Ok(snapshot) = site.catalog.snapshot(&fresh).await else { return Ok(None) };
    let (at, root) = (site.true_time(), snapshot.root.number);
    let mut times = BTreeMap::new();
    for tenant in tenants() {
        let Some(spans) = read_all(site, &snapshot, &tenant).await? else { return Ok(None) };
        count(&spans, &mut times);
    }
    Ok(Some(Reading { root, began, at, times }))
}

fn count(spans: &[Span], times: &mut BTreeMap<u64, u32>) {
    for span in spans {
        *times.entry(u64::from_be_bytes(span.span_id.0) - 1).or_default() += 1;
    }
}

/// What the bucket has, whatever the catalog says.
async fn stored(site: &Site) -> Result<BTreeMap<u64, u32>, Violation> {
    let said = |error: object_store::Error| error.to_string();
    let bucket = site.store.inner();
    let get = async |key: ObjectKey| bucket.get(&Path::from(key.to_string())).await?.bytes().await;
    let objects: Vec<_> = bucket.list(Some(&Path::from("blk"))).try_collect().await.map_err(said)?;
    let mut times = BTreeMap::new();
    for object in objects {
        let Ok(ObjectKey::Spans(block)) = object.location.as_ref().parse() else { continue };
        let (spans, origins) = (get(ObjectKey::Spans(block)).await, get(ObjectKey::Origins(block)).await);
        let (spans, origins) = (spans.map_err(said)?, origins.map_err(said)?);
        let (_, summary) =
            OriginsFile::open_unverified("origins", &origins).map_err(|error| error.to_string())?;
        let whole = WholeBlock { summary: &summary, spans: &spans, origins: &origins };
        count(&check_f1(&whole).map_err(|error| error.to_string())?, &mut times);
    }
    Ok(times)
}
