//! How the catalog's objects are written: an envelope around a protobuf message.
//!
//! ```text
//! "SLTC" | version, 4 bytes | kind, 4 bytes | xxh3 of kind and message, 8 bytes | message
//! ```
//!
//! Numbers are little endian. A version that this program does not know is refused.
//! Fields that a later release added within a version are kept by a rewrite
//! (`message/open.rs`), so releases may work side by side.

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use siltstone_format::version::{FORMAT_VERSION, OLDEST_FORMAT_VERSION, is_known};
use xxhash_rust::xxh3::xxh3_64_with_seed;

mod open;

pub(crate) use open::{KnownTags, Open};

const MAGIC: [u8; 4] = *b"SLTC";
const HEADER_BYTES: usize = 20;

/// What an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    LogEntry = 1,
    Root = 2,
    TenantPage = 3,
    BlockPage = 4,
    MarkPage = 5,
    GroupIndex = 6,
    Lease = 8,
    TracePage = 11,
    Deletion = 12,
}

/// Why an object of the catalog cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("it is no object of the catalog")]
    NotOurs,
    #[error(
        "its version is {0}, and this program reads {OLDEST_FORMAT_VERSION} to {FORMAT_VERSION}: \
         use the release that wrote it, or a newer one"
    )]
    Version(u32),
    #[error("it holds another kind of object (number {0})")]
    OtherKind(u32),
    #[error("its checksum is wrong")]
    Checksum,
    #[error("its message is damaged: {0}")]
    Message(#[from] prost::DecodeError),
    #[error("it is not there")]
    Gone,
    #[error("{0}")]
    Content(&'static str),
}

pub(crate) fn encode(kind: Kind, message: &impl Message) -> Bytes {
    seal(kind as u32, &message.encode_to_vec())
}

/// Puts the envelope around a message.
pub fn seal(kind: u32, message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(HEADER_BYTES + message.len());
    out.put_slice(&MAGIC);
    out.put_u32_le(FORMAT_VERSION);
    out.put_u32_le(kind);
    out.put_u64_le(xxh3_64_with_seed(message, u64::from(kind)));
    out.put_slice(message);
    out.into()
}

/// The kind that an object says it is.
pub(crate) fn kind_of(object: &Bytes) -> Result<u32, Damage> {
    let header = object.get(..HEADER_BYTES).ok_or(Damage::NotOurs)?;
    Ok((&header[MAGIC.len() + 4..]).get_u32_le())
}

pub(crate) fn decode<M: Message + Default>(kind: Kind, object: &Bytes) -> Result<M, Damage> {
    let mut header = object.get(..HEADER_BYTES).ok_or(Damage::NotOurs)?;
    if header.copy_to_bytes(MAGIC.len())[..] != MAGIC {
        return Err(Damage::NotOurs);
    }
    let (version, found, hash) = (header.get_u32_le(), header.get_u32_le(), header.get_u64_le());
    if !is_known(version) {
        return Err(Damage::Version(version));
    }
    let body = object.slice(HEADER_BYTES..);
    if hash != xxh3_64_with_seed(&body, u64::from(found)) {
        return Err(Damage::Checksum);
    }
    if found != kind as u32 {
        return Err(Damage::OtherKind(found));
    }
    Ok(M::decode(body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Sample {
        #[prost(string, tag = "1")]
        text: String,
    }

    #[test]
    fn should_find_every_damaged_byte() {
        let sample = Sample { text: "stone".to_owned() };
        let object = encode(Kind::Root, &sample);
        assert_eq!(decode::<Sample>(Kind::Root, &object), Ok(sample));
        for at in 0..object.len() {
            let mut damaged = object.to_vec();
            damaged[at] ^= 1;
            assert!(decode::<Sample>(Kind::Root, &damaged.into()).is_err(), "byte {at}");
            assert!(decode::<Sample>(Kind::Root, &object.slice(..at)).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn should_refuse_another_kind_and_a_later_version() {
        let object = encode(Kind::Root, &Sample::default());
        assert_eq!(decode::<Sample>(Kind::LogEntry, &object), Err(Damage::OtherKind(2)));
        let mut later = object.to_vec();
        later[4] = 99;
        assert_eq!(decode::<Sample>(Kind::Root, &later.into()), Err(Damage::Version(99)));
    }
}
