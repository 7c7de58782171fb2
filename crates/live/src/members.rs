//! Which ingesters hold spans that are in no block yet: each says so by an object in the bucket.
//!
//! ```text
//! ing/<id>    {"version":1,"ingester":"…","address":"http://10.0.0.7:14317","writers":["…"],"in_bucket":true}
//! ```
//!
//! The object stands before the first span is acknowledged, and until some time after the last is committed.
//! So a reader who lists `ing/` first, and the log then, misses nobody.

mod announce;
mod list;

pub use announce::{AnnounceError, Membership, MembershipConfig, Timing};
pub use list::{Listed, Member, Members, MembersError};

use std::collections::BTreeSet;

use object_store::path::Path;
use serde::{Deserialize, Serialize};
use siltstone_format::id::{ObjectId, WriterId};
use siltstone_format::path::ObjectKey;

const VERSION: u32 = 1;

/// Largest announcement that is read.
const MAX_BYTES: u64 = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct Announcement {
    version: u32,
    ingester: String,
    address: String,
    writers: Vec<String>,
    #[serde(default)]
    in_bucket: bool,
}

/// What an announcement says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Announced {
    ingester: ObjectId,
    address: String,
    writers: BTreeSet<WriterId>,
    in_bucket: bool,
}

impl Announced {
    fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Announcement {
            version: VERSION,
            ingester: self.ingester.to_string(),
            address: self.address.clone(),
            writers: self.writers.iter().map(WriterId::to_string).collect(),
            in_bucket: self.in_bucket,
        })
    }

    fn of_json(json: &[u8]) -> Result<Self, String> {
        let read: Announcement = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if read.version != VERSION {
            return Err(format!("it has version {}, and this release reads {VERSION}", read.version));
        }
        let writers: Result<_, _> = read.writers.iter().map(|writer| writer.parse()).collect();
        Ok(Self {
            ingester: read.ingester.parse().map_err(|error| format!("{error}"))?,
            address: read.address,
            writers: writers.map_err(|error| format!("{error}"))?,
            in_bucket: read.in_bucket,
        })
    }
}

fn folder() -> Path {
    Path::from("ing")
}

fn path(key: ObjectId) -> Path {
    Path::from(ObjectKey::Ingester(key).to_string())
}

fn key_of(path: &Path) -> Option<ObjectId> {
    match path.as_ref().parse() {
        Ok(ObjectKey::Ingester(key)) => Some(key),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
