//! A transposed group: the filters of many blocks, so that one range asks them all.
//!
//! ```text
//! "SLTG"
//! format version      4 bytes
//! kind                1 byte: 0 trace ids, 1 terms
//! size class          1 byte
//! number of blocks    2 bytes: 1 to 8,192
//! block ids           16 bytes each, in order
//! xxh3 of the above   8 bytes
//! row 0               bucket 0 of each block's filter, 32 bytes each, in the order of the ids
//!                     xxh3 of these buckets, seeded with the header's xxh3 plus the row's number, 8 bytes
//! row 1               bucket 1 of each …
//! …                   as many rows as the size class has buckets
//! ```
//!
//! All numbers are little endian, ids as ULIDs write them. A key lies in the same
//! bucket of all filters, so a probe reads one row: its place follows from the header.
//! A filter of a class can be spread over twice the buckets (row j then holds bucket
//! j / 2), so a group takes filters of its own class c and of c - 4, c - 8 and so on.
//!
//! Each row bears a checksum of its own, because a probe reads nothing else. Its seed
//! ties it to its place: bytes of another row or another group would deny keys that
//! are there. A damaged row fails open: each block may hold the key. The probe says so,
//! and [`merge`] counts such rows, that someone may build the group anew.

use std::ops::Range;

use ulid::Ulid;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::size::SizeClass;
use super::split_block::{BUCKET_BYTES, FilterKey};
use crate::id::BlockId;
use crate::version::{FORMAT_VERSION, OLDEST_FORMAT_VERSION, is_known};

mod merge;

pub use merge::{Merged, Merger, add, build, merge};

/// Most blocks of one group: a probe then reads 256 KiB, which costs about as much time
/// as the request itself, and eight such groups hold 65,536 blocks.
pub const MAX_GROUP_BLOCKS: usize = 8192;

const MAGIC: [u8; 4] = *b"SLTG";
const ID_BYTES: usize = 16;
const HASH_BYTES: usize = 8;
/// All that stands before the block ids.
const FIXED_BYTES: usize = 12;

/// A group cannot be read, or cannot be made. The caller knows the object's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    #[error("the header of the filter group is cut off: {actual} bytes of at least {needed}")]
    CutOff { actual: usize, needed: usize },
    #[error("it is no filter group: it begins with {0:02x?}")]
    NotAGroup([u8; 4]),
    #[error(
        "its format version is {0}, and this program reads {OLDEST_FORMAT_VERSION} to {FORMAT_VERSION}: \
         read it with the release that wrote it, or a newer one"
    )]
    Version(u32),
    #[error("it is damaged: no kind of filter has the number {0}")]
    Kind(u8),
    #[error("it is damaged: no size class has the number {0}")]
    Class(u8),
    #[error("it is damaged: the checksum of its header is wrong")]
    DamagedHeader,
    #[error("it is damaged: it has {actual} bytes, and its header says {expected}")]
    Length { actual: u64, expected: u64 },
    #[error("a filter group without blocks")]
    NoBlocks,
    #[error("{0} blocks in one filter group: {MAX_GROUP_BLOCKS} at most")]
    TooManyBlocks(usize),
    #[error("block {0} is twice in one filter group")]
    DuplicateBlock(BlockId),
    #[error("filters of size class {from} cannot be spread over class {to}")]
    CannotSpread { from: u8, to: u8 },
    #[error("filters of trace ids and of terms in one filter group")]
    MixedKinds,
}

/// What the filters of a group are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupKind {
    TraceIds,
    Terms,
}

impl GroupKind {
    fn number(self) -> u8 {
        match self {
            Self::TraceIds => 0,
            Self::Terms => 1,
        }
    }

    fn from_number(number: u8) -> Result<Self, GroupError> {
        [Self::TraceIds, Self::Terms]
            .into_iter()
            .find(|kind| kind.number() == number)
            .ok_or(GroupError::Kind(number))
    }
}

/// Which blocks may hold a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// In the order of the group. A block that is not among them does not hold the key.
    pub blocks: Vec<BlockId>,
    /// The row was damaged or not the wanted one, so these are all blocks of the group.
    pub damaged: bool,
}

/// The beginning of a group: all that is needed to probe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    kind: GroupKind,
    class: SizeClass,
    blocks: Vec<BlockId>,
    hash: u64,
}

impl GroupHeader {
    fn new(kind: GroupKind, class: SizeClass, blocks: Vec<BlockId>) -> Result<Self, GroupError> {
        let mut header = Self { kind, class, blocks, hash: 0 }.checked()?;
        header.hash = xxh3_64(&header.hashed_bytes());
        Ok(header)
    }

    fn checked(self) -> Result<Self, GroupError> {
        match self.blocks.len() {
            0 => return Err(GroupError::NoBlocks),
            1..=MAX_GROUP_BLOCKS => {}
            blocks => return Err(GroupError::TooManyBlocks(blocks)),
        }
        let mut sorted = self.blocks.clone();
        sorted.sort_unstable();
        match sorted.array_windows().find(|[block, next]| block == next) {
            Some([block, _]) => Err(GroupError::DuplicateBlock(*block)),
            None => Ok(self),
        }
    }

    /// Bytes of the header of a group of so many blocks.
    pub const fn header_len(blocks: usize) -> usize {
        FIXED_BYTES + blocks * ID_BYTES + HASH_BYTES
    }

    /// Reads the header from the first bytes of an object; more bytes do not matter.
    pub fn parse(bytes: &[u8]) -> Result<Self, GroupError> {
        let cut_off = |needed| GroupError::CutOff { actual: bytes.len(), needed };
        let (magic, rest) = bytes.split_first_chunk().ok_or(cut_off(Self::header_len(1)))?;
        if *magic != MAGIC {
            return Err(GroupError::NotAGroup(*magic));
        }
        let (version, rest) = rest.split_first_chunk().ok_or(cut_off(Self::header_len(1)))?;
        let version = u32::from_le_bytes(*version);
        if !is_known(version) {
            return Err(GroupError::Version(version));
        }
        let ([kind, class, count @ ..], rest) =
            rest.split_first_chunk::<4>().ok_or(cut_off(Self::header_len(1)))?;
        let kind = GroupKind::from_number(*kind)?;
        let class = SizeClass::from_number(*class).ok_or(GroupError::Class(*class))?;
        let count = usize::from(u16::from_le_bytes(*count));
        let (ids, rest) = rest.split_at_checked(count * ID_BYTES).ok_or(cut_off(Self::header_len(count)))?;
        let hash = rest.first_chunk().ok_or(cut_off(Self::header_len(count)))?;
        let hash = u64::from_le_bytes(*hash);
        if hash != xxh3_64(&bytes[..FIXED_BYTES + ids.len()]) {
            return Err(GroupError::DamagedHeader);
        }
        let ids = ids.as_chunks::<ID_BYTES>().0;
        let blocks = ids.iter().map(|id| BlockId(Ulid::from_bytes(*id))).collect();
        Self { kind, class, blocks, hash }.checked()
    }

    /// The bytes that the group begins with.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.hashed_bytes();
        bytes.extend(self.hash.to_le_bytes());
        bytes
    }

    pub fn kind(&self) -> GroupKind {
        self.kind
    }

    pub fn class(&self) -> SizeClass {
        self.class
    }

    /// The blocks, in the order of their filters.
    pub fn blocks(&self) -> &[BlockId] {
        &self.blocks
    }

    /// Bytes of the whole group.
    pub fn object_len(&self) -> u64 {
        self.row_start(self.class.buckets())
    }

    /// Bytes of a group of so many blocks.
    pub fn object_len_of(class: SizeClass, blocks: usize) -> u64 {
        row_start(blocks, class.buckets())
    }

    /// How many rows of this group fit into so many bytes; one at least.
    pub fn rows_within(&self, bytes: usize) -> usize {
        (bytes / self.row_len()).max(1)
    }

    /// The bytes of the group that a probe for this key needs.
    pub fn probe_range(&self, key: FilterKey) -> Range<u64> {
        Self::probe_range_of(self.class, self.blocks.len(), key)
    }

    /// The same of a group of which only size class and number of blocks are known, so that
    /// row and header can be fetched side by side.
    pub fn probe_range_of(class: SizeClass, blocks: usize, key: FilterKey) -> Range<u64> {
        let row = key.bucket(class.buckets());
        row_start(blocks, row)..row_start(blocks, row + 1)
    }

    /// Which blocks may hold a key, by the bytes of its [`Self::probe_range`].
    pub fn probe(&self, key: FilterKey, row_bytes: &[u8]) -> Probe {
        let Some(buckets) = self.intact(key.bucket(self.class.buckets()), row_bytes) else {
            return Probe { blocks: self.blocks.clone(), damaged: true };
        };
        let buckets = buckets.as_chunks::<BUCKET_BYTES>().0;
        let holding = self.blocks.iter().zip(buckets).filter(|(_, bucket)| key.is_in(bucket));
        Probe { blocks: holding.map(|(block, _)| *block).collect(), damaged: false }
    }

    /// The buckets of a row, if these bytes are that row.
    fn intact<'a>(&self, row: usize, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (buckets, hash) = bytes.split_last_chunk()?;
        let fits = bytes.len() == self.row_len();
        (fits && self.row_hash(row, buckets) == u64::from_le_bytes(*hash)).then_some(buckets)
    }

    fn row_hash(&self, row: usize, buckets: &[u8]) -> u64 {
        xxh3_64_with_seed(buckets, self.hash.wrapping_add(row as u64))
    }

    fn row_len(&self) -> usize {
        row_len(self.blocks.len())
    }

    fn row_start(&self, row: usize) -> u64 {
        row_start(self.blocks.len(), row)
    }

    fn hashed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::header_len(self.blocks.len()));
        out.extend(MAGIC);
        out.extend(FORMAT_VERSION.to_le_bytes());
        out.extend([self.kind.number(), self.class.number()]);
        out.extend((self.blocks.len() as u16).to_le_bytes());
        self.blocks.iter().for_each(|block| out.extend(block.0.to_bytes()));
        out
    }
}

fn row_len(blocks: usize) -> usize {
    blocks * BUCKET_BYTES + HASH_BYTES
}

fn row_start(blocks: usize, row: usize) -> u64 {
    GroupHeader::header_len(blocks) as u64 + row as u64 * row_len(blocks) as u64
}

#[cfg(test)]
mod tests;
