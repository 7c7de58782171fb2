//! Opening a folder: making it, and clearing away what crashes and deletions left behind.
//!
//! Leftovers are only cleared by who is alone: a staged file may belong to a process that is about to give it
//! its name, and a directory that is empty may have been made a moment ago by one that is about to fill it.
//! Everybody who has the folder open shares a lock, which the system releases when a process dies; who gets
//! it for itself while opening is alone. Nobody clears anything later, so that a directory that was seen in
//! an open folder stays.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::Folder;
use super::directories::Directories;
use super::failure::{Failure, Result};
use super::files::{Files, Kind};
use super::keys::{RESERVED_DIR, is_reserved};

/// By one opening, so that it does not take minutes: removing a directory takes 10 µs to 1 ms.
const EMPTY_DIRS_REMOVED: usize = 10_000;

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
        let mut left = EMPTY_DIRS_REMOVED;
        remove_empty_dirs(files.as_ref(), root, is_reserved, &mut left);
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
    let found = files.read_dir(staging_dir).map_err(|error| Failure::io("list", staging_dir, error))?;
    for staged in found {
        let path = staging_dir.join(staged.name);
        files.unlink(&path).map_err(|error| Failure::io("remove", &path, error))?;
    }
    Ok(())
}

/// Removes directories in which there is nothing but empty directories, up to a number of them, and says
/// whether everything is gone. What cannot be removed stays: it does no harm.
pub(super) fn remove_empty_dirs(
    files: &dyn Files,
    path: &Path,
    spare: fn(&str) -> bool,
    left: &mut usize,
) -> bool {
    let Ok(found) = files.read_dir(path) else { return false };
    let mut all_gone = true;
    for entry in found {
        let child = path.join(&entry.name);
        let is_ours = entry.kind == Kind::Directory && !spare(&entry.name);
        all_gone &= is_ours && remove_empty_dir(files, &child, left);
    }
    all_gone
}

fn remove_empty_dir(files: &dyn Files, path: &Path, left: &mut usize) -> bool {
    if *left == 0 || !remove_empty_dirs(files, path, |_| false, left) {
        return false;
    }
    // What was in it counts too.
    let Some(rest) = left.checked_sub(1) else { return false };
    let removed = files.remove_dir(path).is_ok();
    if removed {
        *left = rest;
    }
    removed
}
