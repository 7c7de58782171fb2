//! A store that sees only what lies below a prefix, with the keys that are left when it is taken off.
//!
//! `object_store` has a `PrefixStore`, of which three things would not do:
//! - what is read bears the whole key, not the one that was asked for;
//! - a key that is not below the prefix is handed on as if it were;
//! - offsets go to the store as they are. Not all look at them: Azurite ignores `startFrom`, Azure's includes
//!   the offset itself, and whether an offset before the prefix is allowed is nowhere written. Here only
//!   offsets below the prefix are sent, and what a store lists in spite of an offset is dropped.
//!
//! Errors keep the whole key: it is what a person finds in the bucket.

use std::fmt;
use std::future;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

#[derive(Clone)]
pub(crate) struct Below<S> {
    store: S,
    prefix: Key,
}

/// A store named a key that lies elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("the store was asked about keys below `{prefix}` and answered with `{key}`")]
struct NotBelow {
    prefix: Key,
    key: Key,
}

impl<S> Below<S> {
    /// The prefix may be empty.
    pub(crate) fn new(store: S, prefix: Key) -> Self {
        Below { store, prefix }
    }

    fn whole(&self, key: &Key) -> Key {
        whole(&self.prefix, key)
    }
}

/// The key as the store has it.
fn whole(prefix: &Key, key: &Key) -> Key {
    prefix.parts().chain(key.parts()).collect()
}

/// The key as it is called here.
fn below(prefix: &Key, key: Key) -> Result<Key> {
    if let Some(rest) = key.prefix_match(prefix) {
        return Ok(rest.collect());
    }
    let source = Box::new(NotBelow { prefix: prefix.clone(), key });
    Err(object_store::Error::Generic { store: "prefix", source })
}

fn meta_below(prefix: &Key, mut meta: ObjectMeta) -> Result<ObjectMeta> {
    meta.location = below(prefix, meta.location)?;
    Ok(meta)
}

/// Where an offset lies, as seen from all keys below a prefix.
enum Place {
    Before,
    Within,
    Behind,
}

fn place_of(offset: &Key, prefix: &Key) -> Place {
    if offset.prefix_matches(prefix) && offset != prefix {
        Place::Within
    } else if *offset.as_ref() < *format!("{prefix}/") {
        Place::Before
    } else {
        Place::Behind
    }
}

/// What a listing brings: a console that shows folders creates an empty object named like the prefix itself.
async fn listed_below(prefix: Key, meta: ObjectMeta) -> Result<Option<ObjectMeta>> {
    let meta = meta_below(&prefix, meta)?;
    Ok((!meta.location.is_root()).then_some(meta))
}

impl<S: ObjectStore> fmt::Display for Below<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.store, self.prefix)
    }
}

/// Not derived: `object_store`'s stores print the keys that they hold.
impl<S: ObjectStore> fmt::Debug for Below<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Below({self})")
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ObjectStore> ObjectStore for Below<S> {
    async fn put_opts(&self, location: &Key, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.store.put_opts(&self.whole(location), payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(&self.whole(location), options).await
    }

    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        let mut got = self.store.get_opts(&self.whole(location), options).await?;
        got.meta = meta_below(&self.prefix, got.meta)?;
        Ok(got)
    }

    async fn get_ranges(&self, location: &Key, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.store.get_ranges(&self.whole(location), ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        let prefix = self.prefix.clone();
        let locations = locations.map_ok(move |location| whole(&prefix, &location));
        let prefix = self.prefix.clone();
        let deleted = self.store.delete_stream(locations.boxed());
        deleted.map(move |location| below(&prefix, location?)).boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        let within = self.whole(prefix.unwrap_or(&Key::default()));
        let prefix = self.prefix.clone();
        self.store.list(Some(&within)).try_filter_map(move |meta| listed_below(prefix.clone(), meta)).boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Key>, offset: &Key) -> BoxStream<'static, Result<ObjectMeta>> {
        let within = self.whole(prefix.unwrap_or(&Key::default()));
        let whole_offset = self.whole(offset);
        let listed = match place_of(&whole_offset, &within) {
            Place::Within => self.store.list_with_offset(Some(&within), &whole_offset),
            Place::Before => self.store.list(Some(&within)),
            Place::Behind => return stream::empty().boxed(),
        };
        let (prefix, offset) = (self.prefix.clone(), offset.clone());
        listed
            .try_filter_map(move |meta| listed_below(prefix.clone(), meta))
            .try_filter(move |meta| future::ready(meta.location > offset))
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        let within = self.whole(prefix.unwrap_or(&Key::default()));
        let level = self.store.list_with_delimiter(Some(&within)).await?;
        let mut objects = Vec::with_capacity(level.objects.len());
        for meta in level.objects {
            objects.extend(listed_below(self.prefix.clone(), meta).await?);
        }
        let common_prefixes = level.common_prefixes.into_iter().map(|key| below(&self.prefix, key));
        Ok(ListResult { common_prefixes: common_prefixes.collect::<Result<_>>()?, objects })
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(&self.whole(from), &self.whole(to), options).await
    }

    async fn rename_opts(&self, from: &Key, to: &Key, options: RenameOptions) -> Result<()> {
        self.store.rename_opts(&self.whole(from), &self.whole(to), options).await
    }
}

#[cfg(test)]
mod tests;
