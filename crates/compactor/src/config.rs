//! What a compactor is told: plain values, checked by who read them.

use std::time::Duration;

use siltstone_ask::Retention;

use crate::plan::Policy;

#[derive(Clone, Debug)]
pub struct CompactorConfig {
    /// Jobs at the same time.
    pub jobs: usize,
    /// Memory of all jobs together.
    pub memory_bytes: usize,
    /// Merges have threads of their own. Without, they run where they are awaited, as a simulation needs it.
    pub threads: bool,
    /// How long it waits when there is nothing to do.
    pub idle_pause: Duration,
    /// How often it deletes what nobody needs.
    pub sweep_every: Duration,
    /// So long nobody takes over the job of a compactor that has died.
    pub lease: Duration,
    pub policy: Policy,
    /// How long traces are kept of tenants that have no rules of their own; none: for ever.
    pub retention: Option<Retention>,
}

impl Default for CompactorConfig {
    fn default() -> Self {
        Self {
            jobs: 1,
            memory_bytes: 128 << 20,
            threads: true,
            idle_pause: Duration::from_secs(60),
            sweep_every: Duration::from_secs(600),
            lease: Duration::from_secs(60),
            policy: Policy::default(),
            retention: None,
        }
    }
}
