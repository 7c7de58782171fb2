//! A store whose time is the test's, with writers, compactors and readers. Nothing fails here: what happens when
//! requests fail is what the simulation of merging is about.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use siltstone_ask::Retention;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::bucket::{Bucket, Listing};
use siltstone_catalog::change::AddMark;
use siltstone_catalog::commit::Fate;
use siltstone_catalog::expire::SetRetention;
use siltstone_catalog::log_entry::LogEntry;
use siltstone_catalog::mark::{MarkKind, MarkTarget};
use siltstone_catalog::snapshot::{Cover, Snapshot, TenantBlocks};
use siltstone_catalog::windows::Windows;
use siltstone_catalog::{Catalog, CatalogConfig};
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::write::encode_block;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::{BlockId, WriterId};
use siltstone_format::invariants::{WholeBlock, check_f1};
use siltstone_format::path::ObjectKey;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_testkit::counting_store::Request;
use siltstone_testkit::{CountingStore, FaultPlan, FaultyStore, VirtualClock};

use super::truth::{START, Sent, trace_id};
use crate::config::CompactorConfig;
use crate::metrics::Metrics;
use crate::plan::Policy;
use crate::retain::Rules;
use crate::retain::outlook::{Depth, Outlook, outlook};
use crate::service::{Compactor, Round, When};
use crate::test_clock::WaitingClock;

type Store = Arc<CountingStore<FaultyStore<InMemory>>>;

pub(super) struct World {
    pub(super) clock: VirtualClock,
    store: Store,
    pub(super) catalog: Arc<Catalog>,
    config: CompactorConfig,
    pub(super) compactor: Compactor,
}

fn catalog(store: &Store, clock: &VirtualClock, seed: u8) -> Arc<Catalog> {
    let objects: Arc<dyn ObjectStore> = Arc::<CountingStore<_>>::clone(store);
    let config = CatalogConfig {
        bucket: Bucket::new(objects, Listing::Together),
        clock: Arc::new(WaitingClock(clock.clone())),
        seed: [seed; 32],
        windows: Windows::default(),
    };
    Arc::new(Catalog::new(config).unwrap())
}

fn compactor(catalog: &Arc<Catalog>, clock: &VirtualClock, config: &CompactorConfig) -> Compactor {
    let waiting = Arc::new(WaitingClock(clock.clone()));
    Compactor::new(Arc::clone(catalog), waiting, config.clone(), Arc::new(Metrics::default()))
}

impl World {
    pub(super) fn new(usual: Option<&str>, policy: Policy) -> Self {
        Self::with_memory(usual, policy, 4 << 20)
    }

    pub(super) fn with_memory(usual: Option<&str>, policy: Policy, memory_bytes: usize) -> Self {
        let clock = VirtualClock::starting_at(START);
        let store = FaultyStore::new(InMemory::new(), clock.clone(), FaultPlan::none());
        let store = Arc::new(CountingStore::new(store));
        let catalog = catalog(&store, &clock, 7);
        let config = CompactorConfig {
            jobs: 2,
            memory_bytes,
            threads: false,
            policy,
            retention: usual.map(|rules| rules.parse::<Retention>().unwrap()),
            ..CompactorConfig::default()
        };
        let compactor = compactor(&catalog, &clock, &config);
        let world = Self { clock, store, catalog, config, compactor };
        world.finish(world.compactor.make_ready()).unwrap();
        world
    }

    /// One that knows nothing yet.
    pub(super) fn another_compactor(&self) -> Compactor {
        compactor(&catalog(&self.store, &self.clock, 8), &self.clock, &self.config)
    }

    /// The same, which does one thing after the other.
    pub(super) fn compactor_of_one_job(&self) -> Compactor {
        let config = CompactorConfig { jobs: 1, ..self.config.clone() };
        compactor(&catalog(&self.store, &self.clock, 9), &self.clock, &config)
    }

    /// One that keeps everything for ever: it only merges.
    pub(super) fn compactor_without_rules(&self) -> Compactor {
        let config = CompactorConfig { retention: None, ..self.config.clone() };
        compactor(&catalog(&self.store, &self.clock, 10), &self.clock, &config)
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    pub(super) fn pass(&self, nanos: u64) {
        self.clock.advance(Duration::from_nanos(nanos));
    }

    /// Runs something to its end; who sleeps is woken at once.
    pub(super) fn finish<T>(&self, process: impl Future<Output = T>) -> T {
        let mut process = std::pin::pin!(process);
        // The store rests for some turns at each request.
        let mut turns = 0;
        loop {
            match (&mut process).now_or_never() {
                Some(done) => return done,
                None if turns < 10_000 => {
                    // Requests take time: who asks anew must not be given what was known before.
                    self.clock.advance(Duration::from_micros(10));
                    turns += 1;
                }
                None => {
                    turns = 0;
                    assert!(self.clock.advance_to_next_sleeper(), "it waits for nothing");
                }
            }
        }
    }

    pub(super) fn flush(&self, sent: &[Sent]) -> BlockId {
        let spans: Vec<Span> = sent.iter().map(Sent::span).collect();
        self.flush_spans(&spans)
    }

    pub(super) fn flush_spans(&self, spans: &[Span]) -> BlockId {
        let opened = self.clock.monotonic();
        let mut columns = SpanColumns::default();
        spans.iter().for_each(|span| columns.push(span).unwrap());
        let block = BlockId(self.catalog.next_id());
        let identity = BlockIdentity { block, tenant: Tenant::single(), inputs: Vec::new() };
        let encoded = encode_block(&columns, &identity).unwrap();
        let writer = WriterId(self.catalog.next_id());
        self.finish(async {
            for (key, content) in
                [(ObjectKey::Spans(block), encoded.spans), (ObjectKey::Origins(block), encoded.origins)]
            {
                self.store.put(&Path::from(key.to_string()), PutPayload::from(content)).await.unwrap();
            }
            let entry = LogEntry { writer, number: 0, blocks: vec![BlockEntry::flushed(encoded.summary)] };
            assert_eq!(self.catalog.commit(&entry, Some(opened)).await.unwrap(), Fate::Committed);
        });
        block
    }

    pub(super) fn mark(&self, kind: MarkKind, trace: u64) {
        let mark = AddMark { tenant: Tenant::single(), kind, target: MarkTarget::Trace(trace_id(trace)) };
        self.finish(self.catalog.publish(&mark)).unwrap();
    }

    pub(super) fn set_rules(&self, rules: Option<&str>, reapply: bool) {
        let rules = rules.map(str::to_owned);
        let change = SetRetention { tenant: Tenant::single(), rules, reapply, at_unix_millis: 0 };
        self.finish(self.catalog.publish(&change)).unwrap();
    }

    /// What would become of all by other rules.
    pub(super) fn outlook(&self, rules: &str, memory_bytes: usize) -> Outlook {
        let rules = Rules { retention: rules.parse().unwrap(), number: 0, reapplied: 0 };
        let (snapshot, depth) = (self.snapshot(), Depth::Rows { memory_bytes });
        self.finish(outlook(&self.catalog, &snapshot, &Tenant::single(), rules, depth)).unwrap()
    }

    /// Works until there is nothing to do.
    pub(super) fn compact(&self, when: When) -> Vec<Round> {
        let mut rounds = Vec::new();
        loop {
            let round = self.finish(self.compactor.round(when)).unwrap();
            let is_idle = round.is_idle();
            rounds.push(round);
            assert!(rounds.len() < 500, "it does not come to an end: {:?}", rounds.last());
            if is_idle {
                return rounds;
            }
        }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.pass(1_000_000);
        self.finish(self.catalog.snapshot(&Cover { fresh: true, ..Cover::default() })).unwrap()
    }

    /// Blocks by where they stand.
    pub(super) fn blocks(&self) -> Vec<(Section, BlockEntry)> {
        let (snapshot, tenant) = (self.snapshot(), Tenant::single());
        self.finish(async {
            let mut all = Vec::new();
            for page in self.catalog.pages(&snapshot, &tenant).await.unwrap() {
                let blocks = self.catalog.blocks_of(&tenant, &page).await.unwrap();
                all.extend(blocks.blocks.iter().map(|block| (page.section, block.clone())));
            }
            all
        })
    }

    /// The numbers of the spans that a reader sees, each of which says what was sent.
    pub(super) fn seen(&self) -> BTreeSet<u64> {
        let snapshot = self.snapshot();
        let found = self.finish(self.catalog.blocks(&snapshot, &Tenant::single(), 0, u64::MAX)).unwrap();
        let TenantBlocks { blocks, deleted, missing, .. } = found;
        assert!(missing.is_empty());
        let mut seen = BTreeSet::new();
        for block in &blocks {
            for span in self.read(block) {
                if !deleted.hides(&span.trace_id, block.clean_through) {
                    let number = u64::from_be_bytes(span.span_id.0) - 1;
                    assert!(seen.insert(number), "span {number} is there twice");
                }
            }
        }
        seen
    }

    pub(super) fn read(&self, block: &BlockEntry) -> Vec<Span> {
        let get = async |key: ObjectKey| {
            let got = self.store.get(&Path::from(key.to_string())).await.unwrap();
            got.bytes().await.unwrap()
        };
        let spans = self.finish(get(ObjectKey::Spans(block.id())));
        let origins = self.finish(get(ObjectKey::Origins(block.id())));
        let (_, said) = OriginsFile::open_unverified("origins", &origins).unwrap();
        let mut summary = block.summary.clone();
        summary.identity.inputs = said.identity.inputs;
        check_f1(&WholeBlock { summary: &summary, spans: &spans, origins: &origins }).unwrap()
    }

    pub(super) fn delete_object(&self, key: &ObjectKey) {
        self.finish(self.store.delete(&Path::from(key.to_string()))).unwrap();
    }

    pub(super) fn has_object(&self, key: &ObjectKey) -> bool {
        self.finish(self.store.head(&Path::from(key.to_string()))).is_ok()
    }

    /// What was asked of the store meanwhile.
    pub(super) fn requests_of<T>(&self, work: impl FnOnce() -> T) -> (T, Vec<Request>) {
        self.store.reset();
        let outcome = work();
        (outcome, self.store.requests())
    }
}
