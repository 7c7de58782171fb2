//! Interleavings made by hand, for windows that are too narrow for chance. Each is run
//! as it is, where nothing may go wrong, and with the repair left out, where it must.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use object_store::memory::InMemory;
use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, WriterId};
use siltstone_testkit::faulty_store::LogEntry as Request;
use siltstone_testkit::schedule::Violation;
use siltstone_testkit::{FaultPlan, FaultyStore, Operation, RandomFaults, VirtualClock};

use super::reader;
use super::run::windows;
use super::world::{Flush, Shared, SimSpan, Site, Store, World, WriterLog, entry_of};
use super::writer::{DAYS, tenants};
use crate::bucket::Listing;
use crate::catalog::Catalog;
use crate::change::AddMark;
use crate::commit::Fate;
use crate::log_entry::LogEntry;
use crate::mark::{MarkKind, MarkTarget};
use crate::planted::{Bug, Planting};
use crate::sweep::SweepMode;

/// A store without faults whose every request takes a moment, and processes that go on
/// only when they are told to.
struct Hand {
    world: Shared,
    store: Store,
    clock: VirtualClock,
    listing: Listing,
    sites: u64,
}

type Held<'a, T> = LocalBoxFuture<'a, T>;

const REQUEST: Duration = Duration::from_millis(2);

impl Hand {
    fn new(listing: Listing) -> Self {
        let clock = VirtualClock::starting_at(1_800_000_000_000_000_000);
        let plan = FaultPlan::random(RandomFaults::none(1).delaying(1.0, REQUEST));
        let store = FaultyStore::new(InMemory::new(), clock.clone(), plan);
        let world = Rc::new(RefCell::new(World::default()));
        let mut hand = Self { world, store, clock, listing, sites: 0 };
        let catalog = hand.catalog();
        hand.finish(async move { catalog.init().await.unwrap() }.boxed_local());
        hand
    }

    /// A process of its own; where one request lists all, the roots come first.
    fn site(&mut self) -> Site {
        self.sites += 2;
        Site::new(&self.world, &self.store, self.clock.clone(), self.listing, windows(), self.sites)
    }

    fn catalog(&mut self) -> Rc<Catalog> {
        self.site().catalog
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn finish<T>(&self, mut process: Held<'_, T>) -> T {
        loop {
            match (&mut process).now_or_never() {
                Some(done) => return done,
                None => assert!(self.clock.advance_to_next_sleeper(), "it waits for nothing"),
            }
        }
    }

    /// Lets a process go on until it sends a request like this one, and holds it there.
    fn until<T>(&self, process: &mut Held<'_, T>, is_it: impl Fn(&Request) -> bool) {
        loop {
            let before = self.store.log().len();
            assert!(process.now_or_never().is_none(), "it ended without such a request");
            if self.store.log()[before..].iter().any(&is_it) {
                return;
            }
            assert!(self.clock.advance_to_next_sleeper(), "it waits for nothing");
        }
    }

    fn sweep(&mut self) {
        let catalog = self.catalog();
        self.finish(async move { catalog.sweep(SweepMode::Delete).await.unwrap() }.boxed_local());
    }

    fn fold(&mut self) {
        let catalog = self.catalog();
        self.finish(async move { catalog.fold().await.unwrap() }.boxed_local());
    }

    /// A writer with one flush whose blocks stand in the store and whose entry does not.
    fn open_flush(&mut self) -> OpenFlush {
        let site = self.site();
        let writer = WriterId(site.catalog.next_id());
        let mut world = self.world.borrow_mut();
        let number = world.spans.len() as u64;
        let span = SimSpan { number, tenant: tenants()[0].clone(), day: Day(DAYS[0]) };
        world.spans.insert(number, span.clone());
        let block = BlockId(site.catalog.next_id());
        let flush = Flush { label: (writer, 0), spans: vec![span.clone()], old: false, blocks: vec![block] };
        let index = world.writers.len();
        world.writers.push(WriterLog {
            up: true,
            current: Some(writer),
            pending: vec![flush],
            ..WriterLog::default()
        });
        drop(world);
        let opened = self.clock.monotonic();
        let spans = vec![span.clone()];
        self.finish(site.write_block(block, &spans).boxed_local());
        let entry = LogEntry { writer, number: 0, blocks: vec![entry_of(block, &span.tenant, &spans)] };
        OpenFlush { index, site, entry, opened, span }
    }

    /// Creates the entry, and believes the answer as far as the catalog does.
    fn commit(&self, flush: &OpenFlush) -> Fate {
        let commit = flush.site.catalog.commit(&flush.entry, Some(flush.opened));
        let fate = self.finish(async move { commit.await.unwrap() }.boxed_local());
        if fate == Fate::Committed {
            let mut world = self.world.borrow_mut();
            let log = &mut world.writers[flush.index];
            log.pending.clear();
            log.committed.insert(flush.entry.writer, 1);
        }
        fate
    }

    /// One query by a reader that knows nothing yet.
    fn query(&mut self) -> Held<'static, Result<(), Violation>> {
        reader::run(self.site(), 1).boxed_local()
    }

    /// The writer is gone: nobody says what it committed.
    fn lose(&self, flush: &OpenFlush) {
        self.world.borrow_mut().writers.remove(flush.index);
    }
}

struct OpenFlush {
    index: usize,
    site: Site,
    entry: LogEntry,
    opened: Duration,
    span: SimSpan,
}

fn lists(prefix: &'static str) -> impl Fn(&Request) -> bool {
    move |request| request.operation == Operation::List && request.location.as_ref() == prefix
}

fn puts_root(request: &Request) -> bool {
    request.operation == Operation::Put && request.location.as_ref().starts_with("cat/root")
}

/// Nothing goes wrong, unless these repairs are left out, each on its own or all at once.
fn must_matter(interleaving: impl Fn() -> Result<(), Violation>, bugs: &[&[Bug]]) {
    assert_eq!(interleaving(), Ok(()));
    for bugs in bugs {
        let _planting = Planting::of(bugs.iter().copied());
        let violation = interleaving();
        println!("{bugs:?}: {violation:?}");
        assert!(violation.is_err(), "{bugs:?}");
    }
}

/// A reader has listed one of log and roots when the log is folded and swept.
#[test]
fn should_list_the_log_before_the_roots() {
    let interleaving = || {
        let mut hand = Hand::new(Listing::LogThenRoots);
        let flush = hand.open_flush();
        assert_eq!(hand.commit(&flush), Fate::Committed);
        hand.lose(&flush);
        hand.pass(2);
        let reader = hand.site();
        // It knows the first root already.
        hand.finish(reader.catalog.load().boxed_local()).unwrap();
        let mut query = reader::run(reader, 1).boxed_local();
        let second = if crate::planted::planted(Bug::RootsFirst) { "cat/log" } else { "cat/root" };
        hand.until(&mut query, lists(second));
        hand.fold();
        hand.sweep();
        hand.finish(query)
    };
    must_matter(interleaving, &[&[Bug::RootsFirst]]);
}

/// One listing reads the roots, and the log much later: what was folded meanwhile must
/// still stand there, or the listing must not count.
#[test]
fn should_keep_folded_entries_for_those_who_list_log_and_roots_at_once() {
    let within_the_grace = || {
        let mut hand = Hand::new(Listing::Together);
        let flush = hand.open_flush();
        assert_eq!(hand.commit(&flush), Fate::Committed);
        hand.lose(&flush);
        hand.pass(2);
        let reader = hand.site();
        hand.finish(reader.catalog.load().boxed_local()).unwrap();
        let mut query = reader::run(reader, 1).boxed_local();
        hand.until(&mut query, lists("cat/log"));
        hand.fold();
        hand.sweep();
        hand.finish(query)
    };
    must_matter(within_the_grace, &[&[Bug::NoLogGrace], &[Bug::NoLogGrace, Bug::NoListingBound]]);
    // After the grace the listing has taken too long.
    let after_the_grace = || {
        let mut hand = Hand::new(Listing::Together);
        let flush = hand.open_flush();
        assert_eq!(hand.commit(&flush), Fate::Committed);
        hand.lose(&flush);
        hand.pass(2);
        let reader = hand.site();
        hand.finish(reader.catalog.load().boxed_local()).unwrap();
        let mut query = reader::run(reader, 1).boxed_local();
        hand.until(&mut query, lists("cat/log"));
        hand.fold();
        hand.pass(7);
        let marker = hand.catalog();
        hand.finish(async move { marker.publish(&mark(99)).await.unwrap() }.boxed_local());
        hand.sweep();
        hand.finish(query)
    };
    must_matter(after_the_grace, &[&[Bug::NoListingBound], &[Bug::NoLogGrace, Bug::NoListingBound]]);
}

fn mark(number: u64) -> AddMark {
    let span = SimSpan { number, tenant: tenants()[0].clone(), day: Day(DAYS[0]) };
    AddMark { tenant: span.tenant.clone(), kind: MarkKind::Archive, target: MarkTarget::Trace(span.trace()) }
}

/// A floor is published between a reader's look and its reading of a block that is below.
#[test]
fn should_sweep_orphans_only_when_their_floor_is_old() {
    let interleaving = || {
        let mut hand = Hand::new(Listing::LogThenRoots);
        let flush = hand.open_flush();
        hand.pass(40);
        // A recent root, so that the floor may pass the block.
        let marker = hand.catalog();
        hand.finish(async move { marker.publish(&mark(98)).await.unwrap() }.boxed_local());
        let sweeper = hand.catalog();
        let mut sweep = async move { sweeper.sweep(SweepMode::Delete).await.map(|_| ()) }.boxed_local();
        hand.until(&mut sweep, puts_root); // makes sure of the one that it read
        hand.until(&mut sweep, puts_root);
        // The sweeper has seen an empty log. Now the entry lands, and a reader sees it.
        let late = flush.site.catalog.clone();
        let entry = flush.entry.clone();
        let mut commit = async move { late.commit(&entry, None).await }.boxed_local();
        hand.until(&mut commit, lists("cat/log"));
        hand.lose(&flush);
        hand.pass(2);
        let mut query = hand.query();
        let block = format!("blk/{}", flush.entry.blocks[0].id());
        hand.until(&mut query, |request| request.location.as_ref().starts_with(&block));
        hand.finish(sweep).unwrap();
        hand.sweep();
        hand.finish(query)
    };
    must_matter(interleaving, &[&[Bug::OrphansAtOnce]]);
}

/// A sweeper lists the log, sleeps, and lists roots that came much later.
#[test]
fn should_take_the_floor_from_a_root_seen_before_the_log() {
    let interleaving = || {
        let mut hand = Hand::new(Listing::LogThenRoots);
        hand.pass(40);
        let flush = hand.open_flush();
        let publisher = hand.catalog();
        let mut publish = async move { publisher.publish(&mark(97)).await.map(|_| ()) }.boxed_local();
        hand.until(&mut publish, puts_root);
        let sweeper = hand.catalog();
        let mut sweep = async move { sweeper.sweep(SweepMode::Delete).await.map(|_| ()) }.boxed_local();
        hand.until(&mut sweep, lists("cat/root")); // its first look
        hand.until(&mut sweep, lists("cat/log"));
        hand.until(&mut sweep, lists("cat/root")); // its publish has seen an empty log
        assert_eq!(hand.commit(&flush), Fate::Committed);
        hand.pass(30);
        hand.finish(publish).unwrap();
        hand.finish(sweep).unwrap();
        let query = hand.query();
        hand.finish(query)
    };
    must_matter(interleaving, &[&[Bug::FloorFromBase]]);
}

/// A writer is fenced after it was asked, and commits the same spans under another name.
#[test]
fn should_ask_a_fenced_writer_again() {
    let interleaving = || {
        let mut hand = Hand::new(Listing::LogThenRoots);
        let flush = hand.open_flush();
        hand.pass(40);
        let marker = hand.catalog();
        hand.finish(async move { marker.publish(&mark(96)).await.unwrap() }.boxed_local());
        let mut query = hand.query();
        hand.until(&mut query, lists("cat/log"));
        hand.sweep();
        // It landed, and a listing shows it a moment later.
        assert_eq!(hand.commit(&flush), Fate::Missing);
        hand.pass(1);
        let Fate::Fenced { root } = hand.commit(&flush) else { return Err("it is not fenced".to_owned()) };
        // The same spans in another block, under another writer.
        let block = BlockId(flush.site.catalog.next_id());
        let writer = WriterId(flush.site.catalog.next_id());
        let spans = vec![flush.span.clone()];
        hand.finish(flush.site.write_block(block, &spans).boxed_local());
        let entry = LogEntry { writer, number: 0, blocks: vec![entry_of(block, &flush.span.tenant, &spans)] };
        hand.world.borrow_mut().writers[flush.index].min_root = root;
        hand.world.borrow_mut().writers[flush.index].pending[0].label = (writer, 0);
        let again = OpenFlush { entry, opened: hand.clock.monotonic(), ..flush };
        assert_eq!(hand.commit(&again), Fate::Committed);
        hand.pass(2);
        hand.finish(query)
    };
    must_matter(interleaving, &[&[Bug::NoSecondLive]]);
}
