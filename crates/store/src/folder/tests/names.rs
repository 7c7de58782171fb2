//! Which keys are possible, and what in a folder is none of them.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;

#[test]
fn should_keep_every_key_apart_and_inside_the_folder() {
    let (directory, store) = real();
    let keys = [
        Key::from("../escape"),
        Key::from("/absolute"),
        Key::from("a/../../b"),
        Key::from_iter(["a", "b/c"]),
        key("a/b%2Fc"),
        key("%2E%2Ex"),
        key("a%2Fb"),
        key("a\\b"),
        key("..."),
        key("a /b"),
        key("ä"),
        key("a\u{308}"),
        key("-rf"),
        key("staged"),
        key("x/.siltstone"),
        key(&"n".repeat(255)),
    ];
    let mut distinct: Vec<&Key> = keys.iter().collect();
    distinct.sort_unstable();
    distinct.dedup();
    for name in &distinct {
        block_on(store.put(name, name.to_string().into())).unwrap();
    }
    for name in &distinct {
        let content = block_on(async { store.get(name).await.unwrap().bytes().await.unwrap() });
        assert_eq!(content, name.to_string());
    }
    let listed: Vec<ObjectMeta> = block_on(store.list(None).try_collect()).unwrap();
    let listed: Vec<&Key> = listed.iter().map(|meta| &meta.location).collect();
    assert_eq!(listed, distinct);
    let outside: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(outside.len(), 1, "only the folder itself: {outside:?}");
}

#[test]
fn should_refuse_names_that_cannot_be_kept() {
    let (_directory, store) = real();
    for (name, why) in [
        (".siltstone/lock", "reserved"),
        (".SiltStone/staged/x", "reserved"),
        (".siltstone", "reserved"),
        ("lost+found/x", "reserved"),
        ("", "the folder itself"),
        (&*format!("a/{}", "n".repeat(256)), "longer than the 255 bytes"),
    ] {
        let refusals = [
            put(&store, name, "1").map(drop),
            create(&store, name, "1").map(drop),
            get(&store, name).map(drop),
            block_on(store.delete(&key(name))),
            block_on(store.put_multipart(&key(name))).map(drop),
        ];
        for refused in refusals {
            let error = refused.unwrap_err();
            assert!(matches!(error, object_store::Error::NotSupported { .. }), "{name}: {error}");
            assert!(error.to_string().contains(why), "{name}: {error}");
        }
    }
    // Longer than a path may be, though no name in it is.
    let error = put(&store, &["n".repeat(200).as_str(); 30].join("/"), "1").unwrap_err().to_string();
    assert!(error.contains("the path is longer than this file system allows"), "{error}");
}

#[test]
fn should_say_that_a_key_cannot_be_the_directory_of_another() {
    let (_directory, store) = real();
    put(&store, "a/b", "1").unwrap();
    for refused in [put(&store, "a", "2"), create(&store, "a", "2")] {
        let error = refused.unwrap_err();
        assert!(matches!(error, object_store::Error::Generic { .. }), "{error}");
        assert!(error.to_string().contains("is a directory, because other keys begin with"), "{error}");
    }
    for refused in [put(&store, "a/b/c", "2"), create(&store, "a/b/c/d", "2")] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("cannot hold an object below the name of another object"), "{error}");
    }
    assert!(is_not_found(&get(&store, "a")));
    assert!(is_not_found(&get(&store, "a/b/c")));
    assert!(is_not_found(&block_on(store.delete(&key("a")))));
    assert!(is_not_found(&block_on(store.delete(&key("a/b/c")))));
    assert_eq!(listed(&store, ""), ["a/b"]);
}

#[test]
fn should_not_follow_symbolic_links_inside_the_folder() {
    let (directory, store) = real();
    let (root, outside) = (directory.path().join("store"), directory.path().join("outside"));
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "s").unwrap();
    symlink(&outside, root.join("linked")).unwrap();
    symlink(outside.join("secret"), root.join("file")).unwrap();
    symlink(outside.join("nothing"), root.join("broken")).unwrap();
    symlink(&root, root.join("circle")).unwrap();

    assert!(listed(&store, "").is_empty());
    for prefix in ["linked", "circle", "circle/linked"] {
        assert!(listed(&store, prefix).is_empty(), "{prefix}");
    }
    let level = block_on(store.list_with_delimiter(None)).unwrap();
    assert!(level.objects.is_empty() && level.common_prefixes.is_empty(), "{level:?}");
    for name in ["file", "broken", "linked", "linked/secret", "circle/linked/secret"] {
        assert!(is_not_found(&get(&store, name)), "{name}");
        assert!(is_not_found(&block_on(store.delete(&key(name)))), "{name}");
    }
    let error = put(&store, "linked/new", "1").unwrap_err().to_string();
    assert!(error.contains("does not write through symbolic links"), "{error}");
    let error = create(&store, "file", "1").unwrap_err().to_string();
    assert!(error.contains("was not made by siltstone: remove it"), "{error}");

    // An overwritten link is replaced; what it led to stays.
    put(&store, "file", "mine").unwrap();
    assert_eq!(text(&store, "file"), "mine");
    assert_eq!(std::fs::read_to_string(outside.join("secret")).unwrap(), "s");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn should_open_a_folder_through_a_symbolic_link() {
    let (directory, store) = real();
    put(&store, "a", "1").unwrap();
    symlink(directory.path().join("store"), directory.path().join("alias")).unwrap();
    let alias = FolderStore::open(directory.path().join("alias")).unwrap();
    assert_eq!(text(&alias, "a"), "1");
    put(&alias, "b", "2").unwrap();
    assert_eq!(listed(&store, ""), ["a", "b"]);
}

#[test]
fn should_pass_over_what_is_not_its_own() {
    let (directory, store) = real();
    let root = directory.path().join("store");
    put(&store, "a", "1").unwrap();
    std::fs::write(root.join(std::ffi::OsStr::from_bytes(b"not \xff utf-8")), "").unwrap();
    std::fs::write(root.join("line\nbreak"), "").unwrap();
    std::fs::create_dir(root.join("tab\t")).unwrap();
    std::fs::write(root.join("tab\t/file"), "").unwrap();
    std::fs::create_dir(root.join("lost+found")).unwrap();
    std::fs::write(root.join("lost+found/file"), "").unwrap();
    let _socket = UnixListener::bind(root.join("socket")).unwrap();

    assert_eq!(listed(&store, ""), ["a"]);
    assert!(listed(&store, ".siltstone").is_empty());
    let level = block_on(store.list_with_delimiter(None)).unwrap();
    assert_eq!((level.objects.len(), level.common_prefixes.len()), (1, 0), "{level:?}");
    assert!(is_not_found(&get(&store, "socket")));
}

#[test]
fn should_show_times_that_no_calendar_holds() {
    let (directory, store) = real();
    put(&store, "a", "1").unwrap();
    let file = std::fs::File::options().write(true).open(directory.path().join("store/a")).unwrap();
    let before_the_epoch = std::time::SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(1_000);
    file.set_modified(before_the_epoch).unwrap();
    assert_eq!(
        block_on(store.head(&key("a"))).unwrap().last_modified.to_rfc3339(),
        "1970-01-01T00:00:00+00:00"
    );
    let facts = files::Facts {
        kind: files::Kind::File,
        size: 0,
        modified: std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 50),
        inode: 1,
    };
    assert!(reading::meta_of(key("a"), &facts).last_modified.to_rfc3339().starts_with("9004-"));
}
