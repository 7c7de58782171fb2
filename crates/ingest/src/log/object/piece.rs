//! A piece: what one PUT of the log brings to the store. Numbers are little-endian.
//!
//! ```text
//!  0            8         12         16       32      40      48      52         56         60         64
//!  | "SILTPIEC" | version | checksum | writer | piece | flush | flags | length   | checksum | checksum | zstd:
//!  |            |         | of these |        |       |       |       | unpacked | packed   | of all   | records
//! ```
//!
//! The first 16 bytes are the same in every version. Flag 1: a seal, put by somebody who takes the writer over;
//! it has no records, and nothing comes after it. A piece holds records of one flush.

use bytes::{Buf, Bytes};
use siltstone_format::id::WriterId;
use ulid::Ulid;
use zstd::bulk::{Compressor, Decompressor};

use crate::log::record::{HEAD_LEN, Head, Place, encode_before_body, encoded_len};
use crate::log::{Record, SegmentName};

const MAGIC: [u8; 8] = *b"SILTPIEC";
const VERSION: u32 = 1;
/// Its records know deletions: who reads version 1 alone would take them for damage.
const KNOWING_VERSION: u32 = 2;
const HEADER_LEN: usize = 64;
const SEALED: u32 = 1;
const LEVEL: i32 = 1;
/// What a piece may grow to when it is opened.
pub(super) const MOST_UNPACKED_BYTES: usize = 512 << 20;

/// Where a piece stands: `wal/<writer>-<number>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceName {
    pub writer: WriterId,
    pub number: u64,
}

/// What a piece is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Records { segment: SegmentName, records: Vec<Record> },
    Seal,
}

/// Which piece it is, without its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Records(SegmentName),
    Seal,
}

/// A piece cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PieceError {
    #[error("it is of version {0} of the log, which this program does not know")]
    UnknownVersion(u32),
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("it would hold more than {MOST_UNPACKED_BYTES} bytes")]
    TooLarge,
    #[error("it cannot be packed: {0}")]
    Packing(#[source] std::io::Error),
}

struct Header {
    version: u32,
    flags: u32,
    name: PieceName,
    flush: u64,
    unpacked_len: u32,
    packed_checksum: u32,
}

pub(super) fn encode(name: PieceName, flush: u64, records: &[Record]) -> Result<Bytes, PieceError> {
    let place = place(name);
    // As much as they take, and not what growing would make of it.
    let unpacked_len = records.iter().map(encoded_len).sum::<u64>();
    let mut unpacked = Vec::with_capacity(unpacked_len.min(MOST_UNPACKED_BYTES as u64) as usize);
    for record in records {
        encode_before_body(record, &place, &mut unpacked).map_err(|_| PieceError::TooLarge)?;
        unpacked.extend_from_slice(&record.body);
        if unpacked.len() > MOST_UNPACKED_BYTES {
            return Err(PieceError::TooLarge);
        }
    }
    let packed = Compressor::new(LEVEL).and_then(|mut compressor| compressor.compress(&unpacked));
    let packed = packed.map_err(PieceError::Packing)?;
    let unpacked_len = u32::try_from(unpacked.len()).map_err(|_| PieceError::TooLarge)?;
    let packed_checksum = crc32fast::hash(&packed);
    let knows_deletions = records.iter().any(|record| record.known_deletions > 0);
    let version = if knows_deletions { KNOWING_VERSION } else { VERSION };
    let mut bytes = Header { version, flags: 0, name, flush, unpacked_len, packed_checksum }.encode();
    bytes.extend_from_slice(&packed);
    Ok(bytes.into())
}

pub(super) fn encode_seal(name: PieceName) -> Bytes {
    let packed_checksum = crc32fast::hash(&[]);
    Header { version: VERSION, flags: SEALED, name, flush: 0, unpacked_len: 0, packed_checksum }
        .encode()
        .into()
}

/// What kind of piece stands under a name.
pub(super) fn kind(name: PieceName, bytes: &[u8]) -> Result<Kind, PieceError> {
    Header::decode(name, bytes).map(|header| header.kind())
}

pub(super) fn decode(name: PieceName, bytes: &[u8]) -> Result<Piece, PieceError> {
    let header = Header::decode(name, bytes)?;
    let Kind::Records(segment) = header.kind() else { return Ok(Piece::Seal) };
    let packed = bytes.get(HEADER_LEN..).unwrap_or_default();
    if crc32fast::hash(packed) != header.packed_checksum {
        return Err(PieceError::Damaged("its checksum is wrong"));
    }
    let unpacked_len = header.unpacked_len as usize;
    if unpacked_len > MOST_UNPACKED_BYTES {
        return Err(PieceError::TooLarge);
    }
    let mut unpacked = Vec::with_capacity(unpacked_len);
    let done = Decompressor::new()
        .and_then(|mut decompressor| decompressor.decompress_to_buffer(packed, &mut unpacked));
    if done.ok() != Some(unpacked_len) {
        return Err(PieceError::Damaged("it does not unpack to what it says"));
    }
    let records = decode_records(unpacked.into(), &place(name))?;
    Ok(Piece::Records { segment, records })
}

fn decode_records(mut bytes: Bytes, place: &Place) -> Result<Vec<Record>, PieceError> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let damaged = PieceError::Damaged("one of its records is not whole");
        let Some(head) = Head::decode(&bytes, place) else { return Err(damaged) };
        bytes.advance(HEAD_LEN);
        if head.content_len() > bytes.len() as u64 {
            return Err(damaged);
        }
        let Some(record) = head.record(bytes.split_to(head.content_len() as usize)) else {
            return Err(damaged);
        };
        records.push(record);
    }
    Ok(records)
}

fn place(name: PieceName) -> Place {
    Place::new(SegmentName { writer: name.writer, number: name.number }, 0)
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes.extend_from_slice(&self.name.writer.0.to_bytes());
        bytes.extend_from_slice(&self.name.number.to_le_bytes());
        bytes.extend_from_slice(&self.flush.to_le_bytes());
        bytes.extend_from_slice(&self.flags.to_le_bytes());
        bytes.extend_from_slice(&self.unpacked_len.to_le_bytes());
        bytes.extend_from_slice(&self.packed_checksum.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    fn decode(name: PieceName, bytes: &[u8]) -> Result<Self, PieceError> {
        let damaged = PieceError::Damaged("it does not begin like a piece of the log");
        let Some(header) = bytes.first_chunk::<16>().filter(|begin| begin.starts_with(&MAGIC)) else {
            return Err(damaged);
        };
        let mut version = header.get(8..).unwrap_or_default();
        let (number, checksum) = (version.get_u32_le(), version.get_u32_le());
        if checksum != crc32fast::hash(header.get(..12).unwrap_or_default()) {
            return Err(damaged);
        }
        if ![VERSION, KNOWING_VERSION].contains(&number) {
            return Err(PieceError::UnknownVersion(number));
        }
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else { return Err(damaged) };
        let mut rest = header.get(16..).unwrap_or_default();
        let found = PieceName { writer: WriterId(Ulid(rest.get_u128())), number: rest.get_u64_le() };
        let (flush, flags) = (rest.get_u64_le(), rest.get_u32_le());
        let (unpacked_len, packed_checksum) = (rest.get_u32_le(), rest.get_u32_le());
        if rest.get_u32_le() != crc32fast::hash(header.get(..HEADER_LEN - 4).unwrap_or_default()) {
            return Err(damaged);
        }
        if found != name {
            return Err(PieceError::Damaged("it is another piece than its name says"));
        }
        Ok(Self { version: number, flags, name, flush, unpacked_len, packed_checksum })
    }

    fn kind(&self) -> Kind {
        match self.flags & SEALED {
            0 => Kind::Records(SegmentName { writer: self.name.writer, number: self.flush }),
            _ => Kind::Seal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u64) -> PieceName {
        PieceName { writer: WriterId(Ulid(7 << 90)), number }
    }

    fn records(count: u64) -> Vec<Record> {
        let record = |id: u64| Record {
            tenant: "a".parse().unwrap(),
            arrived_unix_millis: id,
            known_deletions: id / 2,
            refused: vec![1, id as u32],
            body: vec![id as u8; 50].into(),
        };
        (0..count).map(record).collect()
    }

    #[test]
    fn should_round_trip_pieces_and_seals() {
        for count in [0, 1, 20] {
            let bytes = encode(name(3), 9, &records(count)).unwrap();
            let segment = SegmentName { writer: name(3).writer, number: 9 };
            let piece = Piece::Records { segment, records: records(count) };
            assert_eq!(decode(name(3), &bytes).unwrap(), piece);
            assert_eq!(kind(name(3), &bytes).unwrap(), Kind::Records(segment));
        }
        assert_eq!(decode(name(3), &encode_seal(name(3))).unwrap(), Piece::Seal);
    }

    #[test]
    fn should_refuse_any_changed_byte_any_other_length_and_any_other_name() {
        let bytes = encode(name(3), 9, &records(5)).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 4;
            assert!(decode(name(3), &changed).is_err(), "{at}");
            assert!(decode(name(3), &bytes[..at]).is_err(), "{at}");
        }
        assert!(decode(name(4), &bytes).is_err());
    }

    #[test]
    fn should_not_open_what_says_that_it_is_huge() {
        let mut bytes = encode(name(3), 9, &records(5)).unwrap().to_vec();
        bytes[52..56].copy_from_slice(&u32::MAX.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
        assert!(matches!(decode(name(3), &bytes), Err(PieceError::TooLarge)));
    }
}
