//! A catalog on a store in memory with real blocks, and an ingester that does what the test says when it is
//! asked.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use siltstone_ask::Window;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::bucket::{Bucket, Listing};
use siltstone_catalog::change::{AddMark, Merge};
use siltstone_catalog::commit::Fate;
use siltstone_catalog::log_entry::LogEntry;
use siltstone_catalog::mark::{MarkKind, MarkTarget};
use siltstone_catalog::sweep::SweepMode;
use siltstone_catalog::time::Clock;
use siltstone_catalog::windows::Windows;
use siltstone_catalog::{Catalog, CatalogConfig};
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::write::encode_block;
use siltstone_format::columns::SpanColumns;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, SpanId, TraceId, WriterId};
use siltstone_format::path::ObjectKey;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_live::answer::{Answer, LiveSegment};
use siltstone_live::question::{Question, Wanted};
use siltstone_live::source::{LiveError, LiveSource};
use siltstone_testkit::{FaultPlan, FaultyStore, VirtualClock};

use crate::block::read_block;
use crate::view::{View, ViewError};

pub(crate) const START: u64 = 1_800_000_000_000_000_000;

pub(crate) struct TestClock(VirtualClock);

impl Clock for TestClock {
    fn wall_millis(&self) -> u64 {
        self.0.now() / 1_000_000
    }

    fn elapsed(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.0.sleep(duration).boxed()
    }
}

pub(crate) struct World {
    pub(crate) time: VirtualClock,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) objects: Arc<dyn ObjectStore>,
    processes: AtomicU8,
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        let time = VirtualClock::starting_at(START);
        let objects = Arc::new(FaultyStore::new(InMemory::new(), time.clone(), FaultPlan::none()));
        let clock = Arc::new(TestClock(time.clone()));
        let world = Arc::new(Self { time, clock, objects, processes: AtomicU8::new(0) });
        world.finish(world.process().init()).unwrap();
        world
    }

    /// A process of its own on the store.
    pub(crate) fn process(&self) -> Arc<Catalog> {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let config = CatalogConfig {
            bucket: Bucket::new(Arc::clone(&self.objects), Listing::LogThenRoots),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            seed: [number; 32],
            windows: Windows::default(),
        };
        Arc::new(Catalog::new(config).unwrap())
    }

    /// Runs something to its end; who sleeps is woken when nobody else goes on.
    pub(crate) fn finish<T>(&self, process: impl Future<Output = T>) -> T {
        let mut process = pin!(process);
        loop {
            match (&mut process).now_or_never() {
                Some(done) => return done,
                None => assert!(self.time.advance_to_next_sleeper(), "it waits for nothing"),
            }
        }
    }

    pub(crate) fn open(
        &self,
        reader: &Catalog,
        ingesters: &[&Arc<Ingester>],
        question: &Question,
    ) -> Result<View, ViewError> {
        let sources: Vec<_> =
            ingesters.iter().map(|ingester| Arc::clone(ingester) as Arc<dyn LiveSource>).collect();
        self.finish(View::open(reader, &*self.clock, &sources, question))
    }

    /// How often each span is there, live or in a block, before same ones collapse.
    pub(crate) fn seen(&self, reader: &Catalog, view: &View) -> BTreeMap<u64, usize> {
        let tenant = &view.question.tenant;
        let blocks = self.finish(reader.blocks(&view.snapshot, tenant, 0, u64::MAX)).unwrap().blocks;
        let mut spans: Vec<Span> =
            view.live.iter().flat_map(|segment| segment.spans.spans().unwrap()).collect();
        for block in &blocks {
            spans.extend(self.finish(read_block(&*self.objects, block, None)).unwrap());
        }
        let mut seen = BTreeMap::new();
        spans.iter().for_each(|span| *seen.entry(number_of(span)).or_default() += 1);
        seen
    }
}

/// What an ingester does around its answer. It is done when it returns.
type Deed = Box<dyn FnOnce(&Ingester) + Send>;

/// Holds flushes and commits them on command.
pub(crate) struct Ingester {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) world: Arc<World>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pending: Vec<Pending>,
    committed: BTreeMap<WriterId, u64>,
    min_root: u64,
    before: Option<Deed>,
    after: Option<Deed>,
    is_down: bool,
    hangs: bool,
    asked: u32,
}

#[derive(Clone)]
pub(crate) struct Pending {
    pub(crate) writer: WriterId,
    pub(crate) number: u64,
    pub(crate) spans: Vec<Span>,
    /// Drawn when the flush is opened.
    block: BlockId,
    opened: Duration,
}

impl Ingester {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self { catalog: world.process(), world: Arc::clone(world), state: Mutex::default() })
    }

    /// Accepts spans as the next flush of a new writer.
    pub(crate) fn accept(&self, spans: Vec<Span>) {
        let pending = Pending {
            writer: WriterId(self.catalog.next_id()),
            number: 0,
            spans,
            block: BlockId(self.catalog.next_id()),
            opened: self.world.clock.elapsed(),
        };
        self.state.lock().unwrap().pending.push(pending);
    }

    /// Another process that holds the same flushes.
    pub(crate) fn twin(&self) -> Arc<Self> {
        let pending = self.state.lock().unwrap().pending.clone();
        Arc::new(Self {
            catalog: Arc::clone(&self.catalog),
            world: Arc::clone(&self.world),
            state: Mutex::new(State { pending, ..State::default() }),
        })
    }

    /// Does this when it is asked the next time, before it answers.
    pub(crate) fn before_answer(&self, deed: impl FnOnce(&Self) + Send + 'static) {
        self.state.lock().unwrap().before = Some(Box::new(deed));
    }

    /// The same, after its answer stands.
    pub(crate) fn after_answer(&self, deed: impl FnOnce(&Self) + Send + 'static) {
        self.state.lock().unwrap().after = Some(Box::new(deed));
    }

    /// Never answers again.
    pub(crate) fn hang(&self) {
        self.state.lock().unwrap().hangs = true;
    }

    pub(crate) fn go_down(&self) {
        self.state.lock().unwrap().is_down = true;
    }

    pub(crate) fn asked(&self) -> u32 {
        self.state.lock().unwrap().asked
    }

    /// Commits all that it holds, and lets it go.
    pub(crate) fn flush(&self) {
        let pending = std::mem::take(&mut self.state.lock().unwrap().pending);
        for flush in pending {
            let flush = match self.commit(&flush) {
                Fate::Committed => flush,
                Fate::Fenced { root } => {
                    self.state.lock().unwrap().min_root = root;
                    let relabelled = Pending {
                        writer: WriterId(self.catalog.next_id()),
                        number: 0,
                        block: BlockId(self.catalog.next_id()),
                        opened: self.world.clock.elapsed(),
                        spans: flush.spans,
                    };
                    assert_eq!(self.commit(&relabelled), Fate::Committed);
                    relabelled
                }
                Fate::Missing => panic!("the entry is there"),
            };
            self.state.lock().unwrap().committed.insert(flush.writer, flush.number + 1);
        }
    }

    fn commit(&self, flush: &Pending) -> Fate {
        let entry = self.world.finish(write_block(&*self.world.objects, flush.block, &flush.spans));
        let entry = LogEntry {
            writer: flush.writer,
            number: flush.number,
            blocks: vec![BlockEntry::flushed(entry.summary)],
        };
        self.world.finish(self.catalog.commit(&entry, Some(flush.opened))).unwrap()
    }
}

#[async_trait]
impl LiveSource for Ingester {
    fn name(&self) -> &str {
        "ingester"
    }

    async fn ask(&self, question: &Question) -> Result<Answer, LiveError> {
        self.state.lock().unwrap().asked += 1;
        let before = self.state.lock().unwrap().before.take();
        if let Some(deed) = before {
            deed(self);
        }
        let hangs = self.state.lock().unwrap().hangs;
        if hangs {
            std::future::pending::<()>().await;
        }
        let (answer, after) = {
            let mut state = self.state.lock().unwrap();
            if state.is_down {
                let (ingester, why) = (self.name().to_owned(), "it is down".to_owned());
                return Err(LiveError::Unreachable { ingester, why });
            }
            let segments = state.pending.iter().map(|flush| {
                let wanted = flush.spans.iter().filter(|span| match &question.wanted {
                    Wanted::Traces(traces) => traces.contains(&span.trace_id),
                    Wanted::Matching { .. } => true,
                });
                let mut spans = SpanColumns::default();
                wanted.for_each(|span| spans.push(span).unwrap());
                LiveSegment {
                    writer: flush.writer,
                    number: flush.number,
                    known_deletions: 0,
                    spans: spans.into(),
                }
            });
            let segments = segments.collect();
            let (committed, min_root) = (state.committed.clone(), state.min_root);
            let answer = Answer { segments, committed, min_root, fresh: false };
            (answer, state.after.take())
        };
        if let Some(deed) = after {
            deed(self);
        }
        Ok(answer)
    }
}

async fn write_block(objects: &dyn ObjectStore, block: BlockId, spans: &[Span]) -> BlockEntry {
    let mut columns = SpanColumns::default();
    spans.iter().for_each(|span| columns.push(span).unwrap());
    let identity = BlockIdentity { block, tenant: Tenant::single(), inputs: Vec::new() };
    let encoded = encode_block(&columns, &identity).unwrap();
    for (key, content) in
        [(ObjectKey::Spans(block), encoded.spans), (ObjectKey::Origins(block), encoded.origins)]
    {
        objects.put(&Path::from(key.to_string()), PutPayload::from(content)).await.unwrap();
    }
    BlockEntry::flushed(encoded.summary)
}

impl World {
    /// Folds the log, merges the inbox into one block a day, and sweeps the log.
    pub(crate) fn fold_merge_and_sweep(&self, catalog: &Catalog) {
        self.finish(fold_merge_and_sweep(catalog, &*self.objects));
    }

    pub(crate) fn sweep(&self, catalog: &Catalog) {
        self.finish(catalog.sweep(SweepMode::Delete)).unwrap();
    }
}

async fn fold_merge_and_sweep(catalog: &Catalog, objects: &dyn ObjectStore) {
    catalog.fold().await.unwrap();
    let fresh = siltstone_catalog::snapshot::Cover { fresh: true, ..Default::default() };
    let snapshot = catalog.snapshot(&fresh).await.unwrap();
    let found = catalog.blocks(&snapshot, &Tenant::single(), 0, u64::MAX).await.unwrap();
    let mut days: BTreeMap<Day, Vec<Span>> = BTreeMap::new();
    for block in &found.blocks {
        for span in read_block(objects, block, None).await.unwrap() {
            days.entry(Day::of_unix_nano(span.start_unix_nano)).or_default().push(span);
        }
    }
    let mut outputs = Vec::new();
    for (day, spans) in days {
        let written = write_block(objects, BlockId(catalog.next_id()), &spans).await;
        outputs.push((day, BlockEntry::merged(written.summary, found.clean_through, catalog.next_id())));
    }
    let inputs = vec![(Section::Inbox, found.blocks.iter().map(BlockEntry::id).collect())];
    catalog.publish(&Merge { tenant: Tenant::single(), inputs, outputs }).await.unwrap();
    let swept = catalog.sweep(SweepMode::Delete).await.unwrap();
    assert!(!swept.log_entries.is_empty(), "{swept:?}");
}

/// Marks a trace.
pub(crate) async fn mark(catalog: &Catalog, kind: MarkKind, target: MarkTarget) {
    catalog.publish(&AddMark { tenant: Tenant::single(), kind, target }).await.unwrap();
}

pub(crate) fn everything() -> Question {
    Question { tenant: Tenant::single(), wanted: Wanted::Matching { filter: None, window: Window::ALL } }
}

/// Span of a trace, both with numbers.
pub(crate) fn span_of(trace: u64, number: u64) -> Span {
    Span {
        trace_id: TraceId(u128::from(trace + 1).to_be_bytes()),
        span_id: SpanId((number + 1).to_be_bytes()),
        name: format!("operation {}", number % 3),
        start_unix_nano: START + number,
        end_unix_nano: START + number + 1_000,
        ..Span::default()
    }
}

/// Spans with these numbers, each of a trace of its own.
pub(crate) fn spans(numbers: std::ops::Range<u64>) -> Vec<Span> {
    numbers.map(|number| span_of(number, number)).collect()
}

pub(crate) fn number_of(span: &Span) -> u64 {
    u64::from_be_bytes(span.span_id.0) - 1
}
