//! The store's time, by which the catalog decides what is old. It compares such times only with each other:
//! what it needs is that they do not run backwards, and that they run as fast as everybody's.

use std::time::{Duration, SystemTime};

use object_store::{ObjectStore, ObjectStoreExt};

use super::{key, listed_objects, put};

/// Some stores tell whole seconds; and a file's time comes in ticks of up to 10 ms.
const GRANULARITY: Duration = Duration::from_secs(1);

/// How far a store's clock may be from ours, here where both are on one machine, or both are kept right.
const APART: Duration = Duration::from_secs(10);

#[expect(clippy::disallowed_methods, reason = "the store reads the clock too: they are compared")]
fn now() -> SystemTime {
    SystemTime::now()
}

pub async fn should_tell_when_an_object_was_written(store: &dyn ObjectStore) {
    let before = now();
    put(store, "times/written", "1").await;
    let after = now();
    let listed = SystemTime::from(listed_objects(store, "times").await[0].last_modified);
    assert!(listed >= before - APART && listed <= after + APART, "{before:?} {listed:?} {after:?}");

    // A listing and the object itself may round differently, and tell the same time.
    let head = SystemTime::from(store.head(&key("times/written")).await.unwrap().last_modified);
    let difference = head.duration_since(listed).unwrap_or_else(|error| error.duration());
    assert!(difference < GRANULARITY, "{head:?} and {listed:?}");
}

/// What was written later is never told to be older, but for the granularity; and neither is what was
/// replaced.
pub async fn should_not_run_backwards(store: &dyn ObjectStore) {
    for number in 0..30 {
        put(store, &format!("times/row/{number:02}"), "1").await;
    }
    put(store, "times/row/00", "2").await;
    let mut objects = listed_objects(store, "times/row").await;
    objects.sort_by(|one, other| one.location.cmp(&other.location));
    let mut times: Vec<SystemTime> = objects.iter().map(|object| object.last_modified.into()).collect();
    assert_eq!(times.len(), 30);
    times.rotate_left(1);
    for (number, pair) in times.windows(2).enumerate() {
        assert!(pair[1] + GRANULARITY > pair[0], "{number}: {:?} then {:?}", pair[0], pair[1]);
    }
}
