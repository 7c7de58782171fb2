//! The folder: whose it is, what lies in it, and how much that is.
//!
//! ```text
//! lock                    held by the process that works here
//! <writer>-<number>.log   a segment, and its parts
//! damaged/                what could not be read
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{FolderLock, LogFiles};
use super::segment::{HEADER_LEN, Header, PartName};
use super::{DeleteError, FoundSegment, Full, OpenError};
use crate::log::SegmentName;
use crate::set_aside::damaged;

#[derive(Debug)]
pub(super) struct Folder {
    pub(super) files: Arc<dyn LogFiles>,
    path: PathBuf,
    /// Bytes in files, and of records in queues.
    used: AtomicU64,
    max_bytes: u64,
    segments: Mutex<BTreeMap<SegmentName, Kept>>,
    _lock: FolderLock,
}

/// What there is of a segment.
#[derive(Debug, Default)]
struct Kept {
    parts: BTreeSet<u32>,
    next_part: u32,
    bytes: u64,
}

impl Folder {
    pub(super) fn open(path: &Path, files: Arc<dyn LogFiles>, max_bytes: u64) -> Result<Self, OpenError> {
        let cannot = |what, path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { what, path, source }
        };
        let path = std::path::absolute(path).map_err(cannot("find", path))?;
        make_durable(files.as_ref(), &path).map_err(cannot("make the folder", &path))?;
        let lock_path = path.join("lock");
        let lock = files.lock(&lock_path).map_err(cannot("lock", &lock_path))?;
        let Some(lock) = lock else { return Err(OpenError::Locked(path)) };

        let mut segments = BTreeMap::<SegmentName, Kept>::new();
        for file in files.list(&path).map_err(cannot("list", &path))? {
            let Some(name) = PartName::parse(&file.name) else { continue };
            let file_path = path.join(&file.name);
            check_version(files.as_ref(), &file_path)?;
            let kept = segments.entry(name.segment).or_default();
            kept.parts.insert(name.part);
            kept.next_part = kept.next_part.max(name.part.saturating_add(1));
            kept.bytes += file.bytes;
        }
        let used = AtomicU64::new(segments.values().map(|kept| kept.bytes).sum());
        Ok(Self { files, path, used, max_bytes, segments: Mutex::new(segments), _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn path_of(&self, name: PartName) -> PathBuf {
        self.path.join(name.file_name())
    }

    /// Where damaged bytes are kept; made if it is not there.
    pub(super) fn damaged(&self) -> io::Result<PathBuf> {
        let path = damaged(&self.path);
        match self.files.create_dir(&path) {
            Ok(()) => self.files.sync_dir(&self.path)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(path)
    }

    pub(super) fn segments(&self) -> Vec<FoundSegment> {
        let segments = self.locked();
        segments.iter().map(|(name, kept)| FoundSegment { name: *name, bytes: kept.bytes }).collect()
    }

    pub(super) fn parts(&self, segment: SegmentName) -> Vec<PartName> {
        let segments = self.locked();
        let parts = segments.get(&segment).into_iter().flat_map(|kept| &kept.parts);
        parts.map(|part| PartName { segment, part: *part }).collect()
    }

    /// A name that no file of this segment has had in this process.
    pub(super) fn next_part(&self, segment: SegmentName) -> PartName {
        let mut segments = self.locked();
        let kept = segments.entry(segment).or_default();
        let part = kept.next_part;
        kept.next_part = part.saturating_add(1);
        kept.parts.insert(part);
        PartName { segment, part }
    }

    /// Bytes have come into a file of a segment. They are reserved already.
    pub(super) fn keep(&self, segment: SegmentName, bytes: u64) {
        self.locked().entry(segment).or_default().bytes += bytes;
    }

    pub(super) fn reserve(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn room(&self) -> Result<(), Full> {
        let (bytes, max_bytes) = (self.bytes(), self.max_bytes);
        if bytes < max_bytes { Ok(()) } else { Err(Full { bytes, max_bytes }) }
    }

    /// Removes a file that nothing was acknowledged in. If it stays, nothing wrong is read from it.
    pub(super) fn discard(&self, name: PartName) {
        if self.remove(name).is_ok()
            && let Some(kept) = self.locked().get_mut(&name.segment)
        {
            kept.parts.remove(&name.part);
        }
    }

    /// That a file is gone need not survive a crash: whoever finds it again learns from the catalog that it is
    /// not needed.
    pub(super) fn delete(&self, segment: SegmentName) -> Result<(), DeleteError> {
        let Some(mut kept) = self.locked().remove(&segment) else { return Ok(()) };
        while let Some(part) = kept.parts.pop_last() {
            let name = PartName { segment, part };
            if let Err(source) = self.remove(name) {
                kept.parts.insert(part);
                self.locked().insert(segment, kept);
                return Err(DeleteError { path: self.path_of(name), source });
            }
        }
        self.release(kept.bytes);
        Ok(())
    }

    fn remove(&self, name: PartName) -> io::Result<()> {
        match self.files.remove(&self.path_of(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<SegmentName, Kept>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the folder and all above it that are missing. It may have been made by somebody who died before the
/// sync, so the one that holds it is always synced.
fn make_durable(files: &dyn LogFiles, path: &Path) -> io::Result<()> {
    let from_the_top: Vec<&Path> = path.ancestors().filter(|path| path.parent().is_some()).collect();
    for directory in from_the_top.into_iter().rev() {
        let parent = directory.parent().unwrap_or(directory);
        match files.create_dir(directory) {
            Ok(()) => files.sync_dir(parent)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if directory == path {
                    files.sync_dir(parent)?;
                }
            }
            // Above the folder there may be directories in which nothing may be made, but which are there.
            Err(_) if directory != path => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Before anything is written: whoever goes back to an older program shall learn it at once.
fn check_version(files: &dyn LogFiles, path: &Path) -> Result<(), OpenError> {
    let mut header = [0; HEADER_LEN];
    let read = files.open(path).and_then(|file| file.read_at(&mut header, 0));
    let read = read.map_err(|source| OpenError::Io { what: "read", path: path.to_owned(), source })?;
    match Header::decode(header.get(..read).unwrap_or_default()) {
        Header::UnknownVersion(version) => Err(OpenError::UnknownVersion { path: path.to_owned(), version }),
        Header::Of(_) | Header::Unreadable => Ok(()),
    }
}
