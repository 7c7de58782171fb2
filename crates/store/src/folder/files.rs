//! The seam to the file system: every system call of the folder store goes through [`Files`].
//!
//! Tests put two others in its place: one that writes down the order of the calls, and one in memory that
//! loses in a crash what was not synced. Nothing above this file may call `std::fs`.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::SystemTime;

// The real one.
mod real;

pub(super) use real::RealFiles;

/// What the store asks of a file system. Paths are absolute, and no last component is followed if it is a
/// symbolic link, unless said otherwise.
pub(super) trait Files: fmt::Debug + Send + Sync + 'static {
    /// Makes an empty directory: its parent must be there, and it must not.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Brings the entries of a directory to the disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// What is in a directory, in any order, read as far as it is asked for. Names that are not UTF-8 are left
    /// out.
    fn read_dir(&self, path: &Path) -> io::Result<Entries>;

    /// True for a directory and for a symbolic link that leads to one.
    fn leads_to_dir(&self, path: &Path) -> io::Result<bool>;

    /// Makes a new file to write; fails when the name is taken.
    fn create_file(&self, path: &Path) -> io::Result<Box<dyn WrittenFile>>;

    fn open_file(&self, path: &Path) -> io::Result<Box<dyn ReadFile>>;

    fn facts(&self, path: &Path) -> io::Result<Facts>;

    /// A second name for a file; fails when that name is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Another name for a file, taking it from the file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Opens the file that processes lock, and makes it if it is not there.
    fn open_lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
}

/// A file that nobody else knows yet.
pub(super) trait WrittenFile: fmt::Debug + Send + Sync {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Brings the content to the disk, not the name.
    fn sync(&self) -> io::Result<()>;

    fn facts(&self) -> io::Result<Facts>;
}

/// A file whose content does not change any more; readable even after its name is gone.
pub(super) trait ReadFile: fmt::Debug + Send + Sync {
    fn facts(&self) -> io::Result<Facts>;

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Shared by all who have the folder open; released when dropped, also by the death of the process.
pub(super) trait Lock: fmt::Debug + Send + Sync {
    /// Takes it for this holder alone. False when anybody else holds it.
    fn try_alone(&self) -> io::Result<bool>;

    /// Takes it together with others, giving up being alone.
    fn share(&self) -> io::Result<()>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    /// A symbolic link, a socket, a pipe, a device: never one of ours.
    Foreign,
}

/// The entries of a directory, which stays open meanwhile.
pub(super) type Entries = Box<dyn Iterator<Item = io::Result<Found>>>;

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    pub(super) inode: u64,
}
