//! The newest root with what the log adds to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, stream};
use siltstone_format::path::ObjectKey;

use crate::accept::{Accepted, EntryName, Found, accept, candidates, is_fenced};
use crate::bucket::{Bucket, Listing, PARALLEL_GETS, StoreError};
use crate::listing::Listed;
use crate::log_entry::LogEntry;
use crate::message::Damage;
use crate::planted::{Bug, planted};
use crate::root::Root;
use crate::time::{Clock, StoreTime};
use crate::windows::Windows;

/// A root or an entry may vanish between listing and reading; this often in a row it
/// does not unless something is wrong.
const MOST_TRIES: usize = 16;

/// Why the catalog cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no catalog here yet: `cat/root` is empty")]
    Empty,
    #[error(
        "there are blocks, pages or log entries and no root: the catalog is lost, or this is a copy without it. \
         Restore `cat/`, or rebuild the catalog from the blocks"
    )]
    Lost,
    #[error(
        "root {number} is damaged ({damage}), and no older root is left: rebuild the catalog from the blocks"
    )]
    Damaged { number: u64, damage: Damage },
    /// It is well, and whoever goes on from an older one, or makes another, takes away what is there.
    #[error("root {number} is of a later release: {damage}")]
    LaterRelease { number: u64, damage: Damage },
    #[error(
        "root and log changed under every one of {MOST_TRIES} attempts to read them: \
         is a sweeper with other windows at work, or a store that is slower than they allow?"
    )]
    Unsteady,
}

/// The catalog as one look found it.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) root: Arc<Root>,
    /// When the root landed.
    pub(crate) root_at: StoreTime,
    pub(crate) accepted: Accepted,
    pub(crate) listed: Listed,
    /// The newest root cannot be read, and this is an older one: nothing may be written.
    pub(crate) damaged_root: Option<(u64, Damage)>,
    /// A page that the root refers to is known to be gone, not to come later.
    pub(crate) lacks_pages: bool,
}

impl Loaded {
    /// Whether entries stay behind in the log when all that may be folded is.
    pub(crate) fn leaves_entries(&self) -> bool {
        self.listed.entries.keys().any(|(writer, number)| {
            let state = self.accepted.writers.get(writer);
            let void = state.is_some_and(|state| state.fenced) || is_fenced(&self.root, *writer);
            !void && state.is_none_or(|state| *number >= state.next)
        })
    }
}

/// What was read before and cannot have changed.
#[derive(Default)]
pub(crate) struct LoadCache {
    root: Mutex<Option<Arc<Root>>>,
    entries: Mutex<HashMap<EntryName, Arc<LogEntry>>>,
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) async fn load(
    bucket: &Bucket,
    clock: &dyn Clock,
    windows: &Windows,
    cache: &LoadCache,
) -> Result<Loaded, LoadError> {
    let mut listing = bucket.listing;
    for _ in 0..MOST_TRIES {
        let listed = Listed::by(listing, bucket, clock).await?;
        let together = listing == Listing::Together;
        if together && listed.took > windows.longest_listing() && !planted(Bug::NoListingBound) {
            // A long log takes long each time. The log first may take as long as it likes.
            listing = Listing::LogThenRoots;
            continue;
        }
        if listed.roots.is_empty() {
            return Err(LoadError::Empty);
        }
        let Some((root, root_at, damaged_root)) = newest_root(bucket, &listed.roots, cache).await? else {
            continue;
        };
        let names = candidates(&root, &listed.entries);
        let Some(found) = entries(bucket, &names, &listed.entries, cache).await? else { continue };
        let accepted = accept(&root, &found);
        return Ok(Loaded { root, root_at, accepted, listed, damaged_root, lacks_pages: false });
    }
    Err(LoadError::Unsteady)
}

type NewestRoot = (Arc<Root>, StoreTime, Option<(u64, Damage)>);

/// The newest root that can be read, and the newest one if it is another. None: one
/// vanished meanwhile.
async fn newest_root(
    bucket: &Bucket,
    roots: &BTreeMap<u64, StoreTime>,
    cache: &LoadCache,
) -> Result<Option<NewestRoot>, LoadError> {
    if planted(Bug::ProbeRoots)
        && let Some(known) = probed_root(bucket, cache).await?
    {
        let at = roots.get(&known.number).copied().unwrap_or_default();
        return Ok(Some((known, at, None)));
    }
    let mut damaged = None;
    for (number, landed) in roots.iter().rev() {
        let known = held(&cache.root).clone().filter(|root| root.number == *number);
        let root = match known {
            Some(root) => Ok(root),
            None => match bucket.get(&ObjectKey::Root { number: *number }).await? {
                Some(object) => Root::decode(&object, *number).map(Arc::new),
                None => return Ok(None),
            },
        };
        match root {
            Ok(root) => {
                *held(&cache.root) = Some(Arc::clone(&root));
                return Ok(Some((root, *landed, damaged)));
            }
            Err(damage @ Damage::Version(_)) => {
                return Err(LoadError::LaterRelease { number: *number, damage });
            }
            Err(damage) => damaged = damaged.or(Some((*number, damage))),
        }
    }
    match damaged {
        Some((number, damage)) => Err(LoadError::Damaged { number, damage }),
        None => Err(LoadError::Empty),
    }
}

/// The last root that follows the one that is known, looked for by its number.
async fn probed_root(bucket: &Bucket, cache: &LoadCache) -> Result<Option<Arc<Root>>, LoadError> {
    let Some(mut known) = held(&cache.root).clone() else { return Ok(None) };
    loop {
        let number = known.number + 1;
        let Some(object) = bucket.get(&ObjectKey::Root { number }).await? else { break };
        known = match Root::decode(&object, number) {
            Ok(root) => Arc::new(root),
            Err(damage) => return Err(LoadError::Damaged { number, damage }),
        };
    }
    *held(&cache.root) = Some(Arc::clone(&known));
    Ok(Some(known))
}

/// The entries of these names. None: one vanished meanwhile.
async fn entries(
    bucket: &Bucket,
    names: &[EntryName],
    listed: &BTreeMap<EntryName, StoreTime>,
    cache: &LoadCache,
) -> Result<Option<Vec<Found>>, LoadError> {
    let mut known = std::mem::take(&mut *held(&cache.entries));
    known.retain(|name, _| names.binary_search(name).is_ok());
    let missing: Vec<EntryName> = names.iter().filter(|name| !known.contains_key(name)).copied().collect();
    let mut fetched = stream::iter(missing)
        .map(|name| async move {
            (name, bucket.get(&ObjectKey::LogEntry { writer: name.0, number: name.1 }).await)
        })
        .buffer_unordered(PARALLEL_GETS);
    let mut damaged = HashMap::new();
    let mut vanished = false;
    while let Some((name, object)) = fetched.next().await {
        match object? {
            None => vanished = true,
            Some(object) => match LogEntry::decode(&object, name.0, name.1) {
                Ok(entry) => {
                    known.insert(name, Arc::new(entry));
                }
                Err(damage) => {
                    damaged.insert(name, damage);
                }
            },
        }
    }
    let found = names.iter().filter_map(|name| {
        let content = match known.get(name) {
            Some(entry) => Ok(Arc::clone(entry)),
            None => Err(damaged.remove(name)?),
        };
        Some(Found { name: *name, landed: listed.get(name).copied().unwrap_or_default(), content })
    });
    let found: Vec<Found> = found.collect();
    *held(&cache.entries) = known;
    Ok((!vanished).then_some(found))
}
