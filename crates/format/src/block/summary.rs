//! What a block's catalog entry says of it: enough to decide whether to read it, and
//! to read it without asking the store anything first.

use serde::{Deserialize, Serialize};

use super::identity::BlockIdentity;
use super::order::Order;
use super::write::ParquetFile;
use crate::columns::SpanColumns;
use crate::filter::collect::LeftOut;
use crate::filter::size::SizeClass;
use crate::id::TraceId;

/// A block in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSummary {
    pub identity: BlockIdentity,
    pub spans: SpansSummary,
    pub origins: OriginsSummary,
    pub filters: FiltersSummary,
}

/// The spans file in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpansSummary {
    pub rows: u64,
    pub traces: u64,
    #[serde(with = "hex")]
    pub first_trace: TraceId,
    #[serde(with = "hex")]
    pub last_trace: TraceId,
    pub min_start_unix_nano: u64,
    pub max_start_unix_nano: u64,
    pub max_end_unix_nano: u64,
    pub bytes: u64,
    /// Where page indexes and footer begin.
    pub metadata_offset: u64,
    /// xxh3 of all bytes from there on.
    pub metadata_hash: u64,
}

/// The origins file in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginsSummary {
    pub origins: u64,
    pub bytes: u64,
    /// Where the origins begin; the filters lie before.
    pub origins_offset: u64,
    /// xxh3 of all bytes from there on.
    pub origins_hash: u64,
}

/// The filters, which lie in the origins file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiltersSummary {
    pub traces: FilterPlace,
    pub terms: FilterPlace,
    /// xxh3 of the bytes of both.
    pub hash: u64,
    /// Keys whose values the term filter leaves out.
    pub left_out: Vec<LeftOut>,
}

/// Where a filter lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterPlace {
    pub offset: u64,
    pub class: SizeClass,
}

impl FilterPlace {
    pub fn range(&self) -> std::ops::Range<u64> {
        // Whoever reads a file checks the range: a damaged offset must not overflow here.
        self.offset..self.offset.saturating_add(self.class.bytes() as u64)
    }
}

/// The summary of a spans file that is being written.
#[derive(Debug, Default)]
pub(crate) struct RunningSummary {
    pub(crate) rows: u64,
    traces: u64,
    first_trace: TraceId,
    last_trace: TraceId,
    min_start: u64,
    max_start: u64,
    max_end: u64,
}

impl RunningSummary {
    /// Adds rows that come behind all others.
    pub(crate) fn add(&mut self, columns: &SpanColumns, order: &Order) {
        let trace = |row: &u32| columns.trace_ids[*row as usize];
        let (Some(first), Some(last)) = (order.rows.first(), order.rows.last()) else { return };
        // What a collapsed row says its twin says too.
        let starts = || columns.starts.iter().map(|start| start.cast_unsigned());
        let ends = starts()
            .zip(&columns.durations)
            .map(|(start, length)| start.wrapping_add(length.cast_unsigned()));
        let min_start = starts().min().unwrap_or(0);
        if self.rows == 0 {
            (self.first_trace, self.min_start) = (trace(first), min_start);
        }
        self.rows += order.rows.len() as u64;
        self.traces += order.traces as u64;
        self.last_trace = trace(last);
        self.min_start = self.min_start.min(min_start);
        self.max_start = self.max_start.max(starts().max().unwrap_or(0));
        self.max_end = self.max_end.max(ends.max().unwrap_or(0));
    }

    pub(crate) fn finish(&self, file: &ParquetFile) -> SpansSummary {
        SpansSummary {
            rows: self.rows,
            traces: self.traces,
            first_trace: self.first_trace,
            last_trace: self.last_trace,
            min_start_unix_nano: self.min_start,
            max_start_unix_nano: self.max_start,
            max_end_unix_nano: self.max_end,
            bytes: file.bytes.len() as u64,
            metadata_offset: file.metadata_offset as u64,
            metadata_hash: xxhash_rust::xxh3::xxh3_64(&file.bytes[file.metadata_offset..]),
        }
    }
}

/// Trace ids as hex text in JSON.
mod hex {
    use super::TraceId;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(id: &TraceId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TraceId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_bear_a_filter_place_that_is_none() {
        let place: FilterPlace =
            serde_json::from_str("{\"offset\":18446744073709551615,\"class\":99}").unwrap();
        assert_eq!(place.range(), u64::MAX..u64::MAX);
    }
}
