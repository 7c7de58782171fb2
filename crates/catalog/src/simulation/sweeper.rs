//! A sweeper.

use futures::TryStreamExt;
use object_store::ObjectStore;
use siltstone_format::path::ObjectKey;

use siltstone_testkit::schedule::Violation;

use super::world::Site;
use crate::sweep::SweepMode;
use crate::time::{StoreTime, drawn_at};

pub(super) async fn run(site: Site, rounds: u64) -> Result<(), Violation> {
    for _ in 0..rounds {
        site.rest(4_000).await;
        if let Ok(swept) = site.catalog.sweep(SweepMode::Delete).await {
            site.tell(|| format!("swept {swept:?}"));
            let mut world = site.world.borrow_mut();
            world.counts.sweeps += 1;
            world.counts.orphans += swept.orphans.len() as u64;
            world.counts.swept += (swept.retired.len() + swept.log_entries.len() + swept.roots.len()) as u64;
        }
    }
    Ok(())
}

/// After long idleness with sweeps: the log is empty, little is retired, old roots are
/// gone, and of what nobody refers to only what landed behind the sweeper's back is left.
pub(super) async fn check_nothing_waits(site: Site) -> Result<(), Violation> {
    let loaded = loop {
        if let Ok(loaded) = site.catalog.load().await {
            break loaded;
        }
    };
    let (root, listed) = (&loaded.root, &loaded.listed);
    let referred =
        site.catalog.referred(root, StoreTime::default()).await.map_err(|error| error.to_string())?;
    let objects = site.store.list(None).try_collect::<Vec<_>>().await.map_err(|error| error.to_string())?;
    let keys = objects.iter().filter_map(|meta| meta.location.as_ref().parse::<ObjectKey>().ok());
    let waits = |key: &ObjectKey| match key {
        ObjectKey::Spans(id) | ObjectKey::Origins(id) => drawn_at(id.0) >= root.swept,
        ObjectKey::Page(id) | ObjectKey::FilterGroup(id) => drawn_at(id.0) >= root.swept,
        _ => false,
    };
    let waiting: Vec<ObjectKey> = keys.filter(|key| waits(key) && !referred.contains(key)).collect();
    if !waiting.is_empty() || !root.retired.is_empty() || listed.roots.len() > 3 || !listed.entries.is_empty()
    {
        return Err(format!(
            "garbage waits for ever: objects {waiting:?}, retired {:?}, roots {:?}, entries {:?}",
            root.retired, listed.roots, listed.entries
        ));
    }
    Ok(())
}
