use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use object_store::memory::InMemory;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siltstone_catalog::bucket::Listing;
use siltstone_format::id::WriterId;
use siltstone_testkit::{Fault, FaultPlan, FaultyStore, Operation, RandomFaults, Rule, VirtualClock};
use ulid::Ulid;

use super::*;
use crate::log::LogFailure;
use crate::test_clock::TestClock;

const PUT_TAKES: Duration = Duration::from_millis(60);

type Outcomes = Arc<Mutex<BTreeMap<u64, (Result<(), LogFailure>, Duration)>>>;

struct World {
    store: FaultyStore<InMemory>,
    clock: VirtualClock,
    bucket: Bucket,
    budget: Budget,
    appended: u64,
    /// What became of each record, and when.
    outcomes: Outcomes,
}

fn world(plan: FaultPlan) -> World {
    let clock = VirtualClock::starting_at(1_800_000_000_000_000_000);
    let store = FaultyStore::new(InMemory::new(), clock.clone(), plan);
    let bucket = Bucket::new(Arc::new(store.clone()), Listing::Together);
    let budget = Budget::new(1 << 30, Arc::new(TestClock(clock.clone())));
    World { store, clock, bucket, budget, appended: 0, outcomes: Outcomes::default() }
}

fn slow_puts() -> FaultPlan {
    FaultPlan::script([Rule::new(Fault::Delay(PUT_TAKES)).on(Operation::Put)])
}

fn segment(number: u64) -> SegmentName {
    SegmentName { writer: WriterId(Ulid(1 << 90)), number }
}

fn record(id: u64, body_len: usize) -> Record {
    let body: Vec<u8> = (0..body_len).map(|at| (at / 13) as u8).collect();
    Record {
        tenant: "a".parse().unwrap(),
        arrived_unix_millis: id,
        known_deletions: id % 2,
        refused: Vec::new(),
        body: body.into(),
    }
}

impl World {
    fn log(&self) -> ObjectLog {
        ObjectLog::start(&self.bucket, Arc::new(TestClock(self.clock.clone())), self.budget.clone())
    }

    fn pieces(&self) -> Pieces {
        Pieces::new(&self.bucket)
    }

    /// Appends a record, which bears the number that is returned.
    fn append(&mut self, log: &ObjectLog, segment: SegmentName, body_len: usize) -> u64 {
        let id = self.appended;
        self.appended += 1;
        let ticket = log.append(segment, record(id, body_len));
        let (outcomes, clock) = (Arc::clone(&self.outcomes), self.clock.clone());
        tokio::spawn(async move {
            let outcome = ticket.await;
            outcomes.lock().unwrap().insert(id, (outcome, clock.monotonic()));
        });
        id
    }

    /// Lets everything happen that waits for nothing but its turn.
    async fn settle(&self) {
        for _ in 0..60 {
            tokio::task::yield_now().await;
        }
    }

    async fn pass(&self, millis: u64) {
        let end = self.clock.monotonic() + Duration::from_millis(millis);
        self.settle().await;
        while let Some(next) = self.clock.next_deadline().filter(|next| *next <= end) {
            self.clock.advance(next.saturating_sub(self.clock.monotonic()));
            self.settle().await;
        }
        self.clock.advance(end - self.clock.monotonic());
        self.settle().await;
    }

    fn outcome(&self, id: u64) -> Option<Result<(), LogFailure>> {
        self.outcomes.lock().unwrap().get(&id).map(|(outcome, _)| outcome.clone())
    }

    /// Bytes of the newest piece.
    async fn piece_bytes(&self) -> usize {
        let found = self.pieces().list_writers().await.unwrap();
        let [found] = found.as_slice() else { panic!("{found:?}") };
        let number = *found.pieces.last().unwrap();
        let key = siltstone_format::path::ObjectKey::LogSegment { writer: found.writer, number };
        let meta = object_store::ObjectStoreExt::head(&self.store, &key.to_string().into()).await.unwrap();
        meta.size as usize
    }

    fn puts(&self) -> usize {
        self.store.log().iter().filter(|entry| entry.operation == Operation::Put).count()
    }

    /// The ids of all records in these pieces.
    async fn ids(&self, writer: WriterId, numbers: &[u64]) -> Vec<u64> {
        let mut ids = Vec::new();
        for number in numbers {
            let read = self.pieces().read(writer, *number).await.unwrap();
            let records = read.into_iter().flat_map(|piece| piece.records);
            ids.extend(records.map(|record| record.arrived_unix_millis));
        }
        ids
    }
}

#[tokio::test]
async fn should_answer_the_first_after_one_put_and_the_few_two_or_three_times_a_second() {
    let mut world = world(slow_puts());
    let log = world.log();
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let mut appended_at = Vec::new();
    // Ten a second on average, each of one span.
    let seconds = 30;
    for _ in 0..10 * seconds {
        appended_at.push(world.clock.monotonic());
        world.append(&log, segment(0), 250);
        let gap = generator.random_range(1..200);
        world.pass(gap).await;
    }
    world.pass(500).await;
    let outcomes = world.outcomes.lock().unwrap().clone();
    let mut waited: Vec<Duration> = outcomes
        .iter()
        .map(|(id, (outcome, at))| {
            assert!(outcome.is_ok());
            *at - appended_at[*id as usize]
        })
        .collect();
    assert_eq!(waited.len(), appended_at.len());
    assert!(waited[0] <= PUT_TAKES + Duration::from_millis(2), "{:?}", waited[0]);
    waited.sort_unstable();
    let p99 = waited[waited.len() * 99 / 100];
    let elapsed = world.clock.monotonic().as_secs_f64();
    let puts_a_second = world.puts() as f64 / elapsed;
    println!("{puts_a_second:.2} PUTs a second, p99 {p99:?}");
    assert!(puts_a_second <= 2.6, "{puts_a_second}");
    assert!(p99 < Duration::from_millis(400), "{p99:?}");
}

#[test]
fn should_put_ten_times_a_second_however_much_comes() {
    // With one thread that packs, waiting for it is waiting for all that is to be packed.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let mut world = world(slow_puts());
        let log = world.log();
        let mut appended_at = Vec::new();
        // 100,000 spans of 300 bytes a second: every 10 ms ten requests.
        while world.appended < 3000 {
            for _ in 0..10 {
                appended_at.push(world.clock.monotonic());
                world.append(&log, segment(0), 30_000);
            }
            world.pass(10).await;
            tokio::task::spawn_blocking(|| {}).await.unwrap();
            world.settle().await;
        }
        let (puts, elapsed) = (world.puts(), world.clock.monotonic().as_secs_f64());
        let puts_a_second = puts as f64 / elapsed;
        world.pass(100).await;
        tokio::task::spawn_blocking(|| {}).await.unwrap();
        world.pass(100).await;
        let outcomes = world.outcomes.lock().unwrap().clone();
        let waited = outcomes.iter().map(|(id, (outcome, at))| {
            assert!(outcome.is_ok());
            *at - appended_at[*id as usize]
        });
        let longest = waited.max().unwrap();
        println!("{puts_a_second:.1} PUTs a second, none waited longer than {longest:?}");
        assert_eq!(outcomes.len(), 3000);
        assert!((8.0..=10.5).contains(&puts_a_second), "{puts_a_second}");
        assert!(longest < Duration::from_millis(400), "{longest:?}");
        let found = world.pieces().list_writers().await.unwrap();
        let ids = world.ids(found[0].writer, &found[0].pieces).await;
        assert_eq!(ids, (0..3000).collect::<Vec<u64>>());
    });
}

#[tokio::test]
async fn should_forget_what_is_committed_but_its_newest_piece() {
    let mut world = world(FaultPlan::none());
    let log = world.log();
    for number in 0..3 {
        for _ in 0..2 {
            world.append(&log, segment(number), 10);
            world.pass(600).await;
        }
    }
    let reader = world.pieces();
    let pieces = async || reader.list_writers().await.unwrap()[0].pieces.clone();
    assert_eq!(pieces().await, [0, 1, 2, 3, 4, 5]);
    log.forget(segment(1));
    world.pass(10).await;
    assert_eq!(pieces().await, [4, 5]);
    log.forget(segment(2));
    world.pass(10).await;
    assert_eq!(pieces().await, [5]);
    // Until the writer ends.
    let next = SegmentName { writer: WriterId(Ulid(9)), number: 0 };
    world.append(&log, next, 10);
    world.pass(600).await;
    log.retire(segment(0).writer);
    world.pass(10).await;
    assert_eq!(pieces().await, [0]);
    log.forget(next);
    log.close().await;
    assert!(world.pieces().list_writers().await.unwrap().is_empty());
}

#[tokio::test]
async fn should_store_what_waits_when_it_is_closed_and_take_nothing_then() {
    let mut world = world(FaultPlan::none());
    let log = world.log();
    let ids: Vec<u64> = (0..5).map(|number| world.append(&log, segment(number / 2), 10)).collect();
    let queue = Arc::clone(&log.queue);
    log.close().await;
    world.settle().await;
    assert!(ids.iter().all(|id| world.outcome(*id).unwrap().is_ok()));
    let refused = queue.append(segment(3), record(9, 1)).await;
    assert!(matches!(refused, Err(LogFailure::Stopped)));
    assert_eq!(world.ids(segment(0).writer, &[0, 1, 2]).await, ids);
}

/// Bodies have room by their requests; what is made of them is a copy.
#[test]
fn should_count_the_piece_that_is_on_its_way() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let mut world = world(slow_puts());
        let log = world.log();
        for body_len in [1_000, 300_000] {
            let id = world.append(&log, segment(0), body_len);
            world.settle().await;
            tokio::task::spawn_blocking(|| {}).await.unwrap();
            world.settle().await;
            assert!(world.outcome(id).is_none());
            let held = world.budget.used();
            world.pass(1_000).await;
            assert!(world.outcome(id).unwrap().is_ok());
            assert_eq!(held, world.piece_bytes().await, "while it is sent");
            assert_eq!(world.budget.used(), 0, "once it has landed");
            assert!(world.budget.high_water() >= 2 * body_len, "while it is packed");
        }
    });
}

#[tokio::test]
async fn should_give_up_after_a_while_and_go_on_when_the_store_is_back() {
    let mut world = world(FaultPlan::script([Rule::new(Fault::ErrorBefore).on(Operation::Put)]));
    let log = world.log();
    let lost = world.append(&log, segment(0), 10);
    world.pass(16_000).await;
    assert!(matches!(world.outcome(lost), Some(Err(LogFailure::Store(_)))));
    world.store.set_plan(FaultPlan::none());
    let kept = world.append(&log, segment(0), 10);
    world.pass(1000).await;
    assert!(world.outcome(kept).unwrap().is_ok());
    // The number is used by who came after.
    assert_eq!(world.ids(segment(0).writer, &[0]).await, [kept]);
}

#[tokio::test]
async fn should_take_the_next_number_when_a_piece_that_was_given_up_has_landed() {
    let mut world = world(FaultPlan::script([Rule::new(Fault::LandsLater).on(Operation::Put)]));
    let log = world.log();
    let given_up = world.append(&log, segment(0), 10);
    world.pass(16_000).await;
    assert!(world.outcome(given_up).unwrap().is_err());
    world.store.release_all().await;
    world.store.set_plan(FaultPlan::none());
    let kept = world.append(&log, segment(0), 10);
    world.pass(1000).await;
    assert!(world.outcome(kept).unwrap().is_ok());
    assert_eq!(world.ids(segment(0).writer, &[0, 1]).await, [given_up, kept]);
}

#[tokio::test]
async fn should_seal_where_the_writer_goes_on_even_if_it_is_faster() {
    // The seal's PUT takes long, under a number that the writer meanwhile uses and deletes.
    let piece_1 = ObjectKeyText(1).to_string();
    let slow_seal = Rule::new(Fault::Delay(Duration::from_secs(4))).on(Operation::Put).containing(&piece_1);
    let mut world = world(FaultPlan::script([slow_seal.nth(1)]));
    let log = world.log();
    world.append(&log, segment(0), 10);
    world.pass(10).await;
    let pieces = world.pieces();
    let sealing = tokio::spawn(async move { pieces.seal(segment(0).writer).await });
    world.pass(10).await;
    for number in 1..3 {
        world.append(&log, segment(number), 10);
        world.pass(600).await;
    }
    log.forget(segment(1));
    world.pass(4000).await;
    let sealed = sealing.await.unwrap().unwrap();
    assert_eq!(sealed.seal, 3);
    let zombie = world.append(&log, segment(2), 10);
    let other_writer = SegmentName { writer: WriterId(Ulid(9)), number: 0 };
    world.pass(600).await;
    assert!(matches!(world.outcome(zombie), Some(Err(LogFailure::TakenOver(_)))));
    let fresh = world.append(&log, other_writer, 10);
    world.pass(600).await;
    assert!(world.outcome(fresh).unwrap().is_ok());
    assert_eq!(world.ids(sealed.writer, &sealed.pieces).await, [2]);

    // Somebody else does the same, and the seal outlives the pieces.
    assert_eq!(world.pieces().seal(sealed.writer).await.unwrap(), sealed);
    world.pieces().delete(&sealed).await.unwrap();
    let left = world.pieces().list_writers().await.unwrap();
    let left = left.iter().find(|found| found.writer == sealed.writer).unwrap();
    assert_eq!(left.pieces, [3]);
}

struct ObjectKeyText(u64);

impl std::fmt::Display for ObjectKeyText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "-{:020}", self.0)
    }
}

/// One run with faults of every kind, in which the writer is taken for dead at some time, and goes on.
async fn take_over_alive(seed: u64) -> usize {
    let faults = RandomFaults::each(seed, 0.05).delaying(0.3, Duration::from_millis(300));
    let mut world = world(FaultPlan::random(faults));
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let log = world.log();
    let (mut number, mut forgotten) = (0, None);
    let mut segments = BTreeMap::new();
    let mut sealing = None;
    let seals_at = generator.random_range(0..40);
    for step in 0..60 {
        if step == seals_at {
            let pieces = world.pieces();
            sealing = Some(tokio::spawn(async move {
                loop {
                    if let Ok(sealed) = pieces.seal(segment(0).writer).await {
                        break sealed;
                    }
                }
            }));
        }
        for _ in 0..generator.random_range(0..3) {
            segments.insert(world.append(&log, segment(number), 20), number);
        }
        if generator.random_ratio(1, 6) {
            number += 1;
        }
        // Flushes take a while, and a zombie's end some time.
        if generator.random_ratio(1, 8) && number > 3 && step < seals_at + 8 {
            forgotten = Some(number - 4);
            log.forget(segment(number - 4));
        }
        let waiting = world.store.waiting();
        if !waiting.is_empty() && generator.random() {
            world.store.release(waiting[generator.random_range(0..waiting.len())].number).await;
        }
        world.pass(generator.random_range(0..600)).await;
    }
    world.store.set_plan(FaultPlan::none());
    while world.outcomes.lock().unwrap().len() < segments.len() {
        world.pass(100).await;
    }
    let sealed = sealing.unwrap().await.unwrap();
    world.store.release_all().await;
    let refused = world.append(&log, segment(number), 20);
    while world.outcome(refused).is_none() {
        world.pass(100).await;
    }
    assert!(matches!(world.outcome(refused), Some(Err(LogFailure::TakenOver(_)))), "seed {seed}");

    let acknowledged: Vec<u64> = segments
        .iter()
        .filter(|(id, number)| Some(**number) > forgotten && world.outcome(**id).unwrap().is_ok())
        .map(|(id, _)| *id)
        .collect();
    let mut read = world.ids(sealed.writer, &sealed.pieces).await;
    read.retain(|id| acknowledged.contains(id));
    assert_eq!(read, acknowledged, "seed {seed}: {sealed:?}");
    acknowledged.len()
}

#[tokio::test]
async fn should_keep_every_acknowledged_record_of_a_writer_that_is_taken_over() {
    let mut acknowledged = 0;
    for seed in 0..300 {
        acknowledged += take_over_alive(seed).await;
    }
    assert!(acknowledged > 3000, "{acknowledged}");
}
