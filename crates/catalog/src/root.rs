//! `cat/root/<number>`: the catalog at one moment. Numbered, immutable, created if
//! absent; whose it is, its nonce says.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId, WriterId};
use siltstone_format::tenant::Tenant;
use siltstone_format::version::{FORMAT_VERSION, is_known};
use ulid::Ulid;

use crate::block_entry::{id_bytes, id_of};
use crate::block_page::Section;
use crate::message::{self, Damage, Kind, KnownTags, Open};
use crate::tenant_page::PageRef;
use crate::time::StoreTime;

/// How many publishes a root remembers.
pub const REMEMBERED_NONCES: usize = 64;

/// The catalog, without what its pages hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    pub number: u64,
    /// Of the publish that wrote it.
    pub nonce: Ulid,
    /// The last publishes: number and nonce, this root's among them.
    pub recent: Vec<(u64, Ulid)>,
    /// Format version that writers write.
    pub write_version: u32,
    pub writers: BTreeMap<WriterId, WriterState>,
    pub tenants: BTreeMap<Tenant, TenantRef>,
    pub retired: Vec<Retired>,
    /// A flush or a merge with a block named before this is refused.
    pub floor: StoreTime,
    /// Floors, and when each was published.
    pub floors: Vec<(StoreTime, Option<StoreTime>)>,
    /// Below this time of naming, objects that nobody refers to were swept.
    pub swept: StoreTime,
    /// A writer named before this time that the root does not know was forgotten: its
    /// entries are void.
    pub forgotten: StoreTime,
    /// Number of the newest mark.
    pub mark_number: u64,
    /// Blocks that a rebuild decided about: a log entry or a merge that names one comes
    /// too late to add it again.
    pub taken: BTreeSet<BlockId>,
    /// Blocks that a rebuild could not read and left out. No sweep takes them for orphans,
    /// so that they are there when they can be read again.
    pub unread: BTreeSet<BlockId>,
    stored: Open<RootMessage>,
}

/// What is known of a writer.
#[derive(Clone, Debug, PartialEq)]
pub struct WriterState {
    /// Entries below this number are folded.
    pub next: u64,
    /// All its further entries are void.
    pub fenced: bool,
    /// When its newest folded entry landed.
    pub last_entry: StoreTime,
    /// Damaged entries that were passed over: nothing of theirs is part of the data.
    pub passed_over: Vec<u64>,
    stored: Open<WriterMessage>,
}

/// What is known of a tenant without reading its page.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantRef {
    pub page: ObjectId,
    /// Days before this one are given up.
    pub cut: Option<Day>,
    pub blocks: u64,
    pub rows: u64,
    pub bytes: u64,
    /// Blocks that are not merged yet.
    pub inbox_blocks: u64,
    /// Number of its newest mark.
    pub newest_mark: u64,
    stored: Open<TenantRefMessage>,
}

/// Objects that one root gave up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retired {
    /// Store time of that root; unknown to itself.
    pub at: Option<StoreTime>,
    pub blocks: Vec<BlockId>,
    pub pages: Vec<ObjectId>,
    pub groups: Vec<ObjectId>,
    pub(crate) stored: Open<RetiredMessage>,
}

impl Retired {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        self.blocks.len() + self.pages.len() + self.groups.len()
    }
}

impl WriterState {
    pub(crate) fn unknown() -> Self {
        Self {
            next: 0,
            fenced: false,
            last_entry: StoreTime::default(),
            passed_over: Vec::new(),
            stored: Open::default(),
        }
    }
}

impl TenantRef {
    pub(crate) fn new(page: ObjectId, before: Option<&Self>) -> Self {
        Self {
            page,
            cut: before.and_then(|before| before.cut),
            blocks: 0,
            rows: 0,
            bytes: 0,
            inbox_blocks: 0,
            newest_mark: before.map_or(0, |before| before.newest_mark),
            stored: before.map_or_else(Open::default, |before| before.stored.clone()),
        }
    }
}

impl TenantRef {
    /// Counts a page of the tenant's blocks.
    pub(crate) fn count(&mut self, page: &PageRef) {
        self.blocks += page.blocks;
        self.rows += page.rows;
        self.bytes += page.bytes;
        self.inbox_blocks += if page.section == Section::Inbox { page.blocks } else { 0 };
    }
}

impl Root {
    /// The root of a store that holds nothing.
    pub(crate) fn first(nonce: Ulid) -> Self {
        Self {
            number: 0,
            nonce,
            recent: vec![(0, nonce)],
            write_version: FORMAT_VERSION,
            writers: BTreeMap::new(),
            tenants: BTreeMap::new(),
            retired: Vec::new(),
            floor: StoreTime::default(),
            floors: Vec::new(),
            swept: StoreTime::default(),
            forgotten: StoreTime::default(),
            mark_number: 0,
            taken: BTreeSet::new(),
            unread: BTreeSet::new(),
            stored: Open::default(),
        }
    }

    /// What this root, which landed at `at`, becomes when somebody publishes over it.
    pub(crate) fn successor(&self, at: StoreTime, nonce: Ulid) -> Self {
        let mut next = self.clone();
        // No count of publishes comes so far; a name in the store may say anything.
        next.number = next.number.saturating_add(1);
        next.nonce = nonce;
        next.recent.push((next.number, nonce));
        let forgotten = next.recent.len().saturating_sub(REMEMBERED_NONCES);
        next.recent.drain(..forgotten);
        for retired in &mut next.retired {
            retired.at.get_or_insert(at);
        }
        for (_, published) in &mut next.floors {
            published.get_or_insert(at);
        }
        next
    }

    /// Whether a log entry was damaged and given up.
    pub fn has_passed_over(&self, writer: WriterId, number: u64) -> bool {
        self.writers.get(&writer).is_some_and(|state| state.passed_over.contains(&number))
    }

    /// Whether a rebuild made it: nobody else publishes a floor and sweeps up to it at once.
    pub(crate) fn is_rebuilt(&self) -> bool {
        self.swept == self.floor && self.floors.as_slice() == [(self.floor, None)]
    }

    pub(crate) fn was_published_by(&self, nonce: Ulid) -> bool {
        self.recent.iter().any(|(_, recent)| *recent == nonce)
    }

    pub(crate) fn encode(&self) -> Bytes {
        message::encode(Kind::Root, &self.to_message())
    }

    /// Reads the root that stands under this number.
    pub(crate) fn decode(object: &Bytes, number: u64) -> Result<Self, Damage> {
        let found = Self::decode_any(object)?;
        match found.number == number {
            true => Ok(found),
            false => Err(Damage::Content("it is another root than its name says")),
        }
    }

    pub(crate) fn decode_any(object: &Bytes) -> Result<Self, Damage> {
        Self::from_message(message::decode(Kind::Root, object)?)
    }

    fn to_message(&self) -> Open<RootMessage> {
        self.stored.with(RootMessage {
            number: self.number,
            nonce: id_bytes(self.nonce),
            recent: self
                .recent
                .iter()
                .map(|(number, nonce)| RecentMessage { number: *number, nonce: id_bytes(*nonce) })
                .collect(),
            write_version: self.write_version,
            writers: self.writers.iter().map(|(writer, state)| state.to_message(*writer)).collect(),
            tenants: self.tenants.iter().map(|(tenant, page)| page.to_message(tenant)).collect(),
            retired: self.retired.iter().map(Retired::to_message).collect(),
            floor: self.floor.0,
            floors: self
                .floors
                .iter()
                .map(|(floor, at)| FloorMessage { floor: floor.0, at: at.map(|at| at.0) })
                .collect(),
            swept: self.swept.0,
            forgotten: self.forgotten.0,
            mark_number: self.mark_number,
            taken: packed(&mut self.taken.iter().map(|id| id.0)),
            unread: packed(&mut self.unread.iter().map(|id| id.0)),
        })
    }

    fn from_message(mut stored: Open<RootMessage>) -> Result<Self, Damage> {
        let message = std::mem::take(&mut stored.known);
        // Files of that version may be there, and this program would take them for damaged.
        if !is_known(message.write_version) {
            return Err(Damage::Version(message.write_version));
        }
        let recent = message.recent.iter().map(|recent| Ok((recent.number, id_of(&recent.nonce)?)));
        let floors = message.floors.iter();
        Ok(Self {
            number: message.number,
            nonce: id_of(&message.nonce)?,
            recent: recent.collect::<Result<_, Damage>>()?,
            write_version: message.write_version,
            writers: message.writers.into_iter().map(WriterState::from_message).collect::<Result<_, _>>()?,
            tenants: message.tenants.into_iter().map(TenantRef::from_message).collect::<Result<_, _>>()?,
            retired: message.retired.into_iter().map(Retired::from_message).collect::<Result<_, _>>()?,
            floor: StoreTime(message.floor),
            floors: floors.map(|floor| (StoreTime(floor.floor), floor.at.map(StoreTime))).collect(),
            swept: StoreTime(message.swept),
            forgotten: StoreTime(message.forgotten),
            mark_number: message.mark_number,
            taken: unpacked(&message.taken, BlockId)?.into_iter().collect(),
            unread: unpacked(&message.unread, BlockId)?.into_iter().collect(),
            stored,
        })
    }
}

impl WriterState {
    fn to_message(&self, writer: WriterId) -> Open<WriterMessage> {
        self.stored.with(WriterMessage {
            writer: id_bytes(writer.0),
            next: self.next,
            fenced: self.fenced,
            last_entry: self.last_entry.0,
            passed_over: self.passed_over.clone(),
        })
    }

    fn from_message(stored: Open<WriterMessage>) -> Result<(WriterId, Self), Damage> {
        let message = &stored.known;
        let writer = WriterId(id_of(&message.writer)?);
        let (next, fenced, last_entry) = (message.next, message.fenced, StoreTime(message.last_entry));
        let passed_over = message.passed_over.clone();
        Ok((writer, Self { next, fenced, last_entry, passed_over, stored: stored.rest() }))
    }
}

impl TenantRef {
    fn to_message(&self, tenant: &Tenant) -> Open<TenantRefMessage> {
        self.stored.with(TenantRefMessage {
            tenant: tenant.to_string(),
            page: id_bytes(self.page.0),
            cut: self.cut.map_or(0, |day| day.0),
            blocks: self.blocks,
            rows: self.rows,
            bytes: self.bytes,
            inbox_blocks: self.inbox_blocks,
            newest_mark: self.newest_mark,
        })
    }

    fn from_message(stored: Open<TenantRefMessage>) -> Result<(Tenant, Self), Damage> {
        let message = &stored.known;
        let tenant = message.tenant.parse().map_err(|_| Damage::Content("a tenant's name is none"))?;
        let found = Self {
            page: ObjectId(id_of(&message.page)?),
            cut: (message.cut > 0).then_some(Day(message.cut)),
            blocks: message.blocks,
            rows: message.rows,
            bytes: message.bytes,
            inbox_blocks: message.inbox_blocks,
            newest_mark: message.newest_mark,
            stored: stored.rest(),
        };
        Ok((tenant, found))
    }
}

impl Retired {
    fn to_message(&self) -> Open<RetiredMessage> {
        self.stored.with(RetiredMessage {
            at: self.at.map(|at| at.0),
            blocks: packed(&mut self.blocks.iter().map(|id| id.0)),
            pages: packed(&mut self.pages.iter().map(|id| id.0)),
            groups: packed(&mut self.groups.iter().map(|id| id.0)),
        })
    }

    fn from_message(stored: Open<RetiredMessage>) -> Result<Self, Damage> {
        let message = &stored.known;
        Ok(Self {
            at: message.at.map(StoreTime),
            blocks: unpacked(&message.blocks, BlockId)?,
            pages: unpacked(&message.pages, ObjectId)?,
            groups: unpacked(&message.groups, ObjectId)?,
            stored: stored.rest(),
        })
    }
}

/// Ids lie packed, 16 bytes each.
fn packed(ids: &mut dyn Iterator<Item = Ulid>) -> Vec<u8> {
    ids.flat_map(|id| id.to_bytes()).collect()
}

fn unpacked<T>(bytes: &[u8], id: impl Fn(Ulid) -> T) -> Result<Vec<T>, Damage> {
    let (ids, rest) = bytes.as_chunks();
    match rest.is_empty() {
        true => Ok(ids.iter().map(|bytes| id(Ulid::from_bytes(*bytes))).collect()),
        false => Err(Damage::Content("an id has not 16 bytes")),
    }
}

#[derive(Clone, PartialEq, Message)]
struct RootMessage {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "vec", tag = "2")]
    nonce: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    recent: Vec<RecentMessage>,
    #[prost(uint32, tag = "4")]
    write_version: u32,
    #[prost(message, repeated, tag = "5")]
    writers: Vec<Open<WriterMessage>>,
    #[prost(message, repeated, tag = "6")]
    tenants: Vec<Open<TenantRefMessage>>,
    #[prost(message, repeated, tag = "7")]
    retired: Vec<Open<RetiredMessage>>,
    #[prost(uint64, tag = "8")]
    floor: u64,
    #[prost(message, repeated, tag = "9")]
    floors: Vec<FloorMessage>,
    #[prost(uint64, tag = "10")]
    swept: u64,
    #[prost(uint64, tag = "11")]
    mark_number: u64,
    #[prost(uint64, tag = "12")]
    forgotten: u64,
    #[prost(bytes = "vec", tag = "16")]
    taken: Vec<u8>,
    #[prost(bytes = "vec", tag = "17")]
    unread: Vec<u8>,
}

/// It and [`FloorMessage`] have no room for fields of later releases.
#[derive(Clone, PartialEq, Message)]
struct RecentMessage {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "vec", tag = "2")]
    nonce: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct FloorMessage {
    #[prost(uint64, tag = "1")]
    floor: u64,
    #[prost(uint64, optional, tag = "2")]
    at: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct WriterMessage {
    #[prost(bytes = "vec", tag = "1")]
    writer: Vec<u8>,
    #[prost(uint64, tag = "2")]
    next: u64,
    #[prost(bool, tag = "3")]
    fenced: bool,
    #[prost(uint64, tag = "4")]
    last_entry: u64,
    #[prost(uint64, repeated, tag = "5")]
    passed_over: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct TenantRefMessage {
    #[prost(string, tag = "1")]
    tenant: String,
    #[prost(bytes = "vec", tag = "2")]
    page: Vec<u8>,
    #[prost(uint32, tag = "3")]
    cut: u32,
    #[prost(uint64, tag = "4")]
    blocks: u64,
    #[prost(uint64, tag = "5")]
    rows: u64,
    #[prost(uint64, tag = "6")]
    bytes: u64,
    #[prost(uint64, tag = "7")]
    inbox_blocks: u64,
    #[prost(uint64, tag = "20")]
    newest_mark: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RetiredMessage {
    #[prost(uint64, optional, tag = "1")]
    at: Option<u64>,
    #[prost(bytes = "vec", tag = "2")]
    blocks: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pages: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    groups: Vec<u8>,
}

impl KnownTags for RootMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 17];
}

impl KnownTags for RetiredMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3, 4];
}

impl KnownTags for WriterMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3, 4, 5];
}

impl KnownTags for TenantRefMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3, 4, 5, 6, 7, 20];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_refuse_a_catalog_whose_files_it_may_not_be_able_to_read() {
        let mut root = Root::first(Ulid::from_bytes([7; 16]));
        assert!(Root::decode_any(&root.encode()).is_ok());
        root.write_version = FORMAT_VERSION + 1;
        assert_eq!(Root::decode_any(&root.encode()), Err(Damage::Version(FORMAT_VERSION + 1)));
    }
}
