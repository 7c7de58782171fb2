//! Bytes a second, tenant by tenant: a token bucket each, kept as the moment at which it is full again.
//!
//! A request passes if the bucket holds what it takes, or is full: one that is larger than any bucket passes too,
//! and the bucket owes the rest. Invariant: a bucket that is full says nothing, and is forgotten; when there are
//! too many, the one that would be full first goes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use siltstone_catalog::time::Clock;
use siltstone_format::tenant::Tenant;

use super::{LimitExceeded, Limits};

/// Buckets that are full and forgotten at each request: more than can be added by one.
const FORGOTTEN_AT_ONCE: usize = 2;

pub struct RateLimiter {
    clock: Arc<dyn Clock>,
    most_tenants: usize,
    buckets: Mutex<Buckets>,
}

#[derive(Default)]
struct Buckets {
    full_at: HashMap<Tenant, Duration>,
    in_order: BTreeSet<(Duration, Tenant)>,
}

impl RateLimiter {
    pub fn new(clock: Arc<dyn Clock>, most_tenants: usize) -> Self {
        Self { clock, most_tenants: most_tenants.max(1), buckets: Mutex::default() }
    }

    /// Takes so many bytes out of a tenant's bucket, or says when they can be taken. Taking none asks whether the
    /// tenant owes something.
    pub fn take(&self, tenant: &Tenant, limits: &Limits, bytes: u64) -> Result<(), LimitExceeded> {
        let rate = limits.bytes_per_second;
        if rate == u64::MAX {
            return Ok(());
        }
        let refused = |retry_after| LimitExceeded::new(tenant, "bytes_per_second", rate, retry_after);
        let (Some(cost), Some(capacity)) = (time_for(bytes, rate), time_for(limits.burst_bytes, rate)) else {
            return Err(refused(None));
        };
        let now = self.clock.elapsed();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.forget_full(now);
        let missing =
            buckets.full_at.get(tenant).map_or(Duration::ZERO, |full_at| full_at.saturating_sub(now));
        let wait = missing.saturating_sub(capacity.saturating_sub(cost));
        if !missing.is_zero() && !wait.is_zero() {
            return Err(refused(Some(wait)));
        }
        if cost.is_zero() {
            return Ok(());
        }
        buckets.set(tenant, now.saturating_add(missing).saturating_add(cost), self.most_tenants);
        Ok(())
    }

    /// Tenants whose buckets are not known to be full.
    pub fn tenants(&self) -> usize {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).full_at.len()
    }
}

impl Buckets {
    fn set(&mut self, tenant: &Tenant, full_at: Duration, most: usize) {
        if let Some(before) = self.full_at.insert(tenant.clone(), full_at) {
            self.in_order.remove(&(before, tenant.clone()));
        }
        self.in_order.insert((full_at, tenant.clone()));
        if self.full_at.len() > most {
            self.forget_first();
        }
    }

    fn forget_full(&mut self, now: Duration) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            if self.in_order.first().is_some_and(|(full_at, _)| *full_at <= now) {
                self.forget_first();
            }
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, tenant)) = self.in_order.pop_first() {
            self.full_at.remove(&tenant);
        }
    }
}

/// How long a bucket takes to fill by so many bytes, in whole nanoseconds, rounded up. None: for ever.
fn time_for(bytes: u64, rate: u64) -> Option<Duration> {
    if bytes == 0 {
        return Some(Duration::ZERO);
    }
    if rate == 0 {
        return None;
    }
    let nanos = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(rate));
    Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use siltstone_testkit::VirtualClock;

    use super::*;
    use crate::test_clock::TestClock;

    const SECOND: Duration = Duration::from_secs(1);

    fn limiter(most: usize) -> (RateLimiter, VirtualClock) {
        let clock = VirtualClock::starting_at(0);
        (RateLimiter::new(Arc::new(TestClock(clock.clone())), most), clock)
    }

    fn limits(bytes_per_second: u64, burst_bytes: u64) -> Limits {
        Limits { bytes_per_second, burst_bytes, ..Limits::default() }
    }

    fn tenant(name: &str) -> Tenant {
        name.parse().expect("a name")
    }

    fn retry_after(result: Result<(), LimitExceeded>) -> Option<Duration> {
        result.expect_err("over the limit").retry_after
    }

    #[test]
    fn should_let_a_burst_through_and_then_the_rate() {
        let (limiter, clock) = limiter(10);
        let (a, limits) = (tenant("a"), limits(100, 300));
        for _ in 0..3 {
            limiter.take(&a, &limits, 100).expect("within the burst");
        }
        assert_eq!(retry_after(limiter.take(&a, &limits, 50)), Some(SECOND / 2));
        // A refusal costs nothing.
        assert_eq!(retry_after(limiter.take(&a, &limits, 50)), Some(SECOND / 2));
        clock.advance(SECOND / 2);
        limiter.take(&a, &limits, 50).expect("what came in meanwhile");
        assert_eq!(retry_after(limiter.take(&a, &limits, 1)), Some(SECOND / 100));
        // Others have buckets of their own.
        limiter.take(&tenant("b"), &limits, 300).expect("another tenant");
        clock.advance(SECOND * 1_000);
        limiter.take(&a, &limits, 300).expect("full again, not fuller");
        assert!(limiter.take(&a, &limits, 1).is_err());
    }

    #[test]
    fn should_let_a_request_through_that_no_bucket_holds_and_owe_the_rest() {
        let (limiter, clock) = limiter(10);
        let (a, limits) = (tenant("a"), limits(100, 300));
        limiter.take(&a, &limits, 1).expect("within the burst");
        // Not from a bucket that is not full.
        assert_eq!(retry_after(limiter.take(&a, &limits, 1_000)), Some(SECOND / 100));
        clock.advance(SECOND / 100);
        limiter.take(&a, &limits, 1_000).expect("from a full one");
        assert_eq!(retry_after(limiter.take(&a, &limits, 100)), Some(SECOND * 8));
        assert_eq!(retry_after(limiter.take(&a, &limits, 0)), Some(SECOND * 7));
        clock.advance(SECOND * 8);
        limiter.take(&a, &limits, 100).expect("paid back");
        limiter.take(&a, &limits, 0).expect("owes nothing");
    }

    #[test]
    fn should_name_the_limit_and_take_nothing_at_a_rate_of_zero() {
        let (limiter, _) = limiter(10);
        let refused = limiter.take(&tenant("a"), &limits(0, 0), 1).expect_err("nothing may be sent");
        assert_eq!((refused.limit, refused.value, refused.retry_after), ("bytes_per_second", 0, None));
        assert!(refused.to_string().contains("limits.tenants.a.bytes_per_second"), "{refused}");
        limiter.take(&tenant("a"), &limits(0, 0), 0).expect("nothing is nothing");
    }

    #[test]
    fn should_not_bound_who_has_no_limit() {
        let (limiter, _) = limiter(10);
        limiter.take(&tenant("a"), &Limits::default(), u64::MAX).expect("no limit");
        assert_eq!(limiter.tenants(), 0);
        let (a, large) = (tenant("a"), limits(u64::MAX - 1, u64::MAX));
        for _ in 0..2 {
            limiter.take(&a, &large, u64::MAX / 2).expect("within the burst");
        }
    }

    #[test]
    fn should_forget_full_buckets_and_never_hold_more_than_it_may() {
        let (limiter, clock) = limiter(100);
        let limits = limits(100, 100);
        for number in 0..1_000_u64 {
            limiter
                .take(&tenant(&format!("t{number}")), &limits, 50 + number % 50)
                .expect("within the burst");
            assert!(limiter.tenants() <= 100);
        }
        // Whoever owes most is remembered longest.
        assert!(limiter.take(&tenant("t999"), &limits, 100).is_err());
        clock.advance(SECOND);
        for _ in 0..60 {
            limiter.take(&tenant("one"), &limits, 0).expect("nothing");
        }
        assert_eq!(limiter.tenants(), 0);
    }

    proptest! {
        /// Whatever comes, no more passes than one full bucket, one request, and the rate times the time.
        #[test]
        fn should_hold_the_rate(
            rate in 1..10_000_u64,
            burst in 1..50_000_u64,
            requests in proptest::collection::vec((0..20_000_u64, 0..3_000_u64), 1..60),
        ) {
            let (limiter, clock) = limiter(10);
            let (a, limits) = (tenant("a"), limits(rate, burst));
            let (mut passed, mut largest) = (0_u64, 0_u64);
            for (bytes, millis) in requests {
                clock.advance(Duration::from_millis(millis));
                match limiter.take(&a, &limits, bytes) {
                    Ok(()) => (passed, largest) = (passed + bytes, largest.max(bytes)),
                    Err(refused) => {
                        // After the time that was said, it passes.
                        clock.advance(refused.retry_after.expect("some time"));
                        prop_assert!(limiter.take(&a, &limits, bytes).is_ok());
                        (passed, largest) = (passed + bytes, largest.max(bytes));
                    }
                }
            }
            let earned = clock.monotonic().as_secs_f64() * rate as f64;
            prop_assert!(passed as f64 <= earned + burst.max(largest) as f64 + 1.0);
        }
    }
}
