//! The end of an object, from a store that refuses suffixes as Azure's does.

use std::sync::{Arc, Mutex};

use object_store::memory::InMemory;
use object_store::{Error, ObjectStoreExt};

use super::*;

/// Writes down what it is asked for, and can replace the object after it has told its length.
#[derive(Debug, Default)]
struct NoSuffixes {
    store: InMemory,
    asked: Mutex<Vec<String>>,
    replaces: bool,
}

impl fmt::Display for NoSuffixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoSuffixes")
    }
}

#[async_trait]
impl ObjectStore for NoSuffixes {
    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        let asked = match (&options.range, options.head) {
            (Some(GetRange::Suffix(_)), _) => return Err(Error::NotSupported { source: "a suffix".into() }),
            (_, true) => "head".to_owned(),
            (range, false) => format!("get {range:?}"),
        };
        let is_head = options.head;
        self.asked.lock().unwrap().push(asked);
        let got = self.store.get_opts(location, options).await;
        if is_head && self.replaces {
            self.store.put(location, "another".into()).await?;
        }
        got
    }

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

    fn delete_stream(&self, locations: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

async fn digits(replaces: bool) -> SuffixByLength<Arc<NoSuffixes>> {
    let store = Arc::new(NoSuffixes { replaces, ..NoSuffixes::default() });
    store.put(&Key::from("digits"), "0123456789".into()).await.unwrap();
    SuffixByLength(store)
}

async fn get(store: &SuffixByLength<Arc<NoSuffixes>>, range: GetRange) -> Result<Bytes> {
    let options = GetOptions { range: Some(range), ..GetOptions::default() };
    store.get_opts(&Key::from("digits"), options).await?.bytes().await
}

#[tokio::test]
async fn should_ask_for_the_length_first() {
    let store = digits(false).await;
    assert_eq!(get(&store, GetRange::Suffix(4)).await.unwrap(), "6789");
    assert_eq!(get(&store, GetRange::Suffix(99)).await.unwrap(), "0123456789");
    let asked = store.0.asked.lock().unwrap().clone();
    assert_eq!(asked, ["head", "get Some(Bounded(6..10))", "head", "get Some(Bounded(0..10))"]);
}

#[tokio::test]
async fn should_not_ask_for_the_end_of_what_is_empty() {
    let store = digits(false).await;
    store.put(&Key::from("digits"), "".into()).await.unwrap();
    assert_eq!(get(&store, GetRange::Suffix(4)).await.unwrap(), "");
    assert_eq!(*store.0.asked.lock().unwrap(), ["head"]);
}

#[tokio::test]
async fn should_leave_other_requests_alone() {
    let store = digits(false).await;
    assert_eq!(get(&store, GetRange::Bounded(1..3)).await.unwrap(), "12");
    assert_eq!(get(&store, GetRange::Offset(8)).await.unwrap(), "89");
    assert_eq!(store.0.asked.lock().unwrap().len(), 2);
    let options = GetOptions { head: true, range: Some(GetRange::Suffix(4)), ..GetOptions::default() };
    assert_eq!(store.get_opts(&Key::from("digits"), options).await.unwrap().meta.size, 10);
}

#[tokio::test]
async fn should_not_mix_two_objects() {
    let store = digits(true).await;
    let got = get(&store, GetRange::Suffix(4)).await;
    assert!(matches!(got, Err(Error::Precondition { .. })), "{got:?}");
}

#[tokio::test]
async fn should_not_find_the_end_of_what_is_not_there() {
    let store = digits(false).await;
    store.delete(&Key::from("digits")).await.unwrap();
    let got = get(&store, GetRange::Suffix(4)).await;
    assert!(matches!(got, Err(Error::NotFound { .. })), "{got:?}");
}
