//! Spans on their way from the ingester into the catalog: at every moment a reader finds what was acknowledged,
//! once.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use siltstone_ask::canonical_span;
use siltstone_catalog::change::Quarantine;
use siltstone_catalog::sweep::SweepMode;
use siltstone_format::path::ObjectKey;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_ingest::config::IngestConfig;
use siltstone_ingest::export::Refused;
use siltstone_ingest::log::SegmentName;
use siltstone_ingest::service::Ingest;
use siltstone_live::members::Members;
use siltstone_testkit::{Fault, FaultPlan, Operation, Rule};
use siltstone_tests::decode::request_spans;
use siltstone_tests::ingest_world::{Seen, World, live_of, send, until};
use siltstone_tests::merging::merge_the_inbox;
use siltstone_traffic::{Traffic, TrafficConfig};

const LOG_BYTES: u64 = 1 << 30;

fn requests(spans: usize, per_request: usize, seed: u64) -> Vec<ExportTraceServiceRequest> {
    let config = TrafficConfig { seed, spans, request_spans: per_request, ..TrafficConfig::default() };
    Traffic::new(config).map(|batch| batch.request).collect()
}

/// How often each span is there.
fn multiset<'a>(spans: impl IntoIterator<Item = &'a Span>) -> BTreeMap<Vec<u8>, usize> {
    let mut counts = BTreeMap::new();
    for span in spans {
        *counts.entry(canonical_span(span)).or_insert(0) += 1;
    }
    counts
}

/// Everything that was sent is there, each once, and nothing else.
fn assert_exactly(seen: &Seen, sent: &[ExportTraceServiceRequest]) {
    let expected: Vec<Span> = sent.iter().flat_map(request_spans).collect();
    assert_eq!(seen.spans.len(), expected.len(), "spans found");
    assert!(multiset(&seen.spans) == multiset(&expected), "other spans were found than were sent");
    assert_eq!(seen.rows, expected.len(), "rows of blocks and live segments");
}

async fn flushed(ingest: &Ingest) {
    until("all is committed", async || ingest.live_segments().is_empty()).await;
}

fn no_writes_under(prefix: &str) -> FaultPlan {
    FaultPlan::script([Rule::new(Fault::ErrorBefore).on(Operation::Put).under(prefix)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_show_each_span_once_from_its_acknowledgement_on_while_flushes_and_merges_run() {
    let world = World::new();
    let config = IngestConfig { flush_bytes: 60_000, ..world.config() };
    let (ingest, _) = world.ingest(1, LOG_BYTES, config).await;
    let tenant = Tenant::single();
    let sent = requests(2_500, 25, 1);
    let done = AtomicBool::new(false);
    let acknowledged = std::sync::Mutex::new(0);

    let sending = async {
        for request in &sent {
            send(&ingest, &tenant, request).await.expect("is accepted");
            *acknowledged.lock().expect("no panic") += 1;
        }
        done.store(true, Ordering::Relaxed);
    };
    let merging = async {
        let catalog = world.catalog(2);
        while !done.load(Ordering::Relaxed) {
            let merged = merge_the_inbox(&catalog, &tenant, usize::MAX).await;
            assert!(merged.is_none_or(|merged| merged.dropped == 0), "a span was stored twice");
            tokio::task::yield_now().await;
        }
    };
    let reading = async {
        let catalog = world.catalog(3);
        let mut looks = 0;
        while !done.load(Ordering::Relaxed) {
            let before = *acknowledged.lock().expect("no panic");
            let seen = world.read(&catalog, &[live_of(&ingest)], &tenant).await;
            assert_eq!(seen.rows, seen.spans.len(), "a span is there twice");
            let found = multiset(&seen.spans);
            for span in sent[..before].iter().flat_map(request_spans) {
                assert!(found.contains_key(&canonical_span(&span)), "an acknowledged span is missing");
            }
            looks += 1;
        }
        looks
    };
    let (_, _, looks) = futures::join!(sending, merging, reading);
    assert!(looks > 3, "{looks} looks only");
    assert_exactly(&world.read(&world.catalog(4), &[live_of(&ingest)], &tenant).await, &sent);
    assert!(ingest.shutdown(Duration::from_secs(60)).await);
    assert_exactly(&world.read(&world.catalog(5), &[], &tenant).await, &sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_take_up_its_log_after_a_stop_without_flushing() {
    let world = World::new();
    let tenant = Tenant::single();
    let sent = requests(3_000, 100, 2);
    let mut done = 0;
    for (incarnation, part) in sent.chunks(10).enumerate() {
        let (ingest, _) = world.ingest(incarnation as u8, LOG_BYTES, world.config()).await;
        // Now and then the store takes blocks, but no log entries.
        world.objects.set_plan(no_writes_under(if incarnation % 2 == 0 { "blk" } else { "cat/log" }));
        for request in part {
            send(&ingest, &tenant, request).await.expect("is accepted");
        }
        done += part.len();
        let catalog = world.catalog(100 + incarnation as u8);
        assert_exactly(&world.read(&catalog, &[live_of(&ingest)], &tenant).await, &sent[..done]);
        ingest.shutdown(Duration::ZERO).await;
        drop(ingest);
        world.objects.set_plan(FaultPlan::none());
    }
    let (ingest, _) = world.ingest(99, LOG_BYTES, world.config()).await;
    assert_exactly(&world.read(&world.catalog(200), &[live_of(&ingest)], &tenant).await, &sent);
    flushed(&ingest).await;
    assert_exactly(&world.read(&world.catalog(201), &[], &tenant).await, &sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_accept_until_the_log_is_full_while_the_store_is_away_and_recover_by_itself() {
    let world = World::new();
    let (ingest, _) = world.ingest(1, 2_000_000, world.config()).await;
    let tenant = Tenant::single();
    world.objects.set_plan(no_writes_under(""));
    let all = requests(20_000, 200, 3);
    let mut sent = Vec::new();
    let mut refused = None;
    for request in &all {
        match send(&ingest, &tenant, request).await {
            Ok(_) => sent.push(request.clone()),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let Some(Refused::Overloaded { what, .. }) = refused else { panic!("never refused: {refused:?}") };
    assert!(what.contains("ingest.log_bytes"), "{what}");
    assert!(sent.len() > 5, "{} requests", sent.len());
    // Blocks that wait leave the memory, and are read from where they are.
    until("blocks are moved out", async || {
        std::fs::read_dir(world.folder.path().join("spool")).is_ok_and(|files| files.count() > 0)
    })
    .await;
    assert_exactly(&world.read(&world.catalog(2), &[live_of(&ingest)], &tenant).await, &sent);

    world.objects.set_plan(FaultPlan::none());
    until("there is room again", async || send(&ingest, &tenant, &all[sent.len()]).await.is_ok()).await;
    sent.push(all[sent.len()].clone());
    flushed(&ingest).await;
    assert_exactly(&world.read(&world.catalog(3), &[live_of(&ingest)], &tenant).await, &sent);
    let left = std::fs::read_dir(world.folder.path().join("spool")).expect("is there").count();
    assert_eq!(left, 0, "blocks stay in files although they are committed");
}

/// Protocol hole 15: the same spans under two names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_go_on_under_another_name_when_its_entry_was_given_up() {
    let world = World::new();
    let (ingest, _) = world.ingest(1, LOG_BYTES, world.config()).await;
    let tenant = Tenant::single();
    let sent = requests(2_000, 100, 4);
    world.objects.set_plan(no_writes_under("blk"));
    for request in &sent[..10] {
        send(&ingest, &tenant, request).await.expect("is accepted");
    }
    let waiting = ingest.live_segments();
    let name = waiting[0];
    give_up(&world, name).await;
    world.objects.set_plan(FaultPlan::none());
    for request in &sent[10..] {
        send(&ingest, &tenant, request).await.expect("is accepted");
        let seen = world.read(&world.catalog(3), &[live_of(&ingest)], &tenant).await;
        assert_eq!(seen.rows, seen.spans.len(), "a span is there twice");
    }
    flushed(&ingest).await;
    assert_exactly(&world.read(&world.catalog(4), &[live_of(&ingest)], &tenant).await, &sent);
}

/// Somebody finds garbage under the name of a flush, and gives it up: its writer is fenced.
#[expect(clippy::expect_used, reason = "a part of tests")]
async fn give_up(world: &World, name: SegmentName) {
    let key = ObjectKey::LogEntry { writer: name.writer, number: name.number };
    let path = Path::from(key.to_string());
    let writer = world.catalog(2);
    world.objects.inner().put(&path, PutPayload::from_static(b"garbage")).await.expect("writes");
    writer.publish(&Quarantine { writer: name.writer, number: name.number }).await.expect("gives it up");
}

/// An ingester of which some flushes have got another name, under which they cannot be committed.
#[expect(clippy::expect_used, reason = "a part of tests")]
async fn with_renamed_flushes(world: &World, sent: &[ExportTraceServiceRequest]) -> Ingest {
    let (ingest, _) = world.ingest(1, LOG_BYTES, world.config()).await;
    world.objects.set_plan(no_writes_under("blk"));
    for request in sent {
        send(&ingest, &Tenant::single(), request).await.expect("is accepted");
    }
    let fenced = ingest.live_segments()[0];
    give_up(world, fenced).await;
    // It may learn of it, and no more.
    let no_more = Rule::new(Fault::ErrorBefore).on(Operation::Put).under("cat/log").from_nth(3);
    world.objects.set_plan(FaultPlan::script([no_more]));
    until("they have another name", async || {
        ingest.live_segments().iter().all(|segment| segment.writer != fenced.writer)
    })
    .await;
    ingest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_store_once_what_had_got_another_name_when_it_crashed() {
    let world = World::new();
    let tenant = Tenant::single();
    let sent = requests(2_000, 100, 9);
    let ingest = with_renamed_flushes(&world, &sent).await;
    until("blocks stand under the new name", async || {
        let log = world.objects.log();
        log.iter().filter(|done| done.location.as_ref().starts_with("cat/log")).count() > 3
    })
    .await;
    assert!(!ingest.shutdown(Duration::ZERO).await);
    drop(ingest);
    world.objects.set_plan(FaultPlan::none());
    let (ingest, _) = world.ingest(3, LOG_BYTES, world.config()).await;
    assert_exactly(&world.read(&world.catalog(4), &[live_of(&ingest)], &tenant).await, &sent);
    flushed(&ingest).await;
    assert_exactly(&world.read(&world.catalog(5), &[live_of(&ingest)], &tenant).await, &sent);
}

/// Its log says nothing of the other name, so it is stored again. Readers show it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_show_once_what_was_committed_under_another_name_when_it_crashed() {
    let world = World::new();
    let tenant = Tenant::single();
    let sent = requests(1_000, 100, 10);
    let ingest = with_renamed_flushes(&world, &sent).await;
    let kept = world.folder.path().join("kept");
    copy(&world.log_folder(), &kept);
    world.objects.set_plan(FaultPlan::none());
    flushed(&ingest).await;
    ingest.shutdown(Duration::ZERO).await;
    drop(ingest);
    std::fs::remove_dir_all(world.log_folder()).expect("removes");
    std::fs::rename(&kept, world.log_folder()).expect("renames");
    let (ingest, _) = world.ingest(3, LOG_BYTES, world.config()).await;
    flushed(&ingest).await;
    let seen = world.read(&world.catalog(5), &[live_of(&ingest)], &tenant).await;
    let expected: Vec<Span> = sent.iter().flat_map(request_spans).collect();
    assert!(seen.spans.len() == expected.len() && multiset(&seen.spans) == multiset(&expected));
    assert_eq!(seen.rows, 2 * expected.len(), "stored twice, as docs/log.md says");
}

/// With a log on a disk spans are taken while the bucket is away, and nobody can read then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_take_spans_before_it_can_announce_itself_and_do_that_later() {
    let world = World::new();
    let config = IngestConfig { small_tenant_age: Duration::from_secs(600), ..world.config() };
    let (ingest, _) = world.ingest(1, LOG_BYTES, config).await;
    world.objects.set_plan(no_writes_under("ing"));
    for request in requests(500, 50, 11) {
        send(&ingest, &Tenant::single(), &request).await.expect("is accepted");
    }
    let members = Members::new(Arc::clone(&world.objects) as _);
    assert_eq!(members.list().await.expect("lists").members, []);
    world.objects.set_plan(FaultPlan::none());
    let writers = ingest.live_segments().into_iter().map(|segment| segment.writer).collect();
    until("it is announced", async || {
        members.list().await.expect("lists").members.iter().any(|member| member.writers == writers)
    })
    .await;
}

/// More than memory holds, and no room on the disk for blocks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_wait_for_the_store_when_its_log_is_larger_than_memory() {
    let world = World::new();
    let tenant = Tenant::single();
    let sent = requests(20_000, 200, 12);
    world.objects.set_plan(no_writes_under("blk"));
    let (ingest, _) =
        world.ingest(1, LOG_BYTES, IngestConfig { flush_bytes: 200_000, ..world.config() }).await;
    for request in &sent {
        send(&ingest, &tenant, request).await.expect("is accepted");
    }
    let segments = ingest.live_segments().len();
    assert!(segments > 20, "{segments} segments");
    assert!(!ingest.shutdown(Duration::ZERO).await);
    drop(ingest);

    let memory_bytes = 400_000;
    let config = IngestConfig { memory_bytes, spool: None, ..world.config() };
    let before = world.objects.log().len();
    let mut starting = pin!(world.ingest(3, LOG_BYTES, config));
    let waits = pin!(until("it wants to commit", async || {
        world.objects.log()[before..].iter().any(|done| done.location.as_ref().starts_with("blk"))
    }));
    assert!(
        matches!(select(&mut starting, waits).await, Either::Right(_)),
        "started, with all of it in memory"
    );
    world.objects.set_plan(FaultPlan::none());
    let (ingest, metrics) = starting.await;
    ingest.observe();
    let mut text = String::new();
    metrics.render(&mut text);
    let used = text.lines().find_map(|line| line.strip_prefix("siltstone_ingest_memory_bytes "));
    let used: usize = used.expect("is there").parse().expect("a number");
    assert!(used <= memory_bytes, "{used}");
    assert_exactly(&world.read(&world.catalog(4), &[live_of(&ingest)], &tenant).await, &sent);
}

/// The log still has what was committed, folded, merged, and swept from the catalog's log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_not_commit_again_what_was_folded_and_swept() {
    let world = World::new();
    let tenant = Tenant::single();
    let sent = requests(2_000, 200, 5);
    let kept = world.folder.path().join("kept");
    {
        world.objects.set_plan(no_writes_under("cat/log"));
        let (ingest, _) = world.ingest(1, LOG_BYTES, world.config()).await;
        for request in &sent {
            send(&ingest, &tenant, request).await.expect("is accepted");
        }
        copy(&world.log_folder(), &kept);
        world.objects.set_plan(FaultPlan::none());
        flushed(&ingest).await;
        assert!(ingest.shutdown(Duration::from_secs(60)).await);
    }
    let catalog = world.catalog(2);
    merge_the_inbox(&catalog, &tenant, usize::MAX).await.expect("merges");
    until("the log entries are swept", async || {
        world.objects.clock().advance(Duration::from_secs(600));
        catalog.fold().await.expect("folds");
        catalog.sweep(SweepMode::Delete).await.expect("sweeps");
        let entries = catalog.bucket().objects().list_with_delimiter(Some(&Path::from("cat/log"))).await;
        entries.expect("lists").objects.is_empty()
    })
    .await;

    std::fs::remove_dir_all(world.log_folder()).expect("removes");
    std::fs::rename(&kept, world.log_folder()).expect("renames");
    let (ingest, metrics) = world.ingest(3, LOG_BYTES, world.config()).await;
    let mut text = String::new();
    metrics.render(&mut text);
    let spans: usize = sent.iter().map(|request| request_spans(request).count()).sum();
    assert!(text.contains(&format!("siltstone_ingest_replayed_spans_total {spans}")), "{text}");
    let seen = world.read(&world.catalog(4), &[live_of(&ingest)], &tenant).await;
    assert_exactly(&seen, &sent);
    flushed(&ingest).await;
    assert_exactly(&world.read(&world.catalog(5), &[live_of(&ingest)], &tenant).await, &sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_store_a_retried_request_once() {
    let world = World::new();
    let (ingest, metrics) = world.ingest(1, LOG_BYTES, world.config()).await;
    let tenant = Tenant::single();
    let sent = requests(1_000, 100, 6);
    for request in &sent {
        let sends = (0..3).map(|_| send(&ingest, &tenant, request));
        for accepted in futures::future::join_all(sends).await {
            assert_eq!(accepted.expect("is accepted").spans, request_spans(request).count() as u64);
        }
    }
    flushed(&ingest).await;
    assert_exactly(&world.read(&world.catalog(2), &[live_of(&ingest)], &tenant).await, &sent);
    let mut text = String::new();
    metrics.render(&mut text);
    let collapsed = format!("siltstone_ingest_collapsed_requests_total {}", sent.len() * 2);
    assert!(text.contains(&collapsed), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_never_mix_tenants() {
    let world = World::new();
    let (ingest, _) = world.ingest(1, LOG_BYTES, world.config()).await;
    let tenants: Vec<Tenant> = ["a", "b", "c"].iter().map(|name| name.parse().expect("a name")).collect();
    let sent = requests(3_000, 50, 7);
    for (index, request) in sent.iter().enumerate() {
        send(&ingest, &tenants[index % 3], request).await.expect("is accepted");
    }
    for round in 0..2 {
        for (index, tenant) in tenants.iter().enumerate() {
            let theirs: Vec<_> = sent.iter().skip(index).step_by(3).cloned().collect();
            let catalog = world.catalog(10 + round);
            assert_exactly(&world.read(&catalog, &[live_of(&ingest)], tenant).await, &theirs);
        }
        flushed(&ingest).await;
    }
}

/// A sender that goes away in the midst leaves nothing behind that keeps others out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_survive_senders_that_go_away() {
    let world = World::new();
    let (ingest, _) = world.ingest(1, LOG_BYTES, world.config()).await;
    let ingest = Arc::new(ingest);
    let tenant = Tenant::single();
    let sent = requests(2_000, 20, 8);
    for (index, request) in sent.iter().enumerate() {
        let (ingest, tenant, request) = (Arc::clone(&ingest), tenant.clone(), request.clone());
        let sending = tokio::spawn(async move { send(&ingest, &tenant, &request).await });
        for _ in 0..index % 5 {
            tokio::task::yield_now().await;
        }
        sending.abort();
        let _ = sending.await;
    }
    // Whoever was not answered sends again.
    for request in &sent {
        send(&ingest, &tenant, request).await.expect("is accepted");
    }
    let seen = world.read(&world.catalog(2), &[live_of(&ingest)], &tenant).await;
    let expected: Vec<Span> = sent.iter().flat_map(request_spans).collect();
    assert!(multiset(&seen.spans) == multiset(&expected), "each span is found");
    flushed(&ingest).await;
}

#[expect(clippy::expect_used, reason = "a part of tests")]
fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).expect("makes a folder");
    for entry in std::fs::read_dir(from).expect("lists") {
        let entry = entry.expect("lists");
        if entry.file_type().expect("is known").is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copies");
        }
    }
}
