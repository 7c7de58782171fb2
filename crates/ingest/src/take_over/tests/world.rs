//! A store, and ingesters in object mode on one virtual clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::memory::InMemory;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use siltstone_ask::{Window, canonical_span};
use siltstone_catalog::bucket::{Bucket, Listing};
use siltstone_catalog::time::Clock;
use siltstone_catalog::windows::Windows;
use siltstone_catalog::{Catalog, CatalogConfig};
use siltstone_format::id::{ObjectId, WriterId};
use siltstone_format::tenant::Tenant;
use siltstone_live::question::{Question, Wanted};
use siltstone_live::source::LiveSource;
use siltstone_querier::View;
use siltstone_querier::find::scan_all;
use siltstone_testkit::{Fault, FaultPlan, FaultyStore, Rule, VirtualClock};
use siltstone_traffic::{Traffic, TrafficConfig};
use ulid::Ulid;

use crate::bucket_live::BucketLive;
use crate::config::IngestConfig;
use crate::export::{Accept, Accepted, Export, Refused};
use crate::log::Durability;
use crate::log::object::{ObjectLogs, Pieces};
use crate::metrics::Metrics;
use crate::service::{Ingest, IngestParts};
use crate::test_clock::TestClock;

/// Longer than any test.
pub(super) const FOR_EVER: Duration = Duration::from_secs(100 * 86_400);

pub(super) struct World {
    pub(super) clock: VirtualClock,
    /// What all see.
    pub(super) truth: FaultyStore<InMemory>,
}

/// An ingester, and its own way to the store.
pub(super) struct Node {
    pub(super) ingest: Arc<Ingest>,
    pub(super) store: FaultyStore<FaultyStore<InMemory>>,
    metrics: Arc<Metrics>,
}

/// Runs a test on one thread, with one more for blocking work.
pub(super) fn play<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(test)
}

pub(super) fn requests(spans: usize, per_request: usize, seed: u64) -> Vec<ExportTraceServiceRequest> {
    let config = TrafficConfig { seed, spans, request_spans: per_request, ..TrafficConfig::default() };
    Traffic::new(config).map(|batch| batch.request).collect()
}

pub(super) fn span_count(requests: &[ExportTraceServiceRequest]) -> usize {
    let scopes =
        requests.iter().flat_map(|request| &request.resource_spans).flat_map(|spans| &spans.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

fn everything() -> Question {
    Question { tenant: Tenant::single(), wanted: Wanted::Matching { filter: None, window: Window::ALL } }
}

/// Whatever comes takes so long that nothing ever comes of it.
pub(super) fn dead() -> FaultPlan {
    FaultPlan::script([Rule::new(Fault::Delay(FOR_EVER))])
}

impl World {
    pub(super) fn new() -> Self {
        let clock = VirtualClock::starting_at(1_800_000_000_000_000_000);
        let truth = FaultyStore::new(InMemory::new(), clock.clone(), FaultPlan::none());
        Self { clock, truth }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(TestClock(self.clock.clone()))
    }

    pub(super) fn catalog(&self, store: Arc<dyn object_store::ObjectStore>, seed: u8) -> Arc<Catalog> {
        let bucket = Bucket::new(store, Listing::Together);
        let config =
            CatalogConfig { bucket, clock: self.clock(), seed: [seed; 32], windows: Windows::default() };
        Arc::new(Catalog::new(config).unwrap())
    }

    pub(super) async fn node(&self, seed: u8, config: IngestConfig) -> Node {
        let store = FaultyStore::new(self.truth.clone(), self.clock.clone(), FaultPlan::none());
        let catalog = self.catalog(Arc::new(store.clone()), seed);
        let logs = ObjectLogs::new(catalog.bucket().clone(), self.clock(), 64 << 20);
        let metrics = Arc::new(Metrics::default());
        let parts = IngestParts {
            catalog,
            clock: self.clock(),
            metrics: Arc::clone(&metrics),
            log: Durability::Object(logs),
            ingester: ObjectId(Ulid(seed.into())),
            address: format!("http://node-{seed}:14317"),
            seed: 7,
        };
        let node = Node { ingest: Arc::new(Ingest::start(config, parts).await.unwrap()), store, metrics };
        self.settle().await;
        node
    }

    pub(super) fn pieces(&self) -> Pieces {
        Pieces::new(&Bucket::new(Arc::new(self.truth.clone()), Listing::Together))
    }

    /// Lets everything happen that waits for nothing but its turn.
    pub(super) async fn settle(&self) {
        for _ in 0..3 {
            for _ in 0..30 {
                tokio::task::yield_now().await;
            }
            tokio::task::spawn_blocking(|| {}).await.unwrap();
        }
    }

    pub(super) async fn pass(&self, time: Duration) {
        let end = self.clock.monotonic() + time;
        self.settle().await;
        while let Some(next) = self.clock.next_deadline().filter(|next| *next <= end) {
            self.clock.advance(next.saturating_sub(self.clock.monotonic()));
            self.settle().await;
        }
        self.clock.advance(end - self.clock.monotonic());
        self.settle().await;
    }

    pub(super) async fn pass_seconds(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds)).await;
    }

    /// Time passes until something is there.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let task = tokio::spawn(future);
        for _ in 0..100_000 {
            for _ in 0..8 {
                self.settle().await;
                if task.is_finished() {
                    return task.await.unwrap();
                }
            }
            assert!(self.clock.advance_to_next_sleeper(), "nothing will happen any more");
        }
        panic!("it does not come to an end");
    }

    /// How often each span is seen, by a reader who has nothing in memory.
    pub(super) async fn seen(&self, live: &[Arc<dyn LiveSource>]) -> BTreeMap<Vec<u8>, usize> {
        let (catalog, clock) = (self.catalog(Arc::new(self.truth.clone()), 200), self.clock());
        let live = live.to_vec();
        let reading = async move {
            let view = View::open(&catalog, &*clock, &live, &everything()).await.unwrap();
            assert!(view.partial.is_empty(), "{:?}", view.partial);
            let blocks = catalog.blocks(&view.snapshot, &Tenant::single(), 0, u64::MAX).await.unwrap();
            let in_blocks: u64 = blocks.blocks.iter().map(|block| block.summary.spans.rows).sum();
            let rows =
                in_blocks as usize + view.live.iter().map(|segment| segment.spans.len()).sum::<usize>();
            let found = scan_all(&catalog, &*clock, &view).await.unwrap().spans;
            let mut counts = BTreeMap::<Vec<u8>, usize>::new();
            found.iter().for_each(|span| *counts.entry(canonical_span(span)).or_default() += 1);
            (counts, rows)
        };
        let (counts, rows) = self.finish(reading).await;
        // The reader shows copies as one: how many there are is told by the rows.
        let mut counts = counts;
        let copies = rows - counts.values().sum::<usize>();
        counts.insert(b"copies".to_vec(), copies);
        counts
    }

    /// All of these spans are found, and no copies.
    pub(super) async fn assert_exactly(
        &self,
        live: &[Arc<dyn LiveSource>],
        sent: &[ExportTraceServiceRequest],
    ) {
        let seen = self.seen(live).await;
        assert_eq!(seen.len() - 1, span_count(sent), "spans found");
        assert_eq!(seen[b"copies".as_slice()], 0, "copies");
    }

    pub(super) fn read_log(&self, writers: BTreeSet<WriterId>) -> Arc<dyn LiveSource> {
        let bucket = Bucket::new(Arc::new(self.truth.clone()), Listing::Together);
        Arc::new(BucketLive::new(&bucket, "dead", writers))
    }

    /// How many pieces there are that are no seals.
    pub(super) async fn pieces_left(&self) -> usize {
        let mut left = 0;
        for found in self.pieces().list_writers().await.unwrap() {
            for number in found.pieces {
                left += usize::from(self.pieces().read(found.writer, number).await.unwrap().is_some());
            }
        }
        left
    }

    /// The same, and some may be damaged.
    pub(super) async fn pieces_that_can_be_read(&self) -> usize {
        let mut left = 0;
        for found in self.pieces().list_writers().await.unwrap() {
            for number in found.pieces {
                left += usize::from(matches!(self.pieces().read(found.writer, number).await, Ok(Some(_))));
            }
        }
        left
    }
}

impl Node {
    pub(super) fn writers(&self) -> BTreeSet<WriterId> {
        self.ingest.live_segments().into_iter().map(|name| name.writer).collect()
    }

    pub(super) fn live(&self) -> Arc<dyn LiveSource> {
        Arc::new(self.ingest.live())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.metric("memory_bytes")
    }

    pub(super) fn metric(&self, name: &str) -> usize {
        self.ingest.observe();
        let mut text = String::new();
        self.metrics.render(&mut text);
        let prefix = format!("siltstone_ingest_{name} ");
        text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().parse().unwrap()
    }

    pub(super) fn send(
        &self,
        request: &ExportTraceServiceRequest,
    ) -> tokio::task::JoinHandle<Result<Accepted, Refused>> {
        self.send_of(&Tenant::single(), request)
    }

    pub(super) fn send_of(
        &self,
        tenant: &Tenant,
        request: &ExportTraceServiceRequest,
    ) -> tokio::task::JoinHandle<Result<Accepted, Refused>> {
        let (ingest, body) = (Arc::clone(&self.ingest), Bytes::from(request.encode_to_vec()));
        let tenant = tenant.clone();
        tokio::spawn(async move {
            let admission = ingest.admit(&tenant, body.len()).await?;
            ingest.accept(Export { tenant, body }, admission).await
        })
    }

    /// As senders do it. Gives how often it was refused.
    pub(super) async fn send_until_taken(&self, world: &World, request: &ExportTraceServiceRequest) -> usize {
        for refusals in 0..10 {
            let sending = self.send(request);
            if world.finish(async { sending.await.unwrap() }).await.is_ok() {
                return refusals;
            }
        }
        panic!("it is never taken");
    }

    pub(super) async fn send_all(&self, world: &World, requests: &[ExportTraceServiceRequest]) {
        for request in requests {
            self.send_until_taken(world, request).await;
        }
    }
}

pub(super) fn slowly() -> IngestConfig {
    IngestConfig { small_tenant_age: Duration::from_secs(600), ..IngestConfig::default() }
}

pub(super) fn aged(seconds: u64) -> IngestConfig {
    let age = Duration::from_secs(seconds);
    IngestConfig { small_tenant_age: age, large_tenant_age: age, ..IngestConfig::default() }
}
