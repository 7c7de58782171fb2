//! Who has died: what it acknowledged is committed, and what it left behind goes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use siltstone_format::path::ObjectKey;
use siltstone_live::members::Members;
use siltstone_testkit::{Fault, FaultPlan, Operation, Rule};

use super::world::{Node, World, aged, dead, play, requests, slowly};

#[test]
fn should_commit_what_a_dead_ingester_acknowledged_within_a_minute_once() {
    play(async {
        let world = World::new();
        let dying = world.node(1, aged(20)).await;
        let sent = requests(1_000, 20, 1);
        let (first, rest) = sent.split_at(20);
        dying.send_all(&world, first).await;
        world.pass_seconds(25).await;
        dying.send_all(&world, rest).await;
        dying.store.set_plan(dead());
        let writers = dying.writers();
        assert_eq!(writers.len(), 1);
        world.assert_exactly(&[world.read_log(writers.clone())], &sent).await;

        let survivors = [world.node(2, slowly()).await, world.node(3, slowly()).await];
        let died = world.clock.monotonic();
        let mut looks = 0;
        while world.pieces_left().await > 0 {
            world.pass_seconds(1).await;
            // Both ways of reading at once, while it goes on.
            let mut live = vec![world.read_log(writers.clone())];
            live.extend(survivors.iter().map(Node::live));
            world.assert_exactly(&live, &sent).await;
            looks += 1;
            assert!(looks < 100, "never");
        }
        let took = world.clock.monotonic() - died;
        println!("taken over after {took:?}");
        assert!(took <= Duration::from_secs(60), "{took:?}");
        world.assert_exactly(&[], &sent).await;
        for survivor in survivors {
            let ingest = Arc::clone(&survivor.ingest);
            assert!(world.finish(async move { ingest.shutdown(Duration::from_secs(30)).await }).await);
        }
    });
}

/// Flushes that never came to the log stand between others: a writer whose store was away.
#[test]
fn should_close_the_gaps_that_a_dead_writer_left() {
    play(async {
        let world = World::new();
        let dying = world.node(1, aged(5)).await;
        let sent = requests(300, 20, 5);
        dying.send_all(&world, &sent[..5]).await;
        world.pass_seconds(10).await;
        // The log takes nothing for some flushes, and the catalog nothing at all.
        let none = |under| Rule::new(Fault::ErrorBefore).on(Operation::Put).under(under);
        dying.store.set_plan(FaultPlan::script([none("wal"), none("cat"), none("blk")]));
        for request in &sent[5..7] {
            let refused = dying.send(request);
            world.pass_seconds(30).await;
            assert!(refused.await.unwrap().is_err());
        }
        dying.store.set_plan(FaultPlan::script([none("cat"), none("blk")]));
        dying.send_all(&world, &sent[7..]).await;
        dying.store.set_plan(dead());
        let numbers: Vec<u64> = dying.ingest.live_segments().iter().map(|name| name.number).collect();
        assert!(numbers.len() > 2, "{numbers:?}");

        let _survivor = world.node(2, slowly()).await;
        world.pass_seconds(60).await;
        let mut acknowledged = sent[..5].to_vec();
        acknowledged.extend_from_slice(&sent[7..]);
        world.assert_exactly(&[], &acknowledged).await;
        assert_eq!(world.pieces_left().await, 0);
    });
}

#[test]
fn should_forget_the_dead_their_announcements_soon_and_their_seals_late() {
    play(async {
        let world = World::new();
        let dying = world.node(1, slowly()).await;
        dying.send_all(&world, &requests(40, 20, 7)).await;
        dying.store.set_plan(dead());
        let _survivor = world.node(2, slowly()).await;
        let members = Members::new(Arc::new(world.truth.clone()));
        world.pass_seconds(60).await;
        assert_eq!(members.list().await.unwrap().members.len(), 1);
        world.pass_seconds(120).await;
        assert_eq!(members.list().await.unwrap().members, []);
        assert_eq!(world.pieces().list_writers().await.unwrap().len(), 1);
    });
}

/// An ingester that has put one piece for each request, and died.
async fn dead_with_pieces(world: &World, seed: u64) -> (Vec<ExportTraceServiceRequest>, Vec<Path>) {
    let dying = world.node(1, slowly()).await;
    let sent = requests(100, 20, seed);
    dying.send_all(world, &sent).await;
    dying.store.set_plan(dead());
    let writers = world.pieces().list_writers().await.unwrap();
    let [found] = writers.as_slice() else { panic!("{writers:?}") };
    let path = |number: &u64| {
        Path::from(ObjectKey::LogSegment { writer: found.writer, number: *number }.to_string())
    };
    let paths: Vec<Path> = found.pieces.iter().map(path).collect();
    assert_eq!(paths.len(), sent.len());
    (sent, paths)
}

async fn replace(world: &World, path: &Path, bytes: Bytes) -> Bytes {
    let before = world.truth.get(path).await.unwrap().bytes().await.unwrap();
    world.truth.put(path, bytes.into()).await.unwrap();
    before
}

/// A flush is committed once: what it is committed without can never become part of it.
#[test]
fn should_commit_nothing_without_a_piece_that_was_damaged_for_a_moment() {
    play(async {
        let world = World::new();
        let (sent, paths) = dead_with_pieces(&world, 21).await;
        let whole = replace(&world, &paths[2], "garbage".into()).await;
        let survivor = world.node(2, slowly()).await;
        world.pass_seconds(75).await;
        assert_eq!(world.pieces_that_can_be_read().await, sent.len() - 1, "it waits");
        // It seems to live for a while, by the age of its newest piece.
        replace(&world, &paths[2], whole).await;
        world.pass_seconds(75).await;
        world.assert_exactly(&[], &sent).await;
        assert_eq!(survivor.metric("failed_replays_total"), 0);
        assert_eq!(world.pieces_left().await, 0);
    });
}

#[test]
fn should_tell_of_pieces_that_stay_damaged_and_commit_the_rest() {
    for damaged in [0, 2, 4] {
        play(async {
            let world = World::new();
            let (mut sent, paths) = dead_with_pieces(&world, 22).await;
            replace(&world, &paths[damaged], "garbage".into()).await;
            let survivor = world.node(2, slowly()).await;
            world.pass_seconds(180).await;
            sent.remove(damaged);
            world.assert_exactly(&[], &sent).await;
            assert_eq!(survivor.metric("failed_replays_total"), 1);
            assert_eq!(survivor.metric("lost_log_bytes_total"), "garbage".len());
            let left = world.truth.get(&paths[damaged]).await.unwrap().bytes().await.unwrap();
            assert_eq!(left, "garbage", "for whoever can read it");
            assert_eq!(world.pieces_that_can_be_read().await, 0);
            // Not once for each look.
            world.pass_seconds(180).await;
            assert_eq!(survivor.metric("failed_replays_total"), 1);
        });
    }
}
