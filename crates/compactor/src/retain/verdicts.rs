//! How long traces are kept, as far as something was said of them: one table, which has its room from the beginning.

use std::collections::HashMap;

use siltstone_format::id::TraceId;

use super::Hours;

/// What a table takes of memory for a place. Of eight places seven are filled at most, and there are as many as a power
/// of two: 24 bytes a trace in a full table, and never more than 48 for as many traces as it was made for.
const PLACE_BYTES: usize = size_of::<(TraceId, Hours)>() + 1;

/// Room is made at once for so many traces: a block that says it has more is not taken at its word.
const MOST_RESERVED: usize = 1 << 22;

#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts {
    keeps: HashMap<TraceId, Hours>,
    longest: Hours,
    most: usize,
    is_full: bool,
    /// Nothing is learned of other traces than those that were added.
    pub(crate) is_restricted: bool,
}

/// Of how many traces a table may tell that takes so many bytes.
pub(crate) fn room_within(bytes: usize) -> usize {
    let places = (bytes / PLACE_BYTES).max(1);
    ((1 << places.ilog2()) / 8 * 7).max(1)
}

impl Verdicts {
    /// Of so many traces at most, whichever they are.
    pub(crate) fn of_any(most: usize) -> Self {
        Self { keeps: HashMap::with_capacity(most.min(MOST_RESERVED)), most, ..Self::default() }
    }

    /// Of so many traces at most, and only of those that are added.
    pub(crate) fn of_added(most: usize) -> Self {
        Self { is_restricted: true, ..Self::of_any(most) }
    }

    /// Whether something was said of more traces than there is room for: the table tells nothing then.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(crate) fn of(&self, trace: &TraceId) -> Option<Hours> {
        self.keeps.get(trace).copied()
    }

    /// The most that was said of one.
    pub(crate) fn longest(&self) -> Hours {
        self.longest
    }

    /// A trace is kept so long at least.
    pub(crate) fn add(&mut self, trace: TraceId, hours: Hours) {
        if let Some(known) = self.keeps.get_mut(&trace) {
            *known = hours.max(*known);
        } else if self.keeps.len() < self.most {
            self.keeps.insert(trace, hours);
        } else {
            self.is_full = true;
            return;
        }
        self.longest = hours.max(self.longest);
    }

    /// The same of a trace that may be none of those that matter.
    pub(crate) fn learn(&mut self, trace: TraceId, hours: Hours) {
        if !self.is_restricted || self.keeps.contains_key(&trace) {
            self.add(trace, hours);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(number: usize) -> TraceId {
        TraceId((number as u128).to_be_bytes())
    }

    #[test]
    fn should_take_24_bytes_of_a_trace_and_never_grow() {
        for bytes in [1_000, 4_000, 100_000, 1 << 20, 8 << 20] {
            let room = room_within(bytes);
            let mut verdicts = Verdicts::of_any(room);
            // Capacity is seven eighths of the places.
            let places = verdicts.keeps.capacity() / 7 * 8;
            assert!(
                places * PLACE_BYTES <= bytes && places * PLACE_BYTES <= room * 24,
                "{places} for {room}"
            );
            (0..room).for_each(|number| verdicts.add(trace(number), Hours::default()));
            assert_eq!((verdicts.keeps.capacity(), verdicts.len(), verdicts.is_full()), (room, room, false));
            verdicts.add(trace(0), Hours::FOREVER);
            assert!(!verdicts.is_full() && verdicts.longest() == Hours::FOREVER);
            verdicts.add(trace(room), Hours::default());
            assert!(verdicts.is_full() && verdicts.keeps.capacity() == room);
        }
        assert_eq!(room_within(32 << 20), 917_504);
    }

    #[test]
    fn should_learn_of_others_only_where_it_is_about_any() {
        let mut some = Verdicts::of_added(2);
        some.add(trace(1), Hours::default());
        (0..9).for_each(|number| some.learn(trace(number), Hours::FOREVER));
        assert_eq!((some.len(), some.of(&trace(1)), some.is_full()), (1, Some(Hours::FOREVER), false));
    }
}
