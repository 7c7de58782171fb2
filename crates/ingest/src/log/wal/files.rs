//! The seam to the file system: every system call of the log goes through [`LogFiles`]. Tests put a disk in its
//! place that loses in a crash what was not synced.

use std::any::Any;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Held as long as the folder is in use. The system releases it when the process dies.
pub type FolderLock = Box<dyn Any + Send + Sync>;

/// What the log asks of a file system.
pub trait LogFiles: fmt::Debug + Send + Sync + 'static {
    /// Makes an empty directory: its parent must be there, and it must not.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Brings the entries of a directory to the disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// The files in a directory, without what is in directories below; names that are not UTF-8 are left out.
    fn list(&self, path: &Path) -> io::Result<Vec<ListedFile>>;

    /// Makes a new file to write; fails when the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendedFile>>;

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Locks a file, made if it is not there. None when another process has it.
    fn lock(&self, path: &Path) -> io::Result<Option<FolderLock>>;
}

/// A file that grows at its end.
pub trait AppendedFile: fmt::Debug + Send {
    /// Appends some of these bytes, from the first on, and says how many.
    fn append(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Cuts it to a length.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Brings the content to the disk, not the name.
    fn sync(&mut self) -> io::Result<()>;
}

pub trait ReadFile: fmt::Debug + Send {
    fn length(&self) -> io::Result<u64>;

    /// How many bytes there were: less than were asked for only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    pub name: String,
    pub bytes: u64,
}

/// The file system of the machine.
#[derive(Debug)]
pub struct RealFiles;

impl LogFiles for RealFiles {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<ListedFile>> {
        let mut listed = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                listed.push(ListedFile { name, bytes: metadata.len() });
            }
        }
        Ok(listed)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendedFile>> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Box::new(RealAppended { file, length: 0, forgotten_to: 0 }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(File::open(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<FolderLock>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// A file that is not kept in memory: nobody reads it before the next start.
#[derive(Debug)]
struct RealAppended {
    file: File,
    length: u64,
    forgotten_to: u64,
}

/// So much goes from the system's memory at a time; a multiple of all page sizes.
const FORGOTTEN_AT_ONCE: u64 = 1 << 20;

impl AppendedFile for RealAppended {
    fn append(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let count = self.file.write_vectored(slices)?;
        self.length += count as u64;
        Ok(count)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.length = length;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.forget_synced();
        Ok(())
    }
}

impl RealAppended {
    /// Without this, the log fills the memory of the machine, and finding new pages for it costs several times
    /// what writing does. The last page stays: it is written on.
    fn forget_synced(&mut self) {
        let end = self.length - self.length % FORGOTTEN_AT_ONCE;
        let Some(length) = NonZeroU64::new(end.saturating_sub(self.forgotten_to)) else { return };
        // It is advice: that it is not taken does no harm.
        #[cfg(target_os = "linux")]
        let _ =
            rustix::fs::fadvise(&self.file, self.forgotten_to, Some(length), rustix::fs::Advice::DontNeed);
        self.forgotten_to += length.get();
    }
}

impl ReadFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(self, rest, offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}
