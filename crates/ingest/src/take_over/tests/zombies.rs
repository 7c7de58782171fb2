//! Who was taken for dead, and lives.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use siltstone_format::path::ObjectKey;
use siltstone_testkit::{Fault, FaultPlan, Operation, Rule};

use super::world::{FOR_EVER, Node, World, aged, dead, play, requests, slowly, span_count};
use crate::export::Refused;

/// Its announcement is not seen any more, but it lives, and both commit the same flush.
#[test]
fn should_show_spans_once_that_the_living_and_who_took_it_for_dead_commit() {
    for entry_takes in [0, 20, 120] {
        play(async {
            let world = World::new();
            let slow = world.node(1, aged(40)).await;
            let other = world.node(2, slowly()).await;
            let sent = requests(300, 20, 2);
            let (first, rest) = sent.split_at(10);
            slow.send_all(&world, first).await;
            let name = slow.ingest.live_segments()[0];
            let silent = Rule::new(Fault::Delay(FOR_EVER)).on(Operation::Put).under("ing");
            let late =
                Rule::new(Fault::Delay(Duration::from_secs(entry_takes))).on(Operation::Put).under("cat/log");
            slow.store.set_plan(FaultPlan::script([silent, late]));
            for _ in 0..18 {
                world.pass_seconds(10).await;
                let live = [slow.live(), other.live(), world.read_log(BTreeSet::from([name.writer]))];
                world.assert_exactly(&live, first).await;
            }
            let entry = ObjectKey::LogEntry { writer: name.writer, number: name.number };
            let has_put = |node: &Node| {
                let log = node.store.log();
                log.iter().any(|done| {
                    done.operation == Operation::Put && done.location.as_ref() == entry.to_string().as_str()
                })
            };
            assert!(has_put(&slow), "{entry_takes}");
            assert_eq!(has_put(&other), entry_takes > 0, "{entry_takes}");
            world.assert_exactly(&[], first).await;

            // It learns that it was taken for dead, and goes on.
            slow.store.set_plan(FaultPlan::none());
            assert!(slow.send_until_taken(&world, &rest[0]).await <= 1);
            slow.send_all(&world, &rest[1..]).await;
            let seen = world.seen(&[slow.live()]).await;
            assert_eq!(seen.len() - 1, span_count(&sent));
        });
    }
}

/// Whoever was taken over while it holds an open segment refuses once, and then has another writer.
#[test]
fn should_never_acknowledge_as_a_writer_that_was_taken_over() {
    play(async {
        let world = World::new();
        let zombie = world.node(1, slowly()).await;
        let survivor = world.node(2, slowly()).await;
        let sent = requests(300, 20, 3);
        zombie.send_all(&world, &sent[..5]).await;
        let before = zombie.writers();
        zombie
            .store
            .set_plan(FaultPlan::script([Rule::new(Fault::Delay(FOR_EVER)).on(Operation::Put).under("ing")]));
        while world.pieces_left().await > 0 {
            world.pass_seconds(5).await;
        }
        zombie.store.set_plan(FaultPlan::none());
        // Several that wait for one piece: all of them are refused.
        let sending: Vec<_> = sent[5..9].iter().map(|request| zombie.send(request)).collect();
        for sending in sending {
            let refused = world.finish(async { sending.await.unwrap() }).await;
            let Err(Refused::Unavailable { what, .. }) = refused else { panic!("{refused:?}") };
            assert!(what.contains("taken over"), "{what}");
        }
        zombie.send_all(&world, &sent[5..]).await;
        assert!(!zombie.writers().is_subset(&before), "another writer");
        for node in [zombie, survivor] {
            let ingest = Arc::clone(&node.ingest);
            assert!(world.finish(async move { ingest.shutdown(Duration::from_secs(60)).await }).await);
        }
        let seen = world.seen(&[]).await;
        assert_eq!(seen.len() - 1, span_count(&sent));
        assert_eq!(world.pieces_left().await, 0);
    });
}

/// Every request of it stands still for longer than others wait for it, in the midst of sending.
#[test]
fn should_lose_nothing_of_one_that_is_paused_and_comes_back() {
    play(async {
        let world = World::new();
        let zombie = world.node(1, aged(30)).await;
        let _survivor = world.node(2, slowly()).await;
        let sent = requests(600, 20, 4);
        let mut answers = Vec::new();
        for (index, request) in sent.iter().enumerate() {
            match index {
                10 => zombie.store.set_plan(dead()),
                20 => zombie.store.set_plan(FaultPlan::none()),
                _ => {}
            }
            answers.push((request, zombie.send(request)));
            world.pass_seconds(if (10..20).contains(&index) { 12 } else { 1 }).await;
        }
        let mut acknowledged = 0;
        for (request, answer) in answers {
            world.pass_seconds(1).await;
            let answered = world.finish(async { answer.await.unwrap() }).await;
            acknowledged += usize::from(answered.is_ok());
            if answered.is_err() {
                zombie.send_all(&world, std::slice::from_ref(request)).await;
            }
        }
        assert!(acknowledged >= 18 && acknowledged < sent.len(), "{acknowledged}");
        world.pass_seconds(120).await;
        assert_eq!(world.seen(&[zombie.live()]).await.len() - 1, span_count(&sent));
    });
}
