//! Anything at any time.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siltstone_testkit::{Fault, FaultPlan, RandomFaults, Rule};

use super::world::{World, aged, play, requests, span_count};

/// One run of two ingesters over a store with faults of every kind, of which one or the other is paused for long.
async fn run_with_faults(seed: u64) -> (usize, usize) {
    let world = World::new();
    let nodes = [world.node(1, aged(15)).await, world.node(2, aged(25)).await];
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let faults = |seed| {
        let faults = RandomFaults::each(seed, 0.02).delaying(0.2, Duration::from_millis(400));
        FaultPlan::random(faults)
    };
    for (index, node) in nodes.iter().enumerate() {
        node.store.set_plan(faults(seed * 10 + index as u64));
    }
    let sent = requests(800, 20, seed);
    let mut refusals = 0;
    let mut paused_until = [0, 0];
    for (step, request) in sent.iter().enumerate() {
        if generator.random_ratio(1, 12) && paused_until.iter().all(|until| *until <= step) {
            let index = generator.random_range(0..2);
            paused_until[index] = step + generator.random_range(2..12);
            nodes[index]
                .store
                .set_plan(FaultPlan::script([Rule::new(Fault::Delay(Duration::from_secs(90)))]));
        }
        for (index, node) in nodes.iter().enumerate() {
            if step > 0 && paused_until[index] == step {
                node.store.set_plan(faults(seed * 1_000 + (step * 2 + index) as u64));
            }
            let waiting = node.store.waiting();
            if !waiting.is_empty() && generator.random() {
                node.store.release(waiting[generator.random_range(0..waiting.len())].number).await;
            }
        }
        // As senders do it: again, until it is taken, by whoever is there.
        loop {
            let answer = nodes[generator.random_range(0..2)].send(request);
            if world.finish(async { answer.await.unwrap() }).await.is_ok() {
                break;
            }
            refusals += 1;
        }
        world.pass(Duration::from_millis(generator.random_range(0..9_000))).await;
    }
    for node in &nodes {
        node.store.set_plan(FaultPlan::none());
        node.store.release_all().await;
    }
    world.pass_seconds(240).await;
    let seen = world.seen(&[]).await;
    assert_eq!(seen.len() - 1, span_count(&sent), "seed {seed}");
    assert!(nodes.iter().all(|node| node.ingest.live_segments().is_empty()), "seed {seed}");
    assert_eq!(world.pieces_left().await, 0, "seed {seed}");
    (refusals, seen[b"copies".as_slice()])
}

#[test]
fn should_keep_every_acknowledged_span_whatever_the_store_and_the_scheduler_do() {
    let (mut refused, mut copied) = (0, 0);
    for seed in 0..6 {
        let (refusals, copies) = play(run_with_faults(seed));
        // Only what was refused, and sent again, may be there twice.
        assert!(copies <= refusals * 20, "seed {seed}: {copies} copies, {refusals} refusals");
        refused += refusals;
        copied += copies;
    }
    println!("{refused} refused, {copied} spans stored twice");
    assert!(refused > 10, "{refused}");
}
