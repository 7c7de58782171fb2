//! Each promise of the store, on a real folder where the file system decides, and on a machine in memory
//! where we do: crashes, full disks, failing syncs, the order of the calls.

use bytes::Bytes;
use futures::TryStreamExt;
use futures::executor::block_on;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutMode};
use tempfile::TempDir;

use super::*;

// A machine in memory whose calls are written down, counted and made to fail.
mod machine;
// object_store's own suite.
mod contract;
// The order of the calls.
mod order;
// Crashes at every step, and planted faults.
mod crash;
// Errors and what they leave behind.
mod failures;
// Names, conflicts, what is not ours.
mod names;
// Order, offsets, what vanishes.
mod listings;
// Reading, uploads, opening.
mod objects;

fn real() -> (TempDir, FolderStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = FolderStore::open(directory.path().join("store")).unwrap();
    (directory, store)
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn put(store: &FolderStore, name: &str, content: &str) -> Result<PutResult> {
    block_on(store.put(&key(name), content.to_owned().into()))
}

fn create(store: &FolderStore, name: &str, content: &str) -> Result<PutResult> {
    block_on(store.put_opts(&key(name), content.to_owned().into(), PutMode::Create.into()))
}

fn get(store: &FolderStore, name: &str) -> Result<Bytes> {
    block_on(async { store.get(&key(name)).await?.bytes().await })
}

fn text(store: &FolderStore, name: &str) -> String {
    String::from_utf8(get(store, name).unwrap().to_vec()).unwrap()
}

fn is_not_found<T>(result: &Result<T>) -> bool {
    matches!(result, Err(object_store::Error::NotFound { .. }))
}

fn listed(store: &FolderStore, prefix: &str) -> Vec<String> {
    let prefix = key(prefix);
    let metas: Vec<ObjectMeta> = block_on(store.list(Some(&prefix)).try_collect()).unwrap();
    metas.into_iter().map(|meta| meta.location.to_string()).collect()
}
