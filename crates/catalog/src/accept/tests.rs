use siltstone_format::id::BlockId;
use ulid::Ulid;

use super::*;
use crate::test_blocks::{entry_with_block, writer};

fn root() -> Root {
    Root::first(Ulid(1))
}

fn listed(names: &[(WriterId, u64)]) -> BTreeMap<EntryName, StoreTime> {
    names.iter().map(|name| (*name, StoreTime(50))).collect()
}

fn found(writer: WriterId, number: u64, named_at: u64) -> Found {
    let block = BlockId(Ulid::from_parts(named_at, u128::from(number)));
    let content = Ok(Arc::new(entry_with_block(writer, number, block)));
    Found { name: (writer, number), landed: StoreTime(50), content }
}

#[test]
fn should_look_only_at_entries_that_follow_without_a_gap() {
    let (one, two) = (writer(1), writer(2));
    let listed = listed(&[(one, 0), (one, 1), (one, 3), (two, 1)]);
    assert_eq!(candidates(&root(), &listed), [(one, 0), (one, 1)]);
}

#[test]
fn should_pass_over_an_entry_of_the_last_number_that_there_is() {
    let folded = writer(1);
    let mut root = root();
    root.writers.entry(folded).or_insert_with(WriterState::unknown).next = u64::MAX;
    assert_eq!(candidates(&root, &listed(&[(folded, u64::MAX)])), []);
}

#[test]
fn should_pass_over_folded_fenced_and_forgotten_writers() {
    let (folded, fenced) = (writer(1), writer(2));
    let mut root = root();
    root.writers.entry(folded).or_insert_with(WriterState::unknown).next = 2;
    root.writers.entry(fenced).or_insert_with(WriterState::unknown).fenced = true;
    let listed = listed(&[(folded, 0), (folded, 1), (folded, 2), (fenced, 0), (writer(3), 0)]);
    assert_eq!(candidates(&root, &listed), [(folded, 2), (writer(3), 0)]);
    root.forgotten = StoreTime(1_001);
    assert_eq!(candidates(&root, &listed), [(folded, 2)]);
}

#[test]
fn should_refuse_what_lies_below_the_floor_and_all_that_follows() {
    let one = writer(1);
    let mut root = root();
    root.floor = StoreTime(10);
    let accepted = accept(&root, &[found(one, 0, 11), found(one, 1, 9), found(one, 2, 12)]);
    let numbers = |entries: &[Arc<LogEntry>]| entries.iter().map(|entry| entry.number).collect::<Vec<_>>();
    assert_eq!(numbers(&accepted.foldable), [0]);
    assert_eq!(numbers(&accepted.refused), [1]);
    let state = &accepted.writers[&one];
    assert_eq!((state.next, state.fenced), (1, true));
}

#[test]
fn should_show_entries_behind_a_damaged_one_but_not_fold_them() {
    let one = writer(1);
    let damaged = Found { content: Err(Damage::Checksum), ..found(one, 1, 11) };
    let accepted = accept(&root(), &[found(one, 0, 11), damaged, found(one, 2, 11)]);
    assert_eq!((accepted.visible.len(), accepted.foldable.len()), (2, 1));
    assert_eq!(accepted.damaged[0].number, 1);
    assert_eq!(accepted.writers[&one].next, 1);
    assert_eq!(accepted.seen[&one], 3);
}
