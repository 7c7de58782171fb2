//! The reader's side: one listing a query, and a read of each announcement that is new.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use siltstone_format::id::{ObjectId, WriterId};

use super::{Announced, MAX_BYTES, folder, key_of, path};

/// Announcements that are read at the same time.
const PARALLEL_GETS: usize = 32;
/// More than anybody has; a folder with more is not ours.
const MOST_MEMBERS: usize = 10_000;

/// An ingester that holds spans, or did a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub ingester: ObjectId,
    pub address: String,
    pub writers: BTreeSet<WriterId>,
    /// If it cannot be asked, what it holds can be read from the bucket.
    pub in_bucket: bool,
    /// When it last said so, in the store's time.
    pub alive_at_unix_millis: u64,
}

/// Who is there.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// In the order of their ids.
    pub members: Vec<Member>,
    /// Announcements that cannot be read, and why: somebody holds spans and cannot be asked.
    pub unreadable: Vec<(String, String)>,
}

/// Nobody knows who is there.
#[derive(Debug, thiserror::Error)]
pub enum MembersError {
    #[error("the store did not {what} the announcements of ingesters: {source}")]
    Store { what: &'static str, source: object_store::Error },
    #[error("there are more than {MOST_MEMBERS} announcements below `ing/`: whose bucket is this?")]
    TooMany,
}

/// The announcements of a bucket.
pub struct Members {
    objects: Arc<dyn ObjectStore>,
    known: Mutex<HashMap<ObjectId, Known>>,
}

/// An announcement that was read, and by what it is recognised.
#[derive(Clone)]
struct Known {
    meta: ObjectMeta,
    says: Result<Announced, String>,
}

impl Members {
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, known: Mutex::default() }
    }

    /// Who is there now. Ask each time: who came since the last query may hold what is looked for.
    pub async fn list(&self) -> Result<Listed, MembersError> {
        let failed = |source| MembersError::Store { what: "list", source };
        let mut listing = self.objects.list(Some(&folder()));
        let mut standing = Vec::new();
        while let Some(meta) = listing.try_next().await.map_err(failed)? {
            if let Some(key) = key_of(&meta.location) {
                standing.push((key, meta));
            }
            if standing.len() > MOST_MEMBERS {
                return Err(MembersError::TooMany);
            }
        }
        let mut read = stream::iter(standing).map(|(key, meta)| self.read(key, meta)).buffered(PARALLEL_GETS);
        let mut known = HashMap::new();
        while let Some(found) = read.try_next().await? {
            // None: taken back since it was listed.
            known.extend(found);
        }
        let listed = listed(known.values());
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(listed)
    }

    /// Deletes what a member said of itself, if it is still the same: it is dead, and all that it held is
    /// committed. One that is alive after all says it again.
    pub async fn forget(&self, member: &Member) -> Result<(), MembersError> {
        let keys: Vec<ObjectId> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let is_its = |known: &Known| {
                known.says.as_ref().is_ok_and(|says| says.ingester == member.ingester)
                    && alive_at(&known.meta) <= member.alive_at_unix_millis
            };
            known.iter().filter(|(_, known)| is_its(known)).map(|(key, _)| *key).collect()
        };
        for key in keys {
            match self.objects.delete(&path(key)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(MembersError::Store { what: "delete", source }),
            }
        }
        Ok(())
    }

    async fn read(&self, key: ObjectId, meta: ObjectMeta) -> Result<Option<(ObjectId, Known)>, MembersError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let is_same = |known: &Known| {
            known.meta.e_tag == meta.e_tag
                && known.meta.last_modified == meta.last_modified
                && known.meta.size == meta.size
        };
        if let Some(known) = known.filter(is_same) {
            return Ok(Some((key, known)));
        }
        if meta.size > MAX_BYTES {
            let says = Err(format!("it has {} bytes", meta.size));
            return Ok(Some((key, Known { meta, says })));
        }
        let read = async { self.objects.get(&meta.location).await?.bytes().await };
        match read.await {
            Ok(content) => Ok(Some((key, Known { says: Announced::of_json(&content), meta }))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(MembersError::Store { what: "read", source }),
        }
    }
}

fn alive_at(meta: &ObjectMeta) -> u64 {
    meta.last_modified.timestamp_millis().max(0).cast_unsigned()
}

fn listed<'a>(known: impl Iterator<Item = &'a Known>) -> Listed {
    let mut members: BTreeMap<ObjectId, Member> = BTreeMap::new();
    let mut unreadable = Vec::new();
    for known in known {
        let alive_at = alive_at(&known.meta);
        match &known.says {
            Ok(Announced { ingester, address, writers, in_bucket }) => {
                let member = Member {
                    ingester: *ingester,
                    address: address.clone(),
                    writers: writers.clone(),
                    in_bucket: *in_bucket,
                    alive_at_unix_millis: alive_at,
                };
                // Restarted, it has another announcement, and maybe another address; the newest counts.
                let newest = members.entry(*ingester).or_insert_with(|| member.clone());
                if newest.alive_at_unix_millis < alive_at {
                    *newest = member;
                }
            }
            Err(why) => unreadable.push((known.meta.location.to_string(), why.clone())),
        }
    }
    unreadable.sort_unstable();
    Listed { members: members.into_values().collect(), unreadable }
}
