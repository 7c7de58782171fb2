//! Deletions: what was accepted without knowing one is hidden, wherever it goes; what was accepted knowingly is not.

use std::time::Duration;

use siltstone_catalog::Catalog;
use siltstone_catalog::deletion::{Asked, Request};
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;
use siltstone_live::source::LiveSource;
use siltstone_testkit::Operation;
use siltstone_testkit::corpus::build::{request, span};

use super::world::{Node, World, aged, dead, play, slowly};
use crate::export::SpanFault;
use crate::planted::{Bug, with_bug};

const DAY: Duration = Duration::from_hours(24);

impl World {
    async fn delete(&self, trace: u64) {
        self.delete_all([trace]).await;
    }

    async fn delete_all(&self, traces: impl IntoIterator<Item = u64>) {
        let catalog = self.catalog(std::sync::Arc::new(self.truth.clone()), 150);
        let request = Request {
            tenant: Tenant::single(),
            asked: Asked::Traces,
            traces: traces.into_iter().map(|trace| TraceId(u128::from(trace).to_be_bytes())).collect(),
            blocks: 0,
        };
        self.finish(async move { Catalog::delete(&catalog, request).await.unwrap() }).await;
    }

    /// Sends one span. Gives how many were taken, and how many were refused because of a deletion.
    async fn send_span(&self, node: &Node, trace: u64, id: u64) -> (u64, u32) {
        let sending = node.send(&request("shop", vec![span(trace, id, &format!("span {id}"))]));
        let accepted = self.finish(async { sending.await.unwrap().unwrap() }).await;
        let refused = accepted.refused.iter().find(|(fault, _)| *fault == SpanFault::Deleted);
        (accepted.spans, refused.map_or(0, |(_, count)| count))
    }

    async fn count(&self, live: &[std::sync::Arc<dyn LiveSource>]) -> usize {
        self.seen(live).await.len() - 1
    }
}

/// Of three spans of a trace that is deleted: two come from who does not know that, one a day later. What is seen
/// then, while it is live, from its log in the bucket, and when all is committed.
async fn lived() -> [usize; 3] {
    let world = World::new();
    // What is open stays open, however old it becomes.
    let node = world.node(1, aged(100_000_000)).await;
    assert_eq!(world.send_span(&node, 1, 1).await, (1, 0));
    assert_eq!(world.send_span(&node, 2, 2).await, (1, 0));
    world.delete(1).await;
    assert_eq!(world.count(&[node.live()]).await, 1);
    // Not known yet.
    assert_eq!(world.send_span(&node, 1, 3).await, (1, 0));
    assert_eq!(world.count(&[node.live()]).await, 1);
    world.pass_seconds(11).await;
    let refused = world.send_span(&node, 1, 4).await;
    if refused != (0, 1) {
        // It was taken into a segment that does not know the deletion.
        return [0; 3];
    }
    assert_eq!(world.send_span(&node, 2, 5).await, (1, 0));
    if world.count(&[node.live()]).await != 2 {
        // What was sealed and committed is said to know the deletion.
        return [0; 3];
    }
    world.clock.advance(DAY);
    world.settle().await;
    assert_eq!(world.send_span(&node, 1, 6).await, (1, 0));
    let live = world.count(&[node.live()]).await;
    let log = world.count(&[world.read_log(node.writers())]).await;
    let ingest = std::sync::Arc::clone(&node.ingest);
    assert!(world.finish(async move { ingest.shutdown(Duration::from_secs(60)).await }).await);
    [live, log, world.count(&[]).await]
}

#[test]
fn should_refuse_deleted_traces_for_a_day_and_then_show_what_comes() {
    for bug in [None, Some(Bug::SealLate), Some(Bug::NumberAtFlush)] {
        let seen = with_bug(bug, || play(lived()));
        assert_eq!(seen == [3; 3], bug.is_none(), "{bug:?}: {seen:?}");
    }
}

#[test]
fn should_keep_to_what_was_known_when_another_commits_it() {
    play(async {
        let world = World::new();
        let dying = world.node(1, aged(100_000_000)).await;
        world.send_span(&dying, 1, 1).await;
        world.delete(1).await;
        world.pass_seconds(11).await;
        assert_eq!(world.send_span(&dying, 2, 2).await, (1, 0));
        world.settle().await;
        assert_eq!(world.send_span(&dying, 1, 3).await, (0, 1));
        world.clock.advance(DAY);
        world.settle().await;
        assert_eq!(world.send_span(&dying, 1, 4).await, (1, 0));
        dying.store.set_plan(dead());
        let writers = dying.writers();
        let survivor = world.node(2, slowly()).await;
        let mut looks = 0;
        while world.pieces_left().await > 0 {
            assert_eq!(world.count(&[world.read_log(writers.clone()), survivor.live()]).await, 2);
            world.pass_seconds(5).await;
            looks += 1;
            assert!(looks < 100, "never");
        }
        assert_eq!(world.count(&[survivor.live()]).await, 2);
        // Who starts knows what was deleted before.
        assert_eq!(world.send_span(&survivor, 1, 5).await, (1, 0));
        world.delete(1).await;
        world.pass_seconds(11).await;
        assert_eq!(world.send_span(&survivor, 2, 6).await, (1, 0));
        world.settle().await;
        assert_eq!(world.send_span(&survivor, 1, 7).await, (0, 1));
        assert_eq!(world.count(&[survivor.live()]).await, 2);
    });
}

/// Of a tenant of which nothing was deleted.
async fn send_of_another(world: &World, node: &Node, id: u64) {
    let other: Tenant = "other".parse().unwrap();
    let sending = node.send_of(&other, &request("shop", vec![span(id, id, "of another")]));
    assert_eq!(world.finish(async { sending.await.unwrap().unwrap() }).await.spans, 1);
}

#[test]
fn should_go_on_with_a_segment_that_has_no_spans_of_the_tenant() {
    play(async {
        let world = World::new();
        let node = world.node(1, aged(100_000_000)).await;
        send_of_another(&world, &node, 1).await;
        let before = node.ingest.live_segments();
        world.delete(1).await;
        send_of_another(&world, &node, 2).await;
        world.pass_seconds(11).await;
        send_of_another(&world, &node, 3).await;
        assert_eq!((node.ingest.live_segments(), before.len()), (before.clone(), 1));
        // Spans of that tenant may not go to what does not know its deletions, not even those that are taken.
        assert_eq!(world.send_span(&node, 2, 4).await, (1, 0));
        world.settle().await;
        let after = node.ingest.live_segments();
        assert!(after.len() == 1 && after != before, "{after:?}");
        assert_eq!(world.send_span(&node, 1, 5).await, (0, 1));
        world.clock.advance(DAY);
        world.settle().await;
        assert_eq!(world.send_span(&node, 1, 6).await, (1, 0));
        assert_eq!((node.ingest.live_segments(), world.count(&[node.live()]).await), (after, 2));
    });
}

#[test]
fn should_leave_alone_what_is_too_much_to_be_refused_until_something_changes() {
    play(async {
        let world = World::new();
        let node = world.node(1, aged(100_000_000)).await;
        // More than one table of a test has room for, in pages of their own.
        world.delete_all(1..=1_001).await;
        for id in [1, 20] {
            assert_eq!(world.send_span(&node, 1, id).await, (1, 0));
        }
        world.pass_seconds(11).await;
        // The tenant's page says how many they are.
        let pages_read = || {
            let log = node.store.log();
            let of_pages = log.iter().filter(|request| request.location.as_ref().starts_with("man/"));
            of_pages
                .filter(|request| matches!(request.operation, Operation::Get | Operation::GetRange))
                .count()
        };
        assert_eq!(pages_read(), 1);
        for id in 2..10 {
            assert_eq!(world.send_span(&node, 1, id).await, (1, 0));
            world.pass_seconds(11).await;
        }
        assert_eq!((pages_read(), world.count(&[node.live()]).await), (1, 0));
        world.delete(2_000).await;
        assert_eq!(world.send_span(&node, 1, 10).await, (1, 0));
        world.pass_seconds(11).await;
        assert_eq!(world.send_span(&node, 2_000, 11).await, (1, 0));
        assert_eq!(pages_read(), 2);
        // A day later the last one alone is late.
        world.delete(3_000).await;
        world.clock.advance(DAY);
        world.settle().await;
        assert_eq!(world.send_span(&node, 3_001, 12).await, (1, 0));
        world.pass_seconds(11).await;
        world.delete(3_000).await;
        assert_eq!(world.send_span(&node, 3_001, 13).await, (1, 0));
        world.pass_seconds(11).await;
        assert_eq!(world.send_span(&node, 3_000, 14).await, (0, 1));
        assert_eq!(world.send_span(&node, 1, 15).await, (1, 0));
    });
}
