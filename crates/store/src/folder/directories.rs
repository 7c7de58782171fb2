//! Directories whose names are on the disk.
//!
//! That a directory is there does not mean that it will be after a crash: whoever made it, in this process
//! or another, may not have synced its parent yet, and may have died before. So each process syncs the
//! parents of a directory once before it stores anything in it, whoever made it, and remembers that it did.
//! This holds because nobody removes directories while the folder is open (see `opening.rs`).

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::failure::{Failure, Result};
use super::files::{Files, Kind};

/// How many directories are remembered. Forgetting costs only syncs.
const REMEMBERED: usize = 4_096;

#[derive(Debug)]
pub(super) struct Directories {
    files: Arc<dyn Files>,
    root: PathBuf,
    durable: Mutex<HashSet<PathBuf>>,
}

impl Directories {
    pub(super) fn new(files: Arc<dyn Files>, root: PathBuf) -> Self {
        Directories { files, root, durable: Mutex::default() }
    }

    /// Makes a directory below the root, with all above it, if need be. When this returns, a crash does not
    /// take it away.
    pub(super) fn make_durable(&self, directory: &Path) -> Result<()> {
        let unsure: Vec<&Path> =
            directory.ancestors().take_while(|path| *path != self.root && !self.is_durable(path)).collect();
        for path in unsure.into_iter().rev() {
            self.make(path)?;
            let parent = path.parent().unwrap_or(&self.root);
            self.files.sync_dir(parent).map_err(|error| Failure::io("sync the directory", parent, error))?;
            self.remember(path);
        }
        Ok(())
    }

    fn make(&self, path: &Path) -> Result<()> {
        match self.files.create_dir(path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => match self.files.facts(path) {
                Ok(facts) if facts.kind == Kind::Directory => Ok(()),
                Ok(_) => Err(Failure::ParentIsNoDirectory { path: path.to_owned() }),
                Err(error) => Err(Failure::io("look at", path, error)),
            },
            Err(error) => Err(Failure::io("create the directory", path, error)),
        }
    }

    /// Somebody removed directories by hand.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn is_durable(&self, path: &Path) -> bool {
        self.lock().contains(path)
    }

    fn remember(&self, path: &Path) {
        let mut durable = self.lock();
        if durable.len() >= REMEMBERED {
            durable.clear();
        }
        durable.insert(path.to_owned());
    }

    /// A panic elsewhere cannot leave the set half changed.
    fn lock(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
