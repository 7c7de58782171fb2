//! `del/<id>`: a deletion as it was asked for.
//!
//! ```text
//! record ──▶ marks in a root: in force ──▶ record again, with their number
//! ```
//!
//! The record is written first, so that nothing is deleted of which only a root knows: where a root or a page of marks
//! is lost, the records tell again what was deleted. One without a number may never have been in force.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use prost::Message;
use siltstone_format::id::{ObjectId, TraceId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

use crate::block_entry::{id_bytes, id_of};
use crate::bucket::{PARALLEL_GETS, StoreError, failed};
use crate::catalog::Catalog;
use crate::change::Delete;
use crate::deleted::{TracePage, packed, unpacked};
use crate::message::{self, Damage, Kind, KnownTags, Open};
use crate::planted::{Bug, planted};
use crate::publish::PublishError;
use crate::snapshot::{Cover, Snapshot, SnapshotError, hard};
use crate::time::{StoreTime, drawn_at};

/// In the place of the number of a deletion of which its record does not say whether it is in force.
pub(crate) const NOT_IN_FORCE: u64 = u64::MAX;

/// Most traces of one deletion.
pub const MOST_TRACES: usize = 1_000_000;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Traces by their ids.
    Traces,
    /// Those that had a matching span then; the catalog does not look into it.
    Matching { filter: String, from_unix_nano: u64, to_unix_nano: u64 },
}

/// What is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub tenant: Tenant,
    pub asked: Asked,
    pub traces: Vec<TraceId>,
    /// Blocks that might hold spans of them.
    pub blocks: u64,
}

/// A deletion in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct DeletionRecord {
    pub id: ObjectId,
    /// When it was asked for.
    pub at: StoreTime,
    /// Its traces ascend.
    pub request: Request,
    /// Under which number it is in force, as far as the record tells.
    pub number: Option<u64>,
    stored: Open<DeletionMessage>,
}

/// Why nothing was deleted, or it is not known whether something was.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("there is nothing to delete")]
    Nothing,
    #[error(
        "{0} traces are to be deleted, and {MOST_TRACES} can be at once: delete them in parts, by a narrower range of \
         time or a narrower filter"
    )]
    TooMany(usize),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("nothing is deleted: {0}")]
    Refused(String),
    #[error(
        "nothing is deleted: {why}. But the record `del/{id}` could not be taken back ({source}): a rebuild of the \
         catalog would put it in force, so delete that object"
    )]
    RefusedAndRecorded { id: ObjectId, why: String, source: StoreError },
    #[error("the deletion {id} is recorded, and it is not known whether it is in force: {source}. Ask again")]
    Publish { id: ObjectId, source: Box<PublishError> },
}

/// Why records cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DeletionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the record of deletion {id} is damaged: {damage}")]
    Damaged { id: ObjectId, damage: Damage },
}

impl Catalog {
    /// Deletes traces: in force once this returns.
    pub async fn delete(&self, mut request: Request) -> Result<DeletionRecord, DeleteError> {
        request.traces.sort_unstable();
        request.traces.dedup();
        match request.traces.len() {
            0 => return Err(DeleteError::Nothing),
            many if many > MOST_TRACES => return Err(DeleteError::TooMany(many)),
            _ => {}
        }
        let (id, at) = (ObjectId(self.next_id()), self.store_time().await?);
        let mut record = DeletionRecord { id, at, request, number: None, stored: Open::default() };
        self.bucket.put(&ObjectKey::Deletion(id), record.encode()).await?;
        let Request { tenant, traces, .. } = &record.request;
        let change = Delete { tenant, record: id, at, traces };
        let published = match self.publish(&change).await {
            Ok(published) => published,
            Err(PublishError::Refused(why)) if !planted(Bug::KeepRefused) => {
                return Err(self.take_back(id, why).await);
            }
            Err(error) => return Err(DeleteError::Publish { id, source: Box::new(error) }),
        };
        // The marks of another deletion may have come behind it.
        let fresh = Cover { min_root: published.root().number, ..Cover::default() };
        let number = async {
            let snapshot = self.snapshot(&fresh).await?;
            self.number_of(&snapshot, &record).await
        };
        // It is in force whatever comes: a record without a number says less than it could, and nothing wrong.
        record.number = number.await.unwrap_or(None);
        if record.number.is_some() {
            let _ = self.bucket.put(&ObjectKey::Deletion(id), record.encode()).await;
        }
        Ok(record)
    }

    /// What was refused is not in force, and a rebuild must not put it in force by its record.
    async fn take_back(&self, id: ObjectId, why: String) -> DeleteError {
        match self.bucket.delete(&ObjectKey::Deletion(id)).await {
            Ok(()) => DeleteError::Refused(why),
            Err(source) => DeleteError::RefusedAndRecorded { id, why, source },
        }
    }

    /// The number under which a deletion is in force in a snapshot.
    pub async fn number_of(
        &self,
        snapshot: &Snapshot,
        record: &DeletionRecord,
    ) -> Result<Option<u64>, SnapshotError> {
        let Some(known) = snapshot.root.tenants.get(&record.request.tenant) else { return Ok(None) };
        let page = self.pages.tenant(&self.bucket, known.page, &record.request.tenant).await.map_err(hard)?;
        let of_pages = page.trace_pages.iter().find(|traces| traces.record == record.id);
        if let Some(traces) = of_pages {
            return Ok(Some(traces.number));
        }
        if let Some(mark) = page.marks.iter().find(|mark| mark.record == Some(record.id)) {
            return Ok(Some(mark.number));
        }
        for older in page.mark_pages.iter().rev() {
            let marks = self.pages.marks(&self.bucket, *older).await.map_err(hard)?;
            if let Some(mark) = marks.iter().find(|mark| mark.record == Some(record.id)) {
                return Ok(Some(mark.number));
            }
        }
        Ok(None)
    }

    /// A deletion; none: there is no such.
    pub async fn deletion(&self, id: ObjectId) -> Result<Option<DeletionRecord>, DeletionError> {
        let Some(object) = self.bucket.get(&ObjectKey::Deletion(id)).await? else { return Ok(None) };
        let damaged = |damage| DeletionError::Damaged { id, damage };
        DeletionRecord::decode(&object, id).map(Some).map_err(damaged)
    }

    /// All deletions that there ever were, in the order in which they were asked for.
    pub async fn deletion_ids(&self) -> Result<Vec<ObjectId>, StoreError> {
        let mut ids = Vec::new();
        let mut objects = self.bucket.objects().list(Some(&Path::from("del")));
        while let Some(meta) = objects.try_next().await.map_err(|source| failed("list", &"del", source))? {
            if let Ok(ObjectKey::Deletion(id)) = meta.location.as_ref().parse() {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// What records say was deleted of a tenant, of those that were written at a time or later. What is not known to
    /// be in force counts as if it were, of whatever rows.
    pub(crate) async fn recorded_deletions_since(
        &self,
        tenant: &Tenant,
        since: StoreTime,
    ) -> Result<Vec<TracePage>, SnapshotError> {
        let mut ids = self.deletion_ids().await?;
        ids.retain(|id| drawn_at(id.0) >= since);
        let mut pages = Vec::new();
        for record in self.read_deletions(ids).await? {
            let DeletionRecord { request, number, .. } = record
                .map_err(|(id, damage)| SnapshotError::Damaged { key: ObjectKey::Deletion(id), damage })?;
            if request.tenant == *tenant {
                pages.push(TracePage { number: number.unwrap_or(NOT_IN_FORCE), traces: request.traces });
            }
        }
        Ok(pages)
    }

    /// The records of some deletions. Of one that cannot be read, why.
    pub(crate) async fn read_deletions(
        &self,
        ids: Vec<ObjectId>,
    ) -> Result<Vec<Result<DeletionRecord, (ObjectId, Damage)>>, StoreError> {
        let read = stream::iter(ids).map(|id| async move {
            match self.deletion(id).await {
                Ok(record) => Ok(record.map(Ok)),
                Err(DeletionError::Damaged { id, damage }) => Ok(Some(Err((id, damage)))),
                Err(DeletionError::Store(error)) => Err(error),
            }
        });
        read.buffered(PARALLEL_GETS)
            .try_filter_map(|record| std::future::ready(Ok(record)))
            .try_collect()
            .await
    }
}

impl DeletionRecord {
    #[cfg(test)]
    pub(crate) fn new(id: ObjectId, at: StoreTime, request: Request, number: Option<u64>) -> Self {
        Self { id, at, request, number, stored: Open::default() }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let Request { tenant, asked, traces, blocks } = &self.request;
        let (filter, from_unix_nano, to_unix_nano) = match asked {
            Asked::Traces => (None, 0, 0),
            Asked::Matching { filter, from_unix_nano, to_unix_nano } => {
                (Some(filter.clone()), *from_unix_nano, *to_unix_nano)
            }
        };
        let message = self.stored.with(DeletionMessage {
            id: id_bytes(self.id.0),
            tenant: tenant.to_string(),
            at: self.at.0,
            filter,
            from_unix_nano,
            to_unix_nano,
            traces: packed(traces),
            blocks: *blocks,
            number: self.number,
        });
        message::encode(Kind::Deletion, &message)
    }

    /// Reads the record that stands under this name.
    pub(crate) fn decode(object: &Bytes, id: ObjectId) -> Result<Self, Damage> {
        let found = Self::decode_any(object)?;
        match found.id == id {
            true => Ok(found),
            false => Err(Damage::Content("it is another deletion than its name says")),
        }
    }

    pub(crate) fn decode_any(object: &Bytes) -> Result<Self, Damage> {
        let mut stored: Open<DeletionMessage> = message::decode(Kind::Deletion, object)?;
        let message = std::mem::take(&mut stored.known);
        let (from_unix_nano, to_unix_nano) = (message.from_unix_nano, message.to_unix_nano);
        let asked = match message.filter {
            None => Asked::Traces,
            Some(filter) => Asked::Matching { filter, from_unix_nano, to_unix_nano },
        };
        let request = Request {
            tenant: message.tenant.parse().map_err(|_| Damage::Content("a tenant's name is none"))?,
            asked,
            traces: unpacked(&message.traces)?,
            blocks: message.blocks,
        };
        if !request.traces.is_sorted() {
            return Err(Damage::Content("its traces do not ascend"));
        }
        let (id, at) = (ObjectId(id_of(&message.id)?), StoreTime(message.at));
        Ok(Self { id, at, request, number: message.number, stored })
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeletionMessage {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    tenant: String,
    #[prost(uint64, tag = "3")]
    at: u64,
    #[prost(string, optional, tag = "4")]
    filter: Option<String>,
    #[prost(fixed64, tag = "5")]
    from_unix_nano: u64,
    #[prost(fixed64, tag = "6")]
    to_unix_nano: u64,
    #[prost(bytes = "vec", tag = "7")]
    traces: Vec<u8>,
    #[prost(uint64, tag = "8")]
    blocks: u64,
    #[prost(uint64, optional, tag = "9")]
    number: Option<u64>,
}

impl KnownTags for DeletionMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 9];
}

#[cfg(test)]
mod tests;
