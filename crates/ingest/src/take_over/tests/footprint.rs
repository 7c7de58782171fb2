//! What an ingester that lives has in the store, and how often it writes there.

use std::sync::Arc;
use std::time::Duration;

use siltstone_live::members::Members;
use siltstone_testkit::{Fault, FaultPlan, Operation, Rule};

use super::world::{World, aged, play, requests};
use crate::config::IngestConfig;

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
