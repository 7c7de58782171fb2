//! The one way in which this crate takes a lock: a panic in one test thread must not hide the failure that
//! it reports behind a poisoned lock in another.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
