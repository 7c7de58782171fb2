//! Writing an object whose length may exceed memory: at once if it is small, else in
//! parts.

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use siltstone_format::path::ObjectKey;

use crate::bucket::{Bucket, StoreError, failed, path};

/// All parts but the last have this length: some stores want them equal, all want five
/// megabytes at least.
const PART_BYTES: usize = 8 << 20;

pub(super) struct Upload<'a> {
    bucket: &'a Bucket,
    key: ObjectKey,
    /// What is not sent yet.
    waiting: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
}

impl<'a> Upload<'a> {
    pub(super) fn new(bucket: &'a Bucket, key: ObjectKey) -> Self {
        Self { bucket, key, waiting: Vec::new(), parts: None }
    }

    /// Where the next bytes are to be written to, before [`Self::send`].
    pub(super) fn waiting(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Sends whole parts, if more than one is waiting.
    pub(super) async fn send(&mut self) -> Result<(), StoreError> {
        while self.waiting.len() > PART_BYTES {
            let rest = self.waiting.split_off(PART_BYTES);
            let part = std::mem::replace(&mut self.waiting, rest);
            self.send_part(part).await?;
        }
        Ok(())
    }

    async fn send_part(&mut self, part: Vec<u8>) -> Result<(), StoreError> {
        let wrong = |source| failed("write a part of", &self.key, source);
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => {
                let started = self.bucket.objects().put_multipart(&path(&self.key)).await;
                none.insert(started.map_err(wrong)?)
            }
        };
        parts.put_part(PutPayload::from_bytes(Bytes::from(part))).await.map_err(wrong)
    }

    /// The object is there when this has succeeded, and not before.
    pub(super) async fn finish(mut self) -> Result<(), StoreError> {
        let last = std::mem::take(&mut self.waiting);
        if self.parts.is_none() {
            return self.bucket.put(&self.key, last.into()).await;
        }
        self.send_part(last).await?;
        match &mut self.parts {
            Some(parts) => {
                let done = parts.complete().await;
                done.map(|_| ()).map_err(|source| failed("complete", &self.key, source))
            }
            None => Ok(()),
        }
    }

    /// Gives up the parts that were sent. If that fails too, the store's own rule for
    /// unfinished uploads removes them.
    pub(super) async fn abort(mut self) {
        if let Some(parts) = &mut self.parts {
            let _ = parts.abort().await;
        }
    }
}
