//! Every object that is written comes back as it was, fields of later releases live
//! through a rewrite, and bytes that are anything never end the program.

use bytes::Bytes;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_varint, skip_field};
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::summary::{
    BlockSummary, FilterPlace, FiltersSummary, OriginsSummary, SpansSummary,
};
use siltstone_format::day::Day;
use siltstone_format::filter::collect::LeftOut;
use siltstone_format::filter::size::SizeClass;
use siltstone_format::filter::split_block::SplitBlockFilter;
use siltstone_format::filter::transposed::MAX_GROUP_BLOCKS;
use siltstone_format::filter::transposed::{self, GroupHeader, GroupKind};
use siltstone_format::id::{BlockId, ObjectId, TraceId, WriterId};
use siltstone_format::tenant::Tenant;
use siltstone_format::term::TermScope;
use ulid::Ulid;

use crate::block_entry::BlockEntry;
use crate::block_page::{BlockPage, Section};
use crate::deleted::{TracePage, TracePageRef};
use crate::deletion::{Asked, DeletionRecord, Request};
use crate::groups::GroupIndex;
use crate::inspect::{Inspected, inspect};
use crate::kept::{Kept, KeptOfPage, Policy, Until};
use crate::lease::LeaseRecord;
use crate::log_entry::LogEntry;
use crate::mark::{self, Mark, MarkKind, MarkTarget};
use crate::message::{self, Kind};
use crate::root::{Retired, Root, TenantRef, WriterState};
use crate::tenant_page::{GroupRef, PageRef, TenantPage};
use crate::time::StoreTime;

fn ulid() -> impl Strategy<Value = Ulid> {
    any::<u128>().prop_map(Ulid)
}

fn block_id() -> impl Strategy<Value = BlockId> {
    ulid().prop_map(BlockId)
}

fn object_id() -> impl Strategy<Value = ObjectId> {
    ulid().prop_map(ObjectId)
}

fn tenant() -> impl Strategy<Value = Tenant> {
    "[A-Za-z0-9_-]{1,12}".prop_map(|name| name.parse().unwrap())
}

fn trace() -> impl Strategy<Value = TraceId> {
    any::<[u8; 16]>().prop_map(TraceId)
}

fn time() -> impl Strategy<Value = StoreTime> {
    any::<u64>().prop_map(StoreTime)
}

fn section() -> impl Strategy<Value = Section> {
    prop_oneof![Just(Section::Inbox), (0..u32::MAX).prop_map(|day| Section::Day(Day(day)))]
}

fn class() -> impl Strategy<Value = SizeClass> {
    (0..=SizeClass::LARGEST.number()).prop_map(|number| SizeClass::from_number(number).unwrap())
}

fn place() -> impl Strategy<Value = FilterPlace> {
    (any::<u64>(), class()).prop_map(|(offset, class)| FilterPlace { offset, class })
}

fn block(tenant: Tenant) -> impl Strategy<Value = BlockEntry> {
    let numbers = (any::<[u64; 12]>(), any::<bool>(), kept());
    let left_out = vec(left_out(), 0..3);
    (block_id(), numbers, trace(), trace(), place(), place(), left_out, option::of((any::<u64>(), ulid())))
        .prop_map(
            move |(block, (n, grouped, kept), first_trace, last_trace, traces, terms, left_out, merged)| {
                let summary = BlockSummary {
                    identity: BlockIdentity { block, tenant: tenant.clone(), inputs: Vec::new() },
                    spans: SpansSummary {
                        rows: n[0],
                        traces: n[1],
                        first_trace,
                        last_trace,
                        min_start_unix_nano: n[2],
                        max_start_unix_nano: n[3],
                        max_end_unix_nano: n[4],
                        bytes: n[5],
                        metadata_offset: n[6],
                        metadata_hash: n[7],
                    },
                    origins: OriginsSummary {
                        origins: n[8],
                        bytes: n[9],
                        origins_offset: n[10],
                        origins_hash: n[11],
                    },
                    filters: FiltersSummary { traces, terms, hash: n[11], left_out },
                };
                let mut entry = match merged {
                    None => BlockEntry::flushed(summary),
                    Some((clean_through, set)) => BlockEntry::merged(summary, clean_through, set),
                };
                (entry.grouped, entry.kept) = (grouped, kept);
                entry
            },
        )
}

fn kept() -> impl Strategy<Value = Option<Kept>> {
    let until = prop_oneof![Just(Until::Never), (1..u32::MAX).prop_map(Until::Hour)];
    option::of((until, any::<u64>(), any::<u64>()))
        .prop_map(|kept| kept.map(|(until, policy, marks)| Kept { until, policy, marks }))
}

fn policy() -> impl Strategy<Value = Policy> {
    let numbers = any::<[u64; 3]>();
    (any::<String>(), numbers)
        .prop_map(|(rules, [number, since, reapplied])| Policy::new(rules, number, since, reapplied))
}

fn left_out() -> impl Strategy<Value = LeftOut> {
    let scope = prop_oneof![Just(TermScope::Span), Just(TermScope::Resource)];
    (scope, any::<String>(), any::<u64>()).prop_map(|(scope, key, distinct)| LeftOut { scope, key, distinct })
}

fn log_entry() -> impl Strategy<Value = LogEntry> {
    let blocks = vec(tenant().prop_flat_map(block), 0..4);
    (ulid(), any::<u64>(), blocks).prop_map(|(writer, number, blocks)| LogEntry {
        writer: WriterId(writer),
        number,
        blocks,
    })
}

fn block_page() -> impl Strategy<Value = BlockPage> {
    (tenant(), section()).prop_flat_map(|(tenant, section)| {
        vec(block(tenant.clone()), 0..4).prop_map(move |blocks| {
            let mut page = BlockPage::new(tenant.clone(), section);
            page.blocks = blocks;
            page
        })
    })
}

fn mark() -> impl Strategy<Value = Mark> {
    let kind = prop_oneof![Just(MarkKind::Archive), Just(MarkKind::Delete)];
    (any::<u64>(), kind, trace(), time(), option::of(object_id())).prop_map(
        |(number, kind, trace, at, record)| {
            let mark = Mark::new(number, kind, MarkTarget::Trace(trace));
            mark.asked(at, record)
        },
    )
}

fn deletion() -> impl Strategy<Value = DeletionRecord> {
    let filter = (any::<String>(), any::<u64>(), any::<u64>());
    let asked = option::of(filter).prop_map(|filter| match filter {
        None => Asked::Traces,
        Some((filter, from_unix_nano, to_unix_nano)) => {
            Asked::Matching { filter, from_unix_nano, to_unix_nano }
        }
    });
    let numbers = (any::<u64>(), option::of(any::<u64>()));
    (object_id(), tenant(), time(), asked, btree_set(trace(), 0..5), numbers).prop_map(
        |(id, tenant, at, asked, traces, (blocks, number))| {
            let request = Request { tenant, asked, traces: traces.into_iter().collect(), blocks };
            DeletionRecord::new(id, at, request, number)
        },
    )
}

fn trace_page() -> impl Strategy<Value = TracePage> {
    (any::<u64>(), btree_set(trace(), 0..5))
        .prop_map(|(number, traces)| TracePage { number, traces: traces.into_iter().collect() })
}

fn tenant_page() -> impl Strategy<Value = TenantPage> {
    let group = (object_id(), object_id(), any::<bool>(), class(), any::<[u64; 3]>()).prop_map(
        |(id, index, terms, class, [blocks, from, to])| {
            let kind = if terms { GroupKind::Terms } else { GroupKind::TraceIds };
            let mut group = GroupRef::new(id, kind, class, 1 + blocks % MAX_GROUP_BLOCKS as u64);
            (group.index, group.min_start_unix_nano, group.max_end_unix_nano) = (index, from, to);
            group
        },
    );
    let pages = vec((object_id(), section(), any::<[u64; 9]>()), 0..3);
    let ids = || vec(object_id(), 0..3);
    let traces = vec(
        (object_id(), trace_page(), time(), object_id())
            .prop_map(|(id, page, at, record)| TracePageRef::of(id, &page, at, record)),
        0..3,
    );
    (tenant(), pages, vec(group, 0..3), vec(mark(), 0..3), ids(), ids(), traces, option::of(policy()))
        .prop_map(|(tenant, pages, groups, marks, mark_pages, damaged, trace_pages, retention)| {
            let mut page = TenantPage::new(tenant);
            page.retention = retention;
            page.pages = pages.into_iter().map(|(id, section, sums)| page_ref(id, section, sums)).collect();
            (page.groups, page.marks) = (groups, marks);
            (page.mark_pages, page.damaged, page.trace_pages) = (mark_pages, damaged, trace_pages);
            page
        })
}

fn page_ref(id: ObjectId, section: Section, sums: [u64; 9]) -> PageRef {
    let mut page = PageRef::of(id, &BlockPage::new(Tenant::single(), section));
    (page.blocks, page.rows, page.bytes) = (sums[0], sums[1], sums[2]);
    (page.min_start_unix_nano, page.max_end_unix_nano, page.grouped) = (sums[3], sums[4], sums[5]);
    page.last_named = StoreTime(sums[6]);
    let first_until = u32::try_from(sums[8] % 3).ok().filter(|hour| *hour > 0);
    page.kept = KeptOfPage { decided: sums[7], first_until, oldest_policy: sums[8] };
    page
}

fn root() -> impl Strategy<Value = Root> {
    let times = any::<[u64; 4]>();
    let recent = vec((any::<u64>(), ulid()), 0..4);
    let writers = btree_map(ulid().prop_map(WriterId), (any::<u64>(), any::<bool>(), time()), 0..4);
    let tenants = btree_map(tenant(), (object_id(), any::<[u64; 4]>(), option::of(1..u32::MAX)), 0..4);
    let retired = vec(
        (option::of(time()), vec(block_id(), 0..3), vec(object_id(), 0..3), vec(object_id(), 0..3)),
        0..3,
    );
    let floors = vec((time(), option::of(time())), 0..3);
    let taken = (btree_set(block_id(), 0..4), btree_set(block_id(), 0..4));
    (any::<u64>(), ulid(), recent, times, writers, tenants, retired, floors, taken).prop_map(
        |(number, nonce, recent, times, writers, tenants, retired, floors, taken)| {
            let mut root = Root::first(nonce);
            (root.number, root.recent, root.floors) = (number, recent, floors);
            (root.taken, root.unread) = taken;
            root.floor = StoreTime(times[0]);
            (root.swept, root.forgotten, root.mark_number) =
                (StoreTime(times[1]), StoreTime(times[2]), times[3]);
            for (writer, (next, fenced, last_entry)) in writers {
                let mut state = WriterState::unknown();
                (state.next, state.fenced, state.last_entry) = (next, fenced, last_entry);
                root.writers.insert(writer, state);
            }
            for (tenant, (page, sums, cut)) in tenants {
                let mut known = TenantRef::new(page, None);
                (known.blocks, known.rows, known.bytes, known.inbox_blocks) =
                    (sums[0], sums[1], sums[2], sums[3]);
                known.cut = cut.map(Day);
                known.newest_mark = sums[3];
                root.tenants.insert(tenant, known);
            }
            for (at, blocks, pages, groups) in retired {
                let mut given_up = Retired::default();
                (given_up.at, given_up.blocks, given_up.pages, given_up.groups) = (at, blocks, pages, groups);
                root.retired.push(given_up);
            }
            root
        },
    )
}

fn group_index() -> impl Strategy<Value = GroupIndex> {
    let members = btree_map(block_id(), section(), 1..20);
    (object_id(), any::<bool>(), members).prop_map(|(group, terms, members)| {
        let kind = if terms { GroupKind::Terms } else { GroupKind::TraceIds };
        let class = SizeClass::SMALLEST;
        let filter = |block: &BlockId| (*block, SplitBlockFilter::full(class));
        let filters: Vec<_> = members.keys().map(filter).collect();
        let header = GroupHeader::parse(&transposed::build(kind, class, &filters).unwrap()).unwrap();
        GroupIndex::new(group, header, members.into_values().collect())
    })
}

fn lease() -> impl Strategy<Value = LeaseRecord> {
    (any::<String>(), ulid(), any::<u64>(), any::<u64>()).prop_map(|(job, owner, millis, renewals)| {
        let mut lease = LeaseRecord::new(&job, owner, std::time::Duration::from_millis(millis));
        lease.renewals = renewals;
        lease
    })
}

/// A message as far as a test must know it: which fields hold messages, and whether what
/// a later release adds is kept.
struct Level {
    nested: &'static [(u32, &'static Level)],
    keeps: bool,
}

const LEAF: Level = Level { nested: &[], keeps: true };
/// A log entry is never rewritten, but its blocks move into pages.
const LOG_ENTRY: Level =
    Level { nested: &[(3, &Level { nested: &[(2, &LEAF)], keeps: false })], keeps: false };
/// The lists of recent publishes and of floors have no room for more.
const ROOT: Level = Level { nested: &[(5, &LEAF), (6, &LEAF), (7, &LEAF)], keeps: true };
const TENANT_PAGE: Level =
    Level { nested: &[(2, &LEAF), (3, &LEAF), (4, &LEAF), (12, &LEAF), (20, &LEAF)], keeps: true };
const BLOCK_PAGE: Level = Level { nested: &[(3, &LEAF)], keeps: true };
/// A page of marks is never rewritten, but its marks may move.
const MARK_PAGE: Level = Level { nested: &[(1, &LEAF)], keeps: false };
/// Never rewritten.
const TRACE_PAGE: Level = Level { nested: &[], keeps: false };
/// Never rewritten: a new group has a new index.
const GROUP_INDEX: Level = Level { nested: &[], keeps: false };

/// A field of each wire type, as a later release might add it.
const LATER: &[u8] = &[
    0xc0, 0x3e, 0x96, 0x01, // 1000: varint 150
    0xca, 0x3e, 0x03, b'n', b'e', b'w', // 1001: text
    0xd5, 0x3e, 1, 2, 3, 4, // 1002: four bytes
    0xd9, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8, // 1003: eight bytes
];

/// The message with later fields at every level that keeps them.
fn with_later_fields(mut message: &[u8], level: &Level) -> Vec<u8> {
    let mut out = Vec::new();
    while !message.is_empty() {
        let field = message;
        let (tag, wire_type) = decode_key(&mut message).unwrap();
        let nested = level.nested.iter().find(|(nested, _)| *nested == tag);
        if let (Some((_, nested)), WireType::LengthDelimited) = (nested, wire_type) {
            let key = field.len() - message.len();
            let length = decode_varint(&mut message).unwrap() as usize;
            let (inner, rest) = message.split_at(length);
            let inner = with_later_fields(inner, nested);
            out.extend_from_slice(&field[..key]);
            encode_varint(inner.len() as u64, &mut out);
            out.extend_from_slice(&inner);
            message = rest;
        } else {
            skip_field(wire_type, tag, &mut message, DecodeContext::default()).unwrap();
            out.extend_from_slice(&field[..field.len() - message.len()]);
        }
    }
    if level.keeps {
        out.extend_from_slice(LATER);
    }
    out
}

/// What must hold of every kind: it comes back; it comes back with later fields; cut off
/// or with a bit turned it is an error.
fn check(kind: Kind, object: &Bytes, level: &Level, harm: usize) -> Result<Inspected, TestCaseError> {
    let read = inspect(object);
    prop_assert_eq!(read.as_ref().map(Inspected::encode), Ok(object.clone()));
    let later = message::seal(kind as u32, &with_later_fields(&object[20..], level));
    prop_assert_eq!(inspect(&later).map(|read| read.encode()), Ok(later));
    let at = harm % object.len();
    prop_assert!(inspect(&object.slice(..at)).is_err());
    let mut turned = object.to_vec();
    turned[at] ^= 1 << (harm % 8);
    prop_assert!(inspect(&turned.into()).is_err());
    // With a checksum that is right, damage may be anything but a panic.
    let mut body = object[20..].to_vec();
    if !body.is_empty() {
        let at = harm % body.len();
        body[at] ^= 1 << (harm % 8);
        let _ = inspect(&message::seal(kind as u32, &body)).map(|read| read.encode());
        let _ = inspect(&message::seal(kind as u32, &body[..at])).map(|read| read.encode());
    }
    Ok(read.unwrap())
}

proptest! {
    #[test]
    fn should_round_trip_log_entries(entry in log_entry(), harm: usize) {
        let object = entry.encode();
        check(Kind::LogEntry, &object, &LOG_ENTRY, harm)?;
        prop_assert_eq!(LogEntry::decode(&object, entry.writer, entry.number), Ok(entry));
    }

    #[test]
    fn should_round_trip_roots(root in root(), harm: usize) {
        let object = root.encode();
        check(Kind::Root, &object, &ROOT, harm)?;
        prop_assert_eq!(Root::decode(&object, root.number), Ok(root));
    }

    #[test]
    fn should_round_trip_pages_of_tenants(page in tenant_page(), harm: usize) {
        let object = page.encode();
        check(Kind::TenantPage, &object, &TENANT_PAGE, harm)?;
        prop_assert_eq!(TenantPage::decode(&object, &page.tenant.clone()), Ok(page));
    }

    #[test]
    fn should_round_trip_pages_of_blocks(page in block_page(), harm: usize) {
        let object = page.encode();
        check(Kind::BlockPage, &object, &BLOCK_PAGE, harm)?;
        prop_assert_eq!(BlockPage::decode(&object, &page.tenant.clone(), page.section), Ok(page));
    }

    #[test]
    fn should_round_trip_pages_of_marks(marks in vec(mark(), 0..5), harm: usize) {
        let object = mark::encode_page(&marks);
        check(Kind::MarkPage, &object, &MARK_PAGE, harm)?;
        prop_assert_eq!(mark::decode_page(&object), Ok(marks));
    }

    #[test]
    fn should_round_trip_pages_of_traces(page in trace_page(), harm: usize) {
        check(Kind::TracePage, &page.encode(), &TRACE_PAGE, harm)?;
        prop_assert_eq!(inspect(&page.encode()), Ok(Inspected::Traces(page)));
    }

    #[test]
    fn should_round_trip_deletions(record in deletion(), harm: usize) {
        let object = record.encode();
        check(Kind::Deletion, &object, &LEAF, harm)?;
        prop_assert_eq!(DeletionRecord::decode(&object, record.id), Ok(record));
    }

    #[test]
    fn should_round_trip_indexes_of_filter_groups(index in group_index(), harm: usize) {
        check(Kind::GroupIndex, &index.encode(), &GROUP_INDEX, harm)?;
        prop_assert_eq!(inspect(&index.encode()), Ok(Inspected::GroupIndex(index)));
    }

    #[test]
    fn should_round_trip_leases(lease in lease(), harm: usize) {
        let object = lease.encode();
        check(Kind::Lease, &object, &LEAF, harm)?;
        prop_assert_eq!(LeaseRecord::decode(&object), Ok(lease));
    }

    #[test]
    fn should_survive_any_bytes(bytes in vec(any::<u8>(), 0..200), kind in 0u32..14) {
        let _ = inspect(&Bytes::from(bytes.clone()));
        let _ = inspect(&message::seal(kind, &bytes)).map(|read| read.encode());
    }
}

#[test]
fn should_refuse_a_filter_group_of_a_number_of_blocks_that_none_has() {
    for (blocks, is_well) in [(0, false), (1, true), (8_192, true), (8_193, false), (u64::MAX, false)] {
        let mut page = TenantPage::new(Tenant::single());
        page.groups.push(GroupRef::new(ObjectId(Ulid(1)), GroupKind::Terms, SizeClass::SMALLEST, blocks));
        let read = TenantPage::decode(&page.encode(), &Tenant::single());
        assert_eq!(read.is_ok(), is_well, "{blocks}");
    }
}
