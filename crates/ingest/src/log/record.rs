//! The bytes of one record, in every log. Numbers are little-endian.
//!
//! ```text
//!  0       4        8         12       16        24           28         32
//!  | "sRc1" | tenant | refused | body   | arrived | content    | head     | tenant | refused | body
//!  |        | length | count   | length | millis  | checksum   | checksum | name   | u32 …   |
//! ```
//!
//! `sRc2` has the number of the newest deletion that was known (u64) before the tenant; `sRc1` knew none.
//!
//! The head has a checksum of its own, so that a wrong length is never followed; it covers the record's place
//! too (which log, which part), which a sender does not know: bytes inside a body are never taken for a record.

use bytes::{Buf, BufMut, Bytes};
use crc32fast::Hasher;
use siltstone_format::tenant::Tenant;

use super::{Record, SegmentName};

pub(crate) const HEAD_LEN: usize = 32;
/// What every record begins with.
pub(crate) const MAGIC: [u8; 3] = *b"sRc";
const WITHOUT_DELETIONS: u8 = b'1';
const WITH_DELETIONS: u8 = b'2';
const DELETIONS_LEN: usize = 8;
const CHECKED_LEN: usize = HEAD_LEN - 4;

/// Where records stand: a part of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Place(Hasher);

/// A record says of itself more than its format can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record holds 4 GiB at most, in its body and in the list of refused spans")]
pub(crate) struct TooLarge;

/// A head whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    knows_deletions: bool,
    tenant_len: u32,
    refused_count: u32,
    body_len: u32,
    arrived_unix_millis: u64,
    content_checksum: u32,
}

impl Place {
    pub(crate) fn new(segment: SegmentName, part: u32) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&segment.writer.0.to_bytes());
        hasher.update(&segment.number.to_le_bytes());
        hasher.update(&part.to_le_bytes());
        Self(hasher)
    }

    fn checksum(&self, head: &[u8]) -> u32 {
        let mut hasher = self.0.clone();
        hasher.update(head);
        hasher.finalize()
    }
}

/// Bytes that a record takes.
pub(crate) fn encoded_len(record: &Record) -> u64 {
    let deletions = if record.known_deletions > 0 { DELETIONS_LEN } else { 0 };
    let before_body = HEAD_LEN + deletions + record.tenant.as_str().len() + 4 * record.refused.len();
    before_body as u64 + record.body.len() as u64
}

/// Appends everything of a record but its body, which follows.
pub(crate) fn encode_before_body(record: &Record, place: &Place, into: &mut Vec<u8>) -> Result<(), TooLarge> {
    let short = |length: usize| u32::try_from(length).map_err(|_| TooLarge);
    let tenant = record.tenant.as_str().as_bytes();
    short(record.refused.len().saturating_mul(4))?;
    let lengths = [short(tenant.len())?, short(record.refused.len())?, short(record.body.len())?];

    let start = into.len();
    into.resize(start + HEAD_LEN, 0);
    if record.known_deletions > 0 {
        into.put_u64_le(record.known_deletions);
    }
    into.extend_from_slice(tenant);
    into.extend(record.refused.iter().flat_map(|ordinal| ordinal.to_le_bytes()));
    let mut content = Hasher::new();
    content.update(into.get(start + HEAD_LEN..).unwrap_or_default());
    content.update(&record.body);

    let mut head = [0; HEAD_LEN];
    let mut rest = head.as_mut_slice();
    rest.put_slice(&MAGIC);
    rest.put_u8(if record.known_deletions > 0 { WITH_DELETIONS } else { WITHOUT_DELETIONS });
    lengths.into_iter().for_each(|length| rest.put_u32_le(length));
    rest.put_u64_le(record.arrived_unix_millis);
    rest.put_u32_le(content.finalize());
    let checksum = place.checksum(&head[..CHECKED_LEN]);
    head[CHECKED_LEN..].copy_from_slice(&checksum.to_le_bytes());
    into.iter_mut().skip(start).zip(head).for_each(|(to, from)| *to = from);
    Ok(())
}

impl Head {
    /// None if there is no head of a record of this place.
    pub(crate) fn decode(bytes: &[u8], place: &Place) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEAD_LEN>()?;
        let mut rest = bytes.strip_prefix(&MAGIC)?;
        let knows_deletions = match rest.get_u8() {
            WITHOUT_DELETIONS => false,
            WITH_DELETIONS => true,
            _ => return None,
        };
        let head = Self {
            knows_deletions,
            tenant_len: rest.get_u32_le(),
            refused_count: rest.get_u32_le(),
            body_len: rest.get_u32_le(),
            arrived_unix_millis: rest.get_u64_le(),
            content_checksum: rest.get_u32_le(),
        };
        let is_right = rest.get_u32_le() == place.checksum(&bytes[..CHECKED_LEN]);
        is_right.then_some(head)
    }

    /// Bytes behind the head.
    pub(crate) fn content_len(&self) -> u64 {
        let deletions = if self.knows_deletions { DELETIONS_LEN as u64 } else { 0 };
        deletions + u64::from(self.tenant_len) + 4 * u64::from(self.refused_count) + u64::from(self.body_len)
    }

    /// None if that is not the content that was written behind this head.
    pub(crate) fn record(&self, mut content: Bytes) -> Option<Record> {
        if content.len() as u64 != self.content_len() || crc32fast::hash(&content) != self.content_checksum {
            return None;
        }
        let known_deletions = if self.knows_deletions { content.get_u64_le() } else { 0 };
        let tenant = content.split_to(self.tenant_len as usize);
        let tenant: Tenant = std::str::from_utf8(&tenant).ok()?.parse().ok()?;
        let mut ordinals = content.split_to(4 * self.refused_count as usize);
        let refused = (0..self.refused_count).map(|_| ordinals.get_u32_le()).collect();
        let arrived_unix_millis = self.arrived_unix_millis;
        Some(Record { tenant, arrived_unix_millis, known_deletions, refused, body: content })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use siltstone_format::id::WriterId;
    use ulid::Ulid;

    use super::*;

    fn place(number: u64) -> Place {
        Place::new(SegmentName { writer: WriterId(Ulid(7)), number }, 0)
    }

    fn encode(record: &Record, place: &Place) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_before_body(record, place, &mut bytes).unwrap();
        bytes.extend_from_slice(&record.body);
        bytes
    }

    fn decode(bytes: &[u8], place: &Place) -> Option<Record> {
        let head = Head::decode(bytes, place)?;
        head.record(Bytes::copy_from_slice(bytes.get(HEAD_LEN..)?))
    }

    fn some_record() -> impl Strategy<Value = Record> {
        let parts = (
            "[a-z]{1,20}",
            any::<u64>(),
            prop_oneof![Just(0), any::<u64>()],
            prop::collection::vec(any::<u32>(), 0..5),
            prop::collection::vec(any::<u8>(), 0..200),
        );
        parts.prop_map(|(tenant, arrived_unix_millis, known_deletions, refused, body)| Record {
            tenant: tenant.parse().unwrap(),
            arrived_unix_millis,
            known_deletions,
            refused,
            body: body.into(),
        })
    }

    proptest! {
        #[test]
        fn should_round_trip_and_take_what_it_said(record in some_record()) {
            let bytes = encode(&record, &place(1));
            prop_assert_eq!(bytes.len() as u64, encoded_len(&record));
            prop_assert_eq!(decode(&bytes, &place(1)), Some(record));
        }

        #[test]
        fn should_refuse_a_changed_byte_and_another_place(record in some_record(), at in any::<prop::sample::Index>(), change in 1u8..) {
            let mut bytes = encode(&record, &place(1));
            prop_assert_eq!(decode(&bytes, &place(2)), None);
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            prop_assert_eq!(decode(&bytes, &place(1)), None);
        }

        #[test]
        fn should_not_panic_at_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode(&bytes, &place(1)), None);
        }
    }
}
