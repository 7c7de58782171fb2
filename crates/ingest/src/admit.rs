//! Whether a request may go on, asked twice: before its body is read, and when it is known.
//!
//! Before: a tenant that owes bytes is turned away, then room is reserved, waiting a little. After: who sends
//! what is stored already is answered from memory; for anything else the tenant's bucket pays. Invariant: who is
//! refused has cost neither bytes of the bucket nor room that stays.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use siltstone_format::tenant::Tenant;

use crate::budget::{Budget, Reservation};
use crate::export::{Export, Refused};
use crate::limits::{Limits, RateLimiter, TenantLimits};
use crate::seen::{Look, Seen};

pub struct Gate {
    limits: RwLock<Arc<TenantLimits>>,
    rate: RateLimiter,
    budget: Budget,
    seen: Seen,
    /// How long a request waits for room.
    patience: Duration,
}

impl Gate {
    pub fn new(
        limits: TenantLimits,
        rate: RateLimiter,
        budget: Budget,
        seen: Seen,
        patience: Duration,
    ) -> Self {
        Self { limits: RwLock::new(Arc::new(limits)), rate, budget, seen, patience }
    }

    /// What holds for a tenant now.
    pub fn limits(&self, tenant: &Tenant) -> Limits {
        self.limits.read().unwrap_or_else(PoisonError::into_inner).of(tenant).clone()
    }

    /// What holds from now on, for whom it concerns.
    pub fn replace_limits(&self, limits: TenantLimits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }

    /// Room for a request of which nothing has been read yet.
    pub async fn room(&self, tenant: &Tenant, bytes: usize) -> Result<Reservation, Refused> {
        self.rate.take(tenant, &self.limits(tenant), 0)?;
        Ok(self.budget.reserve(bytes, self.patience).await?)
    }

    /// Whether a request is to be worked on; waits while the same one is in work.
    pub async fn look(&self, export: &Export) -> Result<Look, Refused> {
        let look = self.seen.look(&export.tenant, &export.body).await;
        if let Look::First(_) = look {
            // A turn that is dropped here passes to whoever waits for it.
            let bytes = u64::try_from(export.body.len()).unwrap_or(u64::MAX);
            self.rate.take(&export.tenant, &self.limits(&export.tenant), bytes)?;
        }
        Ok(look)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt;
    use siltstone_testkit::VirtualClock;

    use super::*;
    use crate::export::Accepted;
    use crate::seen::Memory;
    use crate::test_clock::TestClock;

    fn gate(limits: Limits, room: usize) -> (Gate, VirtualClock) {
        let clock = VirtualClock::starting_at(0);
        let shared = Arc::new(TestClock(clock.clone()));
        let limits = TenantLimits { everybody: limits, ..TenantLimits::default() };
        let gate = Gate::new(
            limits,
            RateLimiter::new(shared.clone(), 10),
            Budget::new(room, shared.clone()),
            Seen::new(Memory::default(), 1, shared),
            Duration::from_millis(100),
        );
        (gate, clock)
    }

    fn slow() -> Limits {
        Limits { bytes_per_second: 10, burst_bytes: 10, ..Limits::default() }
    }

    fn export(body: &'static [u8]) -> Export {
        Export { tenant: Tenant::single(), body: Bytes::from_static(body) }
    }

    fn look(gate: &Gate, body: &'static [u8]) -> Result<Look, Refused> {
        gate.look(&export(body)).now_or_never().expect("nobody else works on it")
    }

    #[test]
    fn should_turn_away_who_owes_bytes_before_a_body_is_read() {
        let (gate, clock) = gate(slow(), 1_000);
        let room = |bytes| gate.room(&Tenant::single(), bytes).now_or_never().expect("there is room");
        drop(room(500).expect("owes nothing"));
        assert!(matches!(look(&gate, b"a body of twenty byt"), Ok(Look::First(_))));
        assert!(matches!(room(1), Err(Refused::Limit(exceeded)) if exceeded.retry_after.is_some()));
        assert_eq!(gate.budget.used(), 0);
        clock.advance(Duration::from_secs(1));
        drop(room(1).expect("paid back"));
    }

    #[test]
    fn should_wait_a_little_for_room_and_then_say_that_there_is_none() {
        let (gate, clock) = gate(Limits::default(), 1_000);
        let held = gate.budget.try_reserve(1_000).expect("room");
        let tenant = Tenant::single();
        let mut waits = Box::pin(gate.room(&tenant, 10));
        assert!(waits.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_millis(100));
        let refused = waits.as_mut().now_or_never().expect("no longer");
        assert!(matches!(refused, Err(Refused::Overloaded { .. })));
        drop(held);
    }

    #[test]
    fn should_let_a_retry_cost_nothing_and_a_refusal_neither() {
        let (gate, clock) = gate(slow(), 1_000);
        let Ok(Look::First(turn)) = look(&gate, b"ten bytes.") else { panic!("within the burst") };
        turn.done(&Accepted { spans: 1, ..Accepted::default() });
        for _ in 0..10 {
            assert!(matches!(look(&gate, b"ten bytes."), Ok(Look::Known(known)) if known.spans == 1));
        }
        assert!(matches!(look(&gate, b"and ten mo"), Err(Refused::Limit(_))));
        // The refused one is not in work any more.
        assert_eq!(gate.seen.len(), 1);
        clock.advance(Duration::from_secs(1));
        assert!(matches!(look(&gate, b"and ten mo"), Ok(Look::First(_))));
    }

    #[test]
    fn should_hold_new_limits_from_then_on() {
        let (gate, _) = gate(slow(), 1_000);
        drop(look(&gate, b"twenty bytes, or so.").expect("from a full bucket"));
        assert!(look(&gate, b"another body").is_err());
        gate.replace_limits(TenantLimits::default());
        assert!(look(&gate, b"another body").is_ok());
        assert_eq!(gate.limits(&Tenant::single()), Limits::default());
    }
}
