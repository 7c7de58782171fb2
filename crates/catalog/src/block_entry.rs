//! What the catalog says of one block: its summary, and which marks it knows.

use prost::Message;
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::summary::{
    BlockSummary, FilterPlace, FiltersSummary, OriginsSummary, SpansSummary,
};
use siltstone_format::day::Day;
use siltstone_format::filter::size::SizeClass;
use siltstone_format::id::{BlockId, TraceId};
use siltstone_format::tenant::Tenant;
use ulid::Ulid;

use crate::kept::Kept;
use crate::message::{Damage, KnownTags, Open};

/// A block as a log entry or a page of the catalog has it.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockEntry {
    pub summary: BlockSummary,
    /// Deletions up to this number have been applied to its rows, or were known to whoever
    /// accepted them.
    pub clean_through: u64,
    /// Blocks with the same number were merged or checked against each other: they
    /// share no spans. None for an ingester's block.
    pub disjoint_set: Option<Ulid>,
    /// Its filters are in the tenant's filter groups, one of each kind.
    pub grouped: bool,
    /// How long its traces are kept, if that is decided.
    pub kept: Option<Kept>,
    /// As it was read, with fields of later releases.
    stored: Open<BlockMessage>,
}

impl BlockEntry {
    /// A block that an ingester wrote, whose rows know no deletion.
    pub fn flushed(summary: BlockSummary) -> Self {
        Self::accepted(summary, 0)
    }

    /// A block that an ingester wrote: its rows were accepted by who knew the deletions up to a number.
    pub fn accepted(summary: BlockSummary, clean_through: u64) -> Self {
        let (disjoint_set, grouped, kept) = Default::default();
        Self { summary, clean_through, disjoint_set, grouped, kept, stored: Open::default() }
    }

    /// A block that a merge wrote: `clean_through` is what the root that the merge read
    /// had, not a later one.
    pub fn merged(summary: BlockSummary, clean_through: u64, disjoint_set: Ulid) -> Self {
        Self { clean_through, disjoint_set: Some(disjoint_set), ..Self::flushed(summary) }
    }

    pub fn id(&self) -> BlockId {
        self.summary.identity.block
    }

    pub fn tenant(&self) -> &Tenant {
        &self.summary.identity.tenant
    }

    /// Bytes of its objects.
    pub fn bytes(&self) -> u64 {
        self.summary.spans.bytes.saturating_add(self.summary.origins.bytes)
    }

    /// The last day in which one of its spans starts.
    pub fn last_day(&self) -> Day {
        Day::of_unix_nano(self.summary.spans.max_start_unix_nano)
    }

    pub(crate) fn to_message(&self) -> Open<BlockMessage> {
        let BlockSummary { identity, spans, origins, filters } = &self.summary;
        let (kept_until, kept_policy, kept_marks) = Kept::to_numbers(self.kept);
        self.stored.with(BlockMessage {
            id: id_bytes(identity.block.0),
            clean_through: self.clean_through,
            disjoint_set: self.disjoint_set.map_or_else(Vec::new, id_bytes),
            rows: spans.rows,
            traces: spans.traces,
            first_trace: spans.first_trace.0.to_vec(),
            last_trace: spans.last_trace.0.to_vec(),
            min_start: spans.min_start_unix_nano,
            max_start: spans.max_start_unix_nano,
            max_end: spans.max_end_unix_nano,
            spans_bytes: spans.bytes,
            metadata_offset: spans.metadata_offset,
            metadata_hash: spans.metadata_hash,
            origins: origins.origins,
            origins_bytes: origins.bytes,
            origins_offset: origins.origins_offset,
            origins_hash: origins.origins_hash,
            traces_offset: filters.traces.offset,
            traces_class: u32::from(filters.traces.class.number()),
            terms_offset: filters.terms.offset,
            terms_class: u32::from(filters.terms.class.number()),
            filters_hash: filters.hash,
            left_out: match filters.left_out.is_empty() {
                true => String::new(),
                // Texts and numbers only: it has no way to fail.
                false => serde_json::to_string(&filters.left_out).unwrap_or_default(),
            },
            grouped: self.grouped,
            kept_until,
            kept_policy,
            kept_marks,
        })
    }

    /// Which blocks it was made of is said by its files only.
    pub(crate) fn from_message(stored: Open<BlockMessage>, tenant: &Tenant) -> Result<Self, Damage> {
        let message = &stored.known;
        let place = |offset, class: u32| {
            let class = u8::try_from(class).ok().and_then(SizeClass::from_number);
            let class = class.ok_or(Damage::Content("a filter has a size that none has"))?;
            Ok::<_, Damage>(FilterPlace { offset, class })
        };
        let trace = |bytes: &[u8]| {
            bytes.try_into().map(TraceId).map_err(|_| Damage::Content("a trace id has not 16 bytes"))
        };
        let summary = BlockSummary {
            identity: BlockIdentity {
                block: BlockId(id_of(&message.id)?),
                tenant: tenant.clone(),
                inputs: Vec::new(),
            },
            spans: SpansSummary {
                rows: message.rows,
                traces: message.traces,
                first_trace: trace(&message.first_trace)?,
                last_trace: trace(&message.last_trace)?,
                min_start_unix_nano: message.min_start,
                max_start_unix_nano: message.max_start,
                max_end_unix_nano: message.max_end,
                bytes: message.spans_bytes,
                metadata_offset: message.metadata_offset,
                metadata_hash: message.metadata_hash,
            },
            origins: OriginsSummary {
                origins: message.origins,
                bytes: message.origins_bytes,
                origins_offset: message.origins_offset,
                origins_hash: message.origins_hash,
            },
            filters: FiltersSummary {
                traces: place(message.traces_offset, message.traces_class)?,
                terms: place(message.terms_offset, message.terms_class)?,
                hash: message.filters_hash,
                left_out: match message.left_out.as_str() {
                    "" => Vec::new(),
                    text => serde_json::from_str(text)
                        .map_err(|_| Damage::Content("the keys left out of a filter are no list"))?,
                },
            },
        };
        let disjoint_set = match message.disjoint_set.as_slice() {
            [] => None,
            bytes => Some(id_of(bytes)?),
        };
        let (clean_through, grouped) = (message.clean_through, message.grouped);
        let kept = Kept::from_numbers((message.kept_until, message.kept_policy, message.kept_marks));
        Ok(Self { summary, clean_through, disjoint_set, grouped, kept, stored: stored.rest() })
    }
}

/// The bytes of a ULID.
pub(crate) fn id_bytes(id: Ulid) -> Vec<u8> {
    id.to_bytes().to_vec()
}

pub(crate) fn id_of(bytes: &[u8]) -> Result<Ulid, Damage> {
    bytes.try_into().map(Ulid::from_bytes).map_err(|_| Damage::Content("an id has not 16 bytes"))
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BlockMessage {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    clean_through: u64,
    #[prost(bytes = "vec", tag = "3")]
    disjoint_set: Vec<u8>,
    #[prost(uint64, tag = "4")]
    rows: u64,
    #[prost(uint64, tag = "5")]
    traces: u64,
    #[prost(bytes = "vec", tag = "6")]
    first_trace: Vec<u8>,
    #[prost(bytes = "vec", tag = "7")]
    last_trace: Vec<u8>,
    #[prost(fixed64, tag = "8")]
    min_start: u64,
    #[prost(fixed64, tag = "9")]
    max_start: u64,
    #[prost(fixed64, tag = "10")]
    max_end: u64,
    #[prost(uint64, tag = "11")]
    spans_bytes: u64,
    #[prost(uint64, tag = "12")]
    metadata_offset: u64,
    #[prost(fixed64, tag = "13")]
    metadata_hash: u64,
    #[prost(uint64, tag = "14")]
    origins: u64,
    #[prost(uint64, tag = "15")]
    origins_bytes: u64,
    #[prost(uint64, tag = "16")]
    origins_offset: u64,
    #[prost(fixed64, tag = "17")]
    origins_hash: u64,
    #[prost(uint64, tag = "18")]
    traces_offset: u64,
    #[prost(uint32, tag = "19")]
    traces_class: u32,
    #[prost(uint64, tag = "20")]
    terms_offset: u64,
    #[prost(uint32, tag = "21")]
    terms_class: u32,
    #[prost(fixed64, tag = "22")]
    filters_hash: u64,
    #[prost(string, tag = "23")]
    left_out: String,
    #[prost(bool, tag = "24")]
    grouped: bool,
    #[prost(uint32, tag = "30")]
    kept_until: u32,
    #[prost(uint64, tag = "31")]
    kept_policy: u64,
    #[prost(uint64, tag = "32")]
    kept_marks: u64,
}

impl KnownTags for BlockMessage {
    const KNOWN: &'static [u32] =
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 30, 31, 32];
}
