//! `object_store`'s own suite under a prefix in memory; and what its `PrefixStore` does not do.

use std::sync::{Arc, Mutex};

use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, integration};
use siltstone_testkit::{Promises, conformance};

use super::*;

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn in_memory(prefix: &str) -> (Arc<InMemory>, Below<Arc<InMemory>>) {
    let memory = Arc::new(InMemory::new());
    (Arc::clone(&memory), Below::new(memory, key(prefix)))
}

async fn put_all<S: ObjectStore>(store: &S, texts: &[&str]) {
    for text in texts {
        store.put(&key(text), (*text).to_owned().into()).await.unwrap();
    }
}

async fn listed(stream: BoxStream<'static, Result<ObjectMeta>>) -> Vec<String> {
    stream.map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
}

#[tokio::test]
async fn should_pass_the_suite_of_object_store() {
    for prefix in ["", "one", "one/two/three"] {
        let (memory, store) = in_memory(prefix);
        put_all(&memory, &["on", "one-more/1", "other/1"]).await;
        let store = if prefix.is_empty() { in_memory(prefix).1 } else { store };
        integration::put_get_delete_list(&store).await;
        integration::put_get_attributes(&store).await;
        integration::get_opts(&store).await;
        integration::put_opts(&store, true).await;
        integration::list_uses_directories_correctly(&store).await;
        integration::list_with_delimiter(&store).await;
        integration::list_with_offset_exclusivity(&store).await;
        integration::rename_and_copy(&store).await;
        integration::copy_if_not_exists(&store).await;
        integration::copy_rename_nonexistent_object(&store).await;
        integration::stream_get(&store).await;
        integration::multipart_race_condition(&store, true).await;
        integration::multipart_out_of_order(&store).await;
        assert!(integration::get_nonexistent_object(&store, None).await.is_err());
        if !prefix.is_empty() {
            let others = listed(memory.list(None)).await;
            for other in ["on", "one-more/1", "other/1"] {
                assert!(others.contains(&other.to_owned()), "{other} is not ours");
            }
        }
    }
}

#[tokio::test]
async fn should_do_what_the_catalog_needs() {
    for prefix in ["", "one/two"] {
        conformance::check_all(&in_memory(prefix).1, Promises::ALL).await;
    }
}

#[tokio::test]
async fn should_keep_all_keys_below_the_prefix() {
    let (memory, store) = in_memory("one/two");
    put_all(&store, &["a", "b/c"]).await;
    assert_eq!(listed(memory.list(None)).await, ["one/two/a", "one/two/b/c"]);
}

#[tokio::test]
async fn should_call_what_it_reads_by_the_key_that_was_asked_for() {
    let (_, store) = in_memory("one/two");
    put_all(&store, &["a/b"]).await;
    assert_eq!(store.get(&key("a/b")).await.unwrap().meta.location, key("a/b"));
    assert_eq!(store.head(&key("a/b")).await.unwrap().location, key("a/b"));
}

#[tokio::test]
async fn should_see_nothing_of_its_neighbours() {
    let (memory, store) = in_memory("one/two");
    put_all(&memory, &["one/a", "one/two-more/a", "one/tw", "zero/a"]).await;
    assert_eq!(listed(store.list(None)).await, [""; 0]);
    assert_eq!(listed(store.list_with_offset(None, &key("a"))).await, [""; 0]);
    let level = store.list_with_delimiter(None).await.unwrap();
    assert!(level.objects.is_empty() && level.common_prefixes.is_empty());
}

/// As consoles create it for a folder.
#[tokio::test]
async fn should_pass_over_an_object_named_like_the_prefix() {
    let memory = Arc::new(InMemory::new());
    put_all(&memory, &["one/two", "one/two/a"]).await;
    let store = Below::new(
        Bucket { store: memory, ignores_offsets: false, offsets: Mutex::default() },
        key("one/two"),
    );
    assert_eq!(listed(store.list(None)).await, ["a"]);
    let level = store.list_with_delimiter(None).await.unwrap();
    assert_eq!(level.objects.len(), 1);
}

#[tokio::test]
async fn should_not_trust_the_store_with_offsets() {
    for ignores_offsets in [false, true] {
        let memory = Arc::new(InMemory::new());
        let bucket = Bucket { store: memory, ignores_offsets, offsets: Mutex::default() };
        let store = Below::new(bucket, key("one"));
        put_all(&store, &["a/1", "a/2", "a/3", "b/1"]).await;
        let from = async |prefix: &str, offset: &str| {
            listed(store.list_with_offset(Some(&key(prefix)), &key(offset))).await
        };
        assert_eq!(from("a", "a/1").await, ["a/2", "a/3"]);
        assert_eq!(from("a", "a/1/x").await, ["a/2", "a/3"]);
        assert_eq!(from("a", "a/3").await, [""; 0]);
        assert_eq!(from("a", "").await, ["a/1", "a/2", "a/3"]);
        assert_eq!(from("a", "a").await, ["a/1", "a/2", "a/3"]);
        assert_eq!(from("a", "0").await, ["a/1", "a/2", "a/3"]);
        assert_eq!(from("a", "a-1").await, ["a/1", "a/2", "a/3"]);
        assert_eq!(from("a", "a0").await, [""; 0]);
        assert_eq!(from("a", "b").await, [""; 0]);
        assert_eq!(from("", "").await, ["a/1", "a/2", "a/3", "b/1"]);
        assert_eq!(from("b", "a/2").await, ["b/1"]);
        assert_eq!(from("", "a/2").await, ["a/3", "b/1"]);
        let sent = store.store.offsets.lock().unwrap().clone();
        assert_eq!(sent, ["one/a/1", "one/a/1/x", "one/a/3", "one/a/2"], "only those below what is listed");
    }
}

#[tokio::test]
async fn should_refuse_keys_that_lie_elsewhere() {
    let whole = below(&key("one/two"), key("one/three/a"));
    let said = whole.unwrap_err().to_string();
    assert!(said.contains("one/two") && said.contains("one/three/a"), "{said}");
}

#[tokio::test]
async fn should_name_the_whole_key_in_errors() {
    let (_, store) = in_memory("one/two");
    let said = store.get(&key("a")).await.unwrap_err().to_string();
    assert!(said.contains("one/two/a"), "{said}");
    assert_eq!(store.to_string(), "InMemory/one/two");
}

/// A bucket in the cloud: a prefix matches the object of its own name too; and some ignore offsets.
#[derive(Debug)]
struct Bucket {
    store: Arc<InMemory>,
    ignores_offsets: bool,
    offsets: Mutex<Vec<String>>,
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(&self, location: &Key, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.store.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        let listed = self.store.list(None);
        listed.try_filter(move |meta| future::ready(meta.location.prefix_matches(&prefix))).boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Key>, offset: &Key) -> BoxStream<'static, Result<ObjectMeta>> {
        self.offsets.lock().unwrap().push(offset.to_string());
        if self.ignores_offsets { self.list(prefix) } else { self.store.list_with_offset(prefix, offset) }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        let mut level = self.store.list_with_delimiter(prefix).await?;
        if let Some(prefix) = prefix {
            level.objects.extend(self.store.head(prefix).await.ok());
        }
        Ok(level)
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}
