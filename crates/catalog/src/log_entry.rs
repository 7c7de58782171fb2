//! `cat/log/<writer>-<n>`: one flush. Its creation is the commit of what it names.

use bytes::Bytes;
use prost::Message;
use siltstone_format::id::WriterId;
use siltstone_format::tenant::Tenant;

use crate::block_entry::{BlockEntry, BlockMessage, id_bytes, id_of};
use crate::message::{self, Damage, Kind, KnownTags, Open};
use crate::time::{StoreTime, drawn_at};

/// One flush of one writer.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    pub writer: WriterId,
    pub number: u64,
    /// At most one of each tenant.
    pub blocks: Vec<BlockEntry>,
}

impl LogEntry {
    /// When the first of its blocks was named. None: it has no block.
    pub(crate) fn oldest_block(&self) -> Option<StoreTime> {
        self.blocks.iter().map(|block| drawn_at(block.id().0)).min()
    }

    pub fn encode(&self) -> Bytes {
        let blocks = self
            .blocks
            .iter()
            .map(|block| TenantBlock { tenant: block.tenant().to_string(), block: Some(block.to_message()) });
        let message =
            LogMessage { writer: id_bytes(self.writer.0), number: self.number, blocks: blocks.collect() };
        message::encode(Kind::LogEntry, &message)
    }

    /// Reads the entry that stands under this name.
    pub fn decode(object: &Bytes, writer: WriterId, number: u64) -> Result<Self, Damage> {
        let found = Self::decode_any(object)?;
        match (found.writer, found.number) == (writer, number) {
            true => Ok(found),
            false => Err(Damage::Content("it is another entry than its name says")),
        }
    }

    pub(crate) fn decode_any(object: &Bytes) -> Result<Self, Damage> {
        let message: LogMessage = message::decode(Kind::LogEntry, object)?;
        let (writer, number) = (WriterId(id_of(&message.writer)?), message.number);
        let blocks = message.blocks.into_iter().map(|entry| {
            let tenant: Tenant =
                entry.tenant.parse().map_err(|_| Damage::Content("a tenant's name is none"))?;
            BlockEntry::from_message(entry.block.unwrap_or_default(), &tenant)
        });
        Ok(Self { writer, number, blocks: blocks.collect::<Result<_, _>>()? })
    }
}

#[derive(Clone, PartialEq, Message)]
struct LogMessage {
    #[prost(bytes = "vec", tag = "1")]
    writer: Vec<u8>,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(message, repeated, tag = "3")]
    blocks: Vec<TenantBlock>,
}

#[derive(Clone, PartialEq, Message)]
struct TenantBlock {
    #[prost(string, tag = "1")]
    tenant: String,
    #[prost(message, optional, tag = "2")]
    block: Option<Open<BlockMessage>>,
}

impl KnownTags for LogMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3];
}
