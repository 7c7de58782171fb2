//! Object keys: the only place that formats or parses one.
//!
//! ```text
//! blk/<block>/spans.parquet        one row a span
//! blk/<block>/origins.parquet      origins and filters of the same block
//! cat/log/<writer>-<n>             log entry: one flush
//! cat/root/<number>                root
//! man/<object>                     page of the catalog: of a tenant, of blocks, of marks
//! flt/<object>                     transposed filter group
//! lse/<job>                        lease: somebody works on this job
//! clk/<object>                     written to learn the store's time, and deleted at once
//! wal/<writer>-<n>                 log segment of an ingester without a disk
//! ing/<ingester>                   an ingester that holds spans which are in no block yet
//! del/<object>                     a deletion, as it was asked for
//! ```
//!
//! Numbers have 20 digits, so that the order of keys is the order of numbers. Pages and
//! groups lie under their ids alone, so that those drawn in a span of time are a range
//! of keys.

use std::fmt;
use std::str::FromStr;

use crate::id::{BlockId, ObjectId, WriterId};

/// Every object that the store may hold, below the prefix that the user gave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKey {
    Spans(BlockId),
    Origins(BlockId),
    LogEntry { writer: WriterId, number: u64 },
    Root { number: u64 },
    Page(ObjectId),
    FilterGroup(ObjectId),
    Lease(ObjectId),
    ClockProbe(ObjectId),
    LogSegment { writer: WriterId, number: u64 },
    Ingester(ObjectId),
    Deletion(ObjectId),
}

/// A key is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is not the key of an object of this store")]
pub struct KeyError {
    key: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spans(block) => write!(f, "blk/{block}/spans.parquet"),
            Self::Origins(block) => write!(f, "blk/{block}/origins.parquet"),
            Self::LogEntry { writer, number } => write!(f, "cat/log/{writer}-{number:020}"),
            Self::Root { number } => write!(f, "cat/root/{number:020}"),
            Self::Page(id) => write!(f, "man/{id}"),
            Self::FilterGroup(id) => write!(f, "flt/{id}"),
            Self::Lease(job) => write!(f, "lse/{job}"),
            Self::ClockProbe(id) => write!(f, "clk/{id}"),
            Self::LogSegment { writer, number } => write!(f, "wal/{writer}-{number:020}"),
            Self::Ingester(id) => write!(f, "ing/{id}"),
            Self::Deletion(id) => write!(f, "del/{id}"),
        }
    }
}

impl FromStr for ObjectKey {
    type Err = KeyError;

    fn from_str(key: &str) -> Result<Self, KeyError> {
        parse(key).ok_or_else(|| KeyError { key: key.to_owned() })
    }
}

fn parse(key: &str) -> Option<ObjectKey> {
    let parts: Vec<&str> = key.split('/').collect();
    Some(match *parts.as_slice() {
        ["blk", block, "spans.parquet"] => ObjectKey::Spans(block.parse().ok()?),
        ["blk", block, "origins.parquet"] => ObjectKey::Origins(block.parse().ok()?),
        ["cat", "log", name] => {
            let (writer, number) = writer_and_number(name)?;
            ObjectKey::LogEntry { writer, number }
        }
        ["cat", "root", number] => ObjectKey::Root { number: twenty_digits(number)? },
        ["man", id] => ObjectKey::Page(id.parse().ok()?),
        ["flt", id] => ObjectKey::FilterGroup(id.parse().ok()?),
        ["lse", job] => ObjectKey::Lease(job.parse().ok()?),
        ["clk", id] => ObjectKey::ClockProbe(id.parse().ok()?),
        ["wal", name] => {
            let (writer, number) = writer_and_number(name)?;
            ObjectKey::LogSegment { writer, number }
        }
        ["ing", id] => ObjectKey::Ingester(id.parse().ok()?),
        ["del", id] => ObjectKey::Deletion(id.parse().ok()?),
        _ => return None,
    })
}

fn writer_and_number(name: &str) -> Option<(WriterId, u64)> {
    let (writer, number) = name.split_once('-')?;
    Some((writer.parse().ok()?, twenty_digits(number)?))
}

fn twenty_digits(text: &str) -> Option<u64> {
    let all_digits = text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ulid::Ulid;

    #[test]
    fn should_round_trip_every_kind_of_key() {
        let ulid = Ulid(0x0193_4f00_0000_0000_0000_0000_0000_002a);
        let (block, writer, id) = (BlockId(ulid), WriterId(ulid), ObjectId(ulid));
        let keys = [
            ObjectKey::Spans(block),
            ObjectKey::Origins(block),
            ObjectKey::LogEntry { writer, number: 7 },
            ObjectKey::Root { number: u64::MAX },
            ObjectKey::Page(id),
            ObjectKey::FilterGroup(id),
            ObjectKey::Lease(id),
            ObjectKey::ClockProbe(id),
            ObjectKey::LogSegment { writer, number: 0 },
            ObjectKey::Ingester(id),
            ObjectKey::Deletion(id),
        ];
        for key in keys {
            assert_eq!(key.to_string().parse::<ObjectKey>().unwrap(), key);
        }
    }

    #[test]
    fn should_refuse_foreign_keys() {
        for key in [
            "",
            "blk",
            "blk/x/spans.parquet",
            "cat/root/7",
            "cat/root/00000000000000000007/x",
            "cat/root/99999999999999999999",
            "man/../01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "/flt/01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "flt/01arz3ndektsv4rrffq69g5fav",
        ] {
            assert!(key.parse::<ObjectKey>().is_err(), "{key}");
        }
    }

    #[test]
    fn should_order_log_entries_of_a_writer_by_number() {
        let writer = WriterId(Ulid(1));
        let key = |number| ObjectKey::LogEntry { writer, number }.to_string();
        assert!(key(9) < key(10) && key(10) < key(u64::MAX));
    }
}
