//! Which log entries are part of the data: the one rule that folding and every reader
//! apply, so that both see the same.
//!
//! Of each writer the entries that follow the folded ones without a gap. An entry with
//! a block named before the floor is refused, and its writer fenced: whoever sweeps
//! orphans may have taken the block already. A damaged entry counts by its name:
//! readers pass over it and say so, folding waits in front of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use siltstone_format::id::WriterId;

use crate::log_entry::LogEntry;
use crate::message::Damage;
use crate::planted::{Bug, planted};
use crate::root::{Root, WriterState};
use crate::time::{StoreTime, drawn_at};

/// An entry's name.
pub(crate) type EntryName = (WriterId, u64);

/// An entry as found in the store.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) name: EntryName,
    pub(crate) landed: StoreTime,
    pub(crate) content: Result<Arc<LogEntry>, Damage>,
}

/// An entry that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedEntry {
    pub writer: WriterId,
    pub number: u64,
    pub damage: Damage,
}

/// What the log adds to a root.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accepted {
    /// Part of the data.
    pub(crate) visible: Vec<Arc<LogEntry>>,
    /// Those of them that may be folded.
    pub(crate) foldable: Vec<Arc<LogEntry>>,
    /// Not part of the data, now or ever.
    pub(crate) refused: Vec<Arc<LogEntry>>,
    pub(crate) damaged: Vec<DamagedEntry>,
    /// Writers as they are after folding.
    pub(crate) writers: BTreeMap<WriterId, WriterState>,
    /// For each writer: entries below this number are seen.
    pub(crate) seen: BTreeMap<WriterId, u64>,
}

/// Names of the entries that a root's readers must look at: of each writer those that
/// follow the folded ones without a gap.
pub(crate) fn candidates(root: &Root, listed: &BTreeMap<EntryName, StoreTime>) -> Vec<EntryName> {
    let mut next: BTreeMap<WriterId, u64> = BTreeMap::new();
    let mut names = Vec::new();
    for (writer, number) in listed.keys() {
        if is_fenced(root, *writer) {
            continue;
        }
        let expected =
            next.entry(*writer).or_insert_with(|| root.writers.get(writer).map_or(0, |state| state.next));
        if number == expected || (planted(Bug::Gaps) && number > expected) {
            // No writer comes so far: what follows the last number has no name.
            let Some(after) = number.checked_add(1) else { continue };
            names.push((*writer, *number));
            *expected = after;
        }
    }
    names
}

/// Whether entries of a writer are void: it was fenced, or it was forgotten. A writer
/// that the root does not know is a new one, or one so old that it was forgotten.
pub(crate) fn is_fenced(root: &Root, writer: WriterId) -> bool {
    match root.writers.get(&writer) {
        Some(state) => state.fenced,
        None => drawn_at(writer.0) < root.forgotten && !planted(Bug::ForgottenWriters),
    }
}

/// Applies the rule to the candidates, in the order of their names.
pub(crate) fn accept(root: &Root, found: &[Found]) -> Accepted {
    let mut accepted = Accepted { writers: root.writers.clone(), ..Accepted::default() };
    accepted.seen = root.writers.iter().map(|(writer, state)| (*writer, state.next)).collect();
    for of_writer in found.chunk_by(|one, next| one.name.0 == next.name.0) {
        accept_writer(root, of_writer, &mut accepted);
    }
    accepted
}

fn accept_writer(root: &Root, found: &[Found], accepted: &mut Accepted) {
    let Some(writer) = found.first().map(|first| first.name.0) else { return };
    let mut state = root.writers.get(&writer).cloned().unwrap_or_else(WriterState::unknown);
    let mut passed_damage = false;
    for entry in found {
        let number = entry.name.1;
        match &entry.content {
            Err(damage) => {
                passed_damage = true;
                accepted.damaged.push(DamagedEntry { writer, number, damage: damage.clone() });
            }
            Ok(content) => {
                let content = &without_taken(root, content);
                let below_floor = content.oldest_block().is_some_and(|oldest| oldest < root.floor);
                if below_floor && !planted(Bug::NoFence) {
                    if !passed_damage {
                        accepted.refused.push(Arc::clone(content));
                        state.fenced = true;
                    }
                    break;
                }
                accepted.visible.push(Arc::clone(content));
                if !passed_damage {
                    accepted.foldable.push(Arc::clone(content));
                }
            }
        }
        accepted.seen.insert(writer, number.saturating_add(1));
        if !passed_damage {
            state.next = number.saturating_add(1);
            state.last_entry = state.last_entry.max(entry.landed);
        }
    }
    accepted.writers.insert(writer, state);
}

/// The entry without blocks that a rebuild found in the store and took in already.
fn without_taken(root: &Root, entry: &Arc<LogEntry>) -> Arc<LogEntry> {
    if !entry.blocks.iter().any(|block| root.taken.contains(&block.id())) {
        return Arc::clone(entry);
    }
    let mut rest = LogEntry::clone(entry);
    rest.blocks.retain(|block| !root.taken.contains(&block.id()));
    Arc::new(rest)
}

#[cfg(test)]
mod tests;
