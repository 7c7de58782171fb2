//! Reading, uploads, one winner, and opening a folder that was used before.

use std::sync::Barrier;

use object_store::GetRange;

use super::machine::Machine;
use super::*;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place % 251) as u8).collect()
}

#[tokio::test]
async fn should_read_large_objects_piece_by_piece() {
    let (_directory, store) = real();
    let content = pattern(2_500_000);
    store.put(&key("a"), content.clone().into()).await.unwrap();
    let got = store.get(&key("a")).await.unwrap();
    let pieces: Vec<Bytes> = got.into_stream().try_collect().await.unwrap();
    assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [1 << 20, 1 << 20, 2_500_000 - (2 << 20)]);
    assert_eq!(pieces.concat(), content);
    let got = store.get_range(&key("a"), 1_000_000..2_400_000).await.unwrap();
    assert_eq!(got, content[1_000_000..2_400_000]);
}

#[tokio::test]
async fn should_read_ranges_in_any_order_and_refuse_bad_ones() {
    let (_directory, store) = real();
    let content = pattern(1_000_000);
    store.put(&key("a"), content.clone().into()).await.unwrap();
    let ranges = [900_000..1_000_000, 10..20, 0..5, 500_000..500_001, 15..30];
    let got = store.get_ranges(&key("a"), &ranges).await.unwrap();
    for (range, bytes) in ranges.iter().zip(got) {
        assert_eq!(bytes, content[range.start as usize..range.end as usize], "{range:?}");
    }
    let beyond = store.get_ranges(&key("a"), std::slice::from_ref(&(999_999..2_000_000))).await.unwrap();
    assert_eq!(beyond[0], content[999_999..]);
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    for bad in [20..10, 5..5, 1_000_000..1_000_001] {
        store.get_ranges(&key("a"), &[0..1, bad.clone()]).await.unwrap_err();
        store
            .get_opts(&key("a"), GetOptions::new().with_range(Some(GetRange::Bounded(bad))))
            .await
            .unwrap_err();
    }
    assert!(is_not_found(&store.get_ranges(&key("b"), std::slice::from_ref(&(0..1))).await));
}

#[tokio::test]
async fn should_read_to_the_end_what_was_replaced_or_deleted_meanwhile() {
    let (_directory, store) = real();
    let content = pattern(3_000_000);
    for name in ["replaced", "deleted"] {
        store.put(&key(name), content.clone().into()).await.unwrap();
    }
    let replaced = store.get(&key("replaced")).await.unwrap();
    let deleted = store.get(&key("deleted")).await.unwrap();
    store.put(&key("replaced"), "new".into()).await.unwrap();
    store.delete(&key("deleted")).await.unwrap();
    assert_eq!(replaced.bytes().await.unwrap(), content);
    assert_eq!(deleted.bytes().await.unwrap(), content);
    assert_eq!(store.get(&key("replaced")).await.unwrap().bytes().await.unwrap(), "new");
}

#[tokio::test]
async fn should_refuse_versions() {
    let (_directory, store) = real();
    store.put(&key("a"), "1".into()).await.unwrap();
    let error = store.get_opts(&key("a"), GetOptions::new().with_version(Some("1"))).await.unwrap_err();
    assert!(matches!(error, object_store::Error::NotSupported { .. }), "{error}");
}

#[tokio::test]
async fn should_not_complete_an_upload_with_holes() {
    let (_directory, store) = real();
    let mut upload = store.put_multipart(&key("a")).await.unwrap();
    let late = upload.put_part("one".into());
    upload.put_part("two".into()).await.unwrap();
    let error = upload.complete().await.unwrap_err().to_string();
    assert!(error.contains("1 parts of this upload were not written"), "{error}");
    assert!(store.head(&key("a")).await.is_err());
    late.await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(store.get(&key("a")).await.unwrap().bytes().await.unwrap(), "onetwo");
    upload.put_part("three".into()).await.unwrap_err();
    upload.abort().await.unwrap_err();
}

#[tokio::test]
async fn should_keep_an_object_that_is_renamed_to_itself() {
    let (_directory, store) = real();
    store.put(&key("a"), "1".into()).await.unwrap();
    store.rename(&key("a"), &key("a")).await.unwrap();
    let error = store.rename_if_not_exists(&key("a"), &key("a")).await.unwrap_err();
    assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}");
    assert_eq!(store.get(&key("a")).await.unwrap().bytes().await.unwrap(), "1");
}

/// Each thread has the folder open for itself, as a process would.
#[test]
fn should_let_one_of_many_create_a_key() {
    const WRITERS: usize = 8;
    let directory = tempfile::tempdir().unwrap();
    let barrier = Barrier::new(WRITERS);
    for round in 0..20 {
        let name = format!("{round}/a/b");
        let winners: Vec<String> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (barrier, name, path) = (&barrier, &name, directory.path());
                    scope.spawn(move || {
                        let store = FolderStore::open(path).unwrap();
                        let content = format!("writer {writer}");
                        barrier.wait();
                        match create(&store, name, &content) {
                            Ok(_) => Some(content),
                            Err(object_store::Error::AlreadyExists { .. }) => None,
                            Err(error) => panic!("{error}"),
                        }
                    })
                })
                .collect();
            writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect()
        });
        let store = FolderStore::open(directory.path()).unwrap();
        assert_eq!(winners, [text(&store, &name)], "round {round}");
    }
}

#[test]
fn should_clear_away_leftovers_only_when_alone() {
    let (directory, store) = real();
    let root = directory.path().join("store");
    put(&store, "kept/a", "1").unwrap();
    put(&store, "emptied/b/c", "1").unwrap();
    block_on(store.delete(&key("emptied/b/c"))).unwrap();
    let leftover = root.join(".siltstone/staged/1-1");
    std::fs::write(&leftover, "half").unwrap();

    let second = FolderStore::open(&root).unwrap();
    assert!(leftover.exists() && root.join("emptied/b").exists(), "the first one is still there");
    drop(store);
    let third = FolderStore::open(&root).unwrap();
    assert!(leftover.exists() && root.join("emptied/b").exists(), "the second one is still there");
    drop((second, third));

    let alone = FolderStore::open(&root).unwrap();
    assert!(!leftover.exists() && !root.join("emptied").exists());
    assert_eq!(listed(&alone, ""), ["kept/a"]);
    assert_eq!(text(&alone, "kept/a"), "1");
}

#[test]
fn should_leave_alone_a_folder_that_was_not_empty_when_it_became_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let others = ["src/new", ".git/refs/heads"].map(|name| directory.path().join(name));
    others.iter().for_each(|other| std::fs::create_dir_all(other).unwrap());
    for opening in 0..3 {
        let store = FolderStore::open(directory.path()).unwrap();
        put(&store, "a/b", "1").unwrap();
        block_on(store.delete(&key("a/b"))).unwrap();
        assert!(others.iter().all(|other| other.exists()), "opening {opening}");
    }
}

/// Nor because it held nothing but what is hidden.
#[test]
fn should_not_touch_hidden_directories() {
    let directory = tempfile::tempdir().unwrap();
    let (hidden, emptied) = (directory.path().join(".git/refs/heads"), directory.path().join("emptied"));
    std::fs::create_dir_all(&hidden).unwrap();
    drop(FolderStore::open(directory.path()).unwrap());
    std::fs::create_dir(&emptied).unwrap();
    drop(FolderStore::open(directory.path()).unwrap());
    assert!(hidden.exists() && emptied.exists());

    let (directory, store) = real();
    let root = directory.path().join("store");
    put(&store, "a/b", "1").unwrap();
    block_on(store.delete(&key("a/b"))).unwrap();
    drop(store);
    for hidden in [".git/refs/heads", "c/.git/refs"] {
        std::fs::create_dir_all(root.join(hidden)).unwrap();
    }
    drop(FolderStore::open(&root).unwrap());
    assert!(root.join(".git/refs/heads").exists() && root.join("c/.git/refs").exists());
    assert!(!root.join("a").exists());
}

#[test]
fn should_not_touch_another_store_inside_the_folder() {
    let (directory, outer) = real();
    drop(outer);
    let root = directory.path().join("store");
    let inner = FolderStore::open(root.join("a/inner")).unwrap();
    std::fs::create_dir_all(root.join("a/inner/blk/new")).unwrap();
    drop(FolderStore::open(&root).unwrap());
    assert!(root.join("a/inner/blk/new").exists());
    put(&inner, "x", "1").unwrap();
    assert_eq!(text(&inner, "x"), "1");
}

#[test]
fn should_look_at_a_limited_number_of_entries_for_empty_directories() {
    let machine = Machine::default();
    let _store = machine.process().open().unwrap();
    for name in ["a", "a/b", "a/b/c", "d"] {
        machine.disk.create_dir(&format!("data/store/{name}")).unwrap();
    }
    machine.take_log();
    let removed = |mut left| {
        opening::remove_empty_dirs(&machine.process(), Path::new("data/store"), &mut left);
        machine.take_log()
    };
    assert_eq!(removed(0), "");
    assert_eq!(removed(3), "", "`.siltstone`, `a` and `a/b`");
    assert_eq!(removed(4), "remove_dir `a/b/c`\nremove_dir `a/b`\nremove_dir `a`");
    assert_eq!(removed(2), "remove_dir `d`");
}

#[test]
fn should_give_each_staged_file_a_name_that_is_free() {
    let (directory, store) = real();
    let staged = directory.path().join("store/.siltstone/staged");
    for number in 0..3 {
        std::fs::write(staged.join(format!("{}-{number}", std::process::id())), "somebody else's").unwrap();
    }
    put(&store, "a", "1").unwrap();
    assert_eq!(text(&store, "a"), "1");
    assert_eq!(std::fs::read_dir(&staged).unwrap().count(), 3);
}

#[test]
fn should_make_a_folder_with_all_above_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = FolderStore::open(directory.path().join("a/b/c")).unwrap();
    put(&store, "x", "1").unwrap();
    assert!(directory.path().join("a/b/c/x").is_file());
    assert_eq!(store.to_string(), format!("FolderStore({})", directory.path().join("a/b/c").display()));
}
