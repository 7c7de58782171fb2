//! Catalog entries for tests in which no block is ever read.

use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::summary::{
    BlockSummary, FilterPlace, FiltersSummary, OriginsSummary, SpansSummary,
};
use siltstone_format::filter::size::SizeClass;
use siltstone_format::id::{BlockId, TraceId, WriterId};
use siltstone_format::tenant::Tenant;
use ulid::Ulid;

use crate::block_entry::BlockEntry;
use crate::log_entry::LogEntry;

pub(crate) fn writer(number: u128) -> WriterId {
    WriterId(Ulid::from_parts(1_000, number))
}

/// A block of a tenant whose spans all start at one time.
pub(crate) fn block(tenant: &Tenant, block: BlockId, start_unix_nano: u64) -> BlockEntry {
    let place = FilterPlace { offset: 12, class: SizeClass::SMALLEST };
    BlockEntry::flushed(BlockSummary {
        identity: BlockIdentity { block, tenant: tenant.clone(), inputs: Vec::new() },
        spans: SpansSummary {
            rows: 10,
            traces: 2,
            first_trace: TraceId([1; 16]),
            last_trace: TraceId([9; 16]),
            min_start_unix_nano: start_unix_nano,
            max_start_unix_nano: start_unix_nano,
            max_end_unix_nano: start_unix_nano + 1,
            bytes: 1_000_000,
            metadata_offset: 900_000,
            metadata_hash: 0x1234_5678_9abc_def0,
        },
        origins: OriginsSummary { origins: 3, bytes: 2_000, origins_offset: 1_000, origins_hash: 7 },
        filters: FiltersSummary { traces: place, terms: place, hash: 8, left_out: Vec::new() },
    })
}

pub(crate) fn entry_with_block(writer: WriterId, number: u64, id: BlockId) -> LogEntry {
    LogEntry { writer, number, blocks: vec![block(&Tenant::single(), id, 1_000)] }
}
