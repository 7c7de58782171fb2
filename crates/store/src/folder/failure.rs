//! What can go wrong in a folder, said so that a person can act on it: what was being done, to which path,
//! why it failed, and what helps.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use object_store::path::Path as Key;

use super::keys::MAX_NAME_BYTES;

pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Under which name `object_store` reports our errors.
const STORE: &str = "folder";

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "the name {} cannot be brought to the disk: {source}{}; the object may or may not be there after a \
         crash: write it again",
        path.display(),
        advice(source)
    )]
    NameNotDurable { path: PathBuf, source: io::Error },
    #[error("there is no object at {}", path.display())]
    NotThere { path: PathBuf },
    #[error("there is an object at {} already", path.display())]
    AlreadyThere { path: PathBuf },
    #[error(
        "{} is a directory, because other keys begin with this one and `/`, or did: a folder cannot hold an \
         object under the name of a directory",
        path.display()
    )]
    KeyIsDirectory { path: PathBuf },
    #[error("{} is not a regular file and was not made by siltstone: remove it", path.display())]
    KeyIsForeign { path: PathBuf },
    #[error(
        "{} is not a directory: a folder cannot hold an object below the name of another object, and does \
         not write through symbolic links",
        path.display()
    )]
    ParentIsNoDirectory { path: PathBuf },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("this upload has ended: it was completed or aborted, or completing it failed")]
    UploadEnded,
    #[error("{missing} parts of this upload were not written: wait for every part, and abort if one fails")]
    PartsMissing { missing: u64 },
    #[error("the range asked for cannot be read: {0}")]
    Range(Box<dyn StdError + Send + Sync>),
    #[error("no thread could do the work: {0}")]
    Thread(Box<dyn StdError + Send + Sync>),
    /// Made by `object_store` itself: a precondition that does not hold.
    #[error(transparent)]
    Store(#[from] object_store::Error),
}

/// Why a key cannot be a file name in the folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the empty key names the folder itself, not an object")]
    Empty,
    #[error("keys that begin with `{0}` are reserved in a folder: choose another name")]
    Reserved(String),
    #[error("`{0}` is longer than the {MAX_NAME_BYTES} bytes that a file name may have")]
    TooLong(String),
}

impl Failure {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Failure::Io { action, path: path.to_owned(), source }
    }

    /// The failure of an operation on an object, as everybody above expects it.
    pub(super) fn about(self, key: &Key) -> object_store::Error {
        let path = key.to_string();
        match self {
            Failure::Store(error) => error,
            Failure::NotThere { .. } => object_store::Error::NotFound { path, source: Box::new(self) },
            Failure::AlreadyThere { .. } => {
                object_store::Error::AlreadyExists { path, source: Box::new(self) }
            }
            Failure::Key(_) => object_store::Error::NotSupported { source: Box::new(self) },
            Failure::Io { ref source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                object_store::Error::PermissionDenied { path, source: Box::new(self) }
            }
            _ => object_store::Error::Generic { store: STORE, source: Box::new(self) },
        }
    }
}

/// What helps, for those errors of the system where that is known.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "; free some space on this disk",
        io::ErrorKind::QuotaExceeded => "; raise the quota or free some space",
        io::ErrorKind::PermissionDenied => "; let the user that siltstone runs as read and write the folder",
        io::ErrorKind::ReadOnlyFilesystem => {
            "; the disk is mounted read-only, which the system also does after an error of the disk"
        }
        io::ErrorKind::CrossesDevices => {
            "; the whole folder must be on one file system: no mounts and no links to others in it"
        }
        io::ErrorKind::InvalidFilename => "; the path is longer than this file system allows",
        _ if error.raw_os_error() == Some(EIO) => {
            "; the disk failed, look into the system's log before trusting it"
        }
        _ if error.raw_os_error() == Some(EMFILE) => "; raise the limit of open files (ulimit -n)",
        _ => "",
    }
}

// The same on Linux, macOS and the BSDs.
const EIO: i32 = 5;
const EMFILE: i32 = 24;
