//! `lse/<job>`: somebody works on this job. A lease saves work and decides nothing: two
//! may hold one, and publishing sorts out whose work counts.
//!
//! ```text
//! acquire: create lse/<job> → ours, or somebody's: ours to take over once it is stale
//! ```
//!
//! A lease is stale when it landed longer ago than it lasts, both in the store's time.
//! What time the store has now is learned from an object of our own, once; later times
//! follow from that by our own clock's pace. It is the one kind of object that is
//! written again under its key.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use object_store::ObjectStoreExt;
use prost::Message;
use siltstone_format::id::ObjectId;
use siltstone_format::path::ObjectKey;
use ulid::Ulid;
use xxhash_rust::xxh3::xxh3_128;

use crate::block_entry::{id_bytes, id_of};
use crate::bucket::{Bucket, Created, StoreError, failed, path};
use crate::catalog::Catalog;
use crate::message::{self, Damage, Kind, KnownTags, Open};
use crate::time::{Clock, StoreTime};

/// The key of the lease for a job of this name.
pub fn lease_of(job: &str) -> ObjectId {
    ObjectId(Ulid(xxh3_128(job.as_bytes())))
}

/// What a lease says.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseRecord {
    /// What is done, for people.
    pub job: String,
    /// Who does it: an id that was drawn for this lease.
    pub owner: Ulid,
    /// So long after it landed it is stale.
    pub lasts: Duration,
    /// How often it was renewed.
    pub renewals: u64,
    stored: Open<LeaseMessage>,
}

impl LeaseRecord {
    pub(crate) fn new(job: &str, owner: Ulid, lasts: Duration) -> Self {
        Self { job: job.to_owned(), owner, lasts, renewals: 0, stored: Open::default() }
    }

    pub(crate) fn encode(&self) -> bytes::Bytes {
        let message = self.stored.with(LeaseMessage {
            job: self.job.clone(),
            owner: id_bytes(self.owner),
            lasts_millis: u64::try_from(self.lasts.as_millis()).unwrap_or(u64::MAX),
            renewals: self.renewals,
        });
        message::encode(Kind::Lease, &message)
    }

    pub(crate) fn decode(object: &bytes::Bytes) -> Result<Self, Damage> {
        let stored: Open<LeaseMessage> = message::decode(Kind::Lease, object)?;
        let message = &stored.known;
        Ok(Self {
            job: message.job.clone(),
            owner: id_of(&message.owner)?,
            lasts: Duration::from_millis(message.lasts_millis),
            renewals: message.renewals,
            stored: stored.rest(),
        })
    }
}

/// A lease that is ours, until it is stale or given back.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    record: LeaseRecord,
    /// Before it was written, by our own clock.
    began: Duration,
}

impl Lease {
    /// Until then ([`Clock::elapsed`]) nobody takes it over.
    pub fn good_until(&self) -> Duration {
        self.began + self.record.lasts
    }

    fn key(&self) -> ObjectKey {
        ObjectKey::Lease(lease_of(&self.record.job))
    }
}

/// What asking for a lease came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Acquired {
    Ours(Lease),
    /// Somebody works on it. In so long it is stale unless it is renewed.
    Busy {
        owner: Ulid,
        stale_in: Duration,
    },
}

/// The store's time, as far as a process knows it: it is this late or later.
#[derive(Default)]
pub(crate) struct StoreClock {
    /// A moment of the store, and our own clock when it was already past.
    seen: Mutex<Option<(StoreTime, Duration)>>,
}

impl StoreClock {
    fn now(&self, clock: &dyn Clock) -> Option<StoreTime> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.map(|(time, at)| time.plus(clock.elapsed().saturating_sub(at)))
    }

    fn note(&self, clock: &dyn Clock, time: StoreTime) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.elapsed();
        if seen.is_none_or(|(known, at)| known.plus(now.saturating_sub(at)) < time) {
            *seen = Some((time, now));
        }
    }
}

impl Catalog {
    /// Asks for the lease of a job. It is ours, or somebody else's for now.
    pub async fn acquire_lease(&self, job: &str, lasts: Duration) -> Result<Acquired, StoreError> {
        let key = ObjectKey::Lease(lease_of(job));
        let owner = self.next_id();
        // Twice: a stale one is taken away, and somebody else may be faster then.
        for _ in 0..2 {
            let lease = Lease { record: LeaseRecord::new(job, owner, lasts), began: self.clock.elapsed() };
            if self.bucket.create(&key, lease.record.encode()).await? == Created::Ours {
                return Ok(Acquired::Ours(lease));
            }
            let Some((found, landed)) = self.read_lease(&key).await? else { continue };
            // One that cannot be read holds nobody up for longer than our own would.
            let (holder, holds) = found.map_or((Ulid::nil(), lasts), |record| (record.owner, record.lasts));
            if holder == owner {
                // It landed although the answer was another.
                return Ok(Acquired::Ours(lease));
            }
            let (stale, now) = (landed.plus(holds), self.store_now().await?);
            if now < stale {
                return Ok(Acquired::Busy {
                    owner: holder,
                    stale_in: Duration::from_millis(stale.0 - now.0),
                });
            }
            self.bucket.delete(&key).await?;
        }
        Ok(Acquired::Busy { owner: Ulid::nil(), stale_in: lasts })
    }

    /// Makes a lease last from now on. None: somebody took it over, so the work is
    /// somebody else's too.
    pub async fn renew_lease(&self, lease: &Lease) -> Result<Option<Lease>, StoreError> {
        if !self.is_held(lease).await? {
            return Ok(None);
        }
        let mut renewed = Lease { began: self.clock.elapsed(), ..lease.clone() };
        renewed.record.renewals += 1;
        self.bucket.put(&lease.key(), renewed.record.encode()).await?;
        Ok(Some(renewed))
    }

    /// Gives a lease back, so that nobody waits for it.
    pub async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        match self.is_held(lease).await? {
            true => self.bucket.delete(&lease.key()).await,
            false => Ok(()),
        }
    }

    async fn is_held(&self, lease: &Lease) -> Result<bool, StoreError> {
        let found = self.read_lease(&lease.key()).await?;
        Ok(found.is_some_and(|(found, _)| found.is_ok_and(|found| found.owner == lease.record.owner)))
    }

    /// A lease and when it landed.
    pub(crate) async fn read_lease(
        &self,
        key: &ObjectKey,
    ) -> Result<Option<(Result<LeaseRecord, Damage>, StoreTime)>, StoreError> {
        let got = match self.bucket.objects().get(&path(key)).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(failed("read", key, source)),
        };
        let landed = StoreTime::of(&got.meta);
        let object = got.bytes().await.map_err(|source| failed("read", key, source))?;
        Ok(Some((LeaseRecord::decode(&object), landed)))
    }

    /// The store's time now, or a little before.
    pub(crate) async fn store_now(&self) -> Result<StoreTime, StoreError> {
        if let Some(now) = self.store_clock.now(&*self.clock) {
            return Ok(now);
        }
        let probe = self.probe_store_time().await?;
        self.store_clock.note(&*self.clock, probe);
        Ok(probe)
    }

    /// Writes an object of our own to see what time the store gives it.
    pub(crate) async fn probe_store_time(&self) -> Result<StoreTime, StoreError> {
        let key = ObjectKey::ClockProbe(ObjectId(self.next_id()));
        self.bucket.put(&key, bytes::Bytes::from_static(b"clock")).await?;
        let landed = landed_at(&self.bucket, &key).await;
        self.bucket.delete(&key).await?;
        landed
    }
}

async fn landed_at(bucket: &Bucket, key: &ObjectKey) -> Result<StoreTime, StoreError> {
    let head = bucket.objects().head(&path(key)).await;
    head.map(|meta| StoreTime::of(&meta)).map_err(|source| failed("look at", key, source))
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LeaseMessage {
    #[prost(string, tag = "1")]
    job: String,
    #[prost(bytes = "vec", tag = "2")]
    owner: Vec<u8>,
    #[prost(uint64, tag = "3")]
    lasts_millis: u64,
    #[prost(uint64, tag = "4")]
    renewals: u64,
}

impl KnownTags for LeaseMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3, 4];
}

#[cfg(test)]
mod tests;
