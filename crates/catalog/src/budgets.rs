//! What the catalog may cost: requests by kind, and bytes of its objects. Counted, not
//! timed.

use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId, WriterId};
use siltstone_format::tenant::Tenant;
use siltstone_testkit::counting_store::Counts;
use siltstone_testkit::{CountingStore, Operation, VirtualClock};
use ulid::Ulid;

use crate::block_entry::BlockEntry;
use crate::block_page::{BlockPage, MAX_PAGE_BLOCKS, Section};
use crate::bucket::{Bucket, Listing};
use crate::change::Merge;
use crate::commit::Fate;
use crate::log_entry::LogEntry;
use crate::mark::{self, MAX_PAGE_MARKS, Mark, MarkKind, MarkTarget};
use crate::root::{Retired, Root, TenantRef, WriterState};
use crate::snapshot::Cover;
use crate::tenant_page::TenantPage;
use crate::test_blocks::block;
use crate::test_clock::HastyClock;
use crate::windows::Windows;
use crate::{Catalog, CatalogConfig};

const LARGEST_OBJECT: usize = 256 * 1024;

struct Bench {
    store: Arc<CountingStore<InMemory>>,
    clock: VirtualClock,
    listing: Listing,
    catalogs: u8,
}

impl Bench {
    fn new(listing: Listing) -> Self {
        let store = Arc::new(CountingStore::new(InMemory::new()));
        // The store below takes the time of the machine; ids must not lie far from it.
        let clock = VirtualClock::starting_at(1_900_000_000_000_000_000);
        let mut bench = Self { store, clock, listing, catalogs: 0 };
        block_on(bench.catalog().init()).unwrap();
        bench
    }

    fn catalog(&mut self) -> Catalog {
        self.catalogs += 1;
        let objects: Arc<dyn ObjectStore> = Arc::clone(&self.store) as _;
        let config = CatalogConfig {
            bucket: Bucket::new(objects, self.listing),
            clock: Arc::new(HastyClock(self.clock.clone())),
            seed: [self.catalogs; 32],
            windows: Windows::default(),
        };
        Catalog::new(config).unwrap()
    }

    fn counted<T>(&self, work: impl Future<Output = T>) -> (T, Counts) {
        self.store.reset();
        let done = block_on(work);
        (done, self.store.snapshot())
    }

    fn later(&self) {
        self.clock.advance(Duration::from_secs(3));
    }
}

fn tenant() -> Tenant {
    Tenant::single()
}

fn entry(catalog: &Catalog, writer: WriterId, number: u64) -> LogEntry {
    let id = BlockId(catalog.next_id());
    LogEntry { writer, number, blocks: vec![block(&tenant(), id, Day(20_000).start_unix_nano())] }
}

fn assert_only(counts: &Counts, expected: &[(Operation, u64)]) {
    for (operation, count) in expected {
        assert_eq!(counts.of(*operation), *count, "{operation:?} of {counts:?}");
    }
    assert_eq!(counts.total(), expected.iter().map(|(_, count)| count).sum::<u64>(), "{counts:?}");
}

#[test]
fn should_commit_a_flush_in_one_put() {
    let mut bench = Bench::new(Listing::Together);
    let catalog = bench.catalog();
    let (writer, opened) = (WriterId(catalog.next_id()), bench.clock.monotonic());
    let entry = entry(&catalog, writer, 0);
    let (fate, counts) = bench.counted(catalog.commit(&entry, Some(opened)));
    assert_eq!(fate.unwrap(), Fate::Committed);
    assert_only(&counts, &[(Operation::Put, 1)]);
}

#[test]
fn should_refresh_in_one_listing_and_a_get_for_each_new_entry() {
    for (listing, lists) in [(Listing::Together, 1), (Listing::LogThenRoots, 2)] {
        let mut bench = Bench::new(listing);
        let (catalog, reader) = (bench.catalog(), bench.catalog());
        let writer = WriterId(catalog.next_id());
        let cover = Cover::default();
        let refresh = || reader.snapshot(&cover);
        block_on(refresh()).unwrap();

        let (_, counts) = bench.counted(refresh());
        assert_only(&counts, &[]); // young enough
        bench.later();
        let (_, counts) = bench.counted(refresh());
        assert_only(&counts, &[(Operation::List, lists)]);

        for number in 0..40 {
            block_on(catalog.commit(&entry(&catalog, writer, number), None)).unwrap();
        }
        // Of an earlier incarnation each was looked up and so folded; these are not.
        for number in 40..50 {
            let entry = entry(&catalog, writer, number);
            block_on(catalog.commit(&entry, Some(bench.clock.monotonic()))).unwrap();
        }
        bench.later();
        let (snapshot, counts) = bench.counted(refresh());
        assert_eq!(snapshot.unwrap().entries.len(), 10);
        // The root and the ten entries.
        assert_only(&counts, &[(Operation::List, lists), (Operation::Get, 11)]);
        assert!(counts.depth <= lists + 2, "{counts:?}");
        bench.later();
        let (_, counts) = bench.counted(refresh());
        assert_only(&counts, &[(Operation::List, lists)]);
    }
}

#[test]
fn should_list_a_page_more_for_each_thousand_entries() {
    let mut bench = Bench::new(Listing::Together);
    let (catalog, reader) = (bench.catalog(), bench.catalog());
    let writer = WriterId(catalog.next_id());
    for number in 0..2_500 {
        let entry = entry(&catalog, writer, number);
        block_on(catalog.commit(&entry, Some(bench.clock.monotonic()))).unwrap();
    }
    let (snapshot, counts) = bench.counted(reader.snapshot(&Cover::default()));
    assert_eq!(snapshot.unwrap().entries.len(), 2_500);
    assert_eq!(counts.of(Operation::List), 3);
}

#[test]
fn should_share_one_refresh_among_all_who_ask_at_once() {
    let mut bench = Bench::new(Listing::Together);
    let reader = bench.catalog();
    let cover = Cover::default();
    let all = futures::future::join_all((0..50).map(|_| reader.snapshot(&cover)));
    let (snapshots, counts) = bench.counted(all);
    assert!(snapshots.iter().all(Result::is_ok));
    assert_only(&counts, &[(Operation::List, 1), (Operation::Get, 1)]);
}

#[test]
fn should_fold_many_flushes_into_one_page_and_one_root() {
    let mut bench = Bench::new(Listing::Together);
    let catalog = bench.catalog();
    let writer = WriterId(catalog.next_id());
    for number in 0..100 {
        let entry = entry(&catalog, writer, number);
        block_on(catalog.commit(&entry, Some(bench.clock.monotonic()))).unwrap();
    }
    let (_, counts) = bench.counted(catalog.fold());
    // Page of blocks, page of the tenant, root.
    assert_eq!(counts.of(Operation::Put), 3, "{counts:?}");
}

const DAYS: u32 = 90;
const BLOCKS_A_DAY: usize = 1_112;

/// 100,000 blocks in 90 days.
fn fill(bench: &mut Bench) -> Catalog {
    let catalog = bench.catalog();
    for day in 0..DAYS {
        let day = Day(20_000 + day);
        let outputs = (0..BLOCKS_A_DAY).map(|_| (day, merged(&catalog, day))).collect();
        let fill = Merge { tenant: tenant(), inputs: Vec::new(), outputs };
        block_on(catalog.publish(&fill)).unwrap();
    }
    catalog
}

fn merged(catalog: &Catalog, day: Day) -> BlockEntry {
    let summary = block(&tenant(), BlockId(catalog.next_id()), day.start_unix_nano()).summary;
    BlockEntry::merged(summary, 0, Ulid(1))
}

#[test]
fn should_start_cold_with_the_days_that_are_asked_for_and_merge_within_one_day() {
    let mut bench = Bench::new(Listing::Together);
    let catalog = fill(&mut bench);
    let reader = bench.catalog();
    let day = Day(20_050);
    let (from, to) = (day.start_unix_nano(), day.start_unix_nano() + 1);
    let cold = async {
        let snapshot = reader.snapshot(&Cover::default()).await.unwrap();
        reader.blocks(&snapshot, &tenant(), from, to).await.unwrap()
    };
    let (found, counts) = bench.counted(cold);
    assert_eq!(found.blocks.len(), BLOCKS_A_DAY);
    // Root, tenant, and the day's pages.
    let pages = BLOCKS_A_DAY.div_ceil(MAX_PAGE_BLOCKS) as u64;
    assert_only(&counts, &[(Operation::List, 1), (Operation::Get, 2 + pages)]);
    assert!(counts.depth <= 4, "{counts:?}");
    assert!(counts.bytes_read < 600 * 1024, "{counts:?}");

    let inputs: Vec<BlockId> = found.blocks.iter().take(100).map(BlockEntry::id).collect();
    let outputs = vec![(day, merged(&catalog, day))];
    let merge = Merge { tenant: tenant(), inputs: vec![(Section::Day(day), inputs)], outputs };
    let (done, counts) = bench.counted(catalog.publish(&merge));
    done.unwrap();
    // At most the day's pages, the tenant's page, the root.
    assert!(counts.of(Operation::Put) <= pages + 2, "{counts:?}");
    assert!(counts.bytes_written < 1024 * 1024, "{counts:?}");
}

#[test]
fn should_keep_every_object_small_at_a_thousand_tenants_and_four_hundred_days() {
    let mut bench = Bench::new(Listing::Together);
    let catalog = bench.catalog();
    // One tenant for real: 400 days of 10 blocks.
    for day in 0..400 {
        let day = Day(20_000 + day);
        let outputs = (0..10).map(|_| (day, merged(&catalog, day))).collect();
        block_on(catalog.publish(&Merge { tenant: tenant(), inputs: Vec::new(), outputs })).unwrap();
    }
    let loaded = block_on(catalog.load()).unwrap();
    let known = loaded.root.tenants[&tenant()].clone();
    let bucket = catalog.bucket();
    let mut page = block_on(crate::draft::read_tenant_page(bucket, known.page, &tenant())).unwrap();
    let target = MarkTarget::Trace(siltstone_format::id::TraceId([7; 16]));
    page.marks = (0..MAX_PAGE_MARKS as u64)
        .map(|number| Mark::new(number, MarkKind::Delete, target.clone()))
        .collect();
    assert_small("a tenant's page", page.encode().len());

    // The root of a thousand such tenants in the middle of a busy hour.
    let mut root = Root::clone(&loaded.root);
    for number in 0..1_000 {
        let name = format!("tenant-with-a-name-of-usual-length-{number}");
        root.tenants.insert(name.parse().unwrap(), TenantRef::new(known.page, Some(&known)));
        root.writers.insert(WriterId(catalog.next_id()), WriterState::unknown());
    }
    for _ in 0..120 {
        let blocks = (0..50).map(|_| BlockId(catalog.next_id())).collect();
        let pages = (0..4).map(|_| ObjectId(catalog.next_id())).collect();
        root.retired.push(Retired { blocks, pages, ..Retired::default() });
    }
    assert_small("the root", root.encode().len());

    let mut blocks = BlockPage::new(tenant(), Section::Inbox);
    blocks.blocks = (0..MAX_PAGE_BLOCKS).map(|_| merged(&catalog, Day(20_000))).collect();
    assert_small("a page of blocks", blocks.encode().len());
    assert_small("a page of marks", mark::encode_page(&page.marks).len());
    let blocks = (0..1_000).map(|_| merged(&catalog, Day(20_000))).collect();
    assert_small("an entry", LogEntry { writer: WriterId(Ulid(1)), number: 0, blocks }.encode().len());
    assert!(TenantPage::new(tenant()).encode().len() < 100);
}

fn assert_small(what: &str, bytes: usize) {
    println!("{what}: {bytes} bytes");
    assert!(bytes <= LARGEST_OBJECT, "{what} has {bytes} bytes");
}
