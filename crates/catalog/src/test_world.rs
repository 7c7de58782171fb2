//! A catalog on a store in memory whose time is the test's, with blocks that are real.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::write::encode_block;
use siltstone_format::columns::SpanColumns;
use siltstone_format::content::canonical_span;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, SpanId, TraceId, WriterId};
use siltstone_format::invariants::{WholeBlock, check_f1};
use siltstone_format::path::ObjectKey;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_testkit::{FaultPlan, FaultyStore, VirtualClock};

use crate::block_entry::BlockEntry;
use crate::block_page::Section;
use crate::bucket::{Bucket, Listing};
use crate::catalog::{Catalog, CatalogConfig};
use crate::change::Merge;
use crate::commit::Fate;
use crate::log_entry::LogEntry;
use crate::publish::{PublishError, Published};
use crate::snapshot::{Cover, Snapshot, TenantBlocks};
use crate::sweep::{SweepMode, Swept};
use crate::test_clock::WaitingClock;
use crate::windows::Windows;

/// 2027-01-15, where time begins.
pub(crate) const START_UNIX_NANOS: u64 = 1_800_000_000_000_000_000;
const NANOS_PER_DAY: u64 = 86_400_000_000_000;

pub(crate) struct TestWorld {
    pub(crate) store: FaultyStore<InMemory>,
    pub(crate) clock: VirtualClock,
    processes: AtomicU64,
}

impl TestWorld {
    /// An empty store.
    pub(crate) fn new() -> Self {
        let clock = VirtualClock::starting_at(START_UNIX_NANOS);
        let store = FaultyStore::new(InMemory::new(), clock.clone(), FaultPlan::none());
        Self { store, clock, processes: AtomicU64::new(0) }
    }

    /// A store with a catalog.
    pub(crate) fn with_catalog() -> (Self, Catalog) {
        let world = Self::new();
        let catalog = world.process();
        world.finish(catalog.init()).unwrap();
        (world, catalog)
    }

    /// Another process on the same store.
    pub(crate) fn process(&self) -> Catalog {
        self.process_with(Windows::default(), Listing::LogThenRoots, 0)
    }

    pub(crate) fn process_with(&self, windows: Windows, listing: Listing, skew_nanos: i64) -> Catalog {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let objects: Arc<dyn ObjectStore> = Arc::new(self.store.clone());
        Catalog::new(CatalogConfig {
            bucket: Bucket::new(objects, listing),
            clock: Arc::new(WaitingClock(self.clock.skewed_by(skew_nanos))),
            seed,
            windows,
        })
        .unwrap()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Runs something to its end; who sleeps is woken at once.
    pub(crate) fn finish<T>(&self, process: impl Future<Output = T>) -> T {
        let mut process = std::pin::pin!(process);
        loop {
            match (&mut process).now_or_never() {
                Some(done) => return done,
                None => assert!(self.clock.advance_to_next_sleeper(), "it waits for nothing"),
            }
        }
    }

    pub(crate) fn requests(&self) -> usize {
        self.store.log().len()
    }

    pub(crate) fn put(&self, key: &ObjectKey, content: Vec<u8>) {
        self.put_at(&key.to_string(), content);
    }

    pub(crate) fn put_at(&self, key: &str, content: Vec<u8>) {
        self.finish(self.store.put(&Path::from(key), PutPayload::from(content))).unwrap();
    }

    pub(crate) fn get(&self, key: &ObjectKey) -> Option<Bytes> {
        let path = Path::from(key.to_string());
        self.finish(async { self.store.get(&path).await.ok()?.bytes().await.ok() })
    }

    pub(crate) fn delete(&self, key: &ObjectKey) {
        self.finish(self.store.delete(&Path::from(key.to_string()))).unwrap();
    }

    /// Changes one byte in the middle of an object.
    pub(crate) fn damage(&self, key: &ObjectKey) {
        let mut content = self.get(key).unwrap_or_else(|| panic!("{key} is not there")).to_vec();
        let middle = content.len() / 2;
        content[middle] ^= 0x55;
        self.put(key, content);
    }

    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let prefix = Path::from(prefix);
        let mut objects = self.store.list(Some(&prefix));
        let mut keys: Vec<String> = self.finish(async {
            let mut keys = Vec::new();
            while let Some(meta) = objects.next().await {
                keys.push(meta.unwrap().location.to_string());
            }
            keys
        });
        keys.sort();
        keys
    }

    /// Writes both objects of a block, and gives its entry as of an ingester.
    pub(crate) fn write_block(
        &self,
        id: BlockId,
        tenant: &Tenant,
        spans: &[Span],
        inputs: &[BlockId],
    ) -> BlockEntry {
        let mut columns = SpanColumns::default();
        spans.iter().for_each(|span| columns.push(span).unwrap());
        let identity = BlockIdentity { block: id, tenant: tenant.clone(), inputs: inputs.to_vec() };
        let block = encode_block(&columns, &identity).unwrap();
        self.put(&ObjectKey::Spans(id), block.spans);
        self.put(&ObjectKey::Origins(id), block.origins);
        BlockEntry::flushed(block.summary)
    }

    /// The spans of a block, F1 proven.
    pub(crate) fn read_block(&self, block: &BlockEntry) -> Vec<Span> {
        let origins = self.get(&ObjectKey::Origins(block.id())).expect("the origins are there");
        let spans = self.get(&ObjectKey::Spans(block.id())).expect("the spans are there");
        let mut summary = block.summary.clone();
        // Entries do not say what a block was made of.
        let (found, _) =
            siltstone_format::block::origins::OriginsFile::open_unverified("origins", &origins).unwrap();
        summary.identity.inputs.clone_from(&found.identity().inputs);
        check_f1(&WholeBlock { summary: &summary, spans: &spans, origins: &origins }).unwrap()
    }

    /// Merges these blocks, cut by day, and publishes that. The outputs with their days.
    pub(crate) fn merge(
        &self,
        catalog: &Catalog,
        tenant: &Tenant,
        inputs: &[(Section, BlockEntry)],
    ) -> Merge {
        let merge = self.prepare_merge(catalog, tenant, inputs);
        self.finish(catalog.publish(&merge)).unwrap();
        merge
    }

    /// Writes the outputs of a merge and publishes nothing.
    pub(crate) fn prepare_merge(
        &self,
        catalog: &Catalog,
        tenant: &Tenant,
        inputs: &[(Section, BlockEntry)],
    ) -> Merge {
        let clean_through = self.blocks(catalog, tenant).clean_through;
        let ids: Vec<BlockId> = inputs.iter().map(|(_, block)| block.id()).collect();
        let mut days: BTreeMap<Day, BTreeMap<Vec<u8>, Span>> = BTreeMap::new();
        for span in inputs.iter().flat_map(|(_, block)| self.read_block(block)) {
            let day = Day::of_unix_nano(span.start_unix_nano);
            days.entry(day).or_default().insert(canonical_span(&span), span);
        }
        let set = catalog.next_id();
        let outputs = days.into_iter().map(|(day, spans)| {
            let spans: Vec<Span> = spans.into_values().collect();
            let written = self.write_block(BlockId(catalog.next_id()), tenant, &spans, &ids);
            (day, BlockEntry::merged(written.summary, clean_through, set))
        });
        let outputs = outputs.collect();
        let mut sections: BTreeMap<Section, Vec<BlockId>> = BTreeMap::new();
        for (section, block) in inputs {
            sections.entry(*section).or_default().push(block.id());
        }
        Merge { tenant: tenant.clone(), inputs: sections.into_iter().collect(), outputs }
    }

    /// The blocks of a section as the newest root has them.
    pub(crate) fn section(
        &self,
        catalog: &Catalog,
        tenant: &Tenant,
        section: Section,
    ) -> Vec<(Section, BlockEntry)> {
        self.finish(async {
            let root = catalog.load().await.unwrap().root;
            let Some(known) = root.tenants.get(tenant) else { return Vec::new() };
            let page = crate::draft::read_tenant_page(&catalog.bucket, known.page, tenant).await.unwrap();
            let mut blocks = Vec::new();
            for page in page.pages.iter().filter(|page| page.section == section) {
                let read = crate::draft::read_block_page(&catalog.bucket, page.id, tenant, section).await;
                blocks.extend(read.unwrap().blocks.into_iter().map(|block| (section, block)));
            }
            blocks
        })
    }

    /// A snapshot taken now.
    pub(crate) fn snapshot(&self, catalog: &Catalog) -> Arc<Snapshot> {
        self.pass(Duration::from_millis(1));
        self.finish(catalog.snapshot(&Cover { fresh: true, ..Cover::default() })).unwrap()
    }

    /// What a query of the tenant would have to read.
    pub(crate) fn blocks(&self, catalog: &Catalog, tenant: &Tenant) -> TenantBlocks {
        let snapshot = self.snapshot(catalog);
        self.finish(catalog.blocks(&snapshot, tenant, 0, u64::MAX)).unwrap()
    }

    /// The numbers of all spans that a query of the tenant would find; same spans count
    /// once.
    pub(crate) fn found(&self, catalog: &Catalog, tenant: &Tenant) -> Vec<u64> {
        let blocks = self.blocks(catalog, tenant).blocks;
        let mut seen = BTreeMap::new();
        for span in blocks.iter().flat_map(|block| self.read_block(block)) {
            seen.insert(canonical_span(&span), u64::from_be_bytes(span.span_id.0) - 1);
        }
        let mut numbers: Vec<u64> = seen.into_values().collect();
        numbers.sort_unstable();
        numbers
    }

    pub(crate) fn fold(&self, catalog: &Catalog) -> Result<Published, PublishError> {
        self.finish(catalog.fold())
    }

    pub(crate) fn sweep(&self, catalog: &Catalog) -> Swept {
        self.finish(catalog.sweep(SweepMode::Delete)).unwrap()
    }

    /// Lets all windows pass, with sweeps and roots between, so that all that is due goes.
    pub(crate) fn sweep_all(&self, catalog: &Catalog, days: u64) {
        for _ in 0..days * 24 {
            self.pass(Duration::from_secs(3600));
            self.touch(catalog);
            self.sweep(catalog);
        }
    }

    /// Publishes a root that says nothing new, so that the store's time is seen to pass.
    pub(crate) fn touch(&self, catalog: &Catalog) {
        self.finish(catalog.publish(&Touch)).unwrap();
    }
}

struct Touch;

impl crate::publish::Change for Touch {
    fn apply<'a>(
        &'a self,
        draft: &'a mut crate::draft::Draft<'_>,
    ) -> futures::future::BoxFuture<'a, Result<(), crate::publish::ChangeError>> {
        draft.root_mut();
        async { Ok(()) }.boxed()
    }
}

/// An ingester: flush after flush of one writer.
pub(crate) struct TestWriter {
    pub(crate) id: WriterId,
    pub(crate) next: u64,
}

impl TestWriter {
    pub(crate) fn new(catalog: &Catalog) -> Self {
        Self { id: WriterId(catalog.next_id()), next: 0 }
    }

    /// Writes the blocks of a flush, and gives its entry.
    pub(crate) fn write(
        &mut self,
        world: &TestWorld,
        catalog: &Catalog,
        tenants: &[(&Tenant, &[Span])],
    ) -> LogEntry {
        let blocks = tenants
            .iter()
            .map(|(tenant, spans)| world.write_block(BlockId(catalog.next_id()), tenant, spans, &[]));
        let entry = LogEntry { writer: self.id, number: self.next, blocks: blocks.collect() };
        self.next += 1;
        entry
    }

    /// Writes a flush and commits it.
    pub(crate) fn flush(
        &mut self,
        world: &TestWorld,
        catalog: &Catalog,
        tenants: &[(&Tenant, &[Span])],
    ) -> LogEntry {
        let opened = world.clock.monotonic();
        let entry = self.write(world, catalog, tenants);
        assert_eq!(world.finish(catalog.commit(&entry, Some(opened))).unwrap(), Fate::Committed);
        entry
    }
}

/// Spans of one trace each, numbered, on a day counted from the start.
pub(crate) fn spans(numbers: std::ops::Range<u64>, day: u64) -> Vec<Span> {
    numbers.map(|number| span(number, day)).collect()
}

pub(crate) fn span(number: u64, day: u64) -> Span {
    let start = START_UNIX_NANOS + day * NANOS_PER_DAY + number;
    Span {
        trace_id: TraceId(u128::from(number + 1).to_be_bytes()),
        span_id: SpanId((number + 1).to_be_bytes()),
        name: format!("operation {}", number % 3),
        start_unix_nano: start,
        end_unix_nano: start + 1_000,
        ..Span::default()
    }
}

pub(crate) fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

/// All numbers of these ranges, in order.
pub(crate) fn numbers(ranges: &[(u64, u64)]) -> Vec<u64> {
    let mut numbers: Vec<u64> = ranges.iter().flat_map(|(from, to)| *from..*to).collect();
    numbers.sort_unstable();
    numbers
}
