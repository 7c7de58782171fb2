//! What was deleted is gone.

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Error, ObjectStore, ObjectStoreExt};

use super::{get, is_not_found, key, listed, put};

/// More than one request of any store takes.
const MANY: usize = 1_050;
const PUTS_AT_ONCE: usize = 32;

pub async fn should_not_list_or_read_what_was_deleted(store: &dyn ObjectStore) {
    for text in ["deleting/one/1", "deleting/one/2", "deleting/one/3"] {
        put(store, text, "1").await;
    }
    store.delete(&key("deleting/one/2")).await.unwrap();
    assert!(is_not_found(&get(store, "deleting/one/2").await));
    assert_eq!(listed(store, "deleting/one").await, ["deleting/one/1", "deleting/one/3"]);
}

/// Some stores say that nothing was there; none fails otherwise.
pub async fn should_delete_what_is_not_there(store: &dyn ObjectStore) {
    for text in ["deleting/nothing", "deleting/no/thing"] {
        let deleted = store.delete(&key(text)).await;
        assert!(matches!(deleted, Ok(()) | Err(Error::NotFound { .. })), "{deleted:?}");
    }
}

/// In as few requests as the store can; the answer names each.
pub async fn should_delete_many(store: &dyn ObjectStore) {
    let texts: Vec<String> = (0..MANY).map(|number| format!("deleting/many/{number:04}")).collect();
    stream::iter(&texts).for_each_concurrent(PUTS_AT_ONCE, |text| put(store, text, "")).await;
    let all: Vec<_> = texts.iter().map(|text| Ok(key(text))).collect();
    let mut deleted: Vec<_> = store.delete_stream(stream::iter(all).boxed()).try_collect().await.unwrap();
    deleted.sort();
    assert!(deleted.iter().map(ToString::to_string).eq(texts), "{} of {MANY} were named", deleted.len());
    assert_eq!(listed(store, "deleting/many").await, [""; 0]);
}
