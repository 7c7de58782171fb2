//! Who lives, and what it holds on to while the store fails it.

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStoreExt;
use prost::Message;
use siltstone_catalog::change::Quarantine;
use siltstone_format::path::ObjectKey;
use siltstone_live::members::Members;
use siltstone_testkit::{Fault, FaultPlan, Operation, Rule};

use super::world::{FOR_EVER, World, aged, play, requests, slowly, span_count};
use crate::export::Refused;

/// Its first flush has another name than its log, which cannot be read for a while. An entry without spans under the
/// new name would end it.
#[test]
fn should_not_end_the_flush_of_the_living_that_was_renamed() {
    play(async {
        let world = World::new();
        let fenced = world.node(1, slowly()).await;
        let sent = requests(200, 20, 9);
        fenced.send_all(&world, &sent[..5]).await;
        let name = fenced.ingest.live_segments()[0];
        let (objects, ingest) = (Arc::new(world.truth.clone()), Arc::clone(&fenced.ingest));
        let catalog = world.catalog(objects.clone(), 3);
        let quarantine = async move {
            let key = ObjectKey::LogEntry { writer: name.writer, number: name.number };
            objects.put(&key.to_string().into(), "garbage".into()).await.unwrap();
            catalog.publish(&Quarantine { writer: name.writer, number: name.number }).await.unwrap();
            ingest.flush().await;
        };
        // It learns that it is fenced, and can create no entry under another name.
        let no_more = Rule::new(Fault::ErrorBefore).on(Operation::Put).under("cat/log").from_nth(3);
        fenced.store.set_plan(FaultPlan::script([no_more.clone()]));
        world.finish(quarantine).await;
        world.pass_seconds(10).await;
        assert_ne!(fenced.ingest.live_segments()[0].writer, name.writer, "another name");
        fenced.send_all(&world, &sent[5..]).await;

        let silent = Rule::new(Fault::Delay(FOR_EVER)).on(Operation::Put).under("ing");
        fenced.store.set_plan(FaultPlan::script([silent, no_more.from_nth(1)]));
        let survivor = world.node(2, slowly()).await;
        let unreadable = format!("wal/{}", name.writer);
        survivor.store.set_plan(FaultPlan::script([Rule::new(Fault::ErrorBefore)
            .on(Operation::Get)
            .under(&unreadable)]));
        world.pass_seconds(60).await;
        fenced.store.set_plan(FaultPlan::none());
        world.pass_seconds(60).await;
        survivor.store.set_plan(FaultPlan::none());
        world.pass_seconds(60).await;
        let seen = world.seen(&[fenced.live(), survivor.live()]).await;
        assert_eq!(seen.len() - 1, span_count(&sent));
    });
}

/// Nobody would read the log of an ingester that is not announced.
#[test]
fn should_acknowledge_nothing_before_it_is_announced() {
    play(async {
        let world = World::new();
        let node = world.node(1, slowly()).await;
        let sent = requests(40, 20, 12);
        let members = Members::new(Arc::new(world.truth.clone()));
        for (fault, longest) in [(Fault::ErrorBefore, 20), (Fault::Delay(FOR_EVER), 25)] {
            node.store.set_plan(FaultPlan::script([Rule::new(fault).on(Operation::Put).under("ing")]));
            let began = world.clock.monotonic();
            let sending = node.send(&sent[0]);
            let refused = world.finish(async { sending.await.unwrap() }).await;
            assert!(matches!(refused, Err(Refused::Unavailable { .. })), "{refused:?}");
            let took = world.clock.monotonic() - began;
            assert!((10..=longest).contains(&took.as_secs()), "{took:?}");
            assert_eq!(members.list().await.unwrap().members, []);
        }
        // The store comes back in time.
        let twice = Rule::new(Fault::ErrorBefore).on(Operation::Put).under("ing").first(2);
        node.store.set_plan(FaultPlan::script([twice]));
        let sending = node.send(&sent[1]);
        world.finish(async { sending.await.unwrap() }).await.unwrap();
        assert_eq!(members.list().await.unwrap().members[0].writers, node.writers());
    });
}

/// Who has left does not wait for the store, but its bytes do.
#[test]
fn should_count_a_request_until_it_is_in_the_log_although_its_sender_left() {
    play(async {
        let world = World::new();
        let node = world.node(1, slowly()).await;
        let slow = Rule::new(Fault::Delay(Duration::from_secs(4))).on(Operation::Put).under("wal");
        node.store.set_plan(FaultPlan::script([slow]));
        let request = &requests(100, 100, 10)[0];
        let sending = node.send(request);
        world.pass_seconds(1).await;
        sending.abort();
        world.settle().await;
        let while_it_waits = node.memory_bytes();
        world.pass_seconds(10).await;
        let body = request.encoded_len();
        // The piece on its way is a copy of it.
        let piece = world.pieces().list_writers().await.unwrap()[0].bytes as usize;
        assert_eq!(while_it_waits - node.memory_bytes(), body + piece);
        world.assert_exactly(&[node.live()], std::slice::from_ref(request)).await;
    });
}

/// The store does not answer, whatever it is asked at that moment: an ingester that is told to end does so.
#[test]
fn should_end_by_its_patience_whatever_the_store_does() {
    for (seconds, under) in [(1, "blk"), (1, "cat/log"), (1, "cat"), (1, "wal"), (1, ""), (30, ""), (90, "")]
    {
        play(async {
            let world = World::new();
            let node = world.node(1, aged(20)).await;
            let sent = requests(100, 20, 11);
            node.send_all(&world, &sent).await;
            node.store.set_plan(FaultPlan::script([Rule::new(Fault::Delay(FOR_EVER)).under(under)]));
            world.pass_seconds(seconds).await;
            let (began, ingest) = (world.clock.monotonic(), Arc::clone(&node.ingest));
            world.finish(async move { ingest.shutdown(Duration::from_secs(20)).await }).await;
            let took = world.clock.monotonic() - began;
            assert!(took <= Duration::from_secs(30), "{under} {seconds}: {took:?}");
            world.assert_exactly(&[world.read_log(node.writers())], &sent).await;
        });
    }
}
