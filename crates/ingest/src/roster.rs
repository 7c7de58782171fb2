//! Which segments are live, under which names, and what is committed: all that an answer must say of one
//! moment, under one lock.
//!
//! A segment stands here from before its first request is acknowledged until its flush is known to be
//! committed. Its name changes only if its writer was fenced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use siltstone_format::id::WriterId;

use crate::log::SegmentName;
use crate::segment::Segment;

#[derive(Default)]
pub(crate) struct Roster {
    state: Mutex<Moment>,
}

/// What is live and what is committed at one moment.
#[derive(Clone, Default)]
pub(crate) struct Moment {
    pub(crate) live: Vec<Live>,
    /// Of each writer, the number after its last committed flush.
    pub(crate) committed: BTreeMap<WriterId, u64>,
    /// The newest root that fenced one of our writers.
    pub(crate) min_root: u64,
}

#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) name: SegmentName,
    pub(crate) segment: Arc<Segment>,
}

/// Writers whose last commit is remembered: more than a process has within a snapshot's life.
const REMEMBERED_WRITERS: usize = 64;

impl Roster {
    pub(crate) fn moment(&self) -> Moment {
        self.state().clone()
    }

    pub(crate) fn add(&self, name: SegmentName, segment: Arc<Segment>) {
        self.state().live.push(Live { name, segment });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state().live.is_empty()
    }

    /// Under which names its segments will be found, in the catalog and in the log.
    pub(crate) fn writers(&self) -> BTreeSet<WriterId> {
        let state = self.state();
        let names = state.live.iter().flat_map(|live| [live.name.writer, live.segment.logged.writer]);
        names.collect()
    }

    pub(crate) fn name_of(&self, segment: &Arc<Segment>) -> Option<SegmentName> {
        self.state().live.iter().find(|live| Arc::ptr_eq(&live.segment, segment)).map(|live| live.name)
    }

    /// The flush of a segment is part of the catalog: from now on readers find its spans there.
    pub(crate) fn commit(&self, segment: &Arc<Segment>) {
        let mut state = self.state();
        let Some(index) = state.live.iter().position(|live| Arc::ptr_eq(&live.segment, segment)) else {
            return;
        };
        let name = state.live.remove(index).name;
        state.committed.insert(name.writer, name.number + 1);
        let live: Vec<WriterId> = state.live.iter().map(|live| live.name.writer).collect();
        while state.committed.len() > REMEMBERED_WRITERS {
            // Ids ascend with time: the first is the oldest.
            let Some(oldest) = state.committed.keys().find(|writer| !live.contains(writer)).copied() else {
                break;
            };
            state.committed.remove(&oldest);
        }
    }

    /// Somebody else has it, or it has nothing.
    pub(crate) fn remove(&self, segment: &Arc<Segment>) {
        self.state().live.retain(|live| !Arc::ptr_eq(&live.segment, segment));
    }

    /// A root has fenced a writer: its segments go on as the first ones of another.
    pub(crate) fn rename(&self, fenced: WriterId, writer: WriterId, root: u64) {
        let mut state = self.state();
        state.min_root = state.min_root.max(root);
        let renamed = state.live.iter_mut().filter(|live| live.name.writer == fenced);
        renamed.zip(0..).for_each(|(live, number)| live.name = SegmentName { writer, number });
    }

    fn state(&self) -> MutexGuard<'_, Moment> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
