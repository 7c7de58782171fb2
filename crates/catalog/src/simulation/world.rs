//! What is true: which spans were accepted, and what was asked of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siltstone_format::day::Day;
use siltstone_format::filter::size::SizeClass;
use siltstone_format::filter::split_block::{FilterKey, SplitBlockFilter};
use siltstone_format::id::{BlockId, TraceId, WriterId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;
use siltstone_testkit::{FaultyStore, VirtualClock};
use xxhash_rust::xxh3::xxh3_64;

use super::late_listing::LateListing;
use crate::block_entry::BlockEntry;
use crate::bucket::{Bucket, Listing};
use crate::catalog::{Catalog, CatalogConfig};
use crate::test_clock::WaitingClock;
use crate::windows::Windows;

pub(super) type Store = FaultyStore<InMemory>;
pub(super) type Shared = Rc<RefCell<World>>;

/// A span is its number; a trace of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SimSpan {
    pub(super) number: u64,
    pub(super) tenant: Tenant,
    pub(super) day: Day,
}

impl SimSpan {
    pub(super) fn trace(&self) -> TraceId {
        TraceId(u128::from(self.number).to_be_bytes())
    }

    pub(super) fn key(&self) -> FilterKey {
        FilterKey::of_trace(&self.trace())
    }
}

/// Spans under one label, not committed yet.
#[derive(Clone, Debug)]
pub(super) struct Flush {
    pub(super) label: (WriterId, u64),
    pub(super) spans: Vec<SimSpan>,
    /// Of an earlier incarnation.
    pub(super) old: bool,
    /// The block names of the attempt under way.
    pub(super) blocks: Vec<BlockId>,
}

/// What a writer keeps over a crash.
#[derive(Clone, Debug, Default)]
pub(super) struct WriterLog {
    pub(super) up: bool,
    pub(super) current: Option<WriterId>,
    pub(super) next: u64,
    pub(super) to_accept: u64,
    pub(super) pending: Vec<Flush>,
    pub(super) committed: BTreeMap<WriterId, u64>,
    pub(super) min_root: u64,
    /// What was committed, and when: a listing may lag behind that.
    pub(super) listed_soon: Vec<(Duration, Vec<SimSpan>)>,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) spans: BTreeMap<u64, SimSpan>,
    pub(super) writers: Vec<WriterLog>,
    /// Committed again under another writer although the first may have been folded: the
    /// one path on which a span may be there twice, and collapses.
    pub(super) may_double: BTreeSet<u64>,
    pub(super) deletions_asked: BTreeSet<u64>,
    /// And when: a snapshot may be a moment old.
    pub(super) deletions_confirmed: BTreeMap<u64, Duration>,
    pub(super) cut_asked: BTreeMap<Tenant, Day>,
    pub(super) cut_confirmed: BTreeMap<Tenant, (Day, Duration)>,
    pub(super) counts: Counts,
    /// What happened, for whoever looks into a violation.
    pub(super) story: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) queries: u64,
    pub(crate) late_queries: u64,
    pub(crate) commits: u64,
    pub(crate) resolved: u64,
    pub(crate) fenced: u64,
    pub(crate) merges: u64,
    pub(crate) refused_merges: u64,
    pub(crate) groups: u64,
    pub(crate) excluded: u64,
    pub(crate) sweeps: u64,
    pub(crate) swept: u64,
    pub(crate) orphans: u64,
    pub(crate) crashes: u64,
    pub(crate) pauses: u64,
    pub(crate) checks: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        for (total, one) in [
            (&mut self.queries, other.queries),
            (&mut self.late_queries, other.late_queries),
            (&mut self.commits, other.commits),
            (&mut self.resolved, other.resolved),
            (&mut self.fenced, other.fenced),
            (&mut self.merges, other.merges),
            (&mut self.refused_merges, other.refused_merges),
            (&mut self.groups, other.groups),
            (&mut self.excluded, other.excluded),
            (&mut self.sweeps, other.sweeps),
            (&mut self.swept, other.swept),
            (&mut self.orphans, other.orphans),
            (&mut self.crashes, other.crashes),
            (&mut self.pauses, other.pauses),
            (&mut self.checks, other.checks),
        ] {
            *total += one;
        }
    }
}

/// What a process sees of its surroundings.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) world: Shared,
    pub(super) store: Store,
    pub(super) clock: VirtualClock,
    pub(super) catalog: Rc<Catalog>,
    pub(super) rng: Rc<RefCell<ChaCha8Rng>>,
}

impl Site {
    pub(super) fn new(
        world: &Shared,
        store: &Store,
        clock: VirtualClock,
        listing: Listing,
        windows: Windows,
        seed: u64,
    ) -> Self {
        // A listing that has no order promises nothing about log and roots either.
        let roots_first = listing == Listing::Together && seed.is_multiple_of(2);
        let late = LateListing::new(store.clone(), windows.visibility / 2, roots_first);
        let objects: Arc<dyn ObjectStore> = Arc::new(late);
        let mut seed_bytes = [0; 32];
        seed_bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let catalog = Catalog::new(CatalogConfig {
            bucket: Bucket::new(objects, listing),
            clock: Arc::new(WaitingClock(clock.clone())),
            seed: seed_bytes,
            windows,
        });
        Self {
            world: Rc::clone(world),
            store: store.clone(),
            clock,
            catalog: Rc::new(catalog.expect("the simulation's windows fit together")),
            rng: Rc::new(RefCell::new(ChaCha8Rng::seed_from_u64(seed))),
        }
    }

    pub(super) fn draw(&self, below: u64) -> u64 {
        self.rng.borrow_mut().random_range(0..below.max(1))
    }

    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        let line = format!("{:>9.3} {}", self.clock.monotonic().as_secs_f64(), what());
        self.world.borrow_mut().story.push(line);
    }

    pub(super) async fn rest(&self, longest_millis: u64) {
        let millis = self.draw(longest_millis);
        self.clock.sleep(Duration::from_millis(millis)).await;
    }

    /// Writes both objects of a block, however often it takes.
    pub(super) async fn write_block(&self, block: BlockId, spans: &[SimSpan]) {
        let content: Vec<u8> = spans.iter().flat_map(|span| span.number.to_le_bytes()).collect();
        let origins = [&[0; 12], &filters_of(spans)[..]].concat();
        for (key, content) in [(ObjectKey::Spans(block), content), (ObjectKey::Origins(block), origins)] {
            let path = Path::from(key.to_string());
            while self.store.put(&path, PutPayload::from(content.clone())).await.is_err() {
                self.rest(200).await;
            }
        }
    }

    /// The spans of a block. None: one of its objects is gone.
    pub(super) async fn read_block(&self, block: BlockId) -> Option<Vec<SimSpan>> {
        self.read(&ObjectKey::Origins(block)).await?;
        let content = self.read(&ObjectKey::Spans(block)).await?;
        let world = self.world.borrow();
        let numbers = content.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        Some(numbers.map(|number| world.spans[&number].clone()).collect())
    }

    pub(super) async fn read(&self, key: &ObjectKey) -> Option<Bytes> {
        let path = Path::from(key.to_string());
        loop {
            let got = async { self.store.get(&path).await?.bytes().await };
            match got.await {
                Ok(bytes) => return Some(bytes),
                Err(object_store::Error::NotFound { .. }) => return None,
                Err(_) => self.rest(100).await,
            }
        }
    }
}

/// The catalog's entry of a block with these spans.
pub(super) fn entry_of(block: BlockId, tenant: &Tenant, spans: &[SimSpan]) -> BlockEntry {
    let mut entry = crate::test_blocks::block(tenant, block, 0);
    let starts = || spans.iter().map(|span| span.day.start_unix_nano());
    let summary = &mut entry.summary.spans;
    summary.min_start_unix_nano = starts().min().unwrap_or(0);
    summary.max_start_unix_nano = starts().max().unwrap_or(0);
    summary.max_end_unix_nano = summary.max_start_unix_nano;
    summary.rows = spans.len() as u64;
    let filters = &mut entry.summary.filters;
    filters.terms.offset = filters.traces.range().end;
    filters.hash = xxh3_64(&filters_of(spans));
    entry
}

/// Both filters of a block, over the same keys.
fn filters_of(spans: &[SimSpan]) -> Vec<u8> {
    let mut filter = SplitBlockFilter::new(SizeClass::SMALLEST);
    spans.iter().for_each(|span| filter.insert(span.key()));
    filter.as_bytes().repeat(2)
}
