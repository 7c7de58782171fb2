//! Listings: in the order of the keys, after an offset, while things vanish.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::machine::Machine;
use super::*;

/// Names whose order changes when `/` is compared with them.
const NAMES: [&str; 7] = ["a", "a-", "a.b", "a0", "a b", "b", "é"];

fn random_keys(generator: &mut ChaCha8Rng) -> Vec<String> {
    let mut keys: Vec<String> = (0..40)
        .map(|_| {
            let depth = generator.random_range(1..=4);
            let names: Vec<&str> =
                (0..depth).map(|_| NAMES[generator.random_range(0..NAMES.len())]).collect();
            names.join("/")
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let is_directory = |name: &String| keys.iter().any(|other| other.starts_with(&format!("{name}/")));
    keys.iter().filter(|name| !is_directory(name)).cloned().collect()
}

#[test]
fn should_list_in_key_order_from_any_offset_below_any_prefix() {
    let (mut directories, mut compared) = (0, 0);
    for seed in 0..30 {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let store = Machine::default().process().open().unwrap();
        let keys = random_keys(&mut generator);
        for name in &keys {
            put(&store, name, "").unwrap();
        }
        assert_eq!(listed(&store, ""), keys, "seed {seed}");
        let offsets = random_keys(&mut generator);
        for (offset, prefix) in offsets.iter().zip(["", "a", "a/a", "b", "a.b/é"].into_iter().cycle()) {
            let prefix = key(prefix);
            let from = store.list_with_offset(Some(&prefix), &key(offset));
            let from: Vec<ObjectMeta> = block_on(from.try_collect()).unwrap();
            let from: Vec<String> = from.iter().map(|meta| meta.location.to_string()).collect();
            let below = format!("{prefix}/");
            let expected: Vec<String> = keys
                .iter()
                .filter(|name| *name > offset && (prefix.is_root() || name.starts_with(&below)))
                .cloned()
                .collect();
            assert_eq!(from, expected, "seed {seed}: `{prefix}` after `{offset}`");
            compared += usize::from(!expected.is_empty());
        }
        directories += keys.iter().filter(|name| name.contains('/')).count();
    }
    assert!(directories > 100 && compared > 100, "{directories} keys below others, {compared} listings");
}

#[test]
fn should_not_look_into_directories_before_the_offset() {
    let machine = Machine::default();
    let store = machine.process().open().unwrap();
    for name in ["a/1", "b/1", "c/1"] {
        put(&store, name, "").unwrap();
    }
    let before = machine.calls();
    let from: Vec<ObjectMeta> = block_on(store.list_with_offset(None, &key("b/1")).try_collect()).unwrap();
    assert_eq!(from.len(), 1);
    // Into the root, into b, into c, at c/1.
    assert_eq!(machine.calls() - before, 4);
}

#[test]
fn should_list_more_than_one_page() {
    let store = Machine::default().process().open().unwrap();
    let keys: Vec<String> = (0..2_001).map(|number| format!("{}/{number:05}", number / 700)).collect();
    for name in &keys {
        put(&store, name, "").unwrap();
    }
    assert_eq!(listed(&store, ""), keys);
}

#[test]
fn should_go_on_when_files_and_directories_vanish_meanwhile() {
    let (directory, store) = real();
    let root = directory.path().join("store");
    for name in ["a", "b", "c/1", "c/2", "d/1", "e"] {
        put(&store, name, "1").unwrap();
    }
    let mut walk = listing::Walk::below(Arc::clone(&store.folder), &Key::default(), None).unwrap();
    let mut next = || walk.next().unwrap().map(|meta| meta.location.to_string());
    assert_eq!(next().as_deref(), Some("a"));
    std::fs::remove_file(root.join("b")).unwrap();
    assert_eq!(next().as_deref(), Some("c/1"));
    std::fs::remove_dir_all(root.join("c")).unwrap();
    std::fs::remove_dir_all(root.join("d")).unwrap();
    std::fs::write(root.join("d"), "a file now").unwrap();
    assert_eq!(next().as_deref(), Some("e"));
    assert_eq!(next(), None);
}

#[test]
fn should_read_a_directory_only_to_its_first_object_to_show_its_prefix() {
    let machine = Machine::default();
    let store = machine.process().open().unwrap();
    for number in 0..100 {
        put(&store, &format!("a/{number:02}/x"), "").unwrap();
    }
    let before = machine.entries();
    let level = block_on(store.list_with_delimiter(None)).unwrap();
    assert_eq!(level.common_prefixes, [key("a")]);
    // `.siltstone` and `a`, `a/00`, `a/00/x`.
    assert_eq!(machine.entries() - before, 4);
}

#[test]
fn should_not_show_prefixes_without_objects() {
    let (_directory, store) = real();
    put(&store, "a/b/c", "1").unwrap();
    put(&store, "d/e", "1").unwrap();
    block_on(store.delete(&key("a/b/c"))).unwrap();
    let level = block_on(store.list_with_delimiter(None)).unwrap();
    assert_eq!(level.common_prefixes, [key("d")]);
    assert!(level.objects.is_empty());
}
