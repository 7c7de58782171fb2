//! The log in a local folder: one group fsync for all who wait.
//!
//! ```text
//! append ─▶ queue ─▶ the lane's thread: write all that waits ─▶ fsync ─▶ tickets
//! ```
//!
//! Invariant: a record whose ticket resolved is read back exactly once and in order, whatever fails and
//! whenever the machine dies. A record whose ticket failed may be read back or not.

// Every system call.
mod files;
// A file's name and its beginning.
mod segment;
// What lies in the folder, and how much that is.
mod folder;
// The queue before the disk.
mod lane;
// Records to the disk, and what to do if that fails.
mod writing;
// Records back.
mod reading;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SegmentName;
use folder::Folder;

pub use files::{AppendedFile, FolderLock, ListedFile, LogFiles, ReadFile, RealFiles};
pub use lane::WalLane;
pub use reading::{Found, ReadError, Reading, SetAside, Stretch};

/// The log's folder, for this process alone. Clones are the same.
#[derive(Clone, Debug)]
pub struct Wal {
    folder: Arc<Folder>,
}

/// What an earlier process has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundSegment {
    pub name: SegmentName,
    pub bytes: u64,
}

/// The log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "another process works with the log in {}: end it, or give this one a data folder of its own",
        .0.display()
    )]
    Locked(PathBuf),
    #[error(
        "{} is of version {version} of the log, which this program does not know: let the newer one that wrote it \
         end in good order, then start this one",
        path.display()
    )]
    UnknownVersion { path: PathBuf, version: u32 },
    #[error("cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
}

/// There is no room for another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log holds {bytes} of {max_bytes} bytes that are not in the store yet")]
pub struct Full {
    pub bytes: u64,
    pub max_bytes: u64,
}

/// A segment's file cannot be removed. It counts until it is.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove {}: {source}", path.display())]
pub struct DeleteError {
    path: PathBuf,
    source: io::Error,
}

impl Wal {
    /// Makes the folder if need be, and locks it until this and all its lanes are dropped. The segments come in
    /// order.
    pub fn open(
        folder: &Path,
        files: Arc<dyn LogFiles>,
        max_bytes: u64,
    ) -> Result<(Self, Vec<FoundSegment>), OpenError> {
        let folder = Arc::new(Folder::open(folder, files, max_bytes)?);
        let found = folder.segments();
        Ok((Self { folder }, found))
    }

    /// A log with a thread of its own.
    pub fn lane(&self, name: &str) -> io::Result<WalLane> {
        WalLane::start(Arc::clone(&self.folder), name)
    }

    /// The records of a segment that no lane writes.
    pub fn read(&self, segment: SegmentName) -> Reading {
        Reading::new(Arc::clone(&self.folder), segment)
    }

    /// Bytes on the disk, and on their way to it.
    pub fn bytes(&self) -> u64 {
        self.folder.bytes()
    }

    /// To be asked before work is done for a request.
    pub fn room(&self) -> Result<(), Full> {
        self.folder.room()
    }

    /// Removes a segment that no lane writes. One that is not there is as well.
    pub fn delete(&self, segment: SegmentName) -> Result<(), DeleteError> {
        self.folder.delete(segment)
    }
}

#[cfg(test)]
mod tests;
