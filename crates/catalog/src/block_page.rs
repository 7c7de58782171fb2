//! `man/<id>`: a page of blocks, all of one tenant and one day, or of its inbox.

use bytes::Bytes;
use prost::Message;
use siltstone_format::day::Day;
use siltstone_format::tenant::Tenant;

use crate::block_entry::{BlockEntry, BlockMessage};
use crate::message::{self, Damage, Kind, KnownTags, Open};

/// Most blocks of one page, so that a page stays far below 256 KiB.
pub const MAX_PAGE_BLOCKS: usize = 512;

/// Where a block stands in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// As flushed: blocks that may span days.
    Inbox,
    /// Merged, each trace in the day of its earliest span.
    Day(Day),
}

/// A page's content.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockPage {
    pub tenant: Tenant,
    pub section: Section,
    pub blocks: Vec<BlockEntry>,
    stored: Open<PageMessage>,
}

impl BlockPage {
    pub(crate) fn new(tenant: Tenant, section: Section) -> Self {
        Self { tenant, section, blocks: Vec::new(), stored: Open::default() }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let message = self.stored.with(PageMessage {
            tenant: self.tenant.to_string(),
            day: self.section.to_number(),
            blocks: self.blocks.iter().map(BlockEntry::to_message).collect(),
        });
        message::encode(Kind::BlockPage, &message)
    }

    pub(crate) fn decode(object: &Bytes, tenant: &Tenant, section: Section) -> Result<Self, Damage> {
        let found = Self::decode_any(object)?;
        match (&found.tenant, found.section) == (tenant, section) {
            true => Ok(found),
            false => Err(Damage::Content("it is the page of another tenant or day")),
        }
    }

    pub(crate) fn decode_any(object: &Bytes) -> Result<Self, Damage> {
        let mut stored: Open<PageMessage> = message::decode(Kind::BlockPage, object)?;
        let tenant: Tenant =
            stored.known.tenant.parse().map_err(|_| Damage::Content("a tenant's name is none"))?;
        let section = Section::from_number(stored.known.day);
        let blocks = std::mem::take(&mut stored.known.blocks).into_iter();
        let blocks =
            blocks.map(|block| BlockEntry::from_message(block, &tenant)).collect::<Result<_, _>>()?;
        Ok(Self { tenant, section, blocks, stored: stored.rest() })
    }
}

impl Section {
    /// None for what stands in the inbox.
    pub fn day(self) -> Option<Day> {
        match self {
            Self::Inbox => None,
            Self::Day(day) => Some(day),
        }
    }

    /// The day plus one; 0 is the inbox.
    pub(crate) fn to_number(self) -> u32 {
        match self {
            Self::Inbox => 0,
            Self::Day(day) => day.0.saturating_add(1),
        }
    }

    pub(crate) fn from_number(number: u32) -> Self {
        number.checked_sub(1).map_or(Self::Inbox, |day| Self::Day(Day(day)))
    }
}

#[derive(Clone, PartialEq, Message)]
struct PageMessage {
    #[prost(string, tag = "1")]
    tenant: String,
    #[prost(uint32, tag = "2")]
    day: u32,
    #[prost(message, repeated, tag = "3")]
    blocks: Vec<Open<BlockMessage>>,
}

impl KnownTags for PageMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3];
}
