//! What was written is read, whole and in parts.

use bytes::Bytes;
use futures::future::join_all;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};

use super::{get, is_not_found, key, put};

pub async fn should_read_what_was_just_written(store: &dyn ObjectStore) {
    let all = (0..40).map(|number| async move {
        let text = format!("reading/just/{number:02}");
        put(store, &text, "old").await;
        put(store, &text, &format!("new {number}")).await;
        assert_eq!(get(store, &text).await.unwrap(), format!("new {number}"));
    });
    join_all(all).await;
}

async fn range(store: &dyn ObjectStore, text: &str, range: GetRange) -> object_store::Result<Bytes> {
    let got = store.get_opts(&key(text), GetOptions { range: Some(range), ..GetOptions::default() }).await?;
    assert_eq!(got.meta.location, key(text), "under the key that was asked for");
    let length = got.range.end - got.range.start;
    let bytes = got.bytes().await?;
    assert_eq!(bytes.len() as u64, length, "as much as was announced");
    Ok(bytes)
}

pub async fn should_read_ranges(store: &dyn ObjectStore) {
    put(store, "reading/ranges", "0123456789").await;
    for (wanted, content) in [
        (GetRange::Bounded(0..1), "0"),
        (GetRange::Bounded(3..7), "3456"),
        (GetRange::Bounded(9..10), "9"),
        (GetRange::Bounded(7..100), "789"),
        (GetRange::Offset(4), "456789"),
    ] {
        assert_eq!(range(store, "reading/ranges", wanted.clone()).await.unwrap(), content, "{wanted:?}");
    }
    let beyond = range(store, "reading/ranges", GetRange::Bounded(10..11)).await;
    assert!(beyond.is_err(), "{beyond:?}");

    let parts = store.get_ranges(&key("reading/ranges"), &[0..2, 8..10, 4..5]).await.unwrap();
    assert_eq!(parts, ["01", "89", "4"]);
}

/// How a file is opened of which only the end says where things are.
pub async fn should_read_the_end(store: &dyn ObjectStore) {
    put(store, "reading/end", "0123456789").await;
    for (wanted, content) in [(1, "9"), (4, "6789"), (10, "0123456789"), (64, "0123456789")] {
        let end = range(store, "reading/end", GetRange::Suffix(wanted)).await;
        assert_eq!(end.unwrap(), content, "{wanted}");
    }
    assert!(is_not_found(&range(store, "reading/no-end", GetRange::Suffix(4)).await));
}

pub async fn should_keep_empty_objects(store: &dyn ObjectStore) {
    put(store, "reading/empty", "").await;
    assert_eq!(get(store, "reading/empty").await.unwrap(), "");
    assert_eq!(store.head(&key("reading/empty")).await.unwrap().size, 0);
}

/// Or say that there is none, as S3 does: but not that the object is not there.
pub async fn should_read_nothing_as_the_end_of_nothing(store: &dyn ObjectStore) {
    put(store, "reading/empty-end", "").await;
    let end = range(store, "reading/empty-end", GetRange::Suffix(4)).await;
    match end {
        Ok(end) => assert_eq!(end, ""),
        Err(_) => assert!(!is_not_found(&end), "{end:?}"),
    }
}

pub async fn should_not_find_what_is_not_there(store: &dyn ObjectStore) {
    put(store, "reading/there/below", "1").await;
    for text in ["reading/nothing", "reading/there", "reading/there/below/more", "reading/there/belo"] {
        let read = get(store, text).await;
        assert!(is_not_found(&read), "{text}: {read:?}");
        let head = store.head(&key(text)).await;
        assert!(is_not_found(&head), "{text}: {head:?}");
    }
}
