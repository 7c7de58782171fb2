//! What the catalog promises on every store, as functions that a test of a store calls.
//!
//! Each takes a place that holds nothing yet. Time is real here: what depends on the
//! windows runs with windows of a second or two, and waits for what must come about.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::bucket::{Bucket, Listing};
use siltstone_catalog::change::{AddMark, CutDays, Merge, Quarantine};
use siltstone_catalog::commit::Fate;
use siltstone_catalog::log_entry::LogEntry;
use siltstone_catalog::mark::{MarkKind, MarkTarget};
use siltstone_catalog::publish::PublishError;
use siltstone_catalog::snapshot::Cover;
use siltstone_catalog::sweep::SweepMode;
use siltstone_catalog::time::{Clock, SystemClock};
use siltstone_catalog::windows::Windows;
use siltstone_catalog::{Catalog, CatalogConfig};
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::summary::{
    BlockSummary, FilterPlace, FiltersSummary, OriginsSummary, SpansSummary,
};
use siltstone_format::day::Day;
use siltstone_format::filter::size::SizeClass;
use siltstone_format::id::{BlockId, TraceId, WriterId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;
use ulid::Ulid;

const DAY: Day = Day(20_000);
/// What must come about within windows of a second or two.
const LONG_ENOUGH: Duration = Duration::from_secs(60);

/// A store that holds nothing yet.
#[derive(Clone)]
pub struct Place {
    objects: Arc<dyn ObjectStore>,
    listing: Listing,
    processes: Arc<AtomicU8>,
}

impl Place {
    pub fn new(objects: Arc<dyn ObjectStore>, listing: Listing) -> Self {
        Self { objects, listing, processes: Arc::default() }
    }

    /// One process's catalog.
    fn catalog(&self, windows: Windows) -> Catalog {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let config = CatalogConfig {
            bucket: Bucket::new(Arc::clone(&self.objects), self.listing),
            clock: Arc::new(SystemClock::new()),
            seed: [number; 32],
            windows,
        };
        Catalog::new(config).expect("windows fit together")
    }

    async fn begun(&self) -> Catalog {
        let catalog = self.catalog(Windows::default());
        catalog.init().await.expect("creates the first root");
        catalog
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        let listed = self.objects.list(Some(&Path::from(prefix)));
        let keys = listed.map_ok(|meta| meta.location.to_string()).try_collect().await;
        let mut keys: Vec<String> = keys.expect("lists");
        keys.sort_unstable();
        keys
    }
}

/// Many processes that start at once make one first root.
pub async fn many_begin_at_once(place: Place) {
    let catalogs: Vec<Catalog> = (0..8).map(|_| place.catalog(Windows::default())).collect();
    for begun in join_all(catalogs.iter().map(Catalog::init)).await {
        begun.expect("begins");
    }
    assert_eq!(place.keys("cat/root").await.len(), 1);
}

/// A flush is part of every snapshot that is taken after its commit.
pub async fn a_committed_flush_is_found(place: Place) {
    let (writer, reader) = (place.begun().await, place.catalog(Windows::default()));
    let mut flushes = Flushes::of(&writer);
    for number in 0..5 {
        let entry = flushes.next(&writer);
        assert_eq!(writer.commit(&entry, None).await.expect("commits"), Fate::Committed);
        let cover = Cover { committed: [(flushes.writer, number + 1)].into(), ..Cover::default() };
        let found = found(&reader, &cover).await;
        assert_eq!(found.len() as u64, number + 1);
        assert!(found.contains(&entry.blocks[0].id()));
    }
}

/// One flush that is committed by many at once, and again after it was folded, counts once.
pub async fn a_flush_that_is_committed_again_counts_once(place: Place) {
    let catalog = place.begun().await;
    let entry = Flushes::of(&catalog).next(&catalog);
    for _ in 0..2 {
        let fates = join_all((0..6).map(|_| catalog.commit(&entry, None))).await;
        assert!(fates.into_iter().all(|fate| fate.expect("commits") == Fate::Committed));
        catalog.fold().await.expect("folds");
    }
    assert_eq!(found(&catalog, &Cover::default()).await, [entry.blocks[0].id()]);
}

/// Writers and mergers at work at the same time: at the end each flush is in one merged
/// block or stands for itself, and roots follow each other without a gap.
pub async fn nobody_loses_a_race_for_good(place: Place) {
    const WRITERS: u64 = 4;
    const FLUSHES: u64 = 6;
    place.begun().await;
    let writers = (0..WRITERS).map(|_| async {
        let catalog = place.catalog(Windows::default());
        let mut flushes = Flushes::of(&catalog);
        for _ in 0..FLUSHES {
            let entry = flushes.next(&catalog);
            assert_eq!(catalog.commit(&entry, None).await.expect("commits"), Fate::Committed);
        }
    });
    let mergers = (0..3).map(|_| async {
        let catalog = place.catalog(Windows::default());
        for _ in 0..4 {
            merge_the_inbox(&catalog).await;
        }
    });
    futures::join!(join_all(writers), join_all(mergers));

    let catalog = place.catalog(Windows::default());
    merge_the_inbox(&catalog).await;
    let fresh = Cover { fresh: true, ..Cover::default() };
    let snapshot = catalog.snapshot(&fresh).await.expect("reads");
    let blocks = catalog.blocks(&snapshot, &tenant(), 0, u64::MAX).await.expect("reads").blocks;
    let rows: u64 = blocks.iter().map(|block| block.summary.spans.rows).sum();
    assert_eq!(rows, WRITERS * FLUSHES * ROWS_OF_A_FLUSH);
    let roots = place.keys("cat/root").await;
    assert_eq!(roots.len() as u64, snapshot.root.number + 1, "{roots:?}");
}

/// A snapshot that was taken before a merge reads on as if there had been none.
pub async fn an_old_snapshot_reads_on(place: Place) {
    let catalog = place.begun().await;
    let mut flushes = Flushes::of(&catalog);
    let committed = commit(&catalog, &mut flushes, 20).await;
    catalog.fold().await.expect("folds");
    let reader = place.catalog(Windows::default());
    let before = reader.snapshot(&Cover::default()).await.expect("reads");
    merge_the_inbox(&catalog).await;

    let then = reader.blocks(&before, &tenant(), 0, u64::MAX).await.expect("reads");
    assert_eq!(ids(&then.blocks), ids(&committed));
    let fresh = Cover { fresh: true, ..Cover::default() };
    assert_eq!(found(&reader, &fresh).await.len(), 1);
}

/// More entries than one page of a listing holds.
pub async fn a_long_log_is_seen_whole(place: Place) {
    const ENTRIES: u64 = 1_050;
    let catalog = place.begun().await;
    let mut flushes = Flushes::of(&catalog);
    let entries: Vec<LogEntry> = (0..ENTRIES).map(|_| flushes.next(&catalog)).collect();
    let opened = SystemClock::new().elapsed();
    let committed = futures::stream::iter(&entries)
        .map(|entry| catalog.commit(entry, Some(opened)))
        .buffered(16)
        .try_collect::<Vec<Fate>>();
    committed.await.expect("commits");
    assert_eq!(found(&catalog, &Cover::default()).await.len() as u64, ENTRIES);
    catalog.fold().await.expect("folds");
    let fresh = Cover { fresh: true, ..Cover::default() };
    assert_eq!(found(&catalog, &fresh).await.len() as u64, ENTRIES);
}

/// A mark is in every snapshot that is taken after it was confirmed; given up days go at
/// once, late blocks of theirs included.
pub async fn marks_and_cuts_are_in_force(place: Place) {
    let (catalog, reader) = (place.begun().await, place.catalog(Windows::default()));
    let mut flushes = Flushes::of(&catalog);
    commit(&catalog, &mut flushes, 3).await;
    let target = MarkTarget::Trace(TraceId([5; 16]));
    let delete = AddMark { tenant: tenant(), kind: MarkKind::Delete, target: target.clone() };
    catalog.publish(&delete).await.expect("publishes");
    let fresh = Cover { fresh: true, ..Cover::default() };
    let snapshot = reader.snapshot(&fresh).await.expect("reads");
    let known = reader.blocks(&snapshot, &tenant(), 0, u64::MAX).await.expect("reads");
    assert_eq!(known.marks.len(), 1);
    assert_eq!(known.marks[0].target, target);
    assert!(known.blocks.iter().all(|block| known.marks[0].hides_from(block.clean_through)));

    let cut = CutDays { tenant: tenant(), first_kept: Day(DAY.0 + 1) };
    catalog.publish(&cut).await.expect("publishes");
    assert!(found(&reader, &fresh).await.is_empty());
    commit(&catalog, &mut flushes, 1).await;
    assert!(found(&reader, &fresh).await.is_empty());
    catalog.fold().await.expect("folds");
    assert!(found(&reader, &fresh).await.is_empty());
}

/// What was given up goes after its grace, with the log and the roots before; what is
/// part of the data stays.
pub async fn a_sweep_deletes_what_nobody_needs(place: Place) {
    let windows = short_windows();
    let catalog = place.catalog(windows);
    catalog.init().await.expect("creates the first root");
    let mut flushes = Flushes::of(&catalog);
    let merged = commit(&catalog, &mut flushes, 4).await;
    for block in &merged {
        write_objects(&place, block.id()).await;
    }
    // Written by somebody who never committed it.
    let orphan = BlockId(catalog.next_id());
    write_objects(&place, orphan).await;
    catalog.fold().await.expect("folds");
    let output = merge_the_inbox(&catalog).await.expect("merges");
    write_objects(&place, output).await;

    let before = place.keys("").await;
    catalog.sweep(SweepMode::DryRun).await.expect("looks");
    assert_eq!(place.keys("").await, before);
    let clock = SystemClock::new();
    loop {
        catalog.sweep(SweepMode::Delete).await.expect("sweeps");
        let blocks = place.keys("blk").await;
        if blocks.len() == 2 {
            assert!(blocks.iter().all(|key| key.contains(&output.to_string())), "{blocks:?}");
            break;
        }
        assert!(blocks.iter().any(|key| key.contains(&output.to_string())), "{blocks:?}");
        assert!(clock.elapsed() < LONG_ENOUGH, "{blocks:?} of {before:?}");
        clock.sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(found(&catalog, &Cover::default()).await, [output]);
    // The log goes, and the roots that stand there now.
    let old = place.keys("cat/root").await;
    loop {
        let (log, roots) = (place.keys("cat/log").await, place.keys("cat/root").await);
        if log.is_empty() && !roots.iter().any(|root| old.contains(root)) {
            break;
        }
        catalog.sweep(SweepMode::Delete).await.expect("sweeps");
        assert!(clock.elapsed() < LONG_ENOUGH);
        clock.sleep(Duration::from_millis(100)).await;
    }
}

/// A damaged newest root: readers go on with the one before and are told, nobody writes.
pub async fn a_damaged_root_is_told_and_not_written_over(place: Place) {
    let catalog = place.begun().await;
    let mut flushes = Flushes::of(&catalog);
    commit(&catalog, &mut flushes, 2).await;
    let folded = catalog.fold().await.expect("folds");
    let key = ObjectKey::Root { number: folded.root().number };
    overwrite(&place, &key).await;

    let reader = place.catalog(Windows::default());
    let snapshot = reader.snapshot(&Cover::default()).await.expect("reads");
    assert_eq!(snapshot.damaged_root.as_ref().map(|(number, _)| *number), Some(folded.root().number));
    assert_eq!(found(&reader, &Cover::default()).await.len(), 2);
    let target = MarkTarget::Trace(TraceId([1; 16]));
    let archive = AddMark { tenant: tenant(), kind: MarkKind::Archive, target };
    assert!(matches!(reader.publish(&archive).await, Err(PublishError::DamagedRoot { .. })));
    assert!(reader.sweep(SweepMode::DryRun).await.is_err());
}

/// A damaged log entry is named, what follows is read, and quarantine passes over it.
pub async fn a_damaged_entry_is_named(place: Place) {
    let catalog = place.begun().await;
    let mut flushes = Flushes::of(&catalog);
    let entries: Vec<LogEntry> = (0..3).map(|_| flushes.next(&catalog)).collect();
    let opened = SystemClock::new().elapsed();
    try_join_all(entries.iter().map(|entry| catalog.commit(entry, Some(opened)))).await.expect("commits");
    let damaged = &entries[1];
    overwrite(&place, &ObjectKey::LogEntry { writer: damaged.writer, number: 1 }).await;

    let reader = place.catalog(Windows::default());
    let fresh = Cover { fresh: true, ..Cover::default() };
    let snapshot = reader.snapshot(&fresh).await.expect("reads");
    let named: Vec<u64> = snapshot.damaged.iter().map(|entry| entry.number).collect();
    assert_eq!(named, [1]);
    assert_eq!(found(&reader, &fresh).await.len(), 2);
    let pass = Quarantine { writer: damaged.writer, number: 1 };
    reader.publish(&pass).await.expect("publishes");
    reader.fold().await.expect("folds");
    let snapshot = reader.snapshot(&fresh).await.expect("reads");
    assert!(snapshot.damaged.is_empty());
    assert_eq!(found(&reader, &fresh).await.len(), 2);
}

/// The store says what time it is, and nothing of the question stays.
pub async fn the_clock_can_be_checked(place: Place) {
    let catalog = place.begun().await;
    let off = catalog.check_clock().await.expect("compares");
    assert!(off < Duration::from_secs(30), "{off:?}");
    assert!(place.keys("clk").await.is_empty());
}

const ROWS_OF_A_FLUSH: u64 = 10;

/// The flushes of one writer, in order.
struct Flushes {
    writer: WriterId,
    next: u64,
}

impl Flushes {
    fn of(catalog: &Catalog) -> Self {
        Self { writer: WriterId(catalog.next_id()), next: 0 }
    }

    fn next(&mut self, catalog: &Catalog) -> LogEntry {
        let blocks = vec![BlockEntry::flushed(summary(BlockId(catalog.next_id()), ROWS_OF_A_FLUSH))];
        self.next += 1;
        LogEntry { writer: self.writer, number: self.next - 1, blocks }
    }
}

pub fn tenant() -> Tenant {
    Tenant::single()
}

/// A block as the catalog knows it; nobody reads its objects here.
pub fn summary(block: BlockId, rows: u64) -> BlockSummary {
    let place = FilterPlace { offset: 12, class: SizeClass::SMALLEST };
    let start = DAY.start_unix_nano();
    BlockSummary {
        identity: BlockIdentity { block, tenant: tenant(), inputs: Vec::new() },
        spans: SpansSummary {
            rows,
            traces: 2,
            first_trace: TraceId([1; 16]),
            last_trace: TraceId([9; 16]),
            min_start_unix_nano: start,
            max_start_unix_nano: start,
            max_end_unix_nano: start + 1,
            bytes: 1_000,
            metadata_offset: 900,
            metadata_hash: 1,
        },
        origins: OriginsSummary { origins: 3, bytes: 2_000, origins_offset: 1_000, origins_hash: 7 },
        filters: FiltersSummary { traces: place, terms: place, hash: 8, left_out: Vec::new() },
    }
}

async fn commit(catalog: &Catalog, flushes: &mut Flushes, count: usize) -> Vec<BlockEntry> {
    let mut blocks = Vec::new();
    for _ in 0..count {
        let entry = flushes.next(catalog);
        assert_eq!(catalog.commit(&entry, None).await.expect("commits"), Fate::Committed);
        blocks.extend(entry.blocks);
    }
    blocks
}

/// Puts one block in the place of all that the inbox holds. None: it holds nothing, or
/// somebody else was faster.
async fn merge_the_inbox(catalog: &Catalog) -> Option<BlockId> {
    catalog.fold().await.expect("folds");
    let fresh = Cover { fresh: true, ..Cover::default() };
    let snapshot = catalog.snapshot(&fresh).await.expect("reads");
    let found = catalog.blocks(&snapshot, &tenant(), 0, u64::MAX).await.expect("reads");
    let blocks = &found.blocks;
    let in_the_log =
        |id| snapshot.entries.iter().flat_map(|entry| &entry.blocks).any(|known| known.id() == id);
    let in_the_inbox = |block: &&BlockEntry| block.disjoint_set.is_none() && !in_the_log(block.id());
    let inputs: Vec<&BlockEntry> = blocks.iter().filter(in_the_inbox).collect();
    if inputs.is_empty() {
        return None;
    }
    let rows = inputs.iter().map(|block| block.summary.spans.rows).sum();
    let output = summary(BlockId(catalog.next_id()), rows);
    let id = output.identity.block;
    let merge = Merge {
        tenant: tenant(),
        inputs: vec![(Section::Inbox, inputs.iter().map(|block| block.id()).collect())],
        outputs: vec![(DAY, BlockEntry::merged(output, found.clean_through, Ulid(1)))],
    };
    match catalog.publish(&merge).await {
        Ok(_) => Some(id),
        Err(PublishError::Refused(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

async fn found(catalog: &Catalog, cover: &Cover) -> Vec<BlockId> {
    let snapshot = catalog.snapshot(cover).await.expect("reads");
    let found = catalog.blocks(&snapshot, &tenant(), 0, u64::MAX).await.expect("reads");
    assert!(found.missing.is_empty(), "{:?}", found.missing);
    ids(&found.blocks)
}

fn ids(blocks: &[BlockEntry]) -> Vec<BlockId> {
    let mut ids: Vec<BlockId> = blocks.iter().map(BlockEntry::id).collect();
    ids.sort_unstable();
    ids
}

async fn write_objects(place: &Place, block: BlockId) {
    for key in [ObjectKey::Spans(block), ObjectKey::Origins(block)] {
        place.objects.put(&Path::from(key.to_string()), "not read".into()).await.expect("writes");
    }
}

/// Damages an object.
async fn overwrite(place: &Place, key: &ObjectKey) {
    place.objects.put(&Path::from(key.to_string()), "damaged".into()).await.expect("writes");
}

fn short_windows() -> Windows {
    let millis = Duration::from_millis;
    Windows {
        query: millis(50),
        read_grace: millis(1_200),
        commit: millis(50),
        orphan_grace: millis(1_400),
        log_grace: millis(1_600),
        clock_error: millis(100),
        visibility: millis(50),
        forget_writer: Duration::from_secs(3_600),
        snapshot_age: millis(1),
    }
}
