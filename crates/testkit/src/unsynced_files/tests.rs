//! What survives a crash and what does not, for content and entries separately.

use super::*;

/// A directory `wal` on the disk.
fn files() -> UnsyncedFiles {
    let files = UnsyncedFiles::default();
    files.create_dir("wal").unwrap();
    files.sync_dir("").unwrap();
    files
}

fn text(files: &UnsyncedFiles, path: &str) -> Option<String> {
    files.read(path).ok().map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn should_lose_what_was_appended_after_the_last_sync() {
    let files = files();
    files.create("wal/0").unwrap();
    files.append("wal/0", b"one").unwrap();
    files.sync_file("wal/0").unwrap();
    files.sync_dir("wal").unwrap();
    files.append("wal/0", b"two").unwrap();
    assert_eq!(text(&files, "wal/0").as_deref(), Some("onetwo"));
    files.crash();
    assert_eq!(text(&files, "wal/0").as_deref(), Some("one"));
}

#[test]
fn should_keep_content_and_entries_apart() {
    let files = files();
    for name in ["wal/content", "wal/entry"] {
        files.create(name).unwrap();
        files.append(name, b"x").unwrap();
    }
    files.sync_file("wal/content").unwrap();
    files.crash();
    assert!(files.list("wal").unwrap().is_empty(), "no entry leads to the synced content");

    files.create("wal/entry").unwrap();
    files.append("wal/entry", b"x").unwrap();
    files.sync_dir("wal").unwrap();
    files.crash();
    assert_eq!(
        text(&files, "wal/entry").as_deref(),
        Some(""),
        "the entry leads to content that was not synced"
    );
}

#[test]
fn should_undo_a_rename_that_was_not_synced() {
    let files = files();
    for (name, content) in [("wal/old", b"old"), ("wal/new", b"new")] {
        files.create(name).unwrap();
        files.append(name, content).unwrap();
        files.sync_file(name).unwrap();
    }
    files.sync_dir("wal").unwrap();
    files.rename("wal/new", "wal/old").unwrap();
    assert_eq!(text(&files, "wal/old").as_deref(), Some("new"));
    files.crash();
    assert_eq!(files.list("wal").unwrap(), ["new", "old"]);
    assert_eq!(text(&files, "wal/old").as_deref(), Some("old"));
    files.rename("wal/new", "wal/old").unwrap();
    files.sync_dir("wal").unwrap();
    files.crash();
    assert_eq!(files.list("wal").unwrap(), ["old"]);
    assert_eq!(text(&files, "wal/old").as_deref(), Some("new"));
}

#[test]
fn should_keep_a_file_under_the_names_that_were_synced() {
    let files = files();
    files.create("wal/staged").unwrap();
    files.append("wal/staged", b"x").unwrap();
    files.sync_file("wal/staged").unwrap();
    files.sync_dir("wal").unwrap();
    files.create("wal/taken").unwrap();
    assert_eq!(files.link("wal/staged", "wal/taken").unwrap_err().kind(), io::ErrorKind::AlreadyExists);

    files.link("wal/staged", "wal/0").unwrap();
    assert_eq!(text(&files, "wal/0").as_deref(), Some("x"));
    files.crash();
    assert_eq!(files.list("wal").unwrap(), ["staged"]);

    files.link("wal/staged", "wal/0").unwrap();
    files.remove("wal/staged").unwrap();
    files.sync_dir("wal").unwrap();
    files.crash();
    assert_eq!(files.list("wal").unwrap(), ["0"]);
    assert_eq!(text(&files, "wal/0").as_deref(), Some("x"));
}

#[test]
fn should_bring_back_what_was_removed_and_not_synced() {
    let files = files();
    files.create("wal/0").unwrap();
    files.sync_dir("wal").unwrap();
    files.remove("wal/0").unwrap();
    assert!(!files.exists("wal/0"));
    files.crash();
    assert!(files.exists("wal/0"));
    files.remove("wal/0").unwrap();
    files.sync_dir("wal").unwrap();
    files.crash();
    assert!(!files.exists("wal/0"));
}

#[test]
fn should_lose_a_directory_with_all_that_is_in_it() {
    let files = files();
    files.create_dir("wal/deep").unwrap();
    files.create("wal/deep/0").unwrap();
    files.sync_file("wal/deep/0").unwrap();
    files.sync_dir("wal/deep").unwrap();
    files.crash();
    assert!(!files.exists("wal/deep"));
    assert_eq!(locked(&files.disk).nodes.len(), 2, "root and wal");
}

#[test]
fn should_lose_overwritten_and_cut_content_only_with_a_sync() {
    let files = files();
    files.create("wal/0").unwrap();
    files.append("wal/0", b"0123456789").unwrap();
    files.sync_file("wal/0").unwrap();
    files.sync_dir("wal").unwrap();
    files.write_at("wal/0", 8, b"abcd").unwrap();
    assert_eq!(text(&files, "wal/0").as_deref(), Some("01234567abcd"));
    files.truncate("wal/0", 4).unwrap();
    assert_eq!(text(&files, "wal/0").as_deref(), Some("0123"));
    files.write_at("wal/0", 6, b"x").unwrap();
    assert_eq!(text(&files, "wal/0").as_deref(), Some("0123\0\0x"));
    files.crash();
    assert_eq!(text(&files, "wal/0").as_deref(), Some("0123456789"));
}

#[test]
fn should_leave_the_disk_alone_when_a_sync_fails() {
    let files = files();
    files.create("wal/0").unwrap();
    files.sync_dir("wal").unwrap();
    files.append("wal/0", b"x").unwrap();
    files.fail_syncs(1);
    assert!(files.sync_file("wal/0").is_err());
    files.crash();
    assert_eq!(text(&files, "wal/0").as_deref(), Some(""));
    assert!(files.sync_file("wal/0").is_ok());
}

#[test]
fn should_refuse_to_write_when_full() {
    let files = files();
    files.create("wal/0").unwrap();
    files.set_capacity(4);
    files.append("wal/0", b"123").unwrap();
    assert_eq!(files.append("wal/0", b"45").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(files.write_at("wal/0", 3, b"45").unwrap_err().kind(), io::ErrorKind::StorageFull);
    files.write_at("wal/0", 2, b"ab").unwrap();
    assert_eq!(text(&files, "wal/0").as_deref(), Some("12ab"));
    files.remove("wal/0").unwrap();
    files.create("wal/1").unwrap();
    files.append("wal/1", b"1234").unwrap();
}

#[test]
fn should_keep_some_of_what_was_not_synced_by_seed() {
    let crashed = |seed| {
        let files = files();
        files.create("wal/0").unwrap();
        files.append("wal/0", b"synced").unwrap();
        files.sync_file("wal/0").unwrap();
        files.sync_dir("wal").unwrap();
        files.append("wal/0", b"unsynced").unwrap();
        files.create("wal/1").unwrap();
        files.crash_keeping_some(seed);
        let seen = (text(&files, "wal/0").unwrap(), files.exists("wal/1"));
        files.crash();
        assert_eq!((text(&files, "wal/0").unwrap(), files.exists("wal/1")), seen, "now it is on the disk");
        seen
    };
    let outcomes: Vec<_> = (0..200).map(crashed).collect();
    assert_eq!(crashed(3), outcomes[3]);
    assert!(outcomes.iter().all(|(content, _)| content.starts_with("synced") && content.len() <= 14));
    assert!(outcomes.iter().any(|(content, _)| content == "synced"));
    assert!(outcomes.iter().any(|(content, _)| content == "syncedunsynced"));
    assert!(outcomes.iter().any(|(content, _)| content == "syncedunsy"), "torn");
    assert!(outcomes.iter().any(|(content, _)| content.ends_with('\0')), "length before bytes");
    assert!(outcomes.iter().any(|(_, there)| *there) && outcomes.iter().any(|(_, there)| !there));
}

#[test]
fn should_say_what_is_wrong() {
    let files = files();
    let kind = |outcome: io::Result<()>| outcome.unwrap_err().kind();
    files.create("wal/0").unwrap();
    assert_eq!(kind(files.create("wal/0")), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(files.create("none/0")), io::ErrorKind::NotFound);
    assert_eq!(kind(files.create("wal/0/1")), io::ErrorKind::NotADirectory);
    assert_eq!(kind(files.create("")), io::ErrorKind::InvalidInput);
    assert_eq!(kind(files.append("wal", b"")), io::ErrorKind::IsADirectory);
    assert_eq!(kind(files.remove("wal")), io::ErrorKind::DirectoryNotEmpty);
    assert_eq!(kind(files.sync_file("wal/1")), io::ErrorKind::NotFound);
    assert_eq!(kind(files.rename("wal", "wal/inside")), io::ErrorKind::InvalidInput);
    assert_eq!(kind(files.rename("wal/0", "wal")), io::ErrorKind::IsADirectory);
}
