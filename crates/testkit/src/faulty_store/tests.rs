//! Every fault, every way to aim one, and that a plan without faults changes nothing.

use futures::poll;
use object_store::integration;
use object_store::memory::InMemory;
use std::time::Duration;

use super::*;

const NOON: u64 = 1_700_000_000_000_000_000;

fn store(plan: FaultPlan) -> FaultyStore<InMemory> {
    FaultyStore::new(InMemory::new(), VirtualClock::starting_at(NOON), plan)
}

fn failing(fault: Fault) -> FaultyStore<InMemory> {
    store(FaultPlan::script([Rule::new(fault).nth(1)]))
}

fn path(text: &str) -> Path {
    Path::from(text)
}

fn payload() -> PutPayload {
    PutPayload::from_static(b"content")
}

async fn create<S: ObjectStore>(store: &S, location: &str) -> Result<PutResult> {
    store.put_opts(&path(location), payload(), PutMode::Create.into()).await
}

/// What the store below holds.
async fn held(store: &FaultyStore<InMemory>) -> Vec<String> {
    let entries: Vec<ObjectMeta> = store.inner().list(None).try_collect().await.unwrap();
    entries.into_iter().map(|meta| meta.location.to_string()).collect()
}

fn is_injected<T: fmt::Debug>(outcome: &Result<T>, expected: Fault) -> bool {
    let source = match outcome {
        Err(
            object_store::Error::Generic { source, .. } | object_store::Error::AlreadyExists { source, .. },
        ) => source,
        _ => return false,
    };
    source.downcast_ref() == Some(&Injected(expected))
}

fn done(store: &FaultyStore<InMemory>) -> Vec<Done> {
    store.log().into_iter().map(|entry| entry.done).collect()
}

#[tokio::test]
async fn should_pass_the_suite_of_the_store_below_without_faults() {
    let store = || store(FaultPlan::none());
    integration::put_get_delete_list(&store()).await;
    integration::put_get_delete_list(&store().with_entries_per_page(1)).await;
    integration::put_get_attributes(&store()).await;
    integration::put_opts(&store(), true).await;
    integration::list_uses_directories_correctly(&store()).await;
    integration::list_with_delimiter(&store()).await;
    integration::list_with_offset_exclusivity(&store()).await;
    integration::rename_and_copy(&store()).await;
    integration::copy_if_not_exists(&store()).await;
    integration::copy_rename_nonexistent_object(&store()).await;
    integration::stream_get(&store()).await;
    integration::multipart_out_of_order(&store()).await;
    integration::multipart_race_condition(&store(), true).await;
}

#[tokio::test]
async fn should_fail_before_anything_happens() {
    let store = failing(Fault::ErrorBefore);
    assert!(is_injected(&create(&store, "a").await, Fault::ErrorBefore));
    assert!(held(&store).await.is_empty());
    create(&store, "a").await.unwrap();
    assert_eq!(done(&store), [Done::Failed(Fault::ErrorBefore), Done::Passed]);
}

#[tokio::test]
async fn should_fail_after_it_happened() {
    let store = failing(Fault::ErrorAfter);
    assert!(is_injected(&create(&store, "a").await, Fault::ErrorAfter));
    assert_eq!(held(&store).await, ["a"]);
    let again = create(&store, "a").await;
    assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })));
    assert!(!is_injected(&again, Fault::SaysExists), "this one is true");
}

#[tokio::test]
async fn should_wait_on_the_injected_clock() {
    let second = Duration::from_secs(1);
    let store = store(FaultPlan::script([
        Rule::new(Fault::Delay(second)),
        Rule::new(Fault::Delay(second)).on(Operation::Put),
        Rule::new(Fault::ErrorAfter).on(Operation::Put),
    ]));
    let location = path("a");
    let mut put = store.put(&location, payload()).boxed();
    assert!(poll!(&mut put).is_pending());
    store.clock().advance(second);
    assert!(poll!(&mut put).is_pending(), "delays add up");
    assert!(held(&store).await.is_empty());
    store.clock().advance(second);
    assert!(is_injected(&put.await, Fault::ErrorAfter));
    assert_eq!(held(&store).await, ["a"]);
    assert_eq!(store.log()[0].delay, Some(2 * second));
}

#[tokio::test]
async fn should_let_a_put_land_when_it_is_released() {
    let store = failing(Fault::LandsLater);
    assert!(is_injected(&create(&store, "a").await, Fault::LandsLater));
    assert!(held(&store).await.is_empty());
    let waiting = store.waiting();
    assert_eq!(waiting, [Waiting { number: 0, operation: Operation::Put, location: path("a") }]);
    store.clock().advance(Duration::from_secs(9));
    store.release(0).await.unwrap().unwrap();
    assert_eq!(held(&store).await, ["a"]);
    assert!(store.release(0).await.is_none(), "once only");
    let landed = store.head(&path("a")).await.unwrap().last_modified;
    assert_eq!(landed.timestamp(), i64::try_from(NOON / 1_000_000_000).unwrap() + 9);
    assert_eq!(done(&store)[1], Done::Landed { request: 0, refused: false });
}

#[tokio::test]
async fn should_refuse_a_create_that_lands_after_another() {
    let store = failing(Fault::LandsLater);
    create(&store, "a").await.unwrap_err();
    create(&store, "a").await.unwrap();
    let released = store.release_all().await;
    assert!(matches!(released[0].1, Err(object_store::Error::AlreadyExists { .. })));
    assert_eq!(*done(&store).last().unwrap(), Done::Landed { request: 0, refused: true });
}

#[tokio::test]
async fn should_release_in_any_order_or_never() {
    let store = store(FaultPlan::script([Rule::new(Fault::LandsLater)]));
    for name in ["a", "b", "c"] {
        store.put(&path(name), payload()).await.unwrap_err();
    }
    store.release(2).await.unwrap().unwrap();
    store.release(0).await.unwrap().unwrap();
    store.forget_waiting();
    assert_eq!(held(&store).await, ["a", "c"]);
    assert!(store.release_all().await.is_empty());
}

#[tokio::test]
async fn should_deliver_twice_and_answer_with_the_second() {
    let store = failing(Fault::DeliveredTwice);
    let answer = create(&store, "a").await;
    assert!(matches!(answer, Err(object_store::Error::AlreadyExists { .. })), "it met its own object");
    assert_eq!(held(&store).await, ["a"]);
    let store = failing(Fault::DeliveredTwice);
    store.put(&path("a"), payload()).await.unwrap();
}

#[tokio::test]
async fn should_deliver_again_after_the_object_was_deleted() {
    let store = failing(Fault::AgainLater);
    create(&store, "a").await.unwrap();
    store.delete(&path("a")).await.unwrap();
    assert!(held(&store).await.is_empty());
    store.release_all().await;
    assert_eq!(held(&store).await, ["a"]);
}

#[tokio::test]
async fn should_say_that_something_exists_which_does_not() {
    let store = store(FaultPlan::script([Rule::new(Fault::SaysExists)]));
    assert!(is_injected(&create(&store, "a").await, Fault::SaysExists));
    assert!(held(&store).await.is_empty());
    store.put(&path("a"), payload()).await.unwrap();
    store.get(&path("a")).await.unwrap();
}

#[tokio::test]
async fn should_aim_by_operation_path_and_occurrence() {
    let store = store(FaultPlan::script([
        Rule::new(Fault::ErrorBefore).on(Operation::Put).under("cat/log/").nth(2),
        Rule::new(Fault::ErrorAfter).containing("root").from_nth(2),
        Rule::new(Fault::ErrorBefore).on(Operation::Head).first(1),
    ]));
    let mut failed = Vec::new();
    for name in ["cat/log/1", "blk/1", "cat/log/2", "cat/log/3", "cat/root/1", "cat/root/2", "cat/root/3"] {
        if store.put(&path(name), payload()).await.is_err() {
            failed.push(name);
        }
    }
    assert_eq!(failed, ["cat/log/2", "cat/root/2", "cat/root/3"]);
    assert!(store.head(&path("blk/1")).await.is_err());
    assert!(store.head(&path("blk/1")).await.is_ok());
    assert!(store.get(&path("cat/root/1")).await.is_err(), "a rule without an operation is meant for all");
}

#[tokio::test]
async fn should_fail_every_kind_of_request() {
    let store = store(FaultPlan::none());
    for name in ["a", "b"] {
        store.put(&path(name), payload()).await.unwrap();
    }
    store.set_plan(FaultPlan::script([Rule::new(Fault::ErrorBefore)]));
    let (a, b) = (path("a"), path("b"));
    assert!(is_injected(&store.get(&a).await, Fault::ErrorBefore));
    assert!(is_injected(&store.get_range(&a, 0..1).await, Fault::ErrorBefore));
    assert!(is_injected(&store.get_ranges(&a, &[0..1, 2..3]).await, Fault::ErrorBefore));
    assert!(is_injected(&store.head(&a).await, Fault::ErrorBefore));
    assert!(is_injected(&store.put(&a, payload()).await, Fault::ErrorBefore));
    assert!(is_injected(&store.copy(&a, &b).await, Fault::ErrorBefore));
    assert!(is_injected(&store.rename(&a, &b).await, Fault::ErrorBefore));
    assert!(is_injected(&store.delete(&a).await, Fault::ErrorBefore));
    assert!(is_injected(&store.list(None).try_collect::<Vec<_>>().await, Fault::ErrorBefore));
    assert!(is_injected(&store.list_with_offset(None, &a).try_collect::<Vec<_>>().await, Fault::ErrorBefore));
    assert!(is_injected(&store.list_with_delimiter(None).await, Fault::ErrorBefore));
    assert!(is_injected(&store.put_multipart(&a).await, Fault::ErrorBefore));
    assert_eq!(held(&store).await, ["a", "b"]);
}

#[tokio::test]
async fn should_stop_a_rename_between_copy_and_delete() {
    let store = store(FaultPlan::script([Rule::new(Fault::ErrorBefore).on(Operation::Delete)]));
    store.put(&path("a"), payload()).await.unwrap();
    assert!(store.rename(&path("a"), &path("b")).await.is_err());
    assert_eq!(held(&store).await, ["a", "b"]);
}

#[tokio::test]
async fn should_fail_uploads_in_parts() {
    let upload = async |operation, fault| {
        let store = store(FaultPlan::script([Rule::new(fault).on(operation).nth(1)]));
        let mut upload = store.put_multipart(&path("large")).await.unwrap();
        let first = upload.put_part(PutPayload::from_static(b"first ")).await;
        if is_injected(&first, Fault::ErrorBefore) {
            upload.put_part(PutPayload::from_static(b"first ")).await.unwrap();
        }
        upload.put_part(PutPayload::from_static(b"second")).await.unwrap();
        let completed = upload.complete().await;
        (store, upload, completed)
    };
    let content = async |store: &FaultyStore<InMemory>| {
        let got = store.inner().get(&path("large")).await.ok()?;
        String::from_utf8(got.bytes().await.ok()?.to_vec()).ok()
    };
    let whole = Some("first second".to_owned());

    let (store, _, completed) = upload(Operation::MultipartPart, Fault::ErrorBefore).await;
    assert!(completed.is_ok());
    assert_eq!(content(&store).await, whole, "a part that failed was sent again");

    let (store, mut again, completed) = upload(Operation::MultipartComplete, Fault::ErrorBefore).await;
    assert!(completed.is_err());
    assert_eq!(content(&store).await, None);
    again.complete().await.unwrap();
    assert_eq!(content(&store).await, whole);

    let (store, _, completed) = upload(Operation::MultipartComplete, Fault::ErrorAfter).await;
    assert!(completed.is_err());
    assert_eq!(content(&store).await, whole);

    let (store, mut given_away, completed) = upload(Operation::MultipartComplete, Fault::LandsLater).await;
    assert!(completed.is_err());
    assert_eq!(content(&store).await, None);
    store.release_all().await;
    assert_eq!(content(&store).await, whole);
    assert!(given_away.complete().await.is_err());

    let (_, mut upload, _) = upload(Operation::MultipartAbort, Fault::ErrorBefore).await;
    assert!(upload.abort().await.is_err());
}

#[tokio::test]
async fn should_keep_store_time() {
    let store = store(FaultPlan::none());
    let seconds =
        |meta: &ObjectMeta| meta.last_modified.timestamp() - i64::try_from(NOON / 1_000_000_000).unwrap();
    let mut upload = store.put_multipart(&path("upload")).await.unwrap();
    upload.put_part(payload()).await.unwrap();
    store.clock().advance(Duration::from_secs(5));
    upload.complete().await.unwrap();
    store.put(&path("put"), payload()).await.unwrap();
    store.clock().advance(Duration::from_secs(5));
    store.copy(&path("put"), &path("copy")).await.unwrap();
    let listed: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
    let times: Vec<_> = listed.iter().map(|meta| (meta.location.to_string(), seconds(meta))).collect();
    let expected =
        [("copy", 10), ("put", 5), ("upload", 0)].map(|(name, seconds)| (name.to_owned(), seconds));
    assert_eq!(times, expected);
    assert_eq!(seconds(&store.get(&path("put")).await.unwrap().meta), 5);
    assert_eq!(seconds(&store.list_with_delimiter(None).await.unwrap().objects[1]), 5);
}

#[tokio::test]
async fn should_list_page_by_page() {
    let store = store(FaultPlan::none()).with_entries_per_page(2);
    for name in ["b", "d", "f"] {
        store.put(&path(name), payload()).await.unwrap();
    }
    let mut listing = store.list(None);
    let mut names = Vec::new();
    for _ in 0..2 {
        names.push(listing.next().await.unwrap().unwrap().location.to_string());
    }
    // Between the pages: one before what was listed, one behind.
    store.put(&path("a"), payload()).await.unwrap();
    store.put(&path("e"), payload()).await.unwrap();
    names.extend(listing.map(|entry| entry.unwrap().location.to_string()).collect::<Vec<_>>().await);
    assert_eq!(names, ["b", "d", "e", "f"]);
    let pages = store.log().into_iter().filter(|entry| entry.operation == Operation::List).count();
    assert_eq!(pages, 2, "the last page is full and known to be the last");
}

#[tokio::test]
async fn should_fail_in_the_middle_of_a_listing() {
    let store = store(FaultPlan::script([Rule::new(Fault::ErrorBefore).on(Operation::List).nth(2)]));
    let store = store.with_entries_per_page(1);
    for name in ["a", "b"] {
        store.put(&path(name), payload()).await.unwrap();
    }
    let listed: Vec<_> = store.list(None).collect().await;
    assert_eq!((listed.len(), listed[0].is_ok(), listed[1].is_err()), (2, true, true));
}

async fn random_run(seed: u64) -> FaultyStore<InMemory> {
    let faults = RandomFaults::each(seed, 0.05).delaying(0.1, Duration::from_secs(1));
    let store = store(FaultPlan::random(faults));
    for number in 0..300 {
        let location = path(&format!("folder/{}", number % 50));
        let clock = store.clock().clone();
        let mut request = async {
            let _ = store.put_opts(&location, payload(), PutMode::Create.into()).await;
            let _ = store.get(&location).await;
            let _ = store.delete(&location).await;
        }
        .boxed();
        while poll!(&mut request).is_pending() {
            assert!(clock.advance_to_next_sleeper());
        }
    }
    store
}

#[tokio::test]
async fn should_do_the_same_again_for_the_same_seed() {
    let (once, again, other) = (random_run(7).await, random_run(7).await, random_run(8).await);
    assert_eq!(once.log(), again.log());
    assert_ne!(done(&once), done(&other));
    let faults = [
        Fault::ErrorBefore,
        Fault::ErrorAfter,
        Fault::LandsLater,
        Fault::DeliveredTwice,
        Fault::AgainLater,
        Fault::SaysExists,
    ];
    for fault in faults {
        assert!(done(&once).contains(&Done::Failed(fault)), "{fault:?}");
    }
    assert!(once.log().iter().any(|entry| entry.delay.is_some()));
    let passed = done(&once).iter().filter(|done| **done == Done::Passed).count();
    assert!((600..800).contains(&passed), "{passed} of 900");
}

#[tokio::test]
async fn should_leave_to_chance_what_no_rule_names() {
    let rules = FaultPlan::script([Rule::new(Fault::ErrorAfter).on(Operation::Put)]);
    let store = store(rules.with_random(RandomFaults { error_before: 1.0, ..RandomFaults::none(1) }));
    assert!(is_injected(&store.put(&path("a"), payload()).await, Fault::ErrorAfter));
    assert!(is_injected(&store.get(&path("a")).await, Fault::ErrorBefore));
    let printed: Vec<String> = store.log().iter().map(LogEntry::to_string).collect();
    assert_eq!(printed[0].trim(), format!("0 at {NOON} put a: ErrorAfter"));
}
