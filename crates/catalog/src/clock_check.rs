//! Whether this machine's clock and the store's agree.
//!
//! New blocks bear the time of the machine that names them, and the fence against
//! orphans is set in the store's time: a writer that is off by more than the windows
//! allow would see its flushes refused again and again, or leave blocks that no sweep
//! finds. Signed requests stop far smaller errors on S3; a folder stops none.

use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use siltstone_format::id::ObjectId;
use siltstone_format::path::ObjectKey;

use crate::bucket::{StoreError, failed, path};
use crate::catalog::Catalog;
use crate::time::StoreTime;

/// Why a process must not name blocks here.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the clock of this machine is {off:?} {direction} the store's, and {allowed:?} is allowed: \
         set the machine's clock (is NTP running?)"
    )]
    Off { off: Duration, direction: &'static str, allowed: Duration },
}

impl Catalog {
    /// Writes a small object and compares its time with this machine's. To be asked at
    /// start and every hour; gives how far the clocks are apart at least.
    pub async fn check_clock(&self) -> Result<Duration, ClockError> {
        let before = StoreTime(self.clock.wall_millis());
        let (landed, after) = self.probe_clock().await?;
        let (off, direction) = match before > landed {
            true => (millis_between(landed, before), "ahead of"),
            false => (millis_between(after, landed), "behind"),
        };
        let allowed = self.windows.clock_error;
        // The store may cut its time to whole seconds.
        if off > allowed + Duration::from_secs(1) {
            return Err(ClockError::Off { off, direction, allowed });
        }
        Ok(off)
    }

    /// What time it is in the store, when nothing there says so: by a small object.
    pub async fn store_time(&self) -> Result<StoreTime, StoreError> {
        self.probe_clock().await.map(|(landed, _)| landed)
    }

    /// When a small object landed, and this machine's time right after it.
    async fn probe_clock(&self) -> Result<(StoreTime, StoreTime), StoreError> {
        let key = ObjectKey::ClockProbe(ObjectId(self.next_id()));
        self.bucket.put(&key, Bytes::from_static(b"clock")).await?;
        let after = StoreTime(self.clock.wall_millis());
        let meta = self.bucket.objects().head(&path(&key)).await;
        // If it stays, `check` names it.
        let _ = self.bucket.delete(&key).await;
        Ok((StoreTime::of(&meta.map_err(|source| failed("describe", &key, source))?), after))
    }
}

fn millis_between(earlier: StoreTime, later: StoreTime) -> Duration {
    Duration::from_millis(later.0.saturating_sub(earlier.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::TryStreamExt;
    use futures::executor::block_on;
    use object_store::ObjectStore;
    use object_store::memory::InMemory;

    use super::*;
    use crate::bucket::{Bucket, Listing};
    use crate::time::{Clock, SystemClock};
    use crate::windows::Windows;
    use crate::{Catalog, CatalogConfig};

    struct Wrong {
        right: SystemClock,
        millis: i64,
    }

    impl Clock for Wrong {
        fn wall_millis(&self) -> u64 {
            self.right.wall_millis().saturating_add_signed(self.millis)
        }

        fn elapsed(&self) -> Duration {
            self.right.elapsed()
        }

        fn sleep(&self, duration: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            self.right.sleep(duration)
        }
    }

    fn check(millis: i64) -> (Result<Duration, ClockError>, usize) {
        let store = Arc::new(InMemory::new());
        let catalog = Catalog::new(CatalogConfig {
            bucket: Bucket::new(Arc::clone(&store) as _, Listing::Together),
            clock: Arc::new(Wrong { right: SystemClock::new(), millis }),
            seed: [1; 32],
            windows: Windows::default(),
        });
        let checked = block_on(catalog.unwrap().check_clock());
        let left: Vec<_> = block_on(store.list(None).try_collect()).unwrap();
        (checked, left.len())
    }

    #[test]
    fn should_accept_a_clock_that_is_right_or_ten_minutes_off_and_leave_nothing_behind() {
        for millis in [0, 600_000, -600_000] {
            let (checked, left) = check(millis);
            let off = checked.unwrap().as_millis();
            assert!(off.abs_diff(u128::from(millis.unsigned_abs())) < 60_000, "{millis}: {off}");
            assert_eq!(left, 0);
        }
    }

    #[test]
    fn should_refuse_a_clock_that_is_two_hours_off_and_say_in_which_direction() {
        for (millis, direction) in [(7_200_000, "ahead of"), (-7_200_000, "behind")] {
            let (checked, left) = check(millis);
            assert!(checked.unwrap_err().to_string().contains(direction));
            assert_eq!(left, 0);
        }
    }
}
