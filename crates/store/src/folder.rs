//! A local folder as an object store, to be relied on like one in the cloud.
//!
//! **What it promises**
//! - *Durable*: what was acknowledged is there after a crash of the machine, whole, under its name. So is
//!   what a put was told exists already. (`object_store`'s own `LocalFileSystem` syncs nothing.)
//! - *Whole or absent*: what was not acknowledged is there whole or not at all; nobody ever sees a part.
//! - *One winner* among all who create the same key, in all processes.
//! - *Several processes* may have the folder open at once, on the same machine.
//! - Listings come in the order of the keys, directory by directory (a listing is not a snapshot).
//!
//! **What it does not**
//! - What a reader sees may not be durable yet: an object can be seen when it has its name, milliseconds
//!   before that name is synced, or for longer if that sync failed. A crash then takes it away from who saw
//!   it.
//! - A file whose sync failed is given up; a directory is synced again by the next put into it, since the
//!   names of others are in it too. The system may have dropped what it could not write, and then says that
//!   the second sync succeeded: so a name that failed to become durable may be lost in a crash, although a
//!   later create was told that it exists. File systems with a journal go read-only instead, and every put
//!   fails. Where a sync has failed, look after the disk before going on.
//! - A deletion may be undone by a crash. It does not have to be synced: what comes back is a whole object
//!   that somebody wanted gone, and will find and delete again.
//! - `PutMode::Update` is not implemented: no call of the system replaces a file on condition, and a lock
//!   around every put and delete would make all pay for what nobody here needs. Nor are attributes; tags
//!   are ignored, as the contract says.
//! - A key cannot be the directory of another: beside `a/b` there is no `a`, a clear error. Directories are
//!   made when needed and stay when they become empty. An opening that is alone removes some thousands of
//!   them, if the folder was empty when it became a store: in others empty directories stay.
//! - Symbolic links in the folder are not followed: behind them is nothing, and nothing is written through
//!   them. (The folder itself may be one.) A segment of a key has up to 255 bytes. Unix only.
//! - On file systems that do not tell `A` from `a`, keys that differ only so are the same.
//!
//! `last_modified` is the time at which the file was last written, by the machine's wall clock, in steps of
//! its ticks (1 to 10 ms); it lies before the answer to the put by the time that the syncs took.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path as Key;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode, Result,
};

// From the key to the disk: which file a key is,
mod keys;
// how a folder is opened,
mod opening;
// how an object comes into being,
mod staging;
// or stops being,
mod writing;
// or comes in parts,
mod upload;
// in directories that stay.
mod directories;
// And back: one object,
mod reading;
// or all of them.
mod listing;
// Below all: threads that may block, the system's calls, and what goes wrong.
mod blocking;
mod failure;
mod files;

use blocking::Gate;
use directories::Directories;
use failure::Failure;
use files::{Facts, Files, Kind, Lock, RealFiles};
pub use opening::OpenFolderError;
use staging::Existing;
use upload::FolderUpload;

/// So that puts that wait for the disk do not keep readers waiting, each has its own.
const READS_AT_ONCE: usize = 32;
const WRITES_AT_ONCE: usize = 16;

/// Of one stream of deletions.
const DELETES_AT_ONCE: usize = 10;

/// A local folder. Clones share it.
#[derive(Debug, Clone)]
pub struct FolderStore {
    folder: Arc<Folder>,
    reads: Gate,
    writes: Gate,
}

/// What all threads that work on the folder know.
#[derive(Debug)]
struct Folder {
    files: Arc<dyn Files>,
    root: PathBuf,
    directories: Directories,
    staging_dir: PathBuf,
    /// The name of the next staged file.
    staged_count: AtomicU64,
    _lock: Box<dyn Lock>,
}

impl Folder {
    /// What is at a path, without following a symbolic link on the way there.
    fn facts(&self, path: &Path) -> io::Result<Facts> {
        for above in path.ancestors().skip(1).take_while(|above| *above != self.root) {
            if self.files.facts(above)?.kind != Kind::Directory {
                return Err(io::ErrorKind::NotADirectory.into());
            }
        }
        self.files.facts(path)
    }
}

impl FolderStore {
    /// Opens a folder, and makes it if it is not there. Blocks: when no other process has the folder open, it
    /// clears away what crashes and deletions left behind, and looks at up to 100,000 entries of the directory
    /// tree for that. In a larger folder, or one that was not empty when it became a store, directories that
    /// have become empty may stay for good: each costs an inode, and a look when its level is listed.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, OpenFolderError> {
        Self::over(Arc::new(RealFiles), opening::absolute(path.into())?)
    }

    fn over(files: Arc<dyn Files>, root: PathBuf) -> Result<Self, OpenFolderError> {
        let folder = Arc::new(opening::open(files, root)?);
        Ok(FolderStore { folder, reads: Gate::new(READS_AT_ONCE), writes: Gate::new(WRITES_AT_ONCE) })
    }
}

impl fmt::Display for FolderStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FolderStore({})", self.folder.root.display())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for FolderStore {
    async fn put_opts(&self, location: &Key, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let existing = match options.mode {
            PutMode::Create => Existing::Keep,
            PutMode::Overwrite => Existing::Replace,
            PutMode::Update(_) => return Err(self.not_implemented("a put on condition (`PutMode::Update`)")),
        };
        if !options.attributes.is_empty() {
            return Err(self.not_implemented("a put with attributes"));
        }
        let (folder, key) = (Arc::clone(&self.folder), location.clone());
        let put = self.writes.run(move || writing::put(&folder, &key, &payload, existing));
        put.await.map_err(|failure| failure.about(location))
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !options.attributes.is_empty() {
            return Err(self.not_implemented("an upload with attributes"));
        }
        let upload = FolderUpload::begin(Arc::clone(&self.folder), self.writes.clone(), location.clone());
        Ok(Box::new(upload.await.map_err(|failure| failure.about(location))?))
    }

    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        reading::get(Arc::clone(&self.folder), &self.reads, location, options).await
    }

    async fn get_ranges(&self, location: &Key, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        reading::get_ranges(Arc::clone(&self.folder), &self.reads, location, ranges)
            .await
            .map_err(|failure| failure.about(location))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        let (folder, gate) = (Arc::clone(&self.folder), self.writes.clone());
        let deletes = locations.map(move |location| {
            let (folder, gate) = (Arc::clone(&folder), gate.clone());
            async move {
                let location = location?;
                let key = location.clone();
                let deleted = gate.run(move || writing::delete(&folder, &key)).await;
                deleted.map(|()| location.clone()).map_err(|failure| failure.about(&location))
            }
        });
        deletes.buffered(DELETES_AT_ONCE).boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        listing::list(Arc::clone(&self.folder), self.reads.clone(), prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Key>, offset: &Key) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        listing::list(Arc::clone(&self.folder), self.reads.clone(), prefix, Some(offset.clone()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let (folder, below) = (Arc::clone(&self.folder), prefix.clone());
        let listed = self.reads.run(move || listing::list_level(&folder, &below)).await;
        listed.map_err(|failure| failure.about(&prefix))
    }

    /// Copies the bytes: a second name for the same file would show the time of the first.
    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        let existing = match options.mode {
            CopyMode::Create => Existing::Keep,
            CopyMode::Overwrite => Existing::Replace,
        };
        let (folder, source, target) = (Arc::clone(&self.folder), from.clone(), to.clone());
        let copy = self.writes.run(move || writing::copy(&folder, &source, &target, existing));
        copy.await.map_err(|failure| match failure {
            Failure::NotThere { .. } => failure.about(from),
            _ => failure.about(to),
        })
    }

    /// As object stores do it, a copy and then a deletion: so is the object durable under its new name before
    /// the old one goes, and has the time at which it came there. A crash may leave both.
    async fn rename_opts(&self, from: &Key, to: &Key, options: RenameOptions) -> Result<()> {
        let mode = match options.target_mode {
            RenameTargetMode::Create => CopyMode::Create,
            RenameTargetMode::Overwrite => CopyMode::Overwrite,
        };
        self.copy_opts(from, to, CopyOptions::new().with_mode(mode)).await?;
        if from == to { Ok(()) } else { self.delete(from).await }
    }
}

impl FolderStore {
    fn not_implemented(&self, operation: &str) -> object_store::Error {
        object_store::Error::NotImplemented { operation: operation.to_owned(), implementer: self.to_string() }
    }
}

#[cfg(test)]
mod tests;
