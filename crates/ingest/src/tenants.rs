//! Which lane a tenant is in, and how much it has in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use siltstone_format::tenant::Tenant;

use crate::lane::LaneKind;

/// Tenants that fill a good part of a block by themselves.
#[derive(Default)]
pub(crate) struct LargeTenants {
    large: Mutex<std::collections::HashSet<Tenant>>,
}

impl LargeTenants {
    pub(crate) fn lane_of(&self, tenant: &Tenant) -> LaneKind {
        if self.large().contains(tenant) { LaneKind::Large } else { LaneKind::Small }
    }

    /// Learns from a segment that was sealed: a tenant with a quarter of a block is large, and small again
    /// once it brings less than a sixteenth.
    pub(crate) fn sort(&self, kind: LaneKind, bytes_of: &HashMap<Tenant, usize>, flush_bytes: usize) {
        let mut large = self.large();
        match kind {
            LaneKind::Small => {
                let grown = bytes_of.iter().filter(|(_, bytes)| **bytes >= flush_bytes / 4);
                large.extend(grown.map(|(tenant, _)| tenant.clone()));
            }
            LaneKind::Large => {
                large.retain(|tenant| bytes_of.get(tenant).copied().unwrap_or(0) >= flush_bytes / 16);
            }
            LaneKind::Replayed => {}
        }
    }

    fn large(&self) -> MutexGuard<'_, std::collections::HashSet<Tenant>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes in columns, by tenant.
#[derive(Default)]
pub(crate) struct LiveBytes {
    bytes: Mutex<HashMap<Tenant, usize>>,
}

impl LiveBytes {
    pub(crate) fn of(&self, tenant: &Tenant) -> usize {
        self.bytes().get(tenant).copied().unwrap_or(0)
    }

    pub(crate) fn add(&self, tenant: &Tenant, bytes: usize) {
        let mut all = self.bytes();
        match all.get_mut(tenant) {
            Some(sum) => *sum += bytes,
            None => drop(all.insert(tenant.clone(), bytes)),
        }
    }

    pub(crate) fn remove(&self, tenant: &Tenant, bytes: usize) {
        let mut all = self.bytes();
        if let Some(sum) = all.get_mut(tenant) {
            *sum = sum.saturating_sub(bytes);
            if *sum == 0 {
                all.remove(tenant);
            }
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.bytes().values().sum()
    }

    fn bytes(&self) -> MutexGuard<'_, HashMap<Tenant, usize>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
