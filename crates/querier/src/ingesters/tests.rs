//! Over real ports, with a store in memory.

use std::collections::BTreeSet;
use std::time::Duration;

use siltstone_format::id::WriterId;
use siltstone_live::members::{Membership, MembershipConfig, Timing};
use siltstone_live::serve;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use ulid::Ulid;

use super::*;
use crate::find::scan_all;
use crate::test_world::{Ingester, World, everything, number_of, spans};

/// An ingester with a port and an announcement.
struct Served {
    ingester: Arc<Ingester>,
    membership: Arc<Membership>,
    id: ObjectId,
    address: String,
    /// A runtime of its own: with it, its connections die.
    server: Option<tokio::runtime::Runtime>,
}

async fn served(world: &Arc<World>, id: u128) -> Served {
    let (id, ingester) = (ObjectId(Ulid(id)), Ingester::new(world));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.spawn(TcpListener::bind("127.0.0.1:0")).await.unwrap().unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(serve(id, Arc::clone(&ingester) as Arc<dyn LiveSource>));
    runtime.spawn(async move { server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap() });
    let membership = membership(world, id, address.clone(), false);
    let served = Served { ingester, membership, id, address, server: Some(runtime) };
    served.announce(world).await;
    served
}

fn membership(world: &World, id: ObjectId, address: String, in_bucket: bool) -> Arc<Membership> {
    let catalog = world.process();
    Arc::new(Membership::new(MembershipConfig {
        objects: Arc::clone(&world.objects),
        ingester: id,
        address,
        new_id: Box::new(move || ObjectId(catalog.next_id())),
        in_bucket,
        timing: Timing::default(),
    }))
}

impl Served {
    /// Announced anew, and differently.
    async fn announce_as(&mut self, world: &World, in_bucket: bool) {
        self.membership.withdraw(Duration::MAX).await.unwrap();
        self.membership = membership(world, self.id, self.address.clone(), in_bucket);
        self.announce(world).await;
    }

    async fn announce(&self, world: &World) {
        let writers = BTreeSet::from([WriterId(Ulid(1))]);
        self.membership.announce(&writers, world.clock.elapsed()).await.unwrap();
    }

    /// Dies, with all that it holds.
    fn stop(&mut self) {
        if let Some(runtime) = self.server.take() {
            let stopping = std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(10)));
            stopping.join().unwrap();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Numbers of all spans, and how many gaps there are.
async fn look(
    world: &World,
    reader: &Catalog,
    ingesters: &Ingesters,
    in_process: Option<&InProcess>,
) -> (Vec<u64>, usize) {
    let view = ingesters.open(reader, &*world.clock, in_process, &everything()).await.unwrap();
    let found = scan_all(reader, &*world.clock, &view).await.unwrap();
    (found.spans.iter().map(number_of).collect(), found.gaps(&view).len())
}

fn ingesters(world: &World) -> Ingesters {
    Ingesters::new(Arc::clone(&world.objects), RemoteLimits::default(), Arc::new(Logs(None)))
}

/// The logs in the bucket: what this ingester holds, or nothing that can be read.
struct Logs(Option<Arc<Ingester>>);

impl BucketLogs for Logs {
    fn of(&self, name: &str, writers: &BTreeSet<WriterId>) -> Arc<dyn LiveSource> {
        assert_eq!(*writers, BTreeSet::from([WriterId(Ulid(1))]), "{name}");
        Arc::clone(self.0.as_ref().expect("nothing is said to be there")) as Arc<dyn LiveSource>
    }
}

#[tokio::test]
async fn should_read_the_log_of_who_cannot_be_asked_if_it_is_in_the_bucket() {
    let world = World::new();
    let mut dying = served(&world, 1).await;
    dying.ingester.accept(spans(0..3));
    dying.announce_as(&world, true).await;
    let logs = Logs(Some(Arc::clone(&dying.ingester)));
    let all = Ingesters::new(Arc::clone(&world.objects), RemoteLimits::default(), Arc::new(logs));
    let reader = world.process();
    assert_eq!(look(&world, &reader, &all, None).await, (vec![0, 1, 2], 0));
    dying.stop();
    assert_eq!(look(&world, &reader, &all, None).await, (vec![0, 1, 2], 0));
    dying.ingester.go_down();
    assert_eq!(look(&world, &reader, &all, None).await, (vec![], 1));
}

#[tokio::test]
async fn should_find_what_all_ingesters_hold() {
    let world = World::new();
    let (reader, all) = (world.process(), ingesters(&world));
    let (one, mut two) = (served(&world, 1).await, served(&world, 2).await);
    one.ingester.accept(spans(0..2));
    two.ingester.accept(spans(2..4));
    assert_eq!(look(&world, &reader, &all, None).await, (vec![0, 1, 2, 3], 0));
    // One of them in this process: it is not asked twice.
    let source = Arc::clone(&one.ingester) as Arc<dyn LiveSource>;
    let own = InProcess { ingester: one.id, source };
    let asked = one.ingester.asked();
    assert_eq!(look(&world, &reader, &all, Some(&own)).await, (vec![0, 1, 2, 3], 0));
    assert_eq!(one.ingester.asked(), asked + 1);
    two.stop();
    assert_eq!(look(&world, &reader, &all, None).await, (vec![0, 1], 1));
}

/// It commits all, takes its announcement back and stops, after it was listed and before it answers: nothing
/// is missing, and nothing is said to be.
#[tokio::test]
async fn should_not_call_an_answer_partial_for_who_went_away_in_order() {
    let world = World::new();
    let (reader, all) = (world.process(), ingesters(&world));
    let leaving = served(&world, 1).await;
    leaving.ingester.accept(spans(0..3));
    look(&world, &reader, &all, None).await;
    world.time.advance(Duration::from_secs(61));
    let membership = Arc::clone(&leaving.membership);
    leaving.ingester.before_answer(move |this| {
        this.flush();
        this.world.finish(membership.withdraw(this.world.clock.elapsed())).unwrap();
        this.go_down();
    });
    assert_eq!(look(&world, &reader, &all, None).await, (vec![0, 1, 2], 0));
}

#[tokio::test]
async fn should_name_an_announcement_that_cannot_be_read() {
    let world = World::new();
    let (reader, all) = (world.process(), ingesters(&world));
    let path = object_store::path::Path::from(format!("ing/{}", Ulid(5)));
    object_store::ObjectStoreExt::put(&world.objects, &path, "x".into()).await.unwrap();
    assert_eq!(look(&world, &reader, &all, None).await, (vec![], 1));
}
