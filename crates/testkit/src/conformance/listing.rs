//! What was written is listed: all of it, in order, from any key on.

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt};

use super::{Promises, get, in_order, key, keys, listed, listed_objects, put};

/// More than one page of S3 or GCS, and more than S3 deletes in one request: both are 1,000.
const MANY: usize = 1_100;
const PUTS_AT_ONCE: usize = 32;

/// After every single put, since a commit is a put.
pub async fn should_list_what_was_just_written(store: &dyn ObjectStore, promises: Promises) {
    let mut written = Vec::new();
    for number in 0..20 {
        let text = format!("listing/just/{number:02}");
        put(store, &text, "12345").await;
        written.push(text);
        assert_eq!(in_order(listed(store, "listing/just").await, promises), written);
    }
    assert!(listed_objects(store, "listing/just").await.iter().all(|object| object.size == 5));
}

/// And from the middle on, when the rest is more than a page too. Deleting them names each.
pub async fn should_list_and_delete_more_than_one_page(store: &dyn ObjectStore, promises: Promises) {
    let texts: Vec<String> = (0..MANY).map(|number| format!("listing/pages/{number:04}")).collect();
    stream::iter(&texts).for_each_concurrent(PUTS_AT_ONCE, |text| put(store, text, "")).await;
    assert_eq!(in_order(listed(store, "listing/pages").await, promises), texts);
    for first in [1, 50, 1_000, MANY - 1] {
        let after = offset(store, "listing/pages", &texts[first - 1]).await;
        assert_eq!(in_order(after, promises), &texts[first..], "from {first} on");
    }
    let all: Vec<_> = texts.iter().map(|text| Ok(key(text))).collect();
    let mut deleted: Vec<_> = store.delete_stream(stream::iter(all).boxed()).try_collect().await.unwrap();
    deleted.sort();
    assert!(deleted.iter().map(ToString::to_string).eq(texts), "{} of {MANY} were named", deleted.len());
    assert_eq!(listed(store, "listing/pages").await, [""; 0]);
}

async fn offset(store: &dyn ObjectStore, prefix: &str, offset: &str) -> Vec<String> {
    let listed = store.list_with_offset(Some(&key(prefix)), &key(offset));
    keys(listed.try_collect().await.unwrap_or_else(|error| panic!("cannot list from {offset}: {error}")))
}

/// The offset itself is not listed, and need not be there, nor below the prefix.
pub async fn should_list_from_an_offset_on(store: &dyn ObjectStore, promises: Promises) {
    let texts = ["listing/offset/a", "listing/offset/b-1", "listing/offset/b/1", "listing/offset/c"];
    for text in texts {
        put(store, text, "").await;
    }
    for (from, rest) in [
        ("listing/offset/a", &texts[1..]),
        ("listing/offset/b", &texts[1..]),
        ("listing/offset/b-1", &texts[2..]),
        ("listing/offset/b-1/x", &texts[2..]),
        ("listing/offset/b/1", &texts[3..]),
        ("listing/offset/c", &texts[4..]),
        ("listing/offset/d", &texts[4..]),
        ("listing/offset/0", &texts[..]),
        ("listing/offset", &texts[..]),
        ("a/key/before/the/prefix", &texts[..]),
        ("", &texts[..]),
        ("the/key/is/behind/the/prefix", &texts[4..]),
    ] {
        assert_eq!(in_order(offset(store, "listing/offset", from).await, promises), rest, "from `{from}` on");
    }
}

pub async fn should_not_list_siblings_of_a_prefix(store: &dyn ObjectStore) {
    for text in ["listing/day/1", "listing/day-2/1", "listing/days", "listing/da/1"] {
        put(store, text, "").await;
    }
    assert_eq!(listed(store, "listing/day").await, ["listing/day/1"]);
    assert_eq!(listed(store, "listing/d").await, [""; 0]);
    assert_eq!(listed(store, "listing/days").await, [""; 0], "an object does not lie below its own key");
}

pub async fn should_list_one_level(store: &dyn ObjectStore) {
    for text in ["listing/level/a", "listing/level/b/1", "listing/level/b/2/3", "listing/level/c/4"] {
        put(store, text, "").await;
    }
    let level = store.list_with_delimiter(Some(&key("listing/level"))).await.unwrap();
    assert_eq!(keys(level.objects), ["listing/level/a"]);
    let mut prefixes: Vec<String> = level.common_prefixes.iter().map(ToString::to_string).collect();
    prefixes.sort();
    assert_eq!(prefixes, ["listing/level/b", "listing/level/c"]);
}

/// Keys come back from every call as they went in, with all that is allowed in them. No two of them differ only
/// by the case of their letters, which a disk may not tell apart.
pub async fn should_keep_strange_keys(store: &dyn ObjectStore, promises: Promises) {
    let mut texts: Vec<String> = [
        "a b",
        "a+b",
        "a%20b",
        "a&b=c",
        "a'b",
        "a(b)",
        "a;b",
        "a:b",
        "a@b",
        "a!b",
        "a$b",
        "a,b",
        "a~b",
        "a_b",
        "...",
        ".hidden",
        "UPPER",
        "ä/ö",
        "日本",
        "🜁",
        "a/b/c/d/e/f/g/h/i/j/k",
        "-",
        "=",
    ]
    .map(|text| format!("listing/strange/{text}"))
    .to_vec();
    if promises.long_segments {
        texts.push(format!("listing/strange/{}", "l".repeat(600)));
    }
    if promises.key_beside_its_directory {
        texts.extend(["listing/strange/beside", "listing/strange/beside/1"].map(str::to_owned));
    }
    for text in &texts {
        put(store, text, text).await;
        assert_eq!(get(store, text).await.unwrap(), *text);
        let head = store.head(&key(text)).await.unwrap();
        assert_eq!(head.location, key(text));
        let from = in_order(offset(store, "listing/strange", text).await, promises);
        assert!(!from.contains(text), "{text}");
    }
    texts.sort();
    assert_eq!(in_order(listed(store, "listing/strange").await, promises), texts);
    for text in &texts {
        store.delete(&key(text)).await.unwrap();
    }
    assert_eq!(listed(store, "listing/strange").await, [""; 0]);
}
