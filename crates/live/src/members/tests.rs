use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use siltstone_testkit::{CountingStore, Fault, FaultPlan, FaultyStore, Operation, Rule, VirtualClock};
use ulid::Ulid;

use super::*;

type Store = CountingStore<FaultyStore<InMemory>>;

struct World {
    clock: VirtualClock,
    store: Arc<Store>,
    ids: Arc<AtomicU64>,
}

impl World {
    fn new() -> Self {
        let clock = VirtualClock::starting_at(1_800_000_000_000_000_000);
        let faulty = FaultyStore::new(InMemory::new(), clock.clone(), FaultPlan::none());
        Self { clock, store: Arc::new(CountingStore::new(faulty)), ids: Arc::default() }
    }

    fn ingester(&self, number: u64) -> Membership {
        let ids = Arc::clone(&self.ids);
        Membership::new(MembershipConfig {
            objects: Arc::clone(&self.store) as Arc<dyn ObjectStore>,
            ingester: ObjectId(Ulid(number.into())),
            address: format!("http://host-{number}:14317"),
            new_id: Box::new(move || ObjectId(Ulid(u128::from(ids.fetch_add(1, Ordering::Relaxed)) + 1_000))),
            in_bucket: false,
            timing: Timing::default(),
        })
    }

    fn members(&self) -> Members {
        Members::new(Arc::clone(&self.store) as Arc<dyn ObjectStore>)
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn keys(&self) -> Vec<String> {
        let listed: Vec<_> = self.store.inner().list(Some(&folder())).try_collect().await.unwrap();
        listed.iter().map(|meta| meta.location.to_string()).collect()
    }

    /// Requests since the last look.
    fn requests(&self) -> Vec<Operation> {
        let requests = self.store.requests().iter().map(|request| request.operation).collect();
        self.store.reset();
        requests
    }
}

fn writers(numbers: &[u128]) -> BTreeSet<WriterId> {
    numbers.iter().map(|number| WriterId(Ulid(*number))).collect()
}

async fn addresses(members: &Members) -> Vec<String> {
    let listed = members.list().await.unwrap();
    assert_eq!(listed.unreadable, []);
    listed.members.into_iter().map(|member| member.address).collect()
}

#[tokio::test]
async fn should_be_found_while_it_holds_spans_and_a_while_longer() {
    let world = World::new();
    let (one, two, reader) = (world.ingester(1), world.ingester(2), world.members());
    assert!(addresses(&reader).await.is_empty());
    one.announce(&writers(&[7]), world.now()).await.unwrap();
    assert_eq!(addresses(&reader).await, ["http://host-1:14317"]);
    two.announce(&writers(&[8]), world.now()).await.unwrap();
    assert_eq!(addresses(&reader).await.len(), 2);
    one.withdraw(world.now()).await.unwrap();
    world.clock.advance(Duration::from_secs(59));
    one.withdraw(world.now()).await.unwrap();
    assert_eq!(addresses(&reader).await.len(), 2);
    world.clock.advance(Duration::from_secs(1));
    one.withdraw(world.now()).await.unwrap();
    assert_eq!(addresses(&reader).await, ["http://host-2:14317"]);
    one.announce(&writers(&[7]), world.now()).await.unwrap();
    assert_eq!(addresses(&reader).await.len(), 2);
}

#[tokio::test]
async fn should_send_nothing_while_nothing_changes() {
    let world = World::new();
    let (ingester, reader) = (world.ingester(1), world.members());
    ingester.announce(&writers(&[7]), world.now()).await.unwrap();
    for _ in 0..9 {
        world.clock.advance(Duration::from_secs(61));
        ingester.announce(&writers(&[7]), world.now()).await.unwrap();
        ingester.withdraw(world.now()).await.unwrap();
    }
    assert_eq!(world.requests(), [Operation::Put]);
    // It is alive, and has another writer: the same object, written anew.
    world.clock.advance(Duration::from_secs(61));
    ingester.announce(&writers(&[7]), world.now()).await.unwrap();
    ingester.announce(&writers(&[7, 8]), world.now()).await.unwrap();
    assert_eq!(world.requests(), [Operation::Put, Operation::Put]);

    let found = reader.list().await.unwrap().members;
    assert_eq!(found[0].writers, writers(&[7, 8]));
    assert_eq!(found[0].alive_at_unix_millis, world.clock.now() / 1_000_000);
    assert_eq!(world.requests(), [Operation::List, Operation::Get]);
    reader.list().await.unwrap();
    assert_eq!(world.requests(), [Operation::List]);
    world.clock.advance(Duration::from_secs(601));
    ingester.announce(&writers(&[7]), world.now()).await.unwrap();
    world.requests();
    reader.list().await.unwrap();
    assert_eq!(world.requests(), [Operation::List, Operation::Get]);
}

#[tokio::test]
async fn should_never_use_a_name_again_whose_delete_may_come_late() {
    let world = World::new();
    let ingester = world.ingester(1);
    ingester.announce(&writers(&[7]), world.now()).await.unwrap();
    let first = world.keys().await;
    world.clock.advance(Duration::from_secs(60));
    ingester.withdraw(world.now()).await.unwrap();
    ingester.announce(&writers(&[7]), world.now()).await.unwrap();
    let second = world.keys().await;
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first, second);
}

#[tokio::test]
async fn should_name_one_that_cannot_be_read() {
    let world = World::new();
    let reader = world.members();
    let bad = ["{}", "{\"version\":2,\"ingester\":\"\",\"address\":\"\",\"writers\":[]}", "x"];
    for (number, content) in bad.iter().enumerate() {
        let key = path(ObjectId(Ulid(number as u128)));
        world.store.put(&key, PutPayload::from(content.to_string())).await.unwrap();
    }
    world.store.put(&path(ObjectId(Ulid(9))), PutPayload::from(vec![b' '; 70_000])).await.unwrap();
    world.store.put(&Path::from("ing/readme"), PutPayload::from("not ours")).await.unwrap();
    let listed = reader.list().await.unwrap();
    assert_eq!(listed.unreadable.len(), 4, "{listed:?}");
    assert!(listed.unreadable[1].1.contains("version 2"), "{listed:?}");
    assert!(listed.members.is_empty());
}

#[tokio::test]
async fn should_name_a_restarted_ingester_once_and_forget_what_it_was() {
    let world = World::new();
    let (before, reader) = (world.ingester(1), world.members());
    before.announce(&writers(&[7]), world.now()).await.unwrap();
    world.ingester(2).announce(&writers(&[8]), world.now()).await.unwrap();
    world.clock.advance(Duration::from_secs(5));
    let after = world.ingester(1);
    after.announce(&writers(&[7, 9]), world.now()).await.unwrap();
    let found = reader.list().await.unwrap().members;
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].writers, writers(&[7, 9]));
    assert_eq!(world.keys().await.len(), 3);
    after.forget_earlier().await.unwrap();
    assert_eq!(world.keys().await.len(), 2);
}

#[tokio::test]
async fn should_not_count_as_announced_before_the_store_says_so() {
    for fault in [Fault::ErrorBefore, Fault::ErrorAfter] {
        let world = World::new();
        let ingester = world.ingester(1);
        let once = Rule::new(fault).on(Operation::Put).first(1);
        world.store.inner().set_plan(FaultPlan::script([once]));
        assert!(ingester.announce(&writers(&[7]), world.now()).await.is_err());
        ingester.announce(&writers(&[7]), world.now()).await.unwrap();
        // Under one name, though the first may stand.
        assert_eq!(world.keys().await.len(), 1);
        world.clock.advance(Duration::from_secs(60));
        ingester.withdraw(world.now()).await.unwrap();
        assert!(world.keys().await.is_empty());
    }
}

#[tokio::test]
async fn should_take_back_what_a_failed_announcement_may_have_left() {
    let world = World::new();
    let ingester = world.ingester(1);
    world.store.inner().set_plan(FaultPlan::script([Rule::new(Fault::ErrorAfter).on(Operation::Put)]));
    assert!(ingester.announce(&writers(&[7]), world.now()).await.is_err());
    assert_eq!(world.keys().await.len(), 1);
    world.clock.advance(Duration::from_secs(60));
    ingester.withdraw(world.now()).await.unwrap();
    assert!(world.keys().await.is_empty());
}

#[tokio::test]
async fn should_try_again_to_take_back_and_stay_announced_meanwhile() {
    let world = World::new();
    let (ingester, reader) = (world.ingester(1), world.members());
    ingester.announce(&writers(&[7]), world.now()).await.unwrap();
    world.clock.advance(Duration::from_secs(60));
    world
        .store
        .inner()
        .set_plan(FaultPlan::script([Rule::new(Fault::ErrorBefore).on(Operation::Delete).first(1)]));
    assert!(ingester.withdraw(world.now()).await.is_err());
    // A new span: a new name beside the one that may be deleted at any moment.
    ingester.announce(&writers(&[7]), world.now()).await.unwrap();
    assert_eq!(world.keys().await.len(), 2);
    assert_eq!(addresses(&reader).await.len(), 1);
    ingester.withdraw(world.now()).await.unwrap();
    assert_eq!(world.keys().await.len(), 1);
    assert_eq!(addresses(&reader).await.len(), 1);
}

#[tokio::test]
async fn should_say_that_nobody_knows_who_is_there_if_the_store_does_not_answer() {
    let world = World::new();
    let reader = world.members();
    world.ingester(1).announce(&writers(&[7]), world.now()).await.unwrap();
    for operation in [Operation::List, Operation::Get] {
        world
            .store
            .inner()
            .set_plan(FaultPlan::script([Rule::new(Fault::ErrorBefore).on(operation).first(1)]));
        assert!(reader.list().await.is_err());
        assert_eq!(addresses(&reader).await.len(), 1);
        world.clock.advance(Duration::from_secs(600));
        world.ingester(1).announce(&writers(&[7]), world.now()).await.unwrap();
    }
}
