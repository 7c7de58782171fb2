//! The ingesters that hold spans, as the bucket names them, and views that ask them all.
//!
//! Ingesters are listed before they are asked, and asked before the snapshot is taken: who is not listed has
//! committed all that was acknowledged before.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use object_store::ObjectStore;
use siltstone_catalog::Catalog;
use siltstone_catalog::time::Clock;
use siltstone_format::id::ObjectId;
use siltstone_live::from_bucket::{BucketLogs, OrFromBucket, PATIENCE};
use siltstone_live::members::{Members, MembersError};
use siltstone_live::question::Question;
use siltstone_live::source::LiveSource;
use siltstone_live::{RemoteLimits, RemoteLive};

use crate::gap::Gap;
use crate::view::{View, ViewError};

/// How often a view is opened anew because an ingester went away while it was asked.
const MOST_VIEWS: u32 = 3;

/// Finds the ingesters anew for each query, with one listing; connections are kept.
pub struct Ingesters {
    members: Members,
    limits: RemoteLimits,
    /// For those that cannot be asked and have their log there.
    bucket: Arc<dyn BucketLogs>,
    connections: Mutex<HashMap<(ObjectId, String), Arc<RemoteLive>>>,
}

/// An ingester in this process: it is asked without the network.
#[derive(Clone)]
pub struct InProcess {
    pub ingester: ObjectId,
    pub source: Arc<dyn LiveSource>,
}

/// Why there is no view.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Members(#[from] MembersError),
    #[error(transparent)]
    View(#[from] ViewError),
}

/// Whom to ask, and who cannot be.
struct Sources {
    sources: Vec<Arc<dyn LiveSource>>,
    gaps: Vec<Gap>,
}

impl Ingesters {
    pub fn new(objects: Arc<dyn ObjectStore>, limits: RemoteLimits, bucket: Arc<dyn BucketLogs>) -> Self {
        Self { members: Members::new(objects), limits, bucket, connections: Mutex::default() }
    }

    /// A view of all ingesters that are announced, and of the one in this process.
    pub async fn open(
        &self,
        catalog: &Catalog,
        clock: &dyn Clock,
        in_process: Option<&InProcess>,
        question: &Question,
    ) -> Result<View, OpenError> {
        let mut found = self.now(in_process).await?;
        let mut views = 1;
        loop {
            let mut view = View::open(catalog, clock, &found.sources, question).await?;
            let silent: BTreeSet<&str> = view.partial.iter().filter_map(name_of).collect();
            if !silent.is_empty() && views < MOST_VIEWS {
                let now = self.now(in_process).await?;
                let names: BTreeSet<&str> = now.sources.iter().map(|source| source.name()).collect();
                if !silent.is_subset(&names) {
                    // It has taken its announcement back: what it held is committed.
                    found = now;
                    views += 1;
                    continue;
                }
            }
            view.partial.append(&mut found.gaps);
            return Ok(view);
        }
    }

    async fn now(&self, in_process: Option<&InProcess>) -> Result<Sources, MembersError> {
        let listed = self.members.list().await?;
        let gaps = listed.unreadable.into_iter().map(|(key, why)| Gap::Announcement { key, why });
        let own = in_process.map(|own| Arc::clone(&own.source));
        let mut found = Sources { sources: own.into_iter().collect(), gaps: gaps.collect() };
        let own = in_process.map(|own| own.ingester);
        let mut held = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = HashMap::new();
        for member in listed.members.into_iter().filter(|member| Some(member.ingester) != own) {
            let place = (member.ingester, member.address.clone());
            let connection = match held.remove(&place) {
                Some(connection) => Ok(connection),
                None => RemoteLive::connect(member.ingester, &member.address, self.limits).map(Arc::new),
            };
            match connection {
                Ok(connection) => {
                    kept.insert(place, Arc::clone(&connection));
                    found.sources.push(match member.in_bucket {
                        true => {
                            let bucket = self.bucket.of(&member.address, &member.writers);
                            Arc::new(OrFromBucket { primary: connection, bucket, patience: PATIENCE })
                        }
                        false => connection,
                    });
                }
                Err(_) if member.in_bucket => {
                    found.sources.push(self.bucket.of(&member.address, &member.writers));
                }
                Err(why) => found.gaps.push(Gap::Ingester { name: member.address, why }),
            }
        }
        // Connections to those who went away are closed.
        *held = kept;
        Ok(found)
    }
}

fn name_of(gap: &Gap) -> Option<&str> {
    match gap {
        Gap::Ingester { name, .. } => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
