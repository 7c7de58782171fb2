use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use siltstone_format::block::summary::{FilterPlace, FiltersSummary};
use siltstone_format::day::Day;
use siltstone_format::filter::size::SizeClass;
use siltstone_format::filter::split_block::{FilterKey, SplitBlockFilter};
use siltstone_format::filter::transposed::GroupKind;
use siltstone_format::id::{BlockId, ObjectId, WriterId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;
use siltstone_testkit::counting_store::Counts;
use siltstone_testkit::{CountingStore, VirtualClock};
use ulid::Ulid;
use xxhash_rust::xxh3::xxh3_64;

use crate::block_entry::BlockEntry;
use crate::block_page::Section;
use crate::bucket::{Bucket, Listing, path};
use crate::change::Merge;
use crate::groups::{Candidates, Wanted};
use crate::log_entry::LogEntry;
use crate::snapshot::Cover;
use crate::tenant_page::TenantPage;
use crate::test_clock::HastyClock;
use crate::windows::Windows;
use crate::{Catalog, CatalogConfig};

/// The filters that a block was written with.
pub(super) struct Truth {
    traces: SplitBlockFilter,
    terms: SplitBlockFilter,
}

impl Truth {
    pub(super) fn may_hold(&self, wanted: &Wanted<'_>) -> bool {
        let filter = if wanted.kind == GroupKind::Terms { &self.terms } else { &self.traces };
        wanted.all_of_any.iter().all(|any| any.iter().any(|key| filter.may_hold(*key)))
    }
}

pub(super) struct Bench {
    pub(super) store: Arc<CountingStore<InMemory>>,
    pub(super) clock: VirtualClock,
    pub(super) truth: BTreeMap<BlockId, Truth>,
    catalogs: u8,
    flushes: u64,
}

pub(super) fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

pub(super) fn key(number: u64) -> FilterKey {
    FilterKey::of_term(number)
}

impl Bench {
    pub(super) fn new() -> Self {
        let store = Arc::new(CountingStore::new(InMemory::new()));
        let clock = VirtualClock::starting_at(1_900_000_000_000_000_000);
        let mut bench = Self { store, clock, truth: BTreeMap::new(), catalogs: 0, flushes: 0 };
        block_on(bench.catalog().init()).unwrap();
        bench
    }

    pub(super) fn catalog(&mut self) -> Catalog {
        self.catalogs += 1;
        let objects: Arc<dyn ObjectStore> = Arc::clone(&self.store) as _;
        let config = CatalogConfig {
            bucket: Bucket::new(objects, Listing::Together),
            clock: Arc::new(HastyClock(self.clock.clone())),
            seed: [self.catalogs; 32],
            windows: Windows::default(),
        };
        Catalog::new(config).unwrap()
    }

    pub(super) fn counted<T>(&self, work: impl Future<Output = T>) -> (T, Counts) {
        self.store.reset();
        let done = block_on(work);
        (done, self.store.snapshot())
    }

    /// Writes the filters of a new block with these keys, and gives its entry.
    pub(super) fn block(
        &mut self,
        catalog: &Catalog,
        tenant: &Tenant,
        day: Day,
        keys: &[u64],
        size: u8,
    ) -> BlockEntry {
        let id = BlockId(catalog.next_id());
        let filter = |size: u8| {
            let mut filter = SplitBlockFilter::new(SizeClass::from_number(size).unwrap());
            keys.iter().for_each(|number| filter.insert(key(*number)));
            filter
        };
        let truth = Truth { traces: filter(size), terms: filter(size + 1) };
        let both = [truth.traces.as_bytes(), truth.terms.as_bytes()].concat();
        let hash = xxh3_64(&both);
        let object = [b"PAR1".as_slice(), &hash.to_le_bytes(), &both, b"PAR1"].concat();
        let mut entry = crate::test_blocks::block(tenant, id, day.start_unix_nano());
        let traces = FilterPlace { offset: 12, class: truth.traces.class() };
        let terms = FilterPlace { offset: traces.range().end, class: truth.terms.class() };
        entry.summary.filters = FiltersSummary { traces, terms, hash, left_out: Vec::new() };
        entry.summary.origins.bytes = object.len() as u64;
        self.put(&ObjectKey::Origins(id), object.into());
        self.truth.insert(id, truth);
        entry
    }

    /// Blocks of a day, as a merge leaves them.
    pub(super) fn add_day(&mut self, catalog: &Catalog, tenant: &Tenant, day: Day, blocks: &[(&[u64], u8)]) {
        let outputs = blocks.iter().map(|(keys, size)| {
            let summary = self.block(catalog, tenant, day, keys, *size).summary;
            (day, BlockEntry::merged(summary, 0, Ulid(1)))
        });
        let merge = Merge { tenant: tenant.clone(), inputs: Vec::new(), outputs: outputs.collect() };
        block_on(catalog.publish(&merge)).unwrap();
    }

    /// A flush, folded or not.
    pub(super) fn flush(&mut self, catalog: &Catalog, tenant: &Tenant, day: Day, keys: &[u64], size: u8) {
        let blocks = vec![self.block(catalog, tenant, day, keys, size)];
        let writer = WriterId(Ulid::from_parts(1_000, 1));
        let entry = LogEntry { writer, number: self.flushes, blocks };
        self.flushes += 1;
        let opened = self.clock.monotonic();
        block_on(catalog.commit(&entry, Some(opened))).unwrap();
    }

    pub(super) fn retire(&self, catalog: &Catalog, tenant: &Tenant, section: Section, blocks: Vec<BlockId>) {
        let inputs = vec![(section, blocks)];
        let merge = Merge { tenant: tenant.clone(), inputs, outputs: Vec::new() };
        block_on(catalog.publish(&merge)).unwrap();
    }

    pub(super) fn put(&self, key: &ObjectKey, content: Bytes) {
        block_on(self.store.put(&path(key), PutPayload::from_bytes(content))).unwrap();
    }

    pub(super) fn get(&self, key: &ObjectKey) -> Option<Bytes> {
        block_on(async { self.store.get(&path(key)).await.ok()?.bytes().await.ok() })
    }

    pub(super) fn delete(&self, key: &ObjectKey) {
        block_on(self.store.delete(&path(key))).unwrap();
    }

    /// The tenant's page and all its blocks, each with its section.
    pub(super) fn all(&mut self, tenant: &Tenant) -> (TenantPage, Vec<(Section, BlockEntry)>) {
        let catalog = self.catalog();
        block_on(async {
            let root = catalog.load().await.unwrap().root;
            let Some(known) = root.tenants.get(tenant) else {
                return (TenantPage::new(tenant.clone()), Vec::new());
            };
            let page = catalog.pages.tenant(&catalog.bucket, known.page, tenant).await.unwrap();
            let mut blocks = Vec::new();
            for one in &page.pages {
                let read = catalog.pages.blocks(&catalog.bucket, one, tenant).await.unwrap();
                blocks.extend(read.blocks.iter().map(|block| (one.section, block.clone())));
            }
            (TenantPage::clone(&page), blocks)
        })
    }

    /// Asks with nothing in memory and compares with the truth: no block is missed, and as
    /// nothing is damaged, those that a group is asked for are exact.
    pub(super) fn check_exact(&mut self, tenant: &Tenant, wanted: Wanted<'_>) -> Candidates {
        let candidates = self.check(tenant, wanted);
        assert_eq!(candidates.unread, []);
        assert!(candidates.holding.iter().all(|block| self.truth[&block.id()].may_hold(&wanted)));
        assert!(candidates.unasked.iter().all(|block| !block.grouped));
        candidates
    }

    /// Asks with nothing in memory and compares with the truth: no block is missed.
    pub(super) fn check(&mut self, tenant: &Tenant, wanted: Wanted<'_>) -> Candidates {
        let catalog = self.catalog();
        let snapshot = block_on(catalog.snapshot(&Cover::default())).unwrap();
        let candidates = block_on(catalog.blocks_that_may_hold(&snapshot, tenant, wanted)).unwrap();
        let (from, to) = (wanted.from_unix_nano, wanted.to_unix_nano);
        let all = block_on(catalog.blocks(&snapshot, tenant, from, to)).unwrap();
        let ids = |blocks: &[BlockEntry]| blocks.iter().map(BlockEntry::id).collect::<BTreeSet<_>>();
        let (holding, unasked) = (ids(&candidates.holding), ids(&candidates.unasked));
        assert_eq!(holding.len() + unasked.len(), candidates.holding.len() + candidates.unasked.len());
        assert!(holding.is_disjoint(&unasked));
        for block in &all.blocks {
            let is_candidate = holding.contains(&block.id()) || unasked.contains(&block.id());
            assert!(is_candidate || !self.truth[&block.id()].may_hold(&wanted), "{} was missed", block.id());
        }
        assert!(holding.union(&unasked).all(|id| ids(&all.blocks).contains(id)));
        assert!(candidates.holding.iter().all(|block| block.tenant() == tenant));
        candidates
    }

    /// Every block that says so is in one group of each kind, and no other is in any.
    pub(super) fn check_groups(&mut self, tenant: &Tenant) {
        let (page, blocks) = self.all(tenant);
        let catalog = self.catalog();
        let mut members: BTreeMap<(bool, BlockId), Vec<(ObjectId, Section)>> = BTreeMap::new();
        for group in &page.groups {
            let index = block_on(catalog.indexes.of(&catalog.bucket, group)).unwrap();
            for (block, section) in index.members() {
                members.entry((group.kind == GroupKind::Terms, block)).or_default().push((group.id, section));
            }
        }
        for (section, block) in blocks {
            for is_terms in [false, true] {
                let found = members.get(&(is_terms, block.id())).map_or(&[][..], Vec::as_slice);
                assert_eq!(found.len(), usize::from(block.grouped), "block {}: {found:?}", block.id());
                assert!(found.iter().all(|(_, said)| *said == section));
            }
        }
        let grouped = page.pages.iter().map(|page| page.grouped).sum::<u64>();
        assert!(grouped <= members.len() as u64);
    }
}

/// All of any of these keys, at any time.
pub(super) fn ever(kind: GroupKind, all_of_any: &[Vec<FilterKey>]) -> Wanted<'_> {
    Wanted { kind, all_of_any, from_unix_nano: 0, to_unix_nano: u64::MAX }
}
