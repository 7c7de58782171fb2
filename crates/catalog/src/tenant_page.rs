//! `man/<id>`: what belongs to one tenant: its pages of blocks, filter groups and marks.

use bytes::Bytes;
use prost::Message;
use siltstone_format::filter::size::SizeClass;
use siltstone_format::filter::transposed::{GroupHeader, GroupKind, MAX_GROUP_BLOCKS};
use siltstone_format::id::ObjectId;
use siltstone_format::tenant::Tenant;
use ulid::Ulid;

use crate::block_entry::{id_bytes, id_of};
use crate::block_page::{BlockPage, Section};
use crate::deleted::{TracePageRef, TracePageRefMessage};
use crate::kept::{KeptOfPage, Policy, PolicyMessage};
use crate::mark::{Mark, MarkMessage};
use crate::message::{self, Damage, Kind, KnownTags, Open};
use crate::time::{StoreTime, drawn_at};

/// A tenant's part of the catalog.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantPage {
    pub tenant: Tenant,
    pub pages: Vec<PageRef>,
    pub groups: Vec<GroupRef>,
    /// The newest marks, by number.
    pub marks: Vec<Mark>,
    /// Pages of older ones, oldest first.
    pub mark_pages: Vec<ObjectId>,
    /// Pages of traces that were deleted together, oldest first.
    pub trace_pages: Vec<TracePageRef>,
    /// Earlier pages of this tenant that cannot be read: what they refer to is missing
    /// here until the catalog is rebuilt, and every answer says so.
    pub damaged: Vec<ObjectId>,
    /// Its own rules of retention.
    pub retention: Option<Policy>,
    stored: Open<TenantMessage>,
}

/// A page of blocks, in short.
#[derive(Clone, Debug, PartialEq)]
pub struct PageRef {
    pub id: ObjectId,
    pub section: Section,
    pub blocks: u64,
    /// How many of them are in filter groups. A lookup by key alone reads this page only
    /// if others are there, or a group names one of them.
    pub grouped: u64,
    pub rows: u64,
    pub bytes: u64,
    pub min_start_unix_nano: u64,
    pub max_end_unix_nano: u64,
    /// When the last of its blocks was named; 0 if that is not known.
    pub last_named: StoreTime,
    pub kept: KeptOfPage,
    stored: Open<PageRefMessage>,
}

/// A transposed filter group, in short.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRef {
    pub id: ObjectId,
    /// The page that says which blocks it has.
    pub index: ObjectId,
    pub kind: GroupKind,
    pub class: SizeClass,
    pub blocks: u64,
    /// No span of its blocks lies outside of this time.
    pub min_start_unix_nano: u64,
    pub max_end_unix_nano: u64,
    stored: Open<GroupRefMessage>,
}

impl PageRef {
    /// All that it says follows from the page: nothing of an earlier page's is kept, not
    /// even fields of later releases, which would say of this one what was true of that.
    pub(crate) fn of(id: ObjectId, page: &BlockPage) -> Self {
        let spans = || page.blocks.iter().map(|block| &block.summary.spans);
        Self {
            id,
            section: page.section,
            blocks: page.blocks.len() as u64,
            grouped: page.blocks.iter().filter(|block| block.grouped).count() as u64,
            rows: spans().map(|spans| spans.rows).sum(),
            bytes: page.blocks.iter().map(|block| block.bytes()).sum(),
            min_start_unix_nano: spans().map(|spans| spans.min_start_unix_nano).min().unwrap_or(0),
            max_end_unix_nano: spans()
                .map(|spans| spans.max_end_unix_nano.max(spans.max_start_unix_nano))
                .max()
                .unwrap_or(0),
            last_named: page.blocks.iter().map(|block| drawn_at(block.id().0)).max().unwrap_or_default(),
            kept: KeptOfPage::of(page.blocks.iter().map(|block| block.kept)),
            stored: Open::default(),
        }
    }

    /// Whether one of its blocks may have been named at this time or later. Where the
    /// page's writer did not say, one may.
    pub(crate) fn may_be_named_since(&self, time: StoreTime) -> bool {
        self.last_named == StoreTime::default() || self.last_named >= time
    }

    /// Whether a span of its blocks may lie in a range of time.
    pub fn overlaps(&self, from_unix_nano: u64, to_unix_nano: u64) -> bool {
        self.min_start_unix_nano <= to_unix_nano && from_unix_nano <= self.max_end_unix_nano
    }

    fn to_message(&self) -> Open<PageRefMessage> {
        self.stored.with(PageRefMessage {
            id: id_bytes(self.id.0),
            day: self.section.to_number(),
            blocks: self.blocks,
            rows: self.rows,
            bytes: self.bytes,
            min_start: self.min_start_unix_nano,
            max_end: self.max_end_unix_nano,
            grouped: self.grouped,
            last_named: self.last_named.0,
            decided: self.kept.decided,
            first_until: self.kept.first_until.map_or(0, |hour| hour.max(1)),
            oldest_policy: self.kept.oldest_policy,
        })
    }

    fn from_message(stored: Open<PageRefMessage>) -> Result<Self, Damage> {
        let message = &stored.known;
        Ok(Self {
            id: ObjectId(id_of(&message.id)?),
            section: Section::from_number(message.day),
            blocks: message.blocks,
            grouped: message.grouped,
            rows: message.rows,
            bytes: message.bytes,
            min_start_unix_nano: message.min_start,
            max_end_unix_nano: message.max_end,
            last_named: StoreTime(message.last_named),
            kept: KeptOfPage {
                decided: message.decided,
                first_until: (message.first_until > 0).then_some(message.first_until),
                oldest_policy: message.oldest_policy,
            },
            stored: stored.rest(),
        })
    }
}

impl GroupRef {
    /// A group of which nothing more is known: it may have blocks of any time.
    pub fn new(id: ObjectId, kind: GroupKind, class: SizeClass, blocks: u64) -> Self {
        let (index, stored) = (ObjectId(Ulid::nil()), Open::default());
        Self { id, index, kind, class, blocks, min_start_unix_nano: 0, max_end_unix_nano: u64::MAX, stored }
    }

    /// A group with this header whose blocks' spans lie in a range of time.
    pub(crate) fn of(id: ObjectId, index: ObjectId, header: &GroupHeader, (from, to): (u64, u64)) -> Self {
        let group = Self::new(id, header.kind(), header.class(), header.blocks().len() as u64);
        Self { index, min_start_unix_nano: from, max_end_unix_nano: to, ..group }
    }

    /// Whether a span of its blocks may lie in a range of time.
    pub fn overlaps(&self, from_unix_nano: u64, to_unix_nano: u64) -> bool {
        self.min_start_unix_nano <= to_unix_nano && from_unix_nano <= self.max_end_unix_nano
    }

    fn to_message(&self) -> Open<GroupRefMessage> {
        self.stored.with(GroupRefMessage {
            id: id_bytes(self.id.0),
            terms: self.kind == GroupKind::Terms,
            class: u32::from(self.class.number()),
            blocks: self.blocks,
            index: id_bytes(self.index.0),
            min_start: self.min_start_unix_nano,
            max_end: self.max_end_unix_nano,
        })
    }

    fn from_message(stored: Open<GroupRefMessage>) -> Result<Self, Damage> {
        let message = &stored.known;
        let class = u8::try_from(message.class).ok().and_then(SizeClass::from_number);
        if !(1..=MAX_GROUP_BLOCKS as u64).contains(&message.blocks) {
            return Err(Damage::Content("a filter group has a number of blocks that none has"));
        }
        Ok(Self {
            id: ObjectId(id_of(&message.id)?),
            index: ObjectId(id_of(&message.index)?),
            kind: if message.terms { GroupKind::Terms } else { GroupKind::TraceIds },
            class: class.ok_or(Damage::Content("a filter group has a size that none has"))?,
            blocks: message.blocks,
            min_start_unix_nano: message.min_start,
            max_end_unix_nano: message.max_end,
            stored: stored.rest(),
        })
    }
}

impl TenantPage {
    pub(crate) fn new(tenant: Tenant) -> Self {
        Self {
            tenant,
            pages: Vec::new(),
            groups: Vec::new(),
            marks: Vec::new(),
            mark_pages: Vec::new(),
            trace_pages: Vec::new(),
            damaged: Vec::new(),
            retention: None,
            stored: Open::default(),
        }
    }

    /// The page that takes the place of one that cannot be read.
    pub(crate) fn in_place_of(tenant: Tenant, damaged: ObjectId) -> Self {
        Self { damaged: vec![damaged], ..Self::new(tenant) }
    }

    /// Joins an earlier page of the tenant, which this one stood in for.
    pub(crate) fn take_back(&mut self, id: ObjectId, earlier: Self) {
        self.pages.splice(0..0, earlier.pages);
        self.groups.splice(0..0, earlier.groups);
        self.marks.splice(0..0, earlier.marks);
        self.mark_pages.splice(0..0, earlier.mark_pages);
        self.trace_pages.splice(0..0, earlier.trace_pages);
        self.damaged.retain(|damaged| *damaged != id);
        self.damaged.extend(earlier.damaged);
        // What was set meanwhile holds.
        self.retention = self.retention.take().or(earlier.retention);
    }

    /// Of the marks that it has at hand.
    pub(crate) fn newest_mark(&self) -> u64 {
        let marks = self.marks.iter().map(|mark| mark.number);
        marks.chain(self.trace_pages.iter().map(|page| page.number)).max().unwrap_or(0)
    }

    pub(crate) fn encode(&self) -> Bytes {
        let message = self.stored.with(TenantMessage {
            tenant: self.tenant.to_string(),
            pages: self.pages.iter().map(PageRef::to_message).collect(),
            groups: self.groups.iter().map(GroupRef::to_message).collect(),
            marks: self.marks.iter().map(Mark::to_message).collect(),
            mark_pages: self.mark_pages.iter().map(|id| id_bytes(id.0)).collect(),
            trace_pages: self.trace_pages.iter().map(TracePageRef::to_message).collect(),
            damaged: self.damaged.iter().map(|id| id_bytes(id.0)).collect(),
            retention: self.retention.as_ref().map(Policy::to_message),
        });
        message::encode(Kind::TenantPage, &message)
    }

    pub(crate) fn decode(object: &Bytes, tenant: &Tenant) -> Result<Self, Damage> {
        let found = Self::decode_any(object)?;
        match &found.tenant == tenant {
            true => Ok(found),
            false => Err(Damage::Content("it is the page of another tenant")),
        }
    }

    pub(crate) fn decode_any(object: &Bytes) -> Result<Self, Damage> {
        let mut stored: Open<TenantMessage> = message::decode(Kind::TenantPage, object)?;
        let message = std::mem::take(&mut stored.known);
        Ok(Self {
            tenant: message.tenant.parse().map_err(|_| Damage::Content("a tenant's name is none"))?,
            pages: message.pages.into_iter().map(PageRef::from_message).collect::<Result<_, _>>()?,
            groups: message.groups.into_iter().map(GroupRef::from_message).collect::<Result<_, _>>()?,
            marks: message.marks.into_iter().map(Mark::from_message).collect::<Result<_, _>>()?,
            mark_pages: object_ids(&message.mark_pages)?,
            trace_pages: message
                .trace_pages
                .into_iter()
                .map(TracePageRef::from_message)
                .collect::<Result<_, _>>()?,
            damaged: object_ids(&message.damaged)?,
            retention: message.retention.map(Policy::from_message),
            stored,
        })
    }
}

fn object_ids(ids: &[Vec<u8>]) -> Result<Vec<ObjectId>, Damage> {
    ids.iter().map(|id| id_of(id).map(ObjectId)).collect()
}

#[derive(Clone, PartialEq, Message)]
struct TenantMessage {
    #[prost(string, tag = "1")]
    tenant: String,
    #[prost(message, repeated, tag = "2")]
    pages: Vec<Open<PageRefMessage>>,
    #[prost(message, repeated, tag = "3")]
    groups: Vec<Open<GroupRefMessage>>,
    #[prost(message, repeated, tag = "4")]
    marks: Vec<Open<MarkMessage>>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    mark_pages: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    damaged: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "20")]
    trace_pages: Vec<Open<TracePageRefMessage>>,
    #[prost(message, optional, tag = "12")]
    retention: Option<Open<PolicyMessage>>,
}

#[derive(Clone, PartialEq, Message)]
struct PageRefMessage {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(uint32, tag = "2")]
    day: u32,
    #[prost(uint64, tag = "3")]
    blocks: u64,
    #[prost(uint64, tag = "4")]
    rows: u64,
    #[prost(uint64, tag = "5")]
    bytes: u64,
    #[prost(fixed64, tag = "6")]
    min_start: u64,
    #[prost(fixed64, tag = "7")]
    max_end: u64,
    #[prost(uint64, tag = "8")]
    grouped: u64,
    #[prost(fixed64, tag = "9")]
    last_named: u64,
    #[prost(uint64, tag = "12")]
    decided: u64,
    #[prost(uint32, tag = "13")]
    first_until: u32,
    #[prost(uint64, tag = "14")]
    oldest_policy: u64,
}

#[derive(Clone, PartialEq, Message)]
struct GroupRefMessage {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bool, tag = "2")]
    terms: bool,
    #[prost(uint32, tag = "3")]
    class: u32,
    #[prost(uint64, tag = "4")]
    blocks: u64,
    #[prost(bytes = "vec", tag = "5")]
    index: Vec<u8>,
    #[prost(fixed64, tag = "6")]
    min_start: u64,
    #[prost(fixed64, tag = "7")]
    max_end: u64,
}

impl KnownTags for TenantMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3, 4, 5, 9, 12, 20];
}

impl KnownTags for PageRefMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14];
}

impl KnownTags for GroupRefMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3, 4, 5, 6, 7];
}
