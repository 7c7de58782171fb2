//! The order of the calls is the proof of what is durable when: a change here is a change of the promise.

use super::machine::Machine;
use super::*;

fn machine() -> (Machine, FolderStore) {
    let machine = Machine::default();
    let store = machine.process().open().unwrap();
    machine.take_log();
    (machine, store)
}

#[test]
fn should_open_a_folder_durably_before_anything_is_put() {
    let machine = Machine::default();
    let _store = machine.process().open().unwrap();
    let expected = "\
create_dir `data`
sync_dir ``
create_dir `data/store`
sync_dir `data`
create_dir `.siltstone`
create_dir `.siltstone/staged`
create_dir `.siltstone/began-empty`";
    assert_eq!(machine.take_log(), expected);
}

#[test]
fn should_sync_file_then_parents_then_directory_before_answering() {
    let (machine, store) = machine();
    create(&store, "a/b/new", "1").unwrap();
    let expected = "\
create_file STAGED
write STAGED
sync_file STAGED
create_dir `a`
sync_dir `data/store`
create_dir `a/b`
sync_dir `a`
link STAGED -> `a/b/new`
sync_dir `a/b`
unlink STAGED";
    assert_eq!(machine.take_log(), expected);
}

#[test]
fn should_not_sync_parents_twice() {
    let (machine, store) = machine();
    put(&store, "a/b/1", "1").unwrap();
    machine.take_log();
    put(&store, "a/b/2", "2").unwrap();
    let expected = "\
create_file STAGED
write STAGED
sync_file STAGED
rename STAGED -> `a/b/2`
sync_dir `a/b`";
    assert_eq!(machine.take_log(), expected);
}

#[test]
fn should_sync_the_parents_of_directories_that_another_process_made() {
    let (machine, first) = machine();
    put(&first, "a/1", "1").unwrap();
    let second = machine.process().open().unwrap();
    machine.take_log();
    put(&second, "a/2", "2").unwrap();
    let expected = "\
create_file STAGED
write STAGED
sync_file STAGED
create_dir `a`
sync_dir `data/store`
rename STAGED -> `a/2`
sync_dir `a`";
    assert_eq!(machine.take_log(), expected);
}

#[test]
fn should_make_what_exists_durable_before_saying_that_it_does() {
    let (machine, store) = machine();
    create(&store, "a", "1").unwrap();
    machine.take_log();
    create(&store, "a", "2").unwrap_err();
    let expected = "\
create_file STAGED
write STAGED
sync_file STAGED
link STAGED -> `a`
sync_dir `data/store`
unlink STAGED";
    assert_eq!(machine.take_log(), expected);
}

#[test]
fn should_sync_an_upload_once_when_it_is_complete() {
    let (machine, store) = machine();
    block_on(async {
        let mut upload = store.put_multipart(&key("a")).await.unwrap();
        upload.put_part("one".into()).await.unwrap();
        upload.put_part("two".into()).await.unwrap();
        upload.complete().await.unwrap();
    });
    let expected = "\
create_file STAGED
write STAGED
write STAGED
sync_file STAGED
rename STAGED -> `a`
sync_dir `data/store`";
    assert_eq!(machine.take_log(), expected);
    assert_eq!(text(&store, "a"), "onetwo");
}

#[test]
fn should_remove_an_upload_that_is_aborted_or_dropped() {
    let (machine, store) = machine();
    block_on(async {
        store.put_multipart(&key("a")).await.unwrap().abort().await.unwrap();
        drop(store.put_multipart(&key("a")).await.unwrap());
    });
    assert_eq!(machine.take_log(), "create_file STAGED\nunlink STAGED\ncreate_file STAGED\nunlink STAGED");
}

#[test]
fn should_make_a_copy_durable_before_a_rename_removes_the_original() {
    let (machine, store) = machine();
    put(&store, "a", "1").unwrap();
    machine.take_log();
    block_on(store.rename(&key("a"), &key("b/c"))).unwrap();
    let expected = "\
create_file STAGED
write STAGED
sync_file STAGED
create_dir `b`
sync_dir `data/store`
rename STAGED -> `b/c`
sync_dir `b`
unlink `a`";
    assert_eq!(machine.take_log(), expected);
}

#[test]
fn should_only_unlink_to_delete() {
    let (machine, store) = machine();
    put(&store, "a/b", "1").unwrap();
    machine.take_log();
    block_on(store.delete(&key("a/b"))).unwrap();
    assert_eq!(machine.take_log(), "unlink `a/b`");
}
