//! Which traces are kept longer than others.

use std::collections::HashMap;

use siltstone_format::id::TraceId;

use super::Hours;

/// What a table takes of memory for a trace, at most, but while it grows.
const ENTRY_BYTES: usize = 48;

/// There are more than there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany(pub(crate) usize);

#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts {
    keeps: HashMap<TraceId, Hours>,
    longest: Hours,
    most: usize,
    /// Nothing is learned of other traces than those that were added.
    pub(crate) is_restricted: bool,
}

impl Verdicts {
    pub(crate) fn within(bytes: usize) -> Self {
        Self { most: bytes / ENTRY_BYTES, ..Self::default() }
    }

    /// Whether so many traces leave room for as many others.
    pub(crate) fn has_room_for(&self, traces: u64) -> bool {
        traces <= self.most as u64 / 2
    }

    pub(crate) fn of(&self, trace: &TraceId) -> Option<Hours> {
        self.keeps.get(trace).copied()
    }

    /// The most that was said of one.
    pub(crate) fn longest(&self) -> Hours {
        self.longest
    }

    /// A trace is kept so long at least.
    pub(crate) fn add(&mut self, trace: TraceId, hours: Hours) -> Result<(), TooMany> {
        if let Some(known) = self.keeps.get_mut(&trace) {
            *known = hours.max(*known);
        } else if self.keeps.len() < self.most {
            self.keeps.insert(trace, hours);
        } else {
            return Err(TooMany(self.most));
        }
        self.longest = hours.max(self.longest);
        Ok(())
    }

    /// The same of a trace that may be none of those that matter.
    pub(crate) fn learn(&mut self, trace: TraceId, hours: Hours) -> Result<(), TooMany> {
        match self.is_restricted && !self.keeps.contains_key(&trace) {
            true => Ok(()),
            false => self.add(trace, hours),
        }
    }

    /// What a trace is said to get, whatever was said before: no sound way to decide.
    pub(crate) fn forget_others(&mut self, trace: TraceId, hours: Hours) {
        self.keeps.insert(trace, hours);
    }

    pub(crate) fn traces(&self) -> Vec<TraceId> {
        self.keeps.keys().copied().collect()
    }

    /// Those that are kept longer than that; none: there are more than so many.
    pub(crate) fn longer_than(&self, least: Hours, most: usize) -> Option<Vec<TraceId>> {
        let longer = self.keeps.iter().filter(|(_, hours)| **hours > least);
        let traces: Vec<TraceId> = longer.map(|(trace, _)| *trace).take(most.saturating_add(1)).collect();
        (traces.len() <= most).then_some(traces)
    }

    pub(crate) fn len(&self) -> usize {
        self.keeps.len()
    }
}
