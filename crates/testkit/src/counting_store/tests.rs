//! What is counted, and that nothing else changes: the store's own suite runs through it.

use futures::future::{join_all, try_join};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::integration;
use object_store::memory::InMemory;
use object_store::{GetRange, PutMode};

use super::*;

fn store() -> CountingStore<InMemory> {
    CountingStore::new(InMemory::new())
}

async fn filled(objects: usize) -> CountingStore<InMemory> {
    let store = store();
    for number in 0..objects {
        let path = Path::from(format!("folder/{number:04}"));
        store.inner().put(&path, PutPayload::from_static(b"0123456789")).await.unwrap();
    }
    store
}

fn path(number: usize) -> Path {
    Path::from(format!("folder/{number:04}"))
}

#[tokio::test]
async fn should_pass_the_suite_of_the_store_below() {
    integration::put_get_delete_list(&store()).await;
    integration::put_get_attributes(&store()).await;
    integration::get_opts(&store()).await;
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
async fn should_count_requests_by_kind_and_bytes() {
    let store = store();
    let (a, b) = (Path::from("a"), Path::from("b"));
    store.put(&a, PutPayload::from_static(b"0123456789")).await.unwrap();
    store.get(&a).await.unwrap().bytes().await.unwrap();
    store.get_range(&a, 2..5).await.unwrap();
    store
        .get_opts(&a, GetOptions::new().with_range(Some(GetRange::Suffix(4))))
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    store.head(&a).await.unwrap();
    store.copy(&a, &b).await.unwrap();
    store.list(None).try_collect::<Vec<_>>().await.unwrap();
    store.list_with_delimiter(None).await.unwrap();
    store.delete(&b).await.unwrap();
    let counts = store.snapshot();
    let expected = [
        (Operation::Put, 1),
        (Operation::Get, 1),
        (Operation::GetRange, 2),
        (Operation::Head, 1),
        (Operation::Copy, 1),
        (Operation::List, 2),
        (Operation::Delete, 1),
    ];
    for (operation, requests) in expected {
        assert_eq!(counts.of(operation), requests, "{operation}");
    }
    assert_eq!((counts.total(), counts.bytes_read, counts.bytes_written), (9, 17, 10));
    assert_eq!(counts.depth, 9, "one after the other");
}

#[tokio::test]
async fn should_count_a_multipart_upload_part_by_part() {
    let store = store();
    let mut upload = store.put_multipart(&Path::from("large")).await.unwrap();
    let parts = [
        upload.put_part(PutPayload::from_static(b"12345")),
        upload.put_part(PutPayload::from_static(b"678")),
    ];
    join_all(parts).await;
    upload.complete().await.unwrap();
    store.put_multipart(&Path::from("given up")).await.unwrap().abort().await.unwrap();
    let counts = store.snapshot();
    assert_eq!(counts.of(Operation::MultipartStart), 2);
    assert_eq!(counts.of(Operation::MultipartPart), 2);
    assert_eq!(counts.of(Operation::MultipartComplete), 1);
    assert_eq!(counts.of(Operation::MultipartAbort), 1);
    assert_eq!(counts.bytes_written, 8);
    assert_eq!(counts.depth, 5, "the parts went together");
}

#[tokio::test]
async fn should_count_requests_that_fail() {
    let store = store();
    assert!(store.get(&Path::from("missing")).await.is_err());
    store.put(&Path::from("a"), PutPayload::from_static(b"1")).await.unwrap();
    let again =
        store.put_opts(&Path::from("a"), PutPayload::from_static(b"22"), PutMode::Create.into()).await;
    assert!(again.is_err());
    let counts = store.snapshot();
    assert_eq!((counts.total(), counts.bytes_written, counts.depth), (3, 3, 3));
}

#[tokio::test]
async fn should_count_the_requests_that_ranges_are_coalesced_into() {
    let far_apart = OBJECT_STORE_COALESCE_DEFAULT + 1;
    let store = store();
    let size = usize::try_from(3 * far_apart).unwrap();
    store.inner().put(&Path::from("a"), vec![7; size].into()).await.unwrap();
    let ranges = [0..10, 20..30, far_apart + 30..far_apart + 40];
    let bytes = store.get_ranges(&Path::from("a"), &ranges).await.unwrap();
    assert!(bytes.iter().all(|bytes| bytes.len() == 10));
    let counts = store.snapshot();
    assert_eq!((counts.of(Operation::GetRange), counts.total()), (2, 2));
    assert_eq!((counts.bytes_read, counts.depth), (40, 1));
}

#[tokio::test]
async fn should_count_pages_of_listings() {
    for (objects, pages) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (2_500, 3)] {
        let store = filled(objects).await;
        let listed: Vec<_> = store.list(Some(&Path::from("folder"))).try_collect().await.unwrap();
        assert_eq!(listed.len(), objects);
        let counts = store.snapshot();
        assert_eq!((counts.of(Operation::List), counts.depth), (pages, pages), "{objects}");
        store.reset();
        store.list_with_delimiter(Some(&Path::from("folder"))).await.unwrap();
        let counts = store.snapshot();
        assert_eq!((counts.of(Operation::List), counts.depth), (pages, pages), "{objects}, delimiter");
    }
    let store = filled(1_500).await;
    let offset = path(999);
    assert_eq!(store.list_with_offset(None, &offset).count().await, 500);
    assert_eq!(store.snapshot().of(Operation::List), 1);
}

#[tokio::test]
async fn should_count_no_page_that_nobody_asked_for() {
    let store = filled(2_000).await;
    drop(store.list(None));
    assert_eq!(store.snapshot().total(), 0);
    store.list(None).take(3).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(store.snapshot().total(), 1);
}

#[tokio::test]
async fn should_count_deletes_by_object_in_one_round() {
    let store = filled(5).await;
    let paths = stream::iter((0..5).map(path).map(Ok)).boxed();
    store.delete_stream(paths).try_collect::<Vec<_>>().await.unwrap();
    let counts = store.snapshot();
    assert_eq!((counts.of(Operation::Delete), counts.depth), (5, 1));
    assert_eq!(store.inner().list(None).count().await, 0);
    store.delete_stream(stream::empty().boxed()).count().await;
    assert_eq!(store.snapshot().depth, 1);
}

// Depth.

#[tokio::test]
async fn should_see_requests_side_by_side_as_one_round() {
    let store = filled(64).await;
    let gets = (0..64).map(|number| {
        let store = &store;
        async move { store.get(&path(number)).await.unwrap().bytes().await.unwrap() }
    });
    join_all(gets).await;
    assert_eq!((store.snapshot().total(), store.snapshot().depth), (64, 1));
}

#[tokio::test]
async fn should_see_requests_of_many_tasks_as_one_round() {
    let store = Arc::new(filled(10).await);
    let tasks = (0..10).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.get_range(&path(number), 0..1).await.unwrap() })
    });
    join_all(tasks.collect::<Vec<_>>()).await;
    assert_eq!(store.snapshot().depth, 1);
}

#[tokio::test]
async fn should_take_the_longest_of_several_chains() {
    let store = filled(8).await;
    let chain = |length: usize| {
        let store = &store;
        async move {
            for number in 0..length {
                store.get_range(&path(number), 0..1).await?;
            }
            Ok::<(), object_store::Error>(())
        }
    };
    try_join(chain(2), chain(3)).await.unwrap();
    assert_eq!((store.snapshot().total(), store.snapshot().depth), (5, 3));
    let depths: Vec<u64> = store.requests().iter().map(|request| request.depth).collect();
    assert_eq!(depths, [1, 1, 2, 2, 3]);
}

#[tokio::test]
async fn should_take_a_get_for_complete_when_its_body_was_read() {
    let store = filled(3).await;
    let unread = store.get(&path(0)).await.unwrap();
    store.head(&path(1)).await.unwrap();
    assert_eq!(store.snapshot().depth, 1, "the body of the first is still on its way");
    unread.bytes().await.unwrap();
    store.head(&path(1)).await.unwrap();
    assert_eq!(store.snapshot().depth, 2);
    drop(store.get(&path(2)).await.unwrap());
    store.head(&path(1)).await.unwrap();
    assert_eq!(store.snapshot().depth, 4, "a body that is dropped is complete too");
    assert_eq!(store.snapshot().bytes_read, 10);
}

#[tokio::test]
async fn should_use_a_page_while_the_listing_goes_on() {
    let store = filled(3).await;
    let mut listing = store.list(None);
    let first = listing.next().await.unwrap().unwrap();
    store.get(&first.location).await.unwrap();
    assert_eq!(store.snapshot().depth, 2);
}

#[tokio::test]
async fn should_start_again_from_zero() {
    let store = filled(2).await;
    store.head(&path(0)).await.unwrap();
    let in_flight = store.get(&path(0)).await.unwrap();
    store.reset();
    assert_eq!(store.snapshot(), Counts::default());
    in_flight.bytes().await.unwrap();
    store.head(&path(1)).await.unwrap();
    let counts = store.snapshot();
    assert_eq!((counts.total(), counts.depth, store.requests().len()), (1, 1, 1));
}

#[tokio::test]
async fn should_print_a_table() {
    let store = filled(1).await;
    store.get(&path(0)).await.unwrap().bytes().await.unwrap();
    let printed = store.snapshot().to_string();
    let rows: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = [
        vec!["get", "1"],
        vec!["requests", "1"],
        vec!["bytes", "read", "10"],
        vec!["bytes", "written", "0"],
        vec!["depth", "1"],
    ];
    assert_eq!(rows, expected);
    assert!(printed.lines().all(|line| line.len() == 33), "{printed}");
}
