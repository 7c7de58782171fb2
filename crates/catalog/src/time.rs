//! Two times that never meet: the store's, and a process's.

mod system;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use object_store::ObjectMeta;
use rand::RngCore;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use ulid::Ulid;

pub use system::SystemClock;

/// Time as the store says it in `LastModified`, in milliseconds. All grace periods
/// compare such times with each other, so nobody's clock takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StoreTime(pub u64);

impl StoreTime {
    pub fn of(meta: &ObjectMeta) -> Self {
        Self(meta.last_modified.timestamp_millis().max(0).cast_unsigned())
    }

    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A process's clock.
pub trait Clock: Send + Sync {
    /// Unix time in milliseconds, for new ids only.
    fn wall_millis(&self) -> u64;

    /// Time since some moment of this process. It goes on while the machine sleeps.
    fn elapsed(&self) -> Duration;

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Where new ids come from: the clock, and a seeded generator.
pub struct Ids {
    generator: Mutex<ChaCha8Rng>,
}

impl Ids {
    pub fn seeded(seed: [u8; 32]) -> Self {
        Self { generator: Mutex::new(ChaCha8Rng::from_seed(seed)) }
    }

    pub fn next(&self, clock: &dyn Clock) -> Ulid {
        let mut generator = self.generator.lock().unwrap_or_else(PoisonError::into_inner);
        let random = u128::from(generator.next_u64()) << 64 | u128::from(generator.next_u64());
        Ulid::from_parts(clock.wall_millis(), random)
    }
}

/// When an id was drawn, by the clock of whoever drew it.
pub(crate) fn drawn_at(id: Ulid) -> StoreTime {
    StoreTime(id.timestamp_ms())
}
