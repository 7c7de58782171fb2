//! The ingesters that hold spans, as the bucket names them, each with a connection that is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::ObjectStore;
use siltstone_format::id::ObjectId;
use siltstone_live::members::{Members, MembersError};
use siltstone_live::source::LiveSource;
use siltstone_live::{RemoteLimits, RemoteLive};

use crate::gap::Gap;

/// Finds the ingesters anew for each query, with one listing.
pub struct Ingesters {
    members: Members,
    limits: RemoteLimits,
    connections: Mutex<HashMap<(ObjectId, String), Arc<RemoteLive>>>,
}

/// Whom to ask, and who cannot be.
pub struct Sources {
    pub sources: Vec<Arc<dyn LiveSource>>,
    pub gaps: Vec<Gap>,
}

impl Ingesters {
    pub fn new(objects: Arc<dyn ObjectStore>, limits: RemoteLimits) -> Self {
        Self { members: Members::new(objects), limits, connections: Mutex::default() }
    }

    /// All that are announced now. One that lives in this process is asked there: name it.
    pub async fn now(&self, in_process: Option<ObjectId>) -> Result<Sources, MembersError> {
        let listed = self.members.list().await?;
        let gaps = listed.unreadable.into_iter().map(|(key, why)| Gap::Announcement { key, why });
        let mut found = Sources { sources: Vec::new(), gaps: gaps.collect() };
        let mut held = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = HashMap::new();
        for member in listed.members.into_iter().filter(|member| Some(member.ingester) != in_process) {
            let place = (member.ingester, member.address.clone());
            let connection = match held.remove(&place) {
                Some(connection) => Ok(connection),
                None => RemoteLive::connect(member.ingester, &member.address, self.limits).map(Arc::new),
            };
            match connection {
                Ok(connection) => {
                    kept.insert(place, Arc::clone(&connection));
                    found.sources.push(connection);
                }
                Err(why) => found.gaps.push(Gap::Ingester { name: member.address, why }),
            }
        }
        // Connections to those who went away are closed.
        *held = kept;
        Ok(found)
    }
}
