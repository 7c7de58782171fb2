//! One log segment in memory: what one flush will commit, tenant by tenant.
//!
//! ```text
//! filling ──seal──▶ sealed ──encode──▶ blocks ──commit──▶ gone
//! ```
//!
//! Who reads holds what it reads by reference: a part may become a block, and the segment may be committed,
//! while somebody reads on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use siltstone_format::tenant::Tenant;

use crate::budget::Reservation;
use crate::buffer::Buffer;
use crate::log::SegmentName;
use crate::spool::SpooledBlock;

pub(crate) struct Segment {
    /// Its name in the log; a fenced writer's segment is committed under another.
    pub(crate) logged: SegmentName,
    /// It was written by an earlier incarnation: whether it is committed must be looked up.
    pub(crate) replayed: bool,
    /// Deletions up to this number were known to who accepted its spans.
    known_deletions: AtomicU64,
    /// [`siltstone_catalog::time::Clock::elapsed`] from before its first block was named.
    named: Mutex<Option<Duration>>,
    parts: Mutex<BTreeMap<Tenant, Part>>,
    /// Whether its entry may be on its way to the log.
    sent: AtomicBool,
    /// How many it has, those too that nobody was told of.
    spans: AtomicU64,
    /// The memory of its columns.
    room: Mutex<Option<Reservation>>,
}

/// What a segment has of one tenant.
#[derive(Clone)]
pub(crate) enum Part {
    Columns(Arc<RwLock<Buffer>>),
    Block(Arc<SpooledBlock>),
}

impl Segment {
    /// A segment that requests go into.
    pub(crate) fn new(logged: SegmentName, known_deletions: u64, room: Reservation) -> Self {
        Self::of(logged, false, known_deletions, room)
    }

    /// One that records of a log go into, which say what was known.
    pub(crate) fn replayed(logged: SegmentName, room: Reservation) -> Self {
        Self::of(logged, true, u64::MAX, room)
    }

    fn of(logged: SegmentName, replayed: bool, known_deletions: u64, room: Reservation) -> Self {
        let room = Mutex::new(Some(room));
        Self {
            logged,
            replayed,
            known_deletions: AtomicU64::new(known_deletions),
            named: Mutex::default(),
            parts: Mutex::default(),
            sent: AtomicBool::new(false),
            spans: AtomicU64::new(0),
            room,
        }
    }

    /// One of its records knows no more deletions than that.
    pub(crate) fn limit_known_deletions(&self, known: u64) {
        self.known_deletions.fetch_min(known, Ordering::Relaxed);
    }

    pub(crate) fn known_deletions(&self) -> u64 {
        match self.known_deletions.load(Ordering::Relaxed) {
            // It has no record.
            u64::MAX => 0,
            known => known,
        }
    }

    /// To be told before a block is named; the first one counts.
    pub(crate) fn name_blocks(&self, elapsed: Duration) {
        held(&self.named).get_or_insert(elapsed);
    }

    /// What [`siltstone_catalog::Catalog::commit`] must know.
    pub(crate) fn opened(&self) -> Option<Duration> {
        held(&self.named).filter(|_| !self.replayed)
    }

    /// Its columns take so many bytes more, of which some are reserved.
    pub(crate) fn grow(&self, reserved: Reservation, bytes: usize) {
        if let Some(room) = &mut *held(&self.room) {
            room.grow_anyway(bytes.saturating_sub(reserved.bytes()));
            room.absorb(reserved);
        }
    }

    pub(crate) fn add_spans(&self, spans: u64) {
        self.spans.fetch_add(spans, Ordering::Relaxed);
    }

    pub(crate) fn spans(&self) -> u64 {
        self.spans.load(Ordering::Relaxed)
    }

    /// Its columns are gone.
    pub(crate) fn release(&self) {
        held(&self.room).take();
    }

    pub(crate) fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn send(&self) {
        self.sent.store(true, Ordering::Relaxed);
    }

    /// Its writer was fenced: other blocks, another commit.
    pub(crate) fn start_again(&self, named: Duration) {
        *held(&self.named) = Some(named);
        self.sent.store(false, Ordering::Relaxed);
    }

    /// Its blocks, once it is encoded.
    pub(crate) fn blocks(&self) -> Vec<Arc<SpooledBlock>> {
        let parts = self.parts();
        let blocks = parts.values().filter_map(|part| match part {
            Part::Block(block) => Some(Arc::clone(block)),
            Part::Columns(_) => None,
        });
        blocks.collect()
    }

    pub(crate) fn part(&self, tenant: &Tenant) -> Option<Part> {
        self.parts().get(tenant).cloned()
    }

    pub(crate) fn all_parts(&self) -> Vec<(Tenant, Part)> {
        self.parts().iter().map(|(tenant, part)| (tenant.clone(), part.clone())).collect()
    }

    /// The columns of a tenant, for as long as the segment is filling.
    pub(crate) fn columns(&self, tenant: &Tenant) -> Arc<RwLock<Buffer>> {
        let mut parts = self.parts();
        if let Some(Part::Columns(buffer)) = parts.get(tenant) {
            return Arc::clone(buffer);
        }
        let buffer = Arc::<RwLock<Buffer>>::default();
        parts.insert(tenant.clone(), Part::Columns(Arc::clone(&buffer)));
        buffer
    }

    pub(crate) fn put(&self, tenant: Tenant, part: Part) {
        self.parts().insert(tenant, part);
    }

    pub(crate) fn remove(&self, tenant: &Tenant) {
        self.parts().remove(tenant);
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<Tenant, Part>> {
        held(&self.parts)
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
