//! What was deleted is gone.

use object_store::{Error, ObjectStore, ObjectStoreExt};

use super::{get, is_not_found, key, listed, put};

pub async fn should_not_list_or_read_what_was_deleted(store: &dyn ObjectStore) {
    for text in ["deleting/one/1", "deleting/one/2", "deleting/one/3"] {
        put(store, text, "1").await;
    }
    store.delete(&key("deleting/one/2")).await.unwrap();
    assert!(is_not_found(&get(store, "deleting/one/2").await));
    let mut left = listed(store, "deleting/one").await;
    left.sort();
    assert_eq!(left, ["deleting/one/1", "deleting/one/3"]);
}

/// Some stores say that nothing was there; none fails otherwise.
pub async fn should_delete_what_is_not_there(store: &dyn ObjectStore) {
    for text in ["deleting/nothing", "deleting/no/thing"] {
        let deleted = store.delete(&key(text)).await;
        assert!(matches!(deleted, Ok(()) | Err(Error::NotFound { .. })), "{deleted:?}");
    }
}
