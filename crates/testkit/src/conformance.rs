//! What the catalog and everybody above it need of an object store, as functions that any store can be put
//! through. They panic where a store falls short.
//!
//! Each keeps to keys of its own, so they may run in any order on one store; the store must not have been put
//! through them before. Nothing is cleared away.

// Creating what is not there: the step that decides who wins.
pub mod creating;
// What was written is read, whole and in parts.
pub mod reading;
// What was written is listed: all of it, in order, from any key on.
pub mod listing;
// What was deleted is gone.
pub mod deleting;
// Objects in parts are seen whole or not at all.
pub mod uploading;
// The store's time, by which the catalog decides what is old.
pub mod times;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

/// What some stores promise and others do not.
#[derive(Debug, Clone, Copy)]
pub struct Promises {
    /// Listings come in the order of the keys' bytes, over all pages.
    pub lists_in_key_order: bool,
    /// `a` and `a/b` can both be objects.
    pub key_beside_its_directory: bool,
    /// Keys may have segments of more than 255 bytes.
    pub long_segments: bool,
}

impl Promises {
    pub const ALL: Promises =
        Promises { lists_in_key_order: true, key_beside_its_directory: true, long_segments: true };
}

/// All of them, one after the other. Prints which one runs: the last that is printed is the one that failed.
pub async fn check_all(store: &dyn ObjectStore, promises: Promises) {
    macro_rules! check {
        ($($module:ident::$name:ident($($argument:expr),*);)*) => {$(
            println!("conformance: {}", stringify!($name));
            $module::$name(store $(, $argument)*).await;
        )*};
    }
    check! {
        creating::should_create_once_of_many();
        creating::should_say_that_it_exists_and_keep_it();
        creating::should_create_again_after_a_deletion();
        creating::should_replace_whole();
        reading::should_read_what_was_just_written();
        reading::should_read_ranges();
        reading::should_read_the_end();
        reading::should_keep_empty_objects();
        reading::should_read_nothing_as_the_end_of_nothing();
        reading::should_not_find_what_is_not_there();
        listing::should_list_what_was_just_written(promises);
        listing::should_list_and_delete_more_than_one_page(promises);
        listing::should_list_from_an_offset_on(promises);
        listing::should_not_list_siblings_of_a_prefix();
        listing::should_list_one_level();
        listing::should_keep_strange_keys(promises);
        deleting::should_not_list_or_read_what_was_deleted();
        deleting::should_delete_what_is_not_there();
        uploading::should_show_an_upload_when_it_is_complete();
        uploading::should_forget_an_upload_that_is_aborted();
        uploading::should_take_parts_in_any_order();
        times::should_tell_when_an_object_was_written();
        times::should_not_run_backwards();
    }
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap_or_else(|error| panic!("not a key: {error}"))
}

async fn put(store: &dyn ObjectStore, text: &str, content: &str) {
    let put = store.put(&key(text), content.to_owned().into()).await;
    put.unwrap_or_else(|error| panic!("cannot put {text}: {error}"));
}

async fn get(store: &dyn ObjectStore, text: &str) -> object_store::Result<Bytes> {
    store.get(&key(text)).await?.bytes().await
}

async fn listed_objects(store: &dyn ObjectStore, prefix: &str) -> Vec<ObjectMeta> {
    let listed = store.list(Some(&key(prefix))).try_collect().await;
    listed.unwrap_or_else(|error| panic!("cannot list {prefix}: {error}"))
}

async fn listed(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    keys(listed_objects(store, prefix).await)
}

fn keys(objects: Vec<ObjectMeta>) -> Vec<String> {
    objects.into_iter().map(|object| object.location.to_string()).collect()
}

/// As the store brought them if it promises an order, else sorted.
fn in_order(mut keys: Vec<String>, promises: Promises) -> Vec<String> {
    if !promises.lists_in_key_order {
        keys.sort();
    }
    keys
}

fn is_not_found<T>(result: &object_store::Result<T>) -> bool {
    matches!(result, Err(object_store::Error::NotFound { .. }))
}

#[cfg(test)]
mod tests;
