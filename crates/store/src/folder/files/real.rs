//! The file system of the machine. On macOS `sync_all` asks the drive itself to flush, as it must.

use std::fs::{self, DirEntry, File, FileType, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::SystemTime;

use super::{Entries, Facts, Files, Found, Kind, Lock, ReadFile, WrittenFile};

#[derive(Debug)]
pub(in crate::folder) struct RealFiles;

impl Files for RealFiles {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Entries> {
        Ok(Box::new(fs::read_dir(path)?.filter_map(|entry| entry.and_then(found).transpose())))
    }

    fn leads_to_dir(&self, path: &Path) -> io::Result<bool> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(metadata.is_dir()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn WrittenFile>> {
        Ok(Box::new(OpenOptions::new().write(true).create_new(true).open(path)?))
    }

    fn open_file(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(File::open(path)?))
    }

    fn facts(&self, path: &Path) -> io::Result<Facts> {
        facts_of(&fs::symlink_metadata(path)?)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn open_lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        Ok(Box::new(OpenOptions::new().write(true).create(true).truncate(false).open(path)?))
    }
}

impl WrittenFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn facts(&self) -> io::Result<Facts> {
        facts_of(&self.metadata()?)
    }
}

impl ReadFile for File {
    fn facts(&self) -> io::Result<Facts> {
        facts_of(&self.metadata()?)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

impl Lock for File {
    fn try_alone(&self) -> io::Result<bool> {
        match self.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn share(&self) -> io::Result<()> {
        // What a second lock on a file does that is locked already depends on the platform.
        self.unlock()?;
        self.lock_shared()
    }
}

/// None if its name is not UTF-8, or if it is gone.
fn found(entry: DirEntry) -> io::Result<Option<Found>> {
    let Ok(name) = entry.file_name().into_string() else { return Ok(None) };
    match entry.file_type() {
        Ok(file_type) => Ok(Some(Found { name, kind: kind_of(file_type) })),
        // Where the directory does not say what its entries are, each is asked, and may be gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn facts_of(metadata: &Metadata) -> io::Result<Facts> {
    let modified: SystemTime = metadata.modified()?;
    Ok(Facts { kind: kind_of(metadata.file_type()), size: metadata.len(), modified, inode: metadata.ino() })
}

fn kind_of(file_type: FileType) -> Kind {
    if file_type.is_file() {
        Kind::File
    } else if file_type.is_dir() {
        Kind::Directory
    } else {
        Kind::Foreign
    }
}
