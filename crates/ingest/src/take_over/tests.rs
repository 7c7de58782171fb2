//! Ingesters in object mode, of which some die, are paused, or meet faults, on one virtual clock.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siltstone_ask::{Window, canonical_span};
use siltstone_catalog::bucket::{Bucket, Listing};
use siltstone_catalog::change::Quarantine;
use siltstone_catalog::time::Clock;
use siltstone_catalog::windows::Windows;
use siltstone_catalog::{Catalog, CatalogConfig};
use siltstone_format::tenant::Tenant;
use siltstone_live::question::{Question, Wanted};
use siltstone_live::source::LiveSource;
use siltstone_querier::View;
use siltstone_querier::find::scan_all;
use siltstone_testkit::{Fault, FaultPlan, FaultyStore, Operation, RandomFaults, Rule, VirtualClock};
use siltstone_traffic::{Traffic, TrafficConfig};
use ulid::Ulid;

use super::*;
use crate::bucket_live::BucketLive;
use crate::config::IngestConfig;
use crate::export::{Accept, Accepted, Export, Refused};
use crate::log::Durability;
use crate::log::object::ObjectLogs;
use crate::metrics::Metrics;
use crate::service::{Ingest, IngestParts};
use crate::test_clock::TestClock;

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(100 * 86_400);

struct World {
    clock: VirtualClock,
    /// What all see.
    truth: FaultyStore<InMemory>,
}

/// An ingester, and its own way to the store.
struct Node {
    ingest: Arc<Ingest>,
    store: FaultyStore<FaultyStore<InMemory>>,
    metrics: Arc<Metrics>,
}

/// Runs a test on one thread, with one more for blocking work.
fn play<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(test)
}

fn requests(spans: usize, per_request: usize, seed: u64) -> Vec<ExportTraceServiceRequest> {
    let config = TrafficConfig { seed, spans, request_spans: per_request, ..TrafficConfig::default() };
    Traffic::new(config).map(|batch| batch.request).collect()
}

fn span_count(requests: &[ExportTraceServiceRequest]) -> usize {
    let scopes =
        requests.iter().flat_map(|request| &request.resource_spans).flat_map(|spans| &spans.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

fn everything() -> Question {
    Question { tenant: Tenant::single(), wanted: Wanted::Matching { filter: None, window: Window::ALL } }
}

/// Whatever comes takes so long that nothing ever comes of it.
fn dead() -> FaultPlan {
    FaultPlan::script([Rule::new(Fault::Delay(FOR_EVER))])
}

impl World {
    fn new() -> Self {
        let clock = VirtualClock::starting_at(1_800_000_000_000_000_000);
        let truth = FaultyStore::new(InMemory::new(), clock.clone(), FaultPlan::none());
        Self { clock, truth }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(TestClock(self.clock.clone()))
    }

    fn catalog(&self, store: Arc<dyn object_store::ObjectStore>, seed: u8) -> Arc<Catalog> {
        let bucket = Bucket::new(store, Listing::Together);
        let config =
            CatalogConfig { bucket, clock: self.clock(), seed: [seed; 32], windows: Windows::default() };
        Arc::new(Catalog::new(config).unwrap())
    }

    async fn node(&self, seed: u8, config: IngestConfig) -> Node {
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

    fn pieces(&self) -> Pieces {
        Pieces::new(&Bucket::new(Arc::new(self.truth.clone()), Listing::Together))
    }

    /// Lets everything happen that waits for nothing but its turn.
    async fn settle(&self) {
        for _ in 0..3 {
            for _ in 0..30 {
                tokio::task::yield_now().await;
            }
            tokio::task::spawn_blocking(|| {}).await.unwrap();
        }
    }

    async fn pass(&self, time: Duration) {
        let end = self.clock.monotonic() + time;
        self.settle().await;
        while let Some(next) = self.clock.next_deadline().filter(|next| *next <= end) {
            self.clock.advance(next.saturating_sub(self.clock.monotonic()));
            self.settle().await;
        }
        self.clock.advance(end - self.clock.monotonic());
        self.settle().await;
    }

    async fn pass_seconds(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds)).await;
    }

    /// Time passes until something is there.
    async fn finish<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
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
    async fn seen(&self, live: &[Arc<dyn LiveSource>]) -> BTreeMap<Vec<u8>, usize> {
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
    async fn assert_exactly(&self, live: &[Arc<dyn LiveSource>], sent: &[ExportTraceServiceRequest]) {
        let seen = self.seen(live).await;
        assert_eq!(seen.len() - 1, span_count(sent), "spans found");
        assert_eq!(seen[b"copies".as_slice()], 0, "copies");
    }

    fn read_log(&self, writers: BTreeSet<WriterId>) -> Arc<dyn LiveSource> {
        let bucket = Bucket::new(Arc::new(self.truth.clone()), Listing::Together);
        Arc::new(BucketLive::new(&bucket, "dead", writers))
    }

    /// Numbers of pieces that are no seals.
    async fn pieces_left(&self) -> usize {
        let mut left = 0;
        for found in self.pieces().list_writers().await.unwrap() {
            for number in found.pieces {
                left += usize::from(self.pieces().read(found.writer, number).await.unwrap().is_some());
            }
        }
        left
    }
}

impl Node {
    fn writers(&self) -> BTreeSet<WriterId> {
        self.ingest.live_segments().into_iter().map(|name| name.writer).collect()
    }

    fn live(&self) -> Arc<dyn LiveSource> {
        Arc::new(self.ingest.live())
    }

    fn memory_bytes(&self) -> usize {
        self.ingest.observe();
        let mut text = String::new();
        self.metrics.render(&mut text);
        let line = text.lines().find_map(|line| line.strip_prefix("siltstone_ingest_memory_bytes "));
        line.unwrap().parse().unwrap()
    }

    fn send(
        &self,
        request: &ExportTraceServiceRequest,
    ) -> tokio::task::JoinHandle<Result<Accepted, Refused>> {
        let (ingest, body) = (Arc::clone(&self.ingest), Bytes::from(request.encode_to_vec()));
        tokio::spawn(async move {
            let admission = ingest.admit(&Tenant::single(), body.len()).await?;
            ingest.accept(Export { tenant: Tenant::single(), body }, admission).await
        })
    }

    /// As senders do it. Gives how often it was refused.
    async fn send_until_taken(&self, world: &World, request: &ExportTraceServiceRequest) -> usize {
        for refusals in 0..10 {
            let sending = self.send(request);
            if world.finish(async { sending.await.unwrap() }).await.is_ok() {
                return refusals;
            }
        }
        panic!("it is never taken");
    }

    async fn send_all(&self, world: &World, requests: &[ExportTraceServiceRequest]) {
        for request in requests {
            self.send_until_taken(world, request).await;
        }
    }
}

fn slowly() -> IngestConfig {
    IngestConfig { small_tenant_age: Duration::from_secs(600), ..IngestConfig::default() }
}

fn aged(seconds: u64) -> IngestConfig {
    let age = Duration::from_secs(seconds);
    IngestConfig { small_tenant_age: age, large_tenant_age: age, ..IngestConfig::default() }
}

#[test]
fn should_commit_what_a_dead_ingester_acknowledged_within_a_minute_once() {
    play(async {
        let world = World::new();
        let dying = world.node(1, aged(20)).await;
        let sent = requests(1_000, 20, 1);
        let (first, rest) = sent.split_at(20);
        dying.send_all(&world, first).await;
        world.pass_seconds(25).await;
        dying.send_all(&world, rest).await;
        dying.store.set_plan(dead());
        let writers = dying.writers();
        assert_eq!(writers.len(), 1);
        world.assert_exactly(&[world.read_log(writers.clone())], &sent).await;

        let survivors = [world.node(2, slowly()).await, world.node(3, slowly()).await];
        let died = world.clock.monotonic();
        let mut looks = 0;
        while world.pieces_left().await > 0 {
            world.pass_seconds(1).await;
            // Both ways of reading at once, while it goes on.
            let mut live = vec![world.read_log(writers.clone())];
            live.extend(survivors.iter().map(Node::live));
            world.assert_exactly(&live, &sent).await;
            looks += 1;
            assert!(looks < 100, "never");
        }
        let took = world.clock.monotonic() - died;
        println!("taken over after {took:?}");
        assert!(took <= Duration::from_secs(60), "{took:?}");
        world.assert_exactly(&[], &sent).await;
        for survivor in survivors {
            let ingest = Arc::clone(&survivor.ingest);
            assert!(world.finish(async move { ingest.shutdown(Duration::from_secs(30)).await }).await);
        }
    });
}

/// Its announcement is not seen any more, but it lives, and both commit the same flush.
#[test]
fn should_show_spans_once_that_the_living_and_who_took_it_for_dead_commit() {
    for entry_takes in [0, 20, 120] {
        play(async {
            let world = World::new();
            let slow = world.node(1, aged(40)).await;
            let other = world.node(2, slowly()).await;
            let sent = requests(300, 20, 2);
            let (first, rest) = sent.split_at(10);
            slow.send_all(&world, first).await;
            let name = slow.ingest.live_segments()[0];
            let silent = Rule::new(Fault::Delay(FOR_EVER)).on(Operation::Put).under("ing");
            let late =
                Rule::new(Fault::Delay(Duration::from_secs(entry_takes))).on(Operation::Put).under("cat/log");
            slow.store.set_plan(FaultPlan::script([silent, late]));
            for _ in 0..18 {
                world.pass_seconds(10).await;
                let live = [slow.live(), other.live(), world.read_log(BTreeSet::from([name.writer]))];
                world.assert_exactly(&live, first).await;
            }
            let entry =
                siltstone_format::path::ObjectKey::LogEntry { writer: name.writer, number: name.number };
            let has_put = |node: &Node| {
                let log = node.store.log();
                log.iter().any(|done| {
                    done.operation == Operation::Put && done.location.as_ref() == entry.to_string().as_str()
                })
            };
            assert!(has_put(&slow), "{entry_takes}");
            assert_eq!(has_put(&other), entry_takes > 0, "{entry_takes}");
            world.assert_exactly(&[], first).await;

            // It learns that it was taken for dead, and goes on.
            slow.store.set_plan(FaultPlan::none());
            assert!(slow.send_until_taken(&world, &rest[0]).await <= 1);
            slow.send_all(&world, &rest[1..]).await;
            let seen = world.seen(&[slow.live()]).await;
            assert_eq!(seen.len() - 1, span_count(&sent));
        });
    }
}

/// Whoever was taken over while it holds an open segment refuses once, and then has another writer.
#[test]
fn should_never_acknowledge_as_a_writer_that_was_taken_over() {
    play(async {
        let world = World::new();
        let zombie = world.node(1, slowly()).await;
        let survivor = world.node(2, slowly()).await;
        let sent = requests(300, 20, 3);
        zombie.send_all(&world, &sent[..5]).await;
        let before = zombie.writers();
        zombie
            .store
            .set_plan(FaultPlan::script([Rule::new(Fault::Delay(FOR_EVER)).on(Operation::Put).under("ing")]));
        while world.pieces_left().await > 0 {
            world.pass_seconds(5).await;
        }
        zombie.store.set_plan(FaultPlan::none());
        // Several that wait for one piece: all of them are refused.
        let sending: Vec<_> = sent[5..9].iter().map(|request| zombie.send(request)).collect();
        for sending in sending {
            let refused = world.finish(async { sending.await.unwrap() }).await;
            let Err(Refused::Unavailable { what, .. }) = refused else { panic!("{refused:?}") };
            assert!(what.contains("taken over"), "{what}");
        }
        zombie.send_all(&world, &sent[5..]).await;
        assert!(!zombie.writers().is_subset(&before), "another writer");
        for node in [zombie, survivor] {
            let ingest = Arc::clone(&node.ingest);
            assert!(world.finish(async move { ingest.shutdown(Duration::from_secs(60)).await }).await);
        }
        let seen = world.seen(&[]).await;
        assert_eq!(seen.len() - 1, span_count(&sent));
        assert_eq!(world.pieces_left().await, 0);
    });
}

/// Every request of it stands still for longer than others wait for it, in the midst of sending.
#[test]
fn should_lose_nothing_of_one_that_is_paused_and_comes_back() {
    play(async {
        let world = World::new();
        let zombie = world.node(1, aged(30)).await;
        let _survivor = world.node(2, slowly()).await;
        let sent = requests(600, 20, 4);
        let mut answers = Vec::new();
        for (index, request) in sent.iter().enumerate() {
            match index {
                10 => zombie.store.set_plan(dead()),
                20 => zombie.store.set_plan(FaultPlan::none()),
                _ => {}
            }
            answers.push((request, zombie.send(request)));
            world.pass_seconds(if (10..20).contains(&index) { 12 } else { 1 }).await;
        }
        let mut acknowledged = 0;
        for (request, answer) in answers {
            world.pass_seconds(1).await;
            let answered = world.finish(async { answer.await.unwrap() }).await;
            acknowledged += usize::from(answered.is_ok());
            if answered.is_err() {
                zombie.send_all(&world, std::slice::from_ref(request)).await;
            }
        }
        assert!(acknowledged >= 18 && acknowledged < sent.len(), "{acknowledged}");
        world.pass_seconds(120).await;
        assert_eq!(world.seen(&[zombie.live()]).await.len() - 1, span_count(&sent));
    });
}

/// Flushes that never came to the log stand between others: a writer whose store was away.
#[test]
fn should_close_the_gaps_that_a_dead_writer_left() {
    play(async {
        let world = World::new();
        let dying = world.node(1, aged(5)).await;
        let sent = requests(300, 20, 5);
        dying.send_all(&world, &sent[..5]).await;
        world.pass_seconds(10).await;
        // The log takes nothing for some flushes, and the catalog nothing at all.
        let none = |under| Rule::new(Fault::ErrorBefore).on(Operation::Put).under(under);
        dying.store.set_plan(FaultPlan::script([none("wal"), none("cat"), none("blk")]));
        for request in &sent[5..7] {
            let refused = dying.send(request);
            world.pass_seconds(30).await;
            assert!(refused.await.unwrap().is_err());
        }
        dying.store.set_plan(FaultPlan::script([none("cat"), none("blk")]));
        dying.send_all(&world, &sent[7..]).await;
        dying.store.set_plan(dead());
        let numbers: Vec<u64> = dying.ingest.live_segments().iter().map(|name| name.number).collect();
        assert!(numbers.len() > 2, "{numbers:?}");

        let _survivor = world.node(2, slowly()).await;
        world.pass_seconds(60).await;
        let mut acknowledged = sent[..5].to_vec();
        acknowledged.extend_from_slice(&sent[7..]);
        world.assert_exactly(&[], &acknowledged).await;
        assert_eq!(world.pieces_left().await, 0);
    });
}

/// Its first flush has another name than its log, which cannot be read for a while. An entry without spans under the
/// new name would end it.
#[test]
fn should_not_end_the_flush_of_the_living_that_was_renamed() {
    play(async {
        let world = World::new();
        let fenced = world.node(1, slowly()).await;
        let sent = requests(200, 20, 9);
        fenced.send_all(&world, &sent[..5]).await;
        let name = fenced.ingest.live_segments()[0];
        let (objects, ingest) = (Arc::new(world.truth.clone()), Arc::clone(&fenced.ingest));
        let catalog = world.catalog(objects.clone(), 3);
        let quarantine = async move {
            let key =
                siltstone_format::path::ObjectKey::LogEntry { writer: name.writer, number: name.number };
            objects.put(&key.to_string().into(), "garbage".into()).await.unwrap();
            catalog.publish(&Quarantine { writer: name.writer, number: name.number }).await.unwrap();
            ingest.flush().await;
        };
        // It learns that it is fenced, and can create no entry under another name.
        let no_more = Rule::new(Fault::ErrorBefore).on(Operation::Put).under("cat/log").from_nth(3);
        fenced.store.set_plan(FaultPlan::script([no_more.clone()]));
        world.finish(quarantine).await;
        world.pass_seconds(10).await;
        assert_ne!(fenced.ingest.live_segments()[0].writer, name.writer, "another name");
        fenced.send_all(&world, &sent[5..]).await;

        let silent = Rule::new(Fault::Delay(FOR_EVER)).on(Operation::Put).under("ing");
        fenced.store.set_plan(FaultPlan::script([silent, no_more.from_nth(1)]));
        let survivor = world.node(2, slowly()).await;
        let unreadable = format!("wal/{}", name.writer);
        survivor.store.set_plan(FaultPlan::script([Rule::new(Fault::ErrorBefore)
            .on(Operation::Get)
            .under(&unreadable)]));
        world.pass_seconds(60).await;
        fenced.store.set_plan(FaultPlan::none());
        world.pass_seconds(60).await;
        survivor.store.set_plan(FaultPlan::none());
        world.pass_seconds(60).await;
        let seen = world.seen(&[fenced.live(), survivor.live()]).await;
        assert_eq!(seen.len() - 1, span_count(&sent));
    });
}

/// Nobody would read the log of an ingester that is not announced.
#[test]
fn should_acknowledge_nothing_before_it_is_announced() {
    play(async {
        let world = World::new();
        let node = world.node(1, slowly()).await;
        let sent = requests(40, 20, 12);
        let members = Members::new(Arc::new(world.truth.clone()));
        for (fault, longest) in [(Fault::ErrorBefore, 20), (Fault::Delay(FOR_EVER), 25)] {
            node.store.set_plan(FaultPlan::script([Rule::new(fault).on(Operation::Put).under("ing")]));
            let began = world.clock.monotonic();
            let sending = node.send(&sent[0]);
            let refused = world.finish(async { sending.await.unwrap() }).await;
            assert!(matches!(refused, Err(Refused::Unavailable { .. })), "{refused:?}");
            let took = world.clock.monotonic() - began;
            assert!((10..=longest).contains(&took.as_secs()), "{took:?}");
            assert_eq!(members.list().await.unwrap().members, []);
        }
        // The store comes back in time.
        let twice = Rule::new(Fault::ErrorBefore).on(Operation::Put).under("ing").first(2);
        node.store.set_plan(FaultPlan::script([twice]));
        let sending = node.send(&sent[1]);
        world.finish(async { sending.await.unwrap() }).await.unwrap();
        assert_eq!(members.list().await.unwrap().members[0].writers, node.writers());
    });
}

/// Who has left does not wait for the store, but its bytes do.
#[test]
fn should_count_a_request_until_it_is_in_the_log_although_its_sender_left() {
    play(async {
        let world = World::new();
        let node = world.node(1, slowly()).await;
        let slow = Rule::new(Fault::Delay(Duration::from_secs(4))).on(Operation::Put).under("wal");
        node.store.set_plan(FaultPlan::script([slow]));
        let request = &requests(100, 100, 10)[0];
        let sending = node.send(request);
        world.pass_seconds(1).await;
        sending.abort();
        world.settle().await;
        let while_it_waits = node.memory_bytes();
        world.pass_seconds(10).await;
        let body = request.encoded_len();
        assert_eq!(while_it_waits - node.memory_bytes(), body);
        world.assert_exactly(&[node.live()], std::slice::from_ref(request)).await;
    });
}

/// The store does not answer, whatever it is asked at that moment: an ingester that is told to end does so.
#[test]
fn should_end_by_its_patience_whatever_the_store_does() {
    for (seconds, under) in [(1, "blk"), (1, "cat/log"), (1, "cat"), (1, "wal"), (1, ""), (30, ""), (90, "")]
    {
        play(async {
            let world = World::new();
            let node = world.node(1, aged(20)).await;
            let sent = requests(100, 20, 11);
            node.send_all(&world, &sent).await;
            node.store.set_plan(FaultPlan::script([Rule::new(Fault::Delay(FOR_EVER)).under(under)]));
            world.pass_seconds(seconds).await;
            let (began, ingest) = (world.clock.monotonic(), Arc::clone(&node.ingest));
            world.finish(async move { ingest.shutdown(Duration::from_secs(20)).await }).await;
            let took = world.clock.monotonic() - began;
            assert!(took <= Duration::from_secs(30), "{under} {seconds}: {took:?}");
            world.assert_exactly(&[world.read_log(node.writers())], &sent).await;
        });
    }
}

#[test]
fn should_take_its_announcement_and_its_pieces_back_when_nothing_comes() {
    play(async {
        let world = World::new();
        let node = world.node(1, aged(20)).await;
        let members = Members::new(Arc::new(world.truth.clone()));
        let sent = requests(200, 20, 6);
        node.send_all(&world, &sent[..5]).await;
        assert_eq!(members.list().await.unwrap().members[0].writers, node.writers());
        world.pass_seconds(120).await;
        assert_eq!(members.list().await.unwrap().members, []);
        assert_eq!(world.pieces().list_writers().await.unwrap(), []);
        node.send_all(&world, &sent[5..]).await;
        assert_eq!(members.list().await.unwrap().members[0].writers, node.writers());
        world.assert_exactly(&[node.live()], &sent).await;
        let ingest = Arc::clone(&node.ingest);
        assert!(world.finish(async move { ingest.shutdown(Duration::from_secs(60)).await }).await);
        assert_eq!(members.list().await.unwrap().members, []);
        assert_eq!(world.pieces().list_writers().await.unwrap(), []);
        world.assert_exactly(&[], &sent).await;
    });
}

#[test]
fn should_forget_the_dead_their_announcements_soon_and_their_seals_late() {
    play(async {
        let world = World::new();
        let dying = world.node(1, slowly()).await;
        dying.send_all(&world, &requests(40, 20, 7)).await;
        dying.store.set_plan(dead());
        let _survivor = world.node(2, slowly()).await;
        let members = Members::new(Arc::new(world.truth.clone()));
        world.pass_seconds(60).await;
        assert_eq!(members.list().await.unwrap().members.len(), 1);
        world.pass_seconds(120).await;
        assert_eq!(members.list().await.unwrap().members, []);
        assert_eq!(world.pieces().list_writers().await.unwrap().len(), 1);
    });
}

/// Requests under a folder that are PUTs, a second.
async fn puts_a_second(spans_a_second: usize, per_request: usize, seconds: usize) -> (f64, f64) {
    let world = World::new();
    let config = IngestConfig { memory_bytes: 1 << 30, ..IngestConfig::default() };
    let node = world.node(1, config).await;
    let slow_puts = Rule::new(Fault::Delay(Duration::from_millis(60))).on(Operation::Put);
    node.store.set_plan(FaultPlan::script([slow_puts]));
    let began = world.clock.monotonic();
    let sent = requests(spans_a_second * seconds, per_request, 8);
    let gap = Duration::from_secs_f64(per_request as f64 / spans_a_second as f64);
    let mut answers = Vec::new();
    for request in &sent {
        answers.push(node.send(request));
        world.pass(gap).await;
    }
    world.pass_seconds(1).await;
    for answer in answers {
        assert!(answer.is_finished(), "an answer after more than a second");
        answer.await.unwrap().unwrap();
    }
    let took = (world.clock.monotonic() - began).as_secs_f64();
    let log = node.store.log();
    let puts = |under: &str| {
        let its = log.iter().filter(|done| done.operation == Operation::Put);
        its.filter(|done| done.location.as_ref().starts_with(under)).count() as f64 / took
    };
    (puts("wal"), puts(""))
}

#[test]
fn should_put_less_than_three_pieces_a_second_for_the_few_and_ten_for_the_many() {
    let (pieces, all) = play(puts_a_second(10, 1, 40));
    println!("10 spans/s: {pieces:.2} pieces a second, {all:.2} PUTs in all");
    assert!(pieces <= 2.6 && all <= 3.0, "{pieces} {all}");
    let (pieces, all) = play(puts_a_second(100_000, 1_000, 5));
    println!("100,000 spans/s: {pieces:.2} pieces a second, {all:.2} PUTs in all");
    assert!(pieces <= 10.5 && all <= 16.0, "{pieces} {all}");
}

/// One run of two ingesters over a store with faults of every kind, of which one or the other is paused for long.
async fn run_with_faults(seed: u64) -> (usize, usize) {
    let world = World::new();
    let nodes = [world.node(1, aged(15)).await, world.node(2, aged(25)).await];
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let faults = |seed| {
        let faults = RandomFaults::each(seed, 0.02).delaying(0.2, Duration::from_millis(400));
        FaultPlan::random(faults)
    };
    for (index, node) in nodes.iter().enumerate() {
        node.store.set_plan(faults(seed * 10 + index as u64));
    }
    let sent = requests(800, 20, seed);
    let mut refusals = 0;
    let mut paused_until = [0, 0];
    for (step, request) in sent.iter().enumerate() {
        if generator.random_ratio(1, 12) && paused_until.iter().all(|until| *until <= step) {
            let index = generator.random_range(0..2);
            paused_until[index] = step + generator.random_range(2..12);
            nodes[index]
                .store
                .set_plan(FaultPlan::script([Rule::new(Fault::Delay(Duration::from_secs(90)))]));
        }
        for (index, node) in nodes.iter().enumerate() {
            if step > 0 && paused_until[index] == step {
                node.store.set_plan(faults(seed * 1_000 + (step * 2 + index) as u64));
            }
            let waiting = node.store.waiting();
            if !waiting.is_empty() && generator.random() {
                node.store.release(waiting[generator.random_range(0..waiting.len())].number).await;
            }
        }
        // As senders do it: again, until it is taken, by whoever is there.
        loop {
            let answer = nodes[generator.random_range(0..2)].send(request);
            if world.finish(async { answer.await.unwrap() }).await.is_ok() {
                break;
            }
            refusals += 1;
        }
        world.pass(Duration::from_millis(generator.random_range(0..9_000))).await;
    }
    for node in &nodes {
        node.store.set_plan(FaultPlan::none());
        node.store.release_all().await;
    }
    world.pass_seconds(240).await;
    let seen = world.seen(&[]).await;
    assert_eq!(seen.len() - 1, span_count(&sent), "seed {seed}");
    assert!(nodes.iter().all(|node| node.ingest.live_segments().is_empty()), "seed {seed}");
    assert_eq!(world.pieces_left().await, 0, "seed {seed}");
    (refusals, seen[b"copies".as_slice()])
}

#[test]
fn should_keep_every_acknowledged_span_whatever_the_store_and_the_scheduler_do() {
    let (mut refused, mut copied) = (0, 0);
    for seed in 0..6 {
        let (refusals, copies) = play(run_with_faults(seed));
        // Only what was refused, and sent again, may be there twice.
        assert!(copies <= refusals * 20, "seed {seed}: {copies} copies, {refusals} refusals");
        refused += refusals;
        copied += copies;
    }
    println!("{refused} refused, {copied} spans stored twice");
    assert!(refused > 10, "{refused}");
}
