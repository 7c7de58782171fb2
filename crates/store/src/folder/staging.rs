//! How an object comes into being: under a name that nobody sees, and then at once under its own.
//!
//! ```text
//!  create ─▶ write ─▶ sync file ─▶ make directories ─▶ link or rename ─▶ sync directory ─▶ answer
//!            a crash here leaves a file that the next opening sweeps │      whole or absent │ there
//! ```
//!
//! The file is synced before it gets its name, so that a name never leads to half an object; the directory
//! before the answer, so that what was acknowledged keeps its name. A file whose sync failed is dropped and
//! never synced again: the system may have thrown away what it could not write, and then a second sync
//! succeeds without having written it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Folder;
use super::failure::{Failure, Result};
use super::files::{Facts, Files, Kind, WrittenFile};

/// What happens to an object that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Keep,
    Replace,
}

/// How often directories are made anew when somebody removes them by hand meanwhile.
const ATTEMPTS: u32 = 3;

/// A file that is being written. Removed when dropped, unless it became an object.
#[derive(Debug)]
pub(super) struct Staged {
    files: Arc<dyn Files>,
    path: PathBuf,
    file: Box<dyn WrittenFile>,
    moved: AtomicBool,
}

impl Staged {
    pub(super) fn create(folder: &Folder) -> Result<Self> {
        loop {
            // The process id keeps processes apart, almost: in containers it is often the same. Then, and
            // beside leftovers, the name is taken and the next one is tried.
            let number = folder.staged_count.fetch_add(1, Ordering::Relaxed);
            let path = folder.staging_dir.join(format!("{}-{number}", std::process::id()));
            match folder.files.create_file(&path) {
                Ok(file) => {
                    return Ok(Staged {
                        files: Arc::clone(&folder.files),
                        path,
                        file,
                        moved: AtomicBool::new(false),
                    });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Failure::io("create", &path, error)),
            }
        }
    }

    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_at(bytes, offset).map_err(|error| Failure::io("write", &self.path, error))
    }

    /// Makes it the object at `target`, durably.
    pub(super) fn publish(&self, folder: &Folder, target: &Path, existing: Existing) -> Result<Facts> {
        self.file.sync().map_err(|error| Failure::io("sync", &self.path, error))?;
        let facts = self.file.facts().map_err(|error| Failure::io("look at", &self.path, error))?;
        let parent = target.parent().unwrap_or(&folder.root);
        let named = self.name(folder, target, parent, existing);
        if let Ok(()) | Err(Failure::AlreadyThere { .. }) = named {
            // What is there already may have been named a moment ago, by somebody who has not synced it yet
            // or whose sync failed: to say that it exists is to promise that it stays.
            folder
                .files
                .sync_dir(parent)
                .map_err(|source| Failure::NameNotDurable { path: target.to_owned(), source })?;
        }
        named.map(|()| facts)
    }

    fn name(&self, folder: &Folder, target: &Path, parent: &Path, existing: Existing) -> Result<()> {
        let mut attempt = 1;
        loop {
            match self.try_to_name(folder, target, parent, existing) {
                Err(Failure::Io { source, .. })
                    if source.kind() == ErrorKind::NotFound && attempt < ATTEMPTS =>
                {
                    folder.directories.forget();
                    attempt += 1;
                }
                named => return named,
            }
        }
    }

    fn try_to_name(&self, folder: &Folder, target: &Path, parent: &Path, existing: Existing) -> Result<()> {
        folder.directories.make_durable(parent)?;
        match existing {
            // The second name of a link is removed by drop, when the first one is durable.
            Existing::Keep => self.files.link(&self.path, target),
            Existing::Replace => self.files.rename(&self.path, target),
        }
        .map_err(|error| self.why_not_named(target, error))?;
        self.moved.store(existing == Existing::Replace, Ordering::Release);
        Ok(())
    }

    fn why_not_named(&self, target: &Path, error: io::Error) -> Failure {
        let there = self.files.facts(target).map(|facts| facts.kind);
        match (there, error.kind()) {
            (Ok(Kind::Directory), _) => Failure::KeyIsDirectory { path: target.to_owned() },
            (Ok(Kind::Foreign), _) => Failure::KeyIsForeign { path: target.to_owned() },
            (_, ErrorKind::AlreadyExists) => Failure::AlreadyThere { path: target.to_owned() },
            _ => Failure::io("give its name to", target, error),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.moved.load(Ordering::Acquire) {
            // If this fails, the next opening sweeps it.
            let _ = self.files.unlink(&self.path);
        }
    }
}
