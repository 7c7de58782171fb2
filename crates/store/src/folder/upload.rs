//! An object that is written in parts: one staged file, each part at its place in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use object_store::path::Path as Key;
use object_store::{MultipartUpload, PutPayload, PutResult, UploadPart};
use tokio::runtime::Handle;

use super::Folder;
use super::blocking::Gate;
use super::failure::{Failure, Result};
use super::keys::file_of;
use super::reading::e_tag;
use super::staging::{Existing, Staged};
use super::writing::write_payload;

#[derive(Debug)]
pub(super) struct FolderUpload {
    folder: Arc<Folder>,
    gate: Gate,
    key: Key,
    /// None when the upload has ended.
    staged: Option<Arc<Staged>>,
    /// Where the next part begins.
    offset: u64,
    parts: u64,
    parts_written: Arc<AtomicU64>,
}

impl FolderUpload {
    pub(super) async fn begin(folder: Arc<Folder>, gate: Gate, key: Key) -> Result<Self> {
        file_of(&folder.root, &key)?;
        let place = Arc::clone(&folder);
        let staged = gate.run(move || Staged::create(&place)).await?;
        let (staged, parts_written) = (Some(Arc::new(staged)), Arc::default());
        Ok(FolderUpload { folder, gate, key, staged, offset: 0, parts: 0, parts_written })
    }

    async fn publish(&mut self) -> Result<PutResult> {
        let staged = self.staged.take().ok_or(Failure::UploadEnded)?;
        let missing = self.parts.saturating_sub(self.parts_written.load(Ordering::Acquire));
        if missing > 0 {
            // A part that is still being written, or never was, would be a hole in the object.
            self.staged = Some(staged);
            return Err(Failure::PartsMissing { missing });
        }
        let folder = Arc::clone(&self.folder);
        let target = file_of(&folder.root, &self.key)?;
        let facts = self.gate.run(move || staged.publish(&folder, &target, Existing::Replace)).await?;
        Ok(PutResult { e_tag: Some(e_tag(&facts)), version: None })
    }
}

#[async_trait]
impl MultipartUpload for FolderUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (gate, key, staged) = (self.gate.clone(), self.key.clone(), self.staged.clone());
        let (offset, written) = (self.offset, Arc::clone(&self.parts_written));
        self.offset += data.content_length() as u64;
        self.parts += 1;
        let part = async move {
            let staged = staged.ok_or(Failure::UploadEnded)?;
            gate.run(move || {
                write_payload(&staged, &data, offset)?;
                written.fetch_add(1, Ordering::Release);
                Ok(())
            })
            .await
        };
        part.map(move |done: Result<()>| done.map_err(|failure| failure.about(&key))).boxed()
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        self.publish().await.map_err(|failure| failure.about(&self.key))
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        let staged = self.staged.take().ok_or(Failure::UploadEnded);
        let staged = staged.map_err(|failure| failure.about(&self.key))?;
        let dropped = self.gate.run(move || {
            drop(staged);
            Ok(())
        });
        dropped.await.map_err(|failure| failure.about(&self.key))
    }
}

impl Drop for FolderUpload {
    /// Given up without a word: to remove a large file can take a while.
    fn drop(&mut self) {
        if let (Some(staged), Ok(runtime)) = (self.staged.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(staged));
        }
    }
}
