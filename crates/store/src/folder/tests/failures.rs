//! Errors say what was done, to what, and what helps; and they leave nothing behind.

use std::io::ErrorKind;

use super::machine::Machine;
use super::*;

fn machine() -> (Machine, FolderStore) {
    let machine = Machine::default();
    let store = machine.process().open().unwrap();
    (machine, store)
}

#[test]
fn should_leave_nothing_behind_when_the_disk_is_full() {
    let (machine, store) = machine();
    put(&store, "a", "1").unwrap();
    machine.disk.set_capacity(10);
    let error = put(&store, "a", "longer than what is left").unwrap_err().to_string();
    assert!(error.contains("cannot write data/store/.siltstone/staged/"), "{error}");
    assert!(error.contains("free some space on this disk"), "{error}");
    assert!(machine.staged().is_empty());
    assert_eq!(text(&store, "a"), "1");
    put(&store, "b", "shorter").unwrap();
}

#[test]
fn should_drop_a_file_whose_sync_failed_and_not_sync_it_again() {
    let (machine, store) = machine();
    machine.disk.fail_syncs(1);
    let error = put(&store, "a", "1").unwrap_err().to_string();
    assert!(error.contains("cannot sync data/store/.siltstone/staged/"), "{error}");
    assert!(machine.staged().is_empty());
    assert!(is_not_found(&get(&store, "a")));
    let log = machine.take_log();
    assert_eq!(log.matches("sync_file").count(), 1, "{log}");
    put(&store, "a", "2").unwrap();
    machine.disk.crash();
    assert_eq!(text(&store, "a"), "2");
}

#[test]
fn should_end_an_upload_whose_sync_failed() {
    let (machine, store) = machine();
    block_on(async {
        let mut upload = store.put_multipart(&key("a")).await.unwrap();
        upload.put_part("one".into()).await.unwrap();
        machine.disk.fail_syncs(1);
        upload.complete().await.unwrap_err();
        assert!(machine.staged().is_empty());
        let error = upload.complete().await.unwrap_err().to_string();
        assert!(error.contains("this upload has ended"), "{error}");
    });
    assert!(is_not_found(&get(&store, "a")));
}

#[test]
fn should_not_acknowledge_a_name_that_is_not_durable() {
    let (machine, store) = machine();
    machine.fail_next("sync_dir", ErrorKind::Other);
    let error = create(&store, "a", "1").unwrap_err().to_string();
    assert!(error.contains("the name data/store/a cannot be brought to the disk"), "{error}");

    // The object is there now, but to say so would be a promise.
    machine.fail_next("sync_dir", ErrorKind::Other);
    let again = create(&store, "a", "1").unwrap_err();
    assert!(matches!(again, object_store::Error::Generic { .. }), "{again}");
    let exists = create(&store, "a", "1").unwrap_err();
    assert!(matches!(exists, object_store::Error::AlreadyExists { .. }), "{exists}");
    machine.disk.crash();
    assert_eq!(text(&store, "a"), "1");
}

#[test]
fn should_not_rely_on_a_directory_whose_parent_was_not_synced() {
    let (machine, store) = machine();
    machine.fail_next("sync_dir", ErrorKind::Other);
    let error = put(&store, "a/b", "1").unwrap_err().to_string();
    assert!(error.contains("cannot sync the directory data/store:"), "{error}");
    put(&store, "a/b", "2").unwrap();
    machine.disk.crash();
    assert_eq!(text(&store, "a/b"), "2");
}

#[test]
fn should_say_what_to_do_when_permission_is_denied() {
    let (machine, store) = machine();
    machine.fail_next("create_file", ErrorKind::PermissionDenied);
    let error = put(&store, "a", "1").unwrap_err();
    assert!(matches!(error, object_store::Error::PermissionDenied { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("let the user that siltstone runs as read and write the folder"), "{error}");

    machine.fail_next("look into", ErrorKind::PermissionDenied);
    let listed: Result<Vec<_>> = block_on(store.list(None).try_collect());
    let error = listed.unwrap_err().to_string();
    assert!(error.contains("cannot list data/store: permission denied"), "{error}");
}

#[test]
fn should_make_directories_again_that_were_removed_by_hand() {
    let (machine, store) = machine();
    put(&store, "a/b/1", "1").unwrap();
    for path in ["data/store/a/b/1", "data/store/a/b", "data/store/a"] {
        machine.disk.remove(path).unwrap();
    }
    put(&store, "a/b/2", "2").unwrap();
    machine.disk.crash();
    assert_eq!(text(&store, "a/b/2"), "2");
}

#[test]
fn should_give_up_when_directories_are_removed_again_and_again() {
    let (machine, store) = machine();
    for _ in 0..3 {
        machine.fail_next("rename", ErrorKind::NotFound);
    }
    let error = put(&store, "a", "1").unwrap_err().to_string();
    assert!(error.contains("cannot give its name to data/store/a"), "{error}");
    assert!(machine.staged().is_empty());
}

#[test]
fn should_say_why_a_folder_cannot_be_opened() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    let error = FolderStore::open(&file).unwrap_err().to_string();
    assert!(error.contains("cannot open the folder") && error.contains("file"), "{error}");
    let error = FolderStore::open("").unwrap_err().to_string();
    assert!(error.contains("cannot open the folder"), "{error}");
    let error = FolderStore::open(file.join("below")).unwrap_err().to_string();
    assert!(error.contains("cannot open the folder"), "{error}");
}
