//! Opening a folder: making it, and clearing away what crashes and deletions left behind.
//!
//! Leftovers are only cleared by who is alone: a staged file may belong to a process that is about to give it
//! its name, and a directory that is empty may have been made a moment ago by one that is about to fill it.
//! Everybody who has the folder open shares a lock, which the system releases when a process dies; who gets
//! it for itself while opening is alone. Nobody clears anything later, so that a directory that was seen in
//! an open folder stays.
//!
//! An empty directory does not say whose it is, and git, mounts and other programs need theirs. So they are
//! removed only from a folder in which everything has come through a store: it was empty when it became one,
//! and has borne a mark since then. Even there, what is hidden and what is a store of its own stays as it is.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::Folder;
use super::directories::Directories;
use super::failure::{Failure, Result};
use super::files::{Files, Found, Kind};
use super::keys::{RESERVED_DIR, is_reserved};

/// The mark of a folder that was empty when it became a store: a directory beside the lock. A crash may take
/// it away, and then nothing is removed any more, which does no harm.
const BEGAN_EMPTY: &str = "began-empty";

/// By one opening in search of empty directories, so that it does not take minutes: a file takes 1 µs, a
/// directory 10 µs to 1 ms. In a folder that holds more, an empty directory that the file system lists behind
/// them stays for good, at the price of an inode.
const ENTRIES_LOOKED_AT: usize = 100_000;

/// The folder cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the folder {}: {why}", path.display())]
pub struct OpenFolderError {
    path: PathBuf,
    #[source]
    why: Failure,
}

/// Where the folder is, whatever becomes of the working directory.
pub(super) fn absolute(path: PathBuf) -> Result<PathBuf, OpenFolderError> {
    std::path::absolute(&path).map_err(|error| {
        let why = Failure::io("find", &path, error);
        OpenFolderError { path, why }
    })
}

pub(super) fn open(files: Arc<dyn Files>, root: PathBuf) -> Result<Folder, OpenFolderError> {
    prepare(files, &root).map_err(|why| OpenFolderError { path: root, why })
}

fn prepare(files: Arc<dyn Files>, root: &Path) -> Result<Folder> {
    make_root_durable(files.as_ref(), root)?;
    // These two need not survive a crash: the next opening makes them again.
    let reserved_dir = root.join(RESERVED_DIR);
    let staging_dir = reserved_dir.join("staged");
    for path in [&reserved_dir, &staging_dir] {
        match files.create_dir(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(Failure::io("create the directory", path, error));
            }
            _ => {}
        }
    }
    let lock_path = reserved_dir.join("lock");
    let cannot_lock = |error| Failure::io("lock", &lock_path, error);
    let lock = files.open_lock(&lock_path).map_err(cannot_lock)?;
    if lock.try_alone().map_err(cannot_lock)? {
        sweep(files.as_ref(), &staging_dir)?;
        if all_came_through_a_store(files.as_ref(), root, &reserved_dir.join(BEGAN_EMPTY)) {
            remove_empty_dirs(files.as_ref(), root, &mut { ENTRIES_LOOKED_AT });
        }
    }
    lock.share().map_err(cannot_lock)?;
    Ok(Folder {
        directories: Directories::new(Arc::clone(&files), root.to_owned()),
        files,
        root: root.to_owned(),
        staging_dir,
        staged_count: AtomicU64::new(0),
        _lock: lock,
    })
}

/// Makes the folder and all directories above it that are missing. Those that are there may have been made by
/// somebody who died before the sync.
fn make_root_durable(files: &dyn Files, root: &Path) -> Result<()> {
    let from_the_top: Vec<&Path> = root.ancestors().filter(|path| path.parent().is_some()).collect();
    for path in from_the_top.into_iter().rev() {
        let there = files.leads_to_dir(path).map_err(|error| Failure::io("look at", path, error))?;
        if !there {
            match files.create_dir(path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(Failure::io("create the directory", path, error));
                }
                _ => {}
            }
        }
        let parent = path.parent().unwrap_or(root);
        match files.sync_dir(parent) {
            Err(error) if !(there && is_not_ours_to_sync(&error)) => {
                return Err(Failure::io("sync the directory", parent, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Directories far above the folder may be closed to us, or on file systems that are not written at all.
fn is_not_ours_to_sync(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::InvalidInput
            | ErrorKind::Unsupported
    )
}

/// Removes what was being written when its writer died.
fn sweep(files: &dyn Files, staging_dir: &Path) -> Result<()> {
    let cannot_list = |error| Failure::io("list", staging_dir, error);
    for staged in files.read_dir(staging_dir).map_err(cannot_list)? {
        let staged = staged.map_err(cannot_list)?;
        let path = staging_dir.join(staged.name);
        files.unlink(&path).map_err(|error| Failure::io("remove", &path, error))?;
    }
    Ok(())
}

/// Whether everything in the folder is ours. An empty folder is marked, so that it can be said of what comes.
fn all_came_through_a_store(files: &dyn Files, root: &Path, mark: &Path) -> bool {
    if files.facts(mark).is_ok() {
        return true;
    }
    let Ok(mut found) = files.read_dir(root) else { return false };
    let is_empty = found.all(|entry| entry.is_ok_and(|entry| is_reserved(&entry.name)));
    is_empty && files.create_dir(mark).is_ok()
}

/// Removes directories in which there is nothing but empty directories, looking at a number of entries, and
/// says whether all that it saw is gone. What cannot be removed stays: it does no harm.
pub(super) fn remove_empty_dirs(files: &dyn Files, path: &Path, left: &mut usize) -> bool {
    // One more, to see that not all was looked at.
    let most = left.saturating_add(1);
    let found: io::Result<Vec<Found>> = files.read_dir(path).and_then(|found| found.take(most).collect());
    let Ok(found) = found else { return false };
    let mut all_gone = true;
    for entry in found {
        let Some(rest) = left.checked_sub(1) else { return false };
        *left = rest;
        let is_spared = entry.name.starts_with('.') || is_reserved(&entry.name);
        all_gone &= entry.kind == Kind::Directory
            && !is_spared
            && remove_empty_dir(files, &path.join(entry.name), left);
    }
    all_gone
}

/// What holds something that was not seen (names that are not UTF-8) the system refuses to remove.
fn remove_empty_dir(files: &dyn Files, path: &Path, left: &mut usize) -> bool {
    !is_store(files, path) && remove_empty_dirs(files, path, left) && files.remove_dir(path).is_ok()
}

/// Another store that may be open, in which an empty directory may be about to be filled.
fn is_store(files: &dyn Files, path: &Path) -> bool {
    !matches!(files.facts(&path.join(RESERVED_DIR)), Err(error) if error.kind() == ErrorKind::NotFound)
}
