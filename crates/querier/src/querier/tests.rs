//! Turns and limits of whole queries, on a clock that stands still until it is moved.

use std::collections::BTreeSet;
use std::future::pending;

use futures::FutureExt;
use siltstone_format::id::WriterId;
use siltstone_live::RemoteLimits;
use siltstone_live::from_bucket::BucketLogs;
use siltstone_live::source::LiveSource;

use super::*;
use crate::limits::OwnLimits;
use crate::test_world::World;

const SECOND: Duration = Duration::from_secs(1);

/// A querier with which nothing goes on beside a query.
pub(crate) fn one_at_a_time(world: &World) -> Querier {
    querier(world, [])
}

/// One query at a time, of ten seconds each.
fn querier(world: &World, tenants: impl IntoIterator<Item = (Tenant, OwnLimits)>) -> Querier {
    let default = QueryLimits { deadline: 10 * SECOND, ..QueryLimits::default() };
    let config = QuerierConfig {
        caches: CacheSizes::default(),
        limits: Limits { default, tenants: tenants.into_iter().collect() },
        turns: TurnSettings { concurrent: 1, queue: 2 },
        sql: SqlConfig::default(),
        workers: 1,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ingesters = Ingesters::new(Arc::clone(&world.objects), RemoteLimits::default(), Arc::new(NoLogs));
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let processors = runtime.handle().clone();
    let parts = QuerierParts { catalog: world.process(), clock, ingesters, in_process: None, processors };
    Querier::new(&config, parts).unwrap()
}

struct NoLogs;

impl BucketLogs for NoLogs {
    fn of(&self, _: &str, _: &BTreeSet<WriterId>) -> Arc<dyn LiveSource> {
        unreachable!("no ingester announces itself")
    }
}

#[test]
fn should_count_the_time_in_the_queue_against_the_deadline() {
    let (world, tenant) = (World::new(), Tenant::single());
    let querier = querier(&world, []);
    let running = querier.turn(&tenant).now_or_never().unwrap().unwrap();
    let mut waiting = Box::pin(querier.turn(&tenant));
    assert!((&mut waiting).now_or_never().is_none());
    world.time.advance(4 * SECOND);
    drop(running);
    let turn = (&mut waiting).now_or_never().unwrap().unwrap();
    let mut work = Box::pin(querier.within_turn(&turn, pending::<Result<(), QueryError>>()));
    assert!((&mut work).now_or_never().is_none());
    world.time.advance(5 * SECOND);
    assert!((&mut work).now_or_never().is_none());
    world.time.advance(SECOND);
    let ended = (&mut work).now_or_never().unwrap().unwrap_err();
    assert!(matches!(ended, QueryError::Limit(LimitReached::Deadline(limit)) if limit == 10 * SECOND));
}

#[test]
fn should_leave_the_queue_at_the_deadline() {
    let (world, tenant) = (World::new(), Tenant::single());
    let querier = querier(&world, []);
    let running = querier.turn(&tenant).now_or_never().unwrap().unwrap();
    let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(querier.turn(&tenant))).collect();
    assert!(waiting.iter_mut().all(|wait| wait.now_or_never().is_none()));
    let refused = querier.turn(&tenant).now_or_never().unwrap().err().unwrap();
    assert!(matches!(refused, QueryError::QueueFull(QueueFull { running: 1, waiting: 2 })));
    world.time.advance(10 * SECOND);
    for wait in &mut waiting {
        let ended = wait.now_or_never().unwrap().err().unwrap();
        assert!(matches!(ended, QueryError::Limit(LimitReached::Deadline(_))));
    }
    // Their places are free, though nobody has dropped what is left of them.
    let mut next = Box::pin(querier.turn(&tenant));
    assert!((&mut next).now_or_never().is_none());
    drop(running);
    assert!((&mut next).now_or_never().unwrap().is_ok());
}

#[test]
fn should_give_each_tenant_its_own_limits() {
    let world = World::new();
    let careful: Tenant = "careful".parse().unwrap();
    let own = OwnLimits { deadline: Some(SECOND), bytes: Some(7), ..OwnLimits::default() };
    let querier = querier(&world, [(careful.clone(), own)]);
    let limits = |tenant: &Tenant| querier.turn(tenant).now_or_never().unwrap().unwrap().limits;
    let everybody = limits(&Tenant::single());
    assert_eq!((everybody.deadline, everybody.bytes), (10 * SECOND, QueryLimits::default().bytes));
    assert_eq!(limits(&careful), QueryLimits { deadline: SECOND, bytes: 7, ..everybody });
    let turn = querier.turn(&careful).now_or_never().unwrap().unwrap();
    assert_eq!(querier.query(&turn).purse().most_bytes, 7);
    let mut work = Box::pin(querier.within_turn(&turn, pending::<Result<(), QueryError>>()));
    assert!((&mut work).now_or_never().is_none());
    world.time.advance(SECOND);
    let ended = (&mut work).now_or_never().unwrap().unwrap_err();
    assert!(matches!(ended, QueryError::Limit(LimitReached::Deadline(SECOND))));
}

#[test]
fn should_count_how_queries_end() {
    let (world, tenant) = (World::new(), Tenant::single());
    let querier = querier(&world, []);
    querier.within(&tenant, async |_| Ok(())).now_or_never().unwrap().unwrap();
    let read_too_much = querier.within(&tenant, async |query| {
        query.cost.request(9);
        Err::<(), _>(LimitReached::Bytes(8).into())
    });
    read_too_much.now_or_never().unwrap().unwrap_err();
    let turn = querier.turn(&tenant).now_or_never().unwrap().unwrap();
    world.time.advance(3 * SECOND);
    let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(querier.turn(&tenant))).collect();
    assert!(waiting.iter_mut().all(|wait| wait.now_or_never().is_none()));
    assert!(querier.turn(&tenant).now_or_never().unwrap().is_err());
    drop((waiting, turn));
    let counts = querier.metrics().counts();
    let of = |outcome: Outcome| counts.queries[outcome as usize];
    assert_eq!(
        [Outcome::Answered, Outcome::Refused, Outcome::QueueFull, Outcome::Failed].map(of),
        [1, 1, 1, 0]
    );
    // The one that held its turn; those that waited had none.
    assert_eq!(of(Outcome::GivenUp), 1);
    assert_eq!(counts.cost.bytes, 9);
    let mut text = String::new();
    querier.render_metrics(&mut text);
    assert!(text.contains("siltstone_query_seconds_sum 3\nsiltstone_query_seconds_count 3\n"), "{text}");
    assert!(text.contains("siltstone_query_running 0\n"), "{text}");
}
