//! A catalog on a store in memory whose spans lie where a test wants them: live, in flushes, in merged blocks;
//! with a querier over all of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use object_store::memory::InMemory;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::bucket::{Bucket, Listing};
use siltstone_catalog::change::{AddMark, CutDays, Merge};
use siltstone_catalog::log_entry::LogEntry;
use siltstone_catalog::mark::{MarkKind, MarkTarget};
use siltstone_catalog::snapshot::Cover;
use siltstone_catalog::time::{Clock, SystemClock};
use siltstone_catalog::windows::Windows;
use siltstone_catalog::{Catalog, CatalogConfig};
use siltstone_format::block::summary::BlockSummary;
use siltstone_format::columns::SpanColumns;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, ObjectId, TraceId, WriterId};
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_live::RemoteLimits;
use siltstone_live::answer::{Answer, LiveSegment};
use siltstone_live::from_bucket::BucketLogs;
use siltstone_live::members::{Membership, MembershipConfig, Timing};
use siltstone_live::question::{Question, Wanted};
use siltstone_live::source::{LiveError, LiveSource};
use siltstone_querier::cache::CacheSizes;
use siltstone_querier::limits::Limits;
use siltstone_querier::querier::{Querier, QuerierConfig, QuerierParts};
use siltstone_querier::sql::SqlConfig;
use siltstone_querier::turns::TurnSettings;
use siltstone_querier::{InProcess, Ingesters};
use siltstone_testkit::CountingStore;
use ulid::Ulid;

use crate::merging::{merge_the_inbox, write_block};

pub struct QueryWorld {
    pub store: Arc<CountingStore<InMemory>>,
    pub catalog: Arc<Catalog>,
    pub clock: Arc<dyn Clock>,
    pub live: Arc<Live>,
}

impl QueryWorld {
    pub async fn new() -> Self {
        let store = Arc::new(CountingStore::new(InMemory::new()));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let catalog = catalog(&store, &clock, 1);
        catalog.init().await.expect("makes a catalog");
        let live = Arc::new(Live::new(Arc::clone(&catalog)));
        Self { store, catalog, clock, live }
    }

    /// Another process on the same bucket, with nothing in memory.
    pub fn querier(&self, limits: impl Into<Limits>) -> Arc<Querier> {
        let (catalog, live) = (catalog(&self.store, &self.clock, 2), Arc::clone(&self.live) as _);
        querier_over(catalog, Arc::clone(&self.clock), live, limits)
    }

    /// Commits spans as one flush.
    pub async fn flush(&self, spans: &[Span]) {
        if spans.is_empty() {
            return;
        }
        let opened = self.clock.elapsed();
        let summary = self.write(spans, Vec::new()).await;
        let entry = LogEntry {
            writer: WriterId(self.catalog.next_id()),
            number: 0,
            blocks: vec![BlockEntry::flushed(summary)],
        };
        self.catalog.commit(&entry, Some(opened)).await.expect("commits");
    }

    /// Merges what is not merged yet into blocks of at most so many spans.
    pub async fn merge(&self, most_spans: usize) {
        merge_the_inbox(&self.catalog, &Tenant::single(), most_spans).await;
    }

    /// All blocks that there are.
    pub async fn blocks(&self) -> Vec<BlockEntry> {
        let fresh = Cover { fresh: true, ..Cover::default() };
        let snapshot = self.catalog.snapshot(&fresh).await.expect("reads");
        self.catalog.blocks(&snapshot, &Tenant::single(), 0, u64::MAX).await.expect("lists").blocks
    }

    /// Deletes a trace, whatever more comes of it.
    pub async fn delete(&self, trace: TraceId) {
        let (kind, target) = (MarkKind::Delete, MarkTarget::Trace(trace));
        let mark = AddMark { tenant: Tenant::single(), kind, target };
        self.catalog.publish(&mark).await.expect("publishes");
    }

    /// Gives up all days before one.
    pub async fn cut(&self, first_kept: Day) {
        let cut = CutDays { tenant: Tenant::single(), first_kept };
        self.catalog.publish(&cut).await.expect("publishes");
    }

    /// Merged blocks as a compactor leaves them: one set that shares no spans, with its filters in groups.
    pub async fn lay(&self, blocks: &[&[Span]]) {
        let set = self.catalog.next_id();
        let mut outputs = Vec::new();
        for spans in blocks {
            let summary = self.write(spans, Vec::new()).await;
            let day = Day::of_unix_nano(summary.spans.min_start_unix_nano);
            outputs.push((day, BlockEntry::merged(summary, 0, set)));
        }
        let tenant = Tenant::single();
        let merge = Merge { tenant: tenant.clone(), inputs: Vec::new(), outputs };
        self.catalog.publish(&merge).await.expect("publishes");
        self.catalog.regroup(&tenant).await.expect("groups filters");
    }

    /// An ingester that nobody can reach any more, and that has not taken its announcement back.
    pub async fn announce_the_dead(&self) {
        let membership = Membership::new(MembershipConfig {
            objects: Arc::clone(&self.store) as _,
            ingester: ObjectId(Ulid(9)),
            address: "http://127.0.0.1:1".to_owned(),
            in_bucket: false,
            new_id: Box::new(|| ObjectId(Ulid(10))),
            timing: Timing::default(),
        });
        let writers = [WriterId(self.catalog.next_id())].into();
        membership.announce(&writers, self.clock.elapsed()).await.expect("announces");
    }

    async fn write(&self, spans: &[Span], inputs: Vec<BlockId>) -> BlockSummary {
        write_block(&self.catalog, &Tenant::single(), spans, inputs).await
    }
}

/// A querier on a catalog's bucket with an ingester in its process.
pub fn querier_over(
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    live: Arc<dyn LiveSource>,
    limits: impl Into<Limits>,
) -> Arc<Querier> {
    let config = QuerierConfig {
        caches: CacheSizes::default(),
        limits: limits.into(),
        turns: TurnSettings::default(),
        sql: SqlConfig::default(),
        workers: 2,
    };
    let objects = Arc::clone(catalog.bucket().objects());
    let parts = QuerierParts {
        ingesters: Ingesters::new(objects, RemoteLimits::default(), Arc::new(NoLogs)),
        catalog,
        clock,
        in_process: Some(InProcess { ingester: ObjectId(Ulid(1)), source: live }),
        processors: tokio::runtime::Handle::current(),
    };
    Arc::new(Querier::new(&config, parts).expect("sets up"))
}

fn catalog(store: &Arc<CountingStore<InMemory>>, clock: &Arc<dyn Clock>, seed: u8) -> Arc<Catalog> {
    let config = CatalogConfig {
        bucket: Bucket::new(Arc::clone(store) as _, Listing::Together),
        clock: Arc::clone(clock),
        seed: [seed; 32],
        // Every query takes a new snapshot: a test has committed just before.
        windows: Windows { snapshot_age: Duration::ZERO, ..Windows::default() },
    };
    Arc::new(Catalog::new(config).expect("windows fit together"))
}

/// An ingester that holds spans and never flushes them.
pub struct Live {
    catalog: Arc<Catalog>,
    segments: Mutex<Vec<(WriterId, Vec<Span>)>>,
}

impl Live {
    fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog, segments: Mutex::default() }
    }

    pub fn accept(&self, spans: Vec<Span>) {
        let writer = WriterId(self.catalog.next_id());
        self.segments.lock().expect("nobody panicked").push((writer, spans));
    }
}

#[async_trait]
impl LiveSource for Live {
    fn name(&self) -> &str {
        "live"
    }

    async fn ask(&self, question: &Question) -> Result<Answer, LiveError> {
        let segments = self.segments.lock().expect("nobody panicked");
        let segments = segments.iter().map(|(writer, spans)| {
            let mut columns = SpanColumns::default();
            let wanted = spans.iter().filter(|span| match &question.wanted {
                Wanted::Traces(traces) => traces.contains(&span.trace_id),
                Wanted::Matching { filter, window } => {
                    window.contains(span.start_unix_nano)
                        && filter.as_ref().is_none_or(|filter| filter.matches(span))
                }
            });
            wanted.for_each(|span| columns.push(span).expect("fits"));
            LiveSegment { writer: *writer, number: 0, known_deletions: 0, spans: columns.into() }
        });
        let segments = segments.collect();
        Ok(Answer { segments, committed: BTreeMap::new(), min_root: 0, fresh: false })
    }
}

/// Nobody has a log in the bucket.
pub struct NoLogs;

impl BucketLogs for NoLogs {
    fn of(&self, _: &str, _: &std::collections::BTreeSet<WriterId>) -> Arc<dyn LiveSource> {
        unreachable!("no ingester announces itself")
    }
}
