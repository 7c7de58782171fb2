//! `man/<id>`: which blocks a filter group has, and where the catalog keeps each.
//!
//! It holds the group's own header, so that a row can be checked and read without asking
//! the group for anything else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prost::Message;
use siltstone_format::filter::transposed::GroupHeader;
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::path::ObjectKey;

use crate::block_entry::{id_bytes, id_of};
use crate::block_page::Section;
use crate::bucket::Bucket;
use crate::draft::DraftError;
use crate::message::{self, Damage, Kind, KnownTags, Open};
use crate::tenant_page::GroupRef;

/// A group's index.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupIndex {
    group: ObjectId,
    pub(crate) header: GroupHeader,
    /// Of each block, in the order of the header. A block keeps its section for life.
    sections: Vec<Section>,
    /// The blocks, sorted.
    sorted: Vec<BlockId>,
}

impl GroupIndex {
    /// One section for each block of the header.
    pub(crate) fn new(group: ObjectId, header: GroupHeader, sections: Vec<Section>) -> Self {
        let mut sorted = header.blocks().to_vec();
        sorted.sort_unstable();
        Self { group, header, sections, sorted }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (BlockId, Section)> {
        self.header.blocks().iter().copied().zip(self.sections.iter().copied())
    }

    pub(crate) fn has(&self, block: BlockId) -> bool {
        self.sorted.binary_search(&block).is_ok()
    }

    pub(crate) fn encode(&self) -> Bytes {
        let message = IndexMessage {
            group: id_bytes(self.group.0),
            header: self.header.to_bytes(),
            sections: self.sections.iter().map(|section| section.to_number()).collect(),
        };
        message::encode(Kind::GroupIndex, &Open::from(message))
    }

    /// Reads the index of a group.
    fn decode(object: &Bytes, group: &GroupRef) -> Result<Self, Damage> {
        let index = Self::decode_any(object)?;
        let header = &index.header;
        let fits = header.kind() == group.kind
            && header.class() == group.class
            && header.blocks().len() as u64 == group.blocks;
        match fits && index.group == group.id {
            true => Ok(index),
            false => Err(Damage::Content("it is not the index of the group that the tenant's page says")),
        }
    }

    pub(crate) fn decode_any(object: &Bytes) -> Result<Self, Damage> {
        let message: IndexMessage = message::decode::<Open<_>>(Kind::GroupIndex, object)?.known;
        let header = GroupHeader::parse(&message.header)
            .map_err(|_| Damage::Content("it does not hold the header of a filter group"))?;
        if header.blocks().len() != message.sections.len() {
            return Err(Damage::Content("it has other than one section for each block"));
        }
        let sections = message.sections.into_iter().map(Section::from_number).collect();
        Ok(Self::new(ObjectId(id_of(&message.group)?), header, sections))
    }
}

/// Indexes that were read: they never change.
#[derive(Default)]
pub(crate) struct IndexCache {
    indexes: Mutex<HashMap<ObjectId, Arc<GroupIndex>>>,
}

/// Most blocks of all indexes that are kept, at about 40 bytes each; beyond it all are
/// dropped and read anew.
const MOST_CACHED_BLOCKS: usize = 1 << 20;

impl IndexCache {
    pub(crate) async fn of(&self, bucket: &Bucket, group: &GroupRef) -> Result<Arc<GroupIndex>, DraftError> {
        if let Some(known) = self.held().get(&group.index) {
            return Ok(Arc::clone(known));
        }
        let key = ObjectKey::Page(group.index);
        let object = bucket.get(&key).await?.ok_or(DraftError::Gone { key: key.clone() })?;
        let index =
            GroupIndex::decode(&object, group).map_err(|damage| DraftError::Damaged { key, damage })?;
        let index = Arc::new(index);
        let mut held = self.held();
        let blocks: usize = held.values().map(|index| index.sorted.len()).sum();
        if blocks + index.sorted.len() > MOST_CACHED_BLOCKS {
            held.clear();
        }
        held.insert(group.index, Arc::clone(&index));
        Ok(index)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<ObjectId, Arc<GroupIndex>>> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, PartialEq, Message)]
struct IndexMessage {
    #[prost(bytes = "vec", tag = "1")]
    group: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    header: Vec<u8>,
    #[prost(uint32, repeated, tag = "3")]
    sections: Vec<u32>,
}

impl KnownTags for IndexMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3];
}
