//! A lane: one writer's segments, one after the other. Requests come in under one lock, so that what a
//! segment's log holds is what its columns hold.
//!
//! Large tenants have a lane of their own, which is cut often; small ones are not cut with them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use siltstone_format::id::WriterId;
use siltstone_format::tenant::Tenant;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};

use crate::decode::{DecodeError, Decoded, Rules};
use crate::deletions::Known;
use crate::export::{Admission, Export};
use crate::log::{LaneLog, Record, SegmentName, Ticket};
use crate::queue::Queue;
use crate::segment::Segment;
use crate::service::Shared;

/// Requests up to this size are decoded where they came in; larger ones elsewhere, so that others are not
/// kept waiting for a thread.
const INLINE_BYTES: usize = 1 << 20;

pub(crate) struct Lane {
    pub(crate) kind: LaneKind,
    pub(crate) log: Box<dyn LaneLog>,
    filling: Arc<Mutex<Filling>>,
    /// To be encoded.
    pub(crate) sealed: Queue<Arc<Segment>>,
    /// To be committed.
    pub(crate) encoded: Queue<Arc<Segment>>,
    pub(crate) opened: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneKind {
    /// Tenants that fill blocks by themselves.
    Large,
    /// All others.
    Small,
    /// Segments of earlier incarnations: nothing comes in.
    Replayed,
}

#[derive(Default)]
struct Filling {
    writer: Option<WriterId>,
    next: u64,
    open: Option<Open>,
}

/// The segment that requests go into. It has spans: one that got none is forgotten with its request.
struct Open {
    segment: Arc<Segment>,
    /// Deletions up to this number are known to its spans.
    known_deletions: u64,
    since: Duration,
    spans: u64,
    bytes: usize,
    bytes_of: HashMap<Tenant, usize>,
}

/// A request's way into a segment: it must not be answered before the ticket says so.
pub(crate) struct Taken {
    /// The writer of the segment's log.
    pub(crate) writer: WriterId,
    pub(crate) decoded: Decoded,
    /// What to wait for. None if no span was accepted.
    pub(crate) durable: Option<Ticket>,
}

impl Lane {
    pub(crate) fn new(kind: LaneKind, log: Box<dyn LaneLog>) -> Self {
        Self {
            kind,
            log,
            filling: Arc::default(),
            sealed: Queue::default(),
            encoded: Queue::default(),
            opened: Notify::new(),
        }
    }

    /// Decodes a request into the open segment and its log.
    pub(crate) async fn take(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        export: Export,
        admission: Admission,
        rules: Rules,
    ) -> Result<Taken, DecodeError> {
        let mut filling = Arc::clone(&self.filling).lock_owned().await;
        if export.body.len() <= INLINE_BYTES {
            return self.take_locked(&mut filling, shared, &export, admission, &rules);
        }
        let (lane, shared) = (Arc::clone(self), Arc::clone(shared));
        let taking = tokio::task::spawn_blocking(move || {
            lane.take_locked(&mut filling, &shared, &export, admission, &rules)
        });
        match taking.await {
            Ok(taken) => taken,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn take_locked(
        &self,
        filling: &mut OwnedMutexGuard<Filling>,
        shared: &Shared,
        export: &Export,
        mut admission: Admission,
        rules: &Rules,
    ) -> Result<Taken, DecodeError> {
        let known = shared.deletions.known();
        let open = self.open(filling, shared, &known, &export.tenant);
        // The segment knows all of them.
        let rules = &Rules {
            deleted: known.lately(&export.tenant),
            now_unix_millis: shared.clock.wall_millis(),
            ..rules.clone()
        };
        let writer = open.segment.logged.writer;
        let buffer = open.segment.columns(&export.tenant);
        let mut buffer = buffer.write().unwrap_or_else(PoisonError::into_inner);
        let before = buffer.memory_bytes();
        let decoded = buffer.decode(&export.body, rules);
        let grown = buffer.memory_bytes().saturating_sub(before);
        let is_empty = buffer.columns().is_empty();
        drop(buffer);
        if is_empty {
            // What refused spans have brought along goes, or senders of nothing else would fill the memory.
            open.segment.remove(&export.tenant);
            if open.spans == 0 {
                filling.open = None;
            }
            return Ok(Taken { writer, decoded: decoded?, durable: None });
        }
        open.segment.grow(admission.for_columns(grown), grown);
        shared.live_bytes.add(&export.tenant, grown);
        open.bytes += grown;
        *open.bytes_of.entry(export.tenant.clone()).or_default() += grown;
        let is_full = open.bytes >= shared.config.flush_bytes;
        let decoded = match decoded {
            Ok(decoded) if decoded.accepted > 0 => decoded,
            // Texts of refused spans stay beside those of others, and count.
            nothing => {
                if is_full {
                    self.seal_locked(filling, shared);
                }
                return Ok(Taken { writer, decoded: nothing?, durable: None });
            }
        };
        if open.spans == 0 {
            shared.roster.add(open.segment.logged, Arc::clone(&open.segment));
            self.opened.notify_one();
        }
        open.spans += decoded.accepted;
        open.segment.add_spans(decoded.accepted);
        let record = Record {
            tenant: export.tenant.clone(),
            arrived_unix_millis: shared.clock.wall_millis(),
            known_deletions: open.known_deletions,
            refused: decoded.refused_ordinals.clone(),
            body: admission.hold(export.body.clone()),
        };
        let ticket = self.log.append(open.segment.logged, record);
        if is_full {
            self.seal_locked(filling, shared);
        }
        Ok(Taken { writer, decoded, durable: Some(ticket) })
    }

    /// The segment for spans of a tenant: the open one, or the next.
    fn open<'a>(
        &self,
        filling: &'a mut Filling,
        shared: &Shared,
        known: &Known,
        tenant: &Tenant,
    ) -> &'a mut Open {
        if filling.writer.is_some_and(|writer| !shared.catalog.is_young(writer)) {
            // Even in the midst of a segment: a process that was paused for days may have been taken for dead, and
            // nothing stops an old writer for ever.
            self.leave_locked(filling, shared);
        }
        self.seal_unless_locked(filling, shared, |open| known.is_all_that(open.known_deletions, tenant));
        let Filling { writer, next, open } = filling;
        open.get_or_insert_with(|| {
            let current = *writer.get_or_insert_with(|| {
                *next = 0;
                WriterId(shared.catalog.next_id())
            });
            let name = SegmentName { writer: current, number: *next };
            let known_deletions = known.number;
            let segment = Arc::new(Segment::new(name, known_deletions, shared.budget.empty()));
            let since = shared.clock.elapsed();
            Open { segment, known_deletions, since, spans: 0, bytes: 0, bytes_of: HashMap::new() }
        })
    }

    fn seal_locked(&self, filling: &mut Filling, shared: &Shared) {
        if filling.open.as_ref().is_none_or(|open| open.spans == 0) {
            return;
        }
        let Some(open) = filling.open.take() else { return };
        filling.next += 1;
        shared.tenants.sort(self.kind, &open.bytes_of, shared.config.flush_bytes);
        self.sealed.push(open.segment);
    }

    /// A segment knows the deletions that were known when it was opened. With more of a tenant that it has spans of, or
    /// gets, another one follows.
    fn seal_unless_locked(
        &self,
        filling: &mut Filling,
        shared: &Shared,
        may_go_on: impl FnOnce(&Open) -> bool,
    ) {
        if filling.open.as_ref().is_some_and(|open| !may_go_on(open)) {
            self.seal_locked(filling, shared);
            // If it has no spans.
            filling.open = None;
        }
    }

    /// More deletions are known by now.
    pub(crate) async fn seal_outdated(&self, shared: &Shared) {
        let mut filling = self.filling.lock().await;
        let known = shared.deletions.known();
        self.seal_unless_locked(&mut filling, shared, |open| {
            open.bytes_of.keys().all(|tenant| known.is_all_that(open.known_deletions, tenant))
        });
    }

    /// From now on another writer.
    fn leave_locked(&self, filling: &mut Filling, shared: &Shared) {
        self.seal_locked(filling, shared);
        if let Some(writer) = filling.writer.take() {
            self.log.retire(writer);
        }
    }

    /// Somebody has taken this writer for dead: what it has goes on as it is, what comes has another.
    pub(crate) async fn leave(&self, shared: &Shared, writer: WriterId) {
        let mut filling = self.filling.lock().await;
        if filling.writer == Some(writer) {
            tracing::warn!(%writer, "taken over by another ingester: going on as another writer");
            self.leave_locked(&mut filling, shared);
        }
    }

    /// Nothing has come for a while: the writer ends, if all that it had is committed.
    pub(crate) async fn rest(&self, shared: &Shared) {
        let mut filling = self.filling.lock().await;
        if filling.writer.is_some_and(|writer| !shared.roster.writers().contains(&writer)) {
            self.leave_locked(&mut filling, shared);
        }
    }

    /// A flush of this writer is committed. If it was its last one, the writer has ended.
    pub(crate) async fn forget(&self, shared: &Shared, segment: SegmentName) {
        self.log.forget(segment);
        let filling = self.filling.lock().await;
        if filling.writer != Some(segment.writer) && !shared.roster.writers().contains(&segment.writer) {
            self.log.retire(segment.writer);
        }
    }

    /// The writer that requests come in under.
    pub(crate) async fn writer(&self) -> Option<WriterId> {
        self.filling.lock().await.writer
    }

    /// Ends the open segment, if it has anything.
    pub(crate) async fn seal(&self, shared: &Shared) {
        let mut filling = self.filling.lock().await;
        self.seal_locked(&mut filling, shared);
    }

    /// Ends the open segment if memory is short and it is worth it; not if somebody is at it.
    pub(crate) fn seal_if_worth(&self, shared: &Shared, bytes: usize) {
        if let Ok(mut filling) = self.filling.try_lock()
            && filling.open.as_ref().is_some_and(|open| open.bytes >= bytes)
        {
            self.seal_locked(&mut filling, shared);
        }
    }

    /// Ends the open segment if it is old enough; else says how long it has until then. None: none is open.
    pub(crate) async fn seal_by_age(&self, shared: &Shared, longest: Duration) -> Option<Duration> {
        let mut filling = self.filling.lock().await;
        let open = filling.open.as_ref()?;
        let age = shared.clock.elapsed().saturating_sub(open.since);
        if age < longest {
            return Some(longest - age);
        }
        self.seal_locked(&mut filling, shared);
        None
    }

    /// A root has fenced a writer of this lane: all its segments go on under a new one. What comes has yet another,
    /// so that the log of a writer begins with its first flush: whoever takes it over takes numbers without a log
    /// for flushes of which nothing was acknowledged.
    pub(crate) async fn renew(&self, shared: &Shared, fenced: WriterId, root: u64) {
        let mut filling = self.filling.lock().await;
        if filling.writer == Some(fenced) {
            self.seal_locked(&mut filling, shared);
            // It ends when its last segment is committed: its log may still be on the way.
            filling.writer = None;
        }
        shared.roster.rename(fenced, WriterId(shared.catalog.next_id()), root);
    }
}
