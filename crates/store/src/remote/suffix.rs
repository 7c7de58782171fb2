//! The end of an object, from a store that cannot send it: Azure answers no suffix ranges, and
//! `object_store` refuses to ask for one.
//!
//! So the length is asked for first, and then a range that ends there: two requests for one. The second
//! holds only for the object that the first was about, in case it is replaced in between.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path as Key;
use object_store::{
    Attributes, CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

#[derive(Clone)]
pub(crate) struct SuffixByLength<S>(pub(crate) S);

impl<S: ObjectStore> fmt::Display for SuffixByLength<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Not derived: `object_store`'s stores print the keys that they hold.
impl<S: ObjectStore> fmt::Debug for SuffixByLength<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SuffixByLength({self})")
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ObjectStore> ObjectStore for SuffixByLength<S> {
    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        let wanted = match options.range {
            Some(GetRange::Suffix(wanted)) if !options.head => wanted,
            Some(GetRange::Suffix(_)) => {
                return self.0.get_opts(location, GetOptions { range: None, ..options }).await;
            }
            _ => return self.0.get_opts(location, options).await,
        };
        let about = GetOptions { head: true, range: None, ..options.clone() };
        let meta = self.0.get_opts(location, about).await?.meta;
        let range = meta.size.saturating_sub(wanted)..meta.size;
        if range.is_empty() {
            // `object_store` refuses to ask for nothing.
            let payload = GetResultPayload::Stream(stream::empty().boxed());
            return Ok(GetResult { payload, meta, range, attributes: Attributes::new() });
        }
        let range = GetRange::Bounded(range);
        let if_match = options.if_match.clone().or(meta.e_tag);
        self.0.get_opts(location, GetOptions { range: Some(range), if_match, ..options }).await
    }

    async fn put_opts(&self, location: &Key, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Key, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Key>, offset: &Key) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Key, to: &Key, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests;
